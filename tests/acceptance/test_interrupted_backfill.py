"""What `collector backfill` reports when it does not come to its end: what was committed, and what is still absent."""

from __future__ import annotations

import json
import signal
from datetime import timedelta

import psycopg
import pytest

from collector.interval import AggInterval
from collector.model import Window
from collector.simulator import GapChange
from tests.harness import faults
from tests.harness.processes import Collector, eventually, midnight, profile_toml, simulating

_DAYS = 90
_ORDER = ("backfill", "--start", f"{midnight(_DAYS):%Y-%m-%d}", "--end", f"{midnight(1):%Y-%m-%d}", "--format", "json")
_BUCKETS = (_DAYS - 1) * 24
_SLOW = "concurrency = 1\nrequests_per_5min = 10"
_MOMENTS = {
    "while it waits for the budget": (None, _SLOW, "fetch_waiting reason=budget"),
    "in a request that never ends": (faults.black_hole().after(10).always(), "concurrency = 1", None),
    "in a back-off": (faults.html(503).after(10).always(), "concurrency = 1", "outcome=unavailable"),
    "while Radar blocks": (
        faults.too_many("600").after(10).always(),
        "concurrency = 1",
        "waiting reason=blocked",
    ),
}


def _result(text):
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def _committed(collector):
    """What the store holds, as the counts of a backfill should tell."""
    sums = "count(*), sum(coalesce(inserted, 0)), sum(coalesce(revised, 0)), sum(coalesce(unchanged, 0))"
    [(requests, *points)] = collector.rows(f"SELECT {sums} FROM fetches WHERE outcome <> 'started'")
    return [requests, *(int(number or 0) for number in points)]


def _told(result):
    return [result[name] for name in ("requests", "points_inserted", "points_revised", "points_unchanged")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", _MOMENTS)
def test_told_to_stop_it_reports_what_was_committed(tmp_path, database, moment, number):
    """Radar answers at most 20 days at a time, so that the windows of the job are answered in parts."""
    fault, radar, said = _MOMENTS[moment]
    with simulating(series_per_request=1, max_span={AggInterval.ONE_HOUR: timedelta(days=20)}) as (simulator, url):
        collector = Collector(tmp_path, url, database)
        collector.configure(profile_toml(days=None), radar=radar)
        if fault:
            simulator.script(fault)
        with collector.running(*_ORDER) as backfill:
            if said:
                backfill.says(said)
            eventually(lambda: len(simulator.requests) > 9)
            assert backfill.ends(number) == 1
        result = _result(backfill.log)
        stored = collector.count("points")
        assert 0 < stored < _BUCKETS
        assert _told(result) == _committed(collector)
        assert (result["points_inserted"], result["points_ignored"]) == (stored, 0)
        assert result["gaps_remaining"] == _BUCKETS - stored
        assert f"{stored:,} of {_BUCKETS:,} buckets are done" in backfill.log
        [(recorded,)] = collector.rows("SELECT gaps_remaining FROM backfills")
        assert recorded == result["gaps_remaining"]


def test_before_anything_was_asked_all_is_absent(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(days=None))
    simulator.script(faults.black_hole().always())
    with collector.running(*_ORDER) as backfill:
        eventually(lambda: simulator.requests)
        assert backfill.ends(signal.SIGINT) == 1
    result = _result(backfill.log)
    assert _told(result) == [1, 0, 0, 0]
    assert result["gaps_remaining"] == _BUCKETS


def test_killed_and_continued_it_counts_what_both_have_saved(tmp_path, database):
    """On Postgres the second run is a job of its own, for the first could still be at work."""
    with simulating(series_per_request=1) as (simulator, url):
        collector = Collector(tmp_path, url, database)
        collector.configure(profile_toml(days=None), radar="concurrency = 1")
        simulator.script(faults.black_hole().after(2))
        with collector.running(*_ORDER) as backfill:
            eventually(lambda: len(simulator.requests) == 3)
            assert backfill.ends(signal.SIGKILL) == -signal.SIGKILL
        assert collector.rows("SELECT sum(points_inserted) FROM backfills") == collector.rows(
            "SELECT count(*) FROM points"
        )
        first = collector.count("points")
        result = _result(collector.run(*_ORDER).stdout)
        [(inserted,)] = collector.rows("SELECT sum(points_inserted) FROM backfills")
        assert inserted == collector.count("points") == _BUCKETS
        assert result["points_inserted"] == (_BUCKETS if database.startswith("sqlite") else _BUCKETS - first)
        assert result["gaps_remaining"] == 0


def test_buckets_that_radar_does_not_have_are_absent_too(simulated_collector):
    simulator, collector = simulated_collector
    collector.configure(profile_toml(days=None))
    simulator.change(GapChange(Window(midnight(30), midnight(29))))
    result = _result(collector.run(*_ORDER).stdout)
    assert (result["points_inserted"], result["gaps_remaining"]) == (_BUCKETS - 24, 24)


@pytest.mark.parametrize("back", [True, False])
def test_after_a_lost_connection_it_reports_what_it_can_read(tmp_path, empty_postgres_url, postgres_server, back):
    """Either the database can be read again at the end, or the counts are said to be unknown."""
    name = empty_postgres_url.rpartition("/")[2].partition("?")[0]
    with simulating(series_per_request=1) as (simulator, url):
        collector = Collector(tmp_path, url, empty_postgres_url)
        collector.configure(profile_toml(days=None), radar="concurrency = 1")
        simulator.script(faults.late(1.0).after(2).always())
        with collector.running(*_ORDER) as backfill:
            eventually(lambda: len(simulator.requests) == 3)
            if not back:
                postgres_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            postgres_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            code = backfill.ends(None, 60)
        postgres_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        result = _result(backfill.log)
        with psycopg.connect(empty_postgres_url) as connection:
            [stored] = connection.execute("SELECT count(*) FROM points").fetchone()
        if back:
            assert (result["points_inserted"], result["gaps_remaining"]) == (stored, _BUCKETS - stored)
        else:
            assert code == 1
            assert {result[name] for name in result.keys() - {"seconds"}} == {None}
            assert "the counts are unknown, because the store cannot be read" in backfill.log
