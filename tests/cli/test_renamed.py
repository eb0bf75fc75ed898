"""A profile that was renamed in the configuration: its old name finds all of its history."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner

from collector.cli.main import command
from collector.store import Store
from tests.conftest import in_a_thread
from tests.harness.factories import DAY, NOW, batch, filtered, hours, profile, query, saved

OWNERS = ("DigiCert", "Sectigo Limited")
PROFILES = """
[[profiles]]
name = "owners"
agg_interval = "1h"
[profiles.each]
ca_owner = ["DigiCert", "Sectigo Limited", "Google"]
[[profiles]]
name = "every"
agg_interval = "1h"
"""


async def _fill(url, *afterwards):
    """Three hours under the old names, of which one was revised, then three more under the new ones."""
    asked = [query(), *(query(caOwner=owner) for owner in OWNERS)]
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile("all"), profile("by-owner", caOwner=(*OWNERS, "Gone"))], DAY)
        await saved(store, batch(*((one, hours(0, 3)) for one in asked)), [1, 2, 3], [4, 5, 6], [7, 8, 9], now=DAY)
        gone = batch((query(caOwner="Gone"), hours(0, 1)))
        await saved(store, gone, [10], now=DAY)
        await store.activate_labels(
            [profile("every"), profile("owners", caOwner=(*OWNERS, "Google")), *afterwards], NOW
        )
        later = batch(*((one, hours(2, 6)) for one in asked), (query(caOwner="Google"), hours(2, 6)))
        await saved(store, later, [30, 1, 1, 1], [6, 1, 1, 1], [9, 1, 1, 1], [5, 5, 5, 5], profiles=("every",))


@pytest.fixture
def ask(tmp_path, monkeypatch, store_url):
    """Run a command on the store of a collector whose profiles were renamed, once on each database."""
    in_a_thread(_fill(store_url))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "config.toml").write_text(f'[database]\nurl = "{store_url}"\n{PROFILES}')
    monkeypatch.chdir(tmp_path / "work")

    def ask(*arguments, expect=0):
        done = CliRunner().invoke(command, arguments, prog_name="collector")
        assert done.exit_code == expect, done.stderr
        return done

    return ask


def _counts(exported):
    found = {}
    for row in csv.DictReader(exported.splitlines()):
        found[row["series"]] = found.get(row["series"], 0) + 1
    return found


def test_export_by_the_old_name_gives_all_points_and_says_the_new_one(ask):
    done = ask("export", "all")
    assert done.stdout == ask("export", "every").stdout
    assert _counts(done.stdout) == {"every": 6}
    assert "all is now every\n" in done.stderr


def test_each_series_of_a_renamed_profile_is_followed(ask):
    """A label that is no longer collected is printed; a label that the old name never had is not."""
    done = ask("export", "by-owner")
    assert _counts(done.stdout) == {"owners/DigiCert": 6, "owners/Sectigo Limited": 6, "by-owner/Gone": 1}
    assert "by-owner is now owners\n" in done.stderr


def test_a_name_beside_its_new_name_exports_once(ask):
    assert ask("export", "all", "every").stdout == ask("export", "every").stdout


def test_series_revisions_gaps_and_plot_know_the_old_name(ask):
    [row] = json.loads(ask("series", "--profile", "all", "--format", "json").stdout)
    assert (row["label"], row["points"]) == ("every", 6)
    [row] = json.loads(ask("revisions", "--profile", "all", "--format", "json").stdout)
    assert (row["series"], row["value"], row["new_value"]) == ("every", 3, 30)
    done = ask("gaps", "--profile", "by-owner", "--format", "json")
    assert {gap["series"] for gap in json.loads(done.stdout)} == {"owners/DigiCert", "owners/Sectigo Limited"}
    assert "by-owner is now owners\n" in done.stderr
    done = ask("plot", "all")
    assert "2026-04-30 06:00" in done.stdout
    assert "all is now every\n" in done.stderr


async def test_a_former_name_in_use_means_the_profile_that_has_it(store):
    await store.activate_labels([filtered("one", tld="com")], DAY)
    await saved(store, batch((query(tld="com"), hours(0, 3))), [1, 2, 3])
    await store.activate_labels([filtered("two", tld="com"), filtered("one", tld="net")], NOW)
    await saved(store, batch((query(tld="net"), hours(0, 1))), [9])
    assert [row async for row in store.export(["one"])] == [("one", "one", int(DAY.timestamp()), 9)]
    assert await store.renamed(["one"], ["one"]) == []


async def test_a_name_is_followed_through_several_renames(store):
    for name in ("one", "two", "three"):
        await store.activate_labels([filtered(name, tld="com")], NOW)
    await saved(store, batch((query(tld="com"), hours(0, 2))), [1, 2])
    assert [row[:2] async for row in store.export(["one"])] == [("three", "three")] * 2
    assert [one.new_label for one in await store.renamed(["two"])] == ["three"]
