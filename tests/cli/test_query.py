from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from collector.cli.main import command
from collector.store import Store
from tests.harness.factories import HOUR, NOW, batch, hours, profile, query, saved

NIGHT = ("--date-start", "2026-04-29T21:00:00Z", "--date-end", "2026-04-30T03:00:00Z", "--agg-interval", "1h")
APRIL = ("--date-start", "2026-04-01", "--date-end", "2026-04-02", "--agg-interval", "1h")
OWNERS = ("Sectigo Limited", "DigiCert, Inc.")
EVENING = ("--date-start", "2026-04-30T21:00:00Z", "--date-end", "2026-04-30T23:00:00Z", "--agg-interval", "1h")


@pytest.fixture
def run(sqlite_url, tmp_path):
    """Run `collector query` against a store in which two owners have a day's history."""
    config = tmp_path / "config.toml"
    config.write_text(f'[database]\nurl = "{sqlite_url}"\n')

    async def fill():
        async with Store.open(sqlite_url, owner="test") as store:
            await store.activate_labels([profile("by-owner", caOwner=OWNERS)], NOW)
            asked = batch(*((query(caOwner=owner), hours(0, 24)) for owner in OWNERS))
            await saved(store, asked, range(24), range(100, 124))

    asyncio.run(fill())
    return lambda *arguments: CliRunner().invoke(command, ["query", "--config", str(config), *arguments])


def test_it_works(run):
    done = run(*EVENING, "--ca-owner", "Sectigo Limited", "--name", "sectigo")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["result"]["sectigo"]["values"] == ["21", "22", "23"]
    assert "CC BY-NC 4.0" in done.stderr


def test_a_comma_followed_by_a_blank_belongs_to_the_value(run):
    done = run(*EVENING, "--ca-owner", "DigiCert, Inc.,Sectigo Limited", "--format", "csv")
    assert done.stdout.splitlines()[:2] == ["Serie_0 timestamps,Serie_0 values", "2026-04-30T21:00:00Z,142"]


def test_options_that_are_repeated_make_several_series(run):
    done = run(*EVENING, *EVENING[:4], "--ca-owner", OWNERS[0], "--ca-owner", OWNERS[1], "--format", "CSV")
    assert "2026-04-30T22:00:00Z,22,2026-04-30T22:00:00Z,122" in done.stdout


@pytest.mark.parametrize(
    ("code", "words", "arguments"),
    [
        (1, "the nearest profiles are 'by-owner/DigiCert, Inc.'", (*EVENING, "--ca-owner", "Digicert")),
        (1, "Nothing was known then", (*EVENING, "--ca-owner", OWNERS[0], "--as-of", "2026-04-01")),
        (1, "the first stored 1h bucket is 2026-04-30T00:00:00Z", (*NIGHT, "--ca-owner", OWNERS[0])),
        (1, "Nothing is stored from 2026-04-01T00:00:00Z", (*APRIL, "--ca-owner", OWNERS[0])),
        (2, "dateRange: expected 1d to 364d", ("--date-range", "9y")),
        (2, "is not a time", ("--as-of", "yesterday")),
        (2, "No such option", ("--normalization", "x")),
    ],
)
def test_a_query_without_an_answer_sets_the_exit_code(run, code, words, arguments):
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert words in done.stderr


def test_gaps_are_reported_on_stderr_for_csv(run):
    dates = ("--date-start", "2026-04-30T22:00:00Z", "--date-end", "2026-05-01T02:00:00Z", "--agg-interval", "1h")
    said = "serie_0: 1h buckets absent: 2026-05-01T00:00:00Z..2026-05-01T02:00:00Z (3)"
    done = run(*dates, "--ca-owner", OWNERS[0], "--format", "CSV")
    assert (done.exit_code, done.stdout.count("\n")) == (0, 3)
    assert said in done.stderr.splitlines()
    [message] = json.loads(run(*dates, "--ca-owner", OWNERS[0]).stdout)["messages"]
    assert message["message"] == said


def test_a_range_across_a_change_of_the_unit_is_refused_with_the_moment(run, sqlite_url):
    async def change():
        async with Store.open(sqlite_url, owner="test") as store:
            for moment in (NOW + HOUR, NOW + 2 * HOUR):
                asked = batch((query(caOwner=OWNERS[0]), hours(22, 24)))
                await saved(store, asked, [1, 2], now=moment, updated=moment, unit="requests")

    asyncio.run(change())
    done = run(*EVENING, "--ca-owner", OWNERS[0])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "changes from '*' to 'requests' at 2026-04-30T22:00:00Z" in done.stderr
    one_side = ("--date-start", "2026-04-30T22:00:00Z", *EVENING[2:], "--ca-owner", OWNERS[0])
    assert json.loads(run(*one_side).stdout)["result"]["meta"]["units"] == [{"name": "*", "value": "requests"}]


def test_every_parameter_of_the_api_is_an_option():
    from collector.contract.request_parser import SCALARS, array_parameters
    from collector.datasets import DEFAULT

    listed = {parameter.name for parameter in command.get_command(None, "query").params}
    assert {*array_parameters(DEFAULT), *SCALARS, "asOf"} <= listed
