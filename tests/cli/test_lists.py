"""series, fetches, annotations, revisions, export: their tables and their JSON."""

from __future__ import annotations

import time

import pytest

from collector.model import Window
from collector.simulator import RevisionChange
from collector.timestamps import utc
from tests.harness.processes import Collector, midnight, profile_toml, simulating


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with two profiles, a revision and an annotation."""
    with simulating(annotations=None) as (simulator, url):
        collector = Collector(tmp_path_factory.mktemp("filled"), url)
        each = '[profiles.each]\nca_owner = ["DigiCert, Inc.", "Sectigo Limited"]'
        collector.configure(profile_toml(), profile_toml("by-owner", "1d", 40, each))
        collector.run("collect")
        day = midnight(1)
        simulator.change(RevisionChange(Window(day, midnight(0)), 7, since=time.time()))
        collector.run("collect", "all")
        yield collector


def test_series_lists_every_label_with_its_unit_and_points(filled):
    rows = filled.json("series")
    assert [row["label"] for row in rows] == ["all", "by-owner/DigiCert, Inc.", "by-owner/Sectigo Limited"]
    assert {row["unit"] for row in rows} == {"certificates"}
    assert rows[1]["filters"] == {"caOwner": ["DigiCert, Inc."]}
    assert rows[1]["points"] == 40
    assert [row["label"] for row in filled.json("series", "--profile", "all")] == ["all"]


def test_fetches_are_the_newest_first_and_bounded(filled):
    rows = filled.json("fetches")
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert {row["outcome"] for row in rows} == {"ok"}
    assert len(filled.json("fetches", "--limit", "1")) == 1
    assert filled.json("fetches", "--end", "1h") == []
    assert len(filled.json("fetches", "--start", "1h")) == len(rows)


def test_annotations_are_listed_once_each_the_newest_first(filled):
    rows = filled.json("annotations")
    assert rows
    assert [row["start_date"] for row in rows] == sorted((row["start_date"] for row in rows), reverse=True)
    assert len({(row["start_date"], row["description"]) for row in rows}) == len(rows)


def test_revisions_show_both_values_and_when_each_was_seen(filled):
    rows = filled.json("revisions")
    assert rows
    for row in rows:
        assert row["series"] == "all"
        assert row["new_value"] == row["value"] + 7 * 4
        assert utc(row["seen_at"]) < utc(row["replaced_at"])
    assert filled.json("revisions", "--profile", "by-owner") == []


@pytest.mark.parametrize("name", ["fetches", "annotations", "revisions"])
def test_a_list_that_is_cut_off_says_so(filled, name):
    done = filled.call(name, "--limit", "1")
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "only the first 1 rows are shown; use --limit, --start and --end to show others\n"
    assert filled.json(name, "--limit", "1") == filled.json(name)[:1]
    assert filled.call(name, "--limit", str(len(filled.json(name)))).stderr == ""


def test_export_as_of_prints_the_values_known_at_that_time(filled):
    (first, *_) = filled.json("revisions")
    then = filled.call("export", "all", "--format", "jsonl", "--as-of", first["seen_at"]).stdout.splitlines()
    now = filled.call("export", "all", "--format", "jsonl").stdout.splitlines()
    assert len(then) == len(now)
    assert then != now


def test_export_is_bounded_by_start_and_end_and_by_profile(filled):
    day = f"{midnight(1):%Y-%m-%d}"
    lines = filled.call("export", "all", "--start", day, "--end", f"{midnight(0):%Y-%m-%d}").stdout.splitlines()
    assert len(lines) == 1 + 24
    assert lines[1].startswith(f"all,all,{day}T00:00:00Z,")


@pytest.mark.parametrize("name", ["series", "fetches", "annotations", "revisions", "status"])
def test_people_read_a_table(filled, name):
    done = filled.call(name)
    assert done.stdout.count("\n") >= 2
    assert "{" not in done.stdout or name == "series"


def test_readers_need_no_profiles_and_no_token(filled):
    environ = {"CLOUDFLARE_API_TOKEN": "", "COLLECTOR_DATABASE__URL": f"sqlite:///{filled.folder}/collector.db"}
    empty = filled.folder / "empty"
    empty.mkdir()
    elsewhere = Collector(empty, filled.base_url)
    elsewhere.configure()
    assert elsewhere.call("export", "all", environ=environ).stdout == filled.export("all")


@pytest.mark.parametrize(
    "asked", [("fetches", "--limit"), ("annotations", "--limit"), ("revisions", "--limit"), ("backfill", "--cancel")]
)
def test_a_number_that_no_database_takes_is_out_of_range(filled, asked):
    refused = filled.call(*asked, "9" * 20, expect=2).stderr
    assert "is not in the range 1<=x<=" in refused
    assert "Traceback" not in refused
