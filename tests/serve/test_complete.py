"""The law of every reader: it holds each bucket that upstream has in the range, or says that it is absent."""

from __future__ import annotations

import csv
import json
import re
import shutil
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.cli.main import command
from collector.contract.request_parser import floor
from collector.contract.response import ApiError
from collector.interval import AggInterval
from collector.model import Window
from collector.report.gaps import absence_sentences
from collector.serve.radar_api import query_history
from collector.store import Store
from collector.timestamps import rfc3339, utc
from tests.conftest import in_a_thread
from tests.harness.factories import DAY, NOW, START, answer, batch, hours, profile, query, saved, start_fetch
from tests.store.read.test_upstream_gaps import lacked

HOUR = 3600
FIRST = -72
"""Upstream's history begins on the Monday so many hours before DAY; all hours are counted from DAY."""
LAST = 36
RUN = re.compile(r"(\d[^\s,]*)\.\.(\S+) \(\d+\)")


class Pass(NamedTuple):
    """In an hour *at* upstream answers a window, *without* some buckets; lastUpdated lies *lag* hours behind."""

    at: int
    lag: int
    window: tuple[int, int]
    without: frozenset[int] = frozenset()


class Question(NamedTuple):
    """The hours from *start* to *end*, the latter included, as they are known *at*."""

    interval: AggInterval
    start: int
    end: int
    at: int


@st.composite
def passes(draw):
    at, lag = draw(st.integers(FIRST + 4, LAST)), draw(st.sampled_from([0, 1, 3]))
    end = draw(st.integers(FIRST, at - lag))
    start = draw(st.integers(FIRST, end))
    return Pass(at, lag, (start, end), draw(st.frozensets(st.integers(FIRST, LAST), max_size=4)))


@st.composite
def questions(draw):
    start = draw(st.integers(FIRST - 30, LAST))
    interval = draw(st.sampled_from([AggInterval.ONE_HOUR] * 3 + [AggInterval.ONE_DAY, AggInterval.ONE_WEEK]))
    at = draw(st.one_of(st.just(LAST), st.integers(FIRST, LAST)))
    return Question(interval, start, draw(st.integers(start, LAST)), at)


def _moment(hour):
    return DAY + hour * timedelta(hours=1)


def _hour(text):
    return (int(utc(text).timestamp()) - START) // HOUR


def _value(hour):
    return hour - FIRST + 1


async def _fill(url, made):
    async with Store.open(url, owner="test") as store:
        await store.activate_labels([profile()], _moment(FIRST))
        for one in made:
            asked = batch((query(), Window(*map(_moment, one.window))))
            told = {hour: _value(hour) for hour in range(*one.window) if hour not in one.without}
            fetch_id = await start_fetch(store, asked, _moment(one.at))
            found = answer(asked, told, updated=_moment(one.at - one.lag))
            await store.save(fetch_id, asked, found, _moment(one.at), 100)


def _upstream(interval, first, end, at, made):
    """The buckets that upstream has published of a range *at* an hour, by the hour that each begins with.

    It publishes with the lag that it last had.
    """
    known = [one for one in made if one.at <= at]
    lag = max(enumerate(known), key=lambda each: (each[1].window[1], each[0]))[1].lag if known else 0
    step = interval.seconds // HOUR
    start = (floor(_moment(first).timestamp(), interval.seconds) - START) // HOUR
    return [hour for hour in range(start, end, step) if hour + step > FIRST and hour + step <= at - lag]


def _lacking(bucket, interval, at, made):
    """Tell whether an hour of a bucket was never stored."""
    stored = {h for one in made if one.at <= at for h in range(*one.window) if h not in one.without}
    return any(hour not in stored for hour in range(bucket, bucket + interval.seconds // HOUR))


def _check(expected, stored, said):
    """Each bucket is either stored or said to be absent; where too many runs are absent, some are only counted."""
    runs = [(_hour(first), _hour(last)) for first, last in RUN.findall(said)]
    for bucket in expected:
        is_said = any(first <= bucket <= last for first, last in runs)
        assert (bucket in stored) != is_said or ("others (" in said and bucket not in stored), (bucket, stored, said)


async def _answer(url, asked):
    pairs = {"aggInterval": asked.interval, "as_of": rfc3339(_moment(asked.at))}
    pairs |= {"dateStart": rfc3339(_moment(asked.start)), "dateEnd": rfc3339(_moment(asked.end))}
    async with Store.open(url, owner=None) as store:
        return json.loads("".join((await query_history(store, urlencode(pairs), _moment(LAST))).chunks()))


def _local(url, asked, made):
    expected = _upstream(asked.interval, asked.start, asked.end + 1, asked.at, made)
    try:
        document = in_a_thread(_answer(url, asked))
    except ApiError as refused:
        complete = not any(_lacking(bucket, asked.interval, asked.at, made) for bucket in expected)
        never = not any(one.at <= asked.at for one in made)
        assert not complete or never or asked.start < FIRST, refused  # noqa: PT017 - others are answered
        return None
    series = document["result"]["serie_0"]
    stored = dict(zip(map(_hour, series["timestamps"]), map(float, series["values"]), strict=True))
    _check(expected, stored, json.dumps(document.get("messages", [])))
    step = asked.interval.seconds // HOUR
    assert stored == {hour: sum(map(_value, range(hour, hour + step))) for hour in stored}
    [claimed] = document["result"]["meta"]["dateRange"]
    assert not stored or [_hour(text) for text in claimed.values()] == [min(stored), max(stored)]
    return stored


def _invoke(*arguments):
    return CliRunner().invoke(command, arguments, prog_name="collector")


def _command(config, asked, made, local):
    dates = ("--date-start", rfc3339(_moment(asked.start)), "--date-end", rfc3339(_moment(asked.end)))
    options = ("--agg-interval", asked.interval, "--as-of", rfc3339(_moment(asked.at)), "--format", "CSV")
    done = _invoke("query", "--config", config, *dates, *options)
    assert (done.exit_code == 0) == (local is not None), done.stderr
    if local is not None:
        stored = {_hour(line.partition(",")[0]) for line in done.stdout.splitlines()[1:]}
        assert stored == set(local)
        _check(_upstream(asked.interval, asked.start, asked.end + 1, asked.at, made), stored, done.stderr)


def _export(config, asked, made):
    period = ("--start", rfc3339(_moment(asked.start)), "--end", rfc3339(_moment(asked.end)))
    done = _invoke("export", "--config", config, *period, "--as-of", rfc3339(_moment(asked.at)))
    if asked.start == asked.end:
        assert (done.exit_code, "--start must be before --end" in done.stderr) == (2, True)
        return
    assert done.exit_code == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert all(float(row["value"]) == _value(_hour(row["timestamp"])) for row in rows)
    stored = {_hour(row["timestamp"]) for row in rows}
    _check(_upstream(AggInterval.ONE_HOUR, asked.start, asked.end, asked.at, made), stored, done.stderr)


def _holds(url, folder, made, asked):
    made = sorted((one for one in made if one.window[0] < one.window[1]), key=lambda one: one.at)
    in_a_thread(_fill(url, made))
    config = folder / "config.toml"
    config.write_text(f'[database]\nurl = "{url}"\n')
    for question in asked:
        _command(str(config), question, made, _local(url, question, made))
        _export(str(config), question, made)


async def test_a_range_may_begin_where_radars_own_history_does(store):
    """It is refused until two answers have shown that there is nothing before."""
    raw_query = "dateStart=2026-04-30T00:00:00Z&dateEnd=2026-04-30T08:00:00Z&aggInterval=1h"
    await store.activate_labels([profile()], NOW)
    await saved(store, batch((query(), hours(6, 9))), [1, 2, 3])
    for days, told in enumerate([False, False, True]):
        await lacked(store, 0, 6, NOW + timedelta(days=20 + days), width=None if days else 24)
        if not told:
            with pytest.raises(ApiError, match="before the history"):
                await query_history(store, raw_query, NOW)
    found = await query_history(store, raw_query, NOW)
    assert absence_sentences(found.absent) == [
        "serie_0: 1h buckets absent: 2026-04-30T00:00:00Z..2026-04-30T05:00:00Z (6)"
    ]
    with pytest.raises(ApiError, match="before the history"):
        await query_history(store, raw_query.replace("30T00", "29T23"), NOW)
    with pytest.raises(ApiError, match="before the history"):
        await query_history(store, f"{raw_query}&as_of=2026-05-22T23:00:00Z", NOW + timedelta(days=29))


HISTORIES = given(st.lists(passes(), max_size=6), st.lists(questions(), min_size=1, max_size=4))
ANY = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=20, **ANY)
@HISTORIES
def test_every_bucket_is_there_or_said_to_be_absent_on_sqlite(sqlite_template, tmp_path, made, asked):
    _holds(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'collector.db')}", tmp_path, made, asked)


@settings(max_examples=8, **ANY)
@HISTORIES
def test_every_bucket_is_there_or_said_to_be_absent_on_postgres(
    postgres_server, postgres_template, tmp_path, made, asked
):
    url = postgres_server.create(postgres_template)
    try:
        _holds(url.render_as_string(hide_password=False), tmp_path, made, asked)
    finally:
        postgres_server.drop(url)
