"""`stats`, `top`, `cite`, `marks`, and the words of `export` and `plot`. Their values: `report/test_analysis.py`."""

import csv
import json
from functools import partial

import pytest
from pyarrow import parquet

from collector.store import Store
from tests.conftest import in_a_thread
from tests.harness.command_line import folder_of_store, invoke
from tests.harness.factories import NOW, batch, hours, profile, saved

BY = profile("by", caOwner=("A", "B, Inc."))
DAY = ("--start", "2026-04-30", "--end", "2026-05-01")


async def _fill(url):
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([BY, profile("all")], NOW)
        asked = batch(*[(series.query, hours(0, 24)) for series in (*BY.series, *profile("all").series)])
        rows = [float(hour) for hour in range(24)], [1.0] * 24, [100.0] * 23
        await saved(store, asked, *rows, profiles=("by", "all"), unit="certificates")


@pytest.fixture
def run(tmp_path, monkeypatch, sqlite_url):
    in_a_thread(_fill(sqlite_url))
    folder_of_store(tmp_path, monkeypatch, sqlite_url)
    return invoke


def _out(result):
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_stats_and_top_are_a_table_json_or_csv(run):
    table = _out(run("stats", "by", *DAY))
    assert [line.split("  ")[0] for line in table.splitlines()[1:]] == ["by/A", "by/B, Inc."]
    one, _ = json.loads(_out(run("stats", "by", *DAY, "--format", "json")))
    assert (one["total"], one["median"], one["share"]) == (276, 11.5, 92)
    lines = list(csv.DictReader(_out(run("top", "by", *DAY, "-n", "1", "--format", "csv")).splitlines()))
    assert [(line["series"], line["total"], line["share"]) for line in lines] == [
        ("by/A", "276", "92"),
        ("rest", "24", "8"),
    ]
    said = run("top", "by", *DAY, "--compare", "previous")
    assert "0 of 24 buckets of the compared range" in said.stderr


def test_an_export_with_words_has_their_columns(run):
    day = partial(run, "export", "by", "--per", "day", "--share", *DAY)
    assert _out(day()) == (
        "profile,series,timestamp,value,known,expected,share,reason\n"
        'by,by/A,2026-04-30T00:00:00Z,276,24,24,92,\nby,"by/B, Inc.",2026-04-30T00:00:00Z,24,24,24,8,\n'
    )
    assert "by: share is in percent of the sum of the 2 series of by\n" in day().stderr
    rows = [json.loads(line) for line in _out(day("--format", "jsonl")).splitlines()]
    assert [row["share"] for row in rows] == [92, 8]
    assert day("--format", "parquet", "-o", "x.parquet").exit_code == 0
    assert parquet.read_table("x.parquet").column("share").to_pylist() == [92, 8]
    (row,) = csv.DictReader(_out(run("export", "all", "--per", "day", "--rank")).splitlines())
    assert (row["value"], row["rank"], row["reason"]) == ("2300", "", "rank: all has 23 of 24 buckets")


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("Nearest: the series' own buckets", ("export", "unique", "--per", "day")),
        ("'moth' is not one of 'hour', 'day'", ("export", "by", "--per", "moth")),
        ("compare: '3w' is not one of previous, 1w, 4w, 52w", ("top", "by", "--compare", "3w")),
        ("the store has no profile 'bye' (did you mean \"by\"?)", ("stats", "bye")),
        ("there is no series 'by/B' (did you mean \"by/A\"?)", ("cite", "by/B")),
        ("'by' is a profile of 2 series; cite one of them, such as 'by/A'", ("cite", "by")),
        ("'by/A' is a series of the profile 'by': name the profile", ("stats", "by/A")),
        ("plot: draws one of share, growth", ("plot", "by", "--share", "--mean", "3")),
        ("there is no mark 7", ("marks", "remove", "7")),
        ("date: 'x' is not a time", ("marks", "add", "x", "y")),
    ],
)
def test_what_cannot_be_answered_is_a_usage_error(run, said, arguments, sqlite_url):
    async def unique():
        async with Store.open(sqlite_url, owner="test") as store:
            one = profile("unique", filters={"uniqueEntries": ("true",)})
            await store.activate_labels([one, BY], NOW)
            await saved(store, batch((one.series[0].query, hours(0, 2))), [1, 2])

    if "unique" in arguments:
        in_a_thread(unique())
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert said in refused.stderr


def test_a_citation_names_value_range_licence_and_permalink(run):
    address = ("--base-url", "https://radar.test")
    sentence = _out(run("cite", "by/B, Inc.", *DAY, "--as-of", "2026-05-02", *address))
    assert sentence.startswith(
        "by/B, Inc.: 24 certificates from 2026-04-30T00:00:00Z until 2026-05-01T00:00:00Z (sum of all 24 buckets "
        "of 1h, lastUpdated 2026-05-01T12:00:00.123456Z, as known at 2026-05-02T00:00:00Z). "
        "Counted are entries, not certificates: one of them may count as a precertificate and as itself, "
        "and in each of its logs. Data: Cloudflare Radar, CC BY-NC 4.0. https://radar.test/api/v1/stats?series=by%2FB%2C%20Inc.&start="
    )
    assert "title = {by/B, Inc., 2026" in _out(run("cite", "by/B, Inc.", *DAY, "--format", "bibtex"))
    part = run("cite", "all", *DAY, "--format", "json")
    assert json.loads(_out(part))["value"] == 2300
    assert part.stderr == "1 of 24 buckets of the range are not known\n"


def test_marks_and_derived_values_are_drawn(run):
    added = _out(run("marks", "add", "2026-04-30T06:00:00Z", "load test", "--end", "2026-04-30T08:00:00Z"))
    assert "load test" in added
    chart = _out(run("plot", "by", "--mean", "3", *DAY))
    assert "by: certificates, mean of 3, hourly" in chart
    assert "MARK: load test" in chart
    assert run("marks", "remove", "1").stdout == "mark 1 removed\n"
    policies = json.loads(_out(run("marks", "list", "--policy", "--start", "2026-01-01", "--format", "json")))
    assert {row["kind"] for row in policies} == {"policy"}


@pytest.mark.parametrize("words", [(), ("--per", "day")])
def test_one_series_can_be_chosen_as_in_the_api(run, words):
    rows = list(csv.DictReader(_out(run("export", "by", *words, *DAY, "--series", "by/A")).splitlines()))
    assert {row["series"] for row in rows} == {"by/A"}
    both = _out(run("export", *words, *DAY, "--series", "all", "--series", "by/B, Inc."))
    assert {row["series"] for row in csv.DictReader(both.splitlines())} == {"all", "by/B, Inc."}
    (figures,) = json.loads(_out(run("stats", "by", *DAY, "--series", "by/A", "--format", "json")))
    assert (figures["series"], figures["total"], figures["share"]) == ("by/A", 276, 92)
    assert "B, Inc." in _out(run("plot", "by", *words, *DAY))
    drawn = _out(run("plot", "by", *words, *DAY, "--series", "by/A"))
    assert "not final yet" in drawn
    assert "B, Inc." not in drawn


def test_an_export_of_one_series_speaks_of_its_gaps_alone(run):
    assert "buckets absent" in run("export", *DAY).stderr
    assert "buckets absent" not in run("export", *DAY, "--series", "by/A").stderr


@pytest.mark.parametrize("command", ["export", "plot", "stats"])
def test_an_unknown_series_is_answered_with_the_known_ones_the_nearest_first(run, command):
    unknown = run(command, "by", "--series", "by/B Inc")
    assert (unknown.exit_code, unknown.stderr) == (
        2,
        "collector: the profile 'by' has no series 'by/B Inc'; it has: by/B, Inc., by/A\n",
    )
    assert "has no series 'all'" in run(command, "by", "--series", "all").stderr
