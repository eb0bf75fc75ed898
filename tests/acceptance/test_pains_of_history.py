"""More of what users of such tools complain of: what concerns long histories, catching up, and keeping."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta

from collector.collect.backfill import BackfillRunner
from collector.collect.one_pass import collect
from collector.interval import AggInterval
from collector.model import Window
from collector.serve.radar_api.answer import query_history
from collector.settings import RetentionSettings
from collector.simulator import RevisionChange
from collector.store import backfill_request
from tests.bench.requests import Cell, fewest, spent
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass, window_of
from tests.harness.factories import many, profile, query

_MIDNIGHT = NOW.replace(hour=0, minute=0)
_WEEKLY = dict.fromkeys(AggInterval, 7 * DAY)


async def _backfill(core, start, heard=lambda _standing: None):
    order = backfill_request([one.name for one in core.profiles], start, None, core.clock(), force=False)
    job = await core.store.create_backfill(order, core.clock())
    return await BackfillRunner(core.store, core.batch_runner, heard).run(job, core.profiles)


async def test_a_crash_means_everything_is_fetched_again(sqlite_url):
    async with open_core(sqlite_url, profile(), concurrency=1, series_per_request=1, max_span=_WEEKLY) as core:

        def stop_in_the_middle(standing):
            if standing.progress.windows == 9:
                core.fetcher.stop.set()

        half = await _backfill(core, _MIDNIGHT - 140 * DAY, stop_in_the_middle)
        assert half.state == "running"
        kept = sum(map(len, (await core.stored()).values()))
        asked = len(core.requests)
        core.restart()
        rest = await _backfill(core, _MIDNIGHT - 140 * DAY)
        assert rest.state == "done"
        window = Window(_MIDNIGHT - 140 * DAY, HOUR.floor(NOW))
        assert (await core.stored())["all"] == core.truth(query(), window)
        assert kept > 0
        answered = (one for received in core.requests[asked:] if received.request for one in received.request.series)
        again = sum(window_of(one).duration // HOUR.step for one in answered)
        assert again <= window.duration // HOUR.step - kept + 7 * 24, "at most one window is asked for twice"


async def test_merge_grows_slow_with_the_table(sqlite_url, tmp_path):
    hourly = profile(since=_MIDNIGHT - 30 * DAY)
    async with open_core(sqlite_url, hourly) as core:
        await collect([hourly], core.clock(), core.store, core.batch_runner, gaps=True)
        with closing(sqlite3.connect(tmp_path / "collector.db")) as connection:
            connection.execute("ANALYZE")
            reading = "SELECT value FROM points WHERE series_id = 1 AND timestamp >= 5 AND timestamp < 9"
            changing = "UPDATE points SET value = 1 WHERE series_id = 1 AND timestamp = 5"
            plans = [connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in (reading, changing)]
        assert all("SEARCH points USING PRIMARY KEY" in step for plan in plans for *_, step in plan)
        core.clock.advance(hours=1)
        collected = await collect([hourly], core.clock(), core.store, core.batch_runner)
        assert collected.saved.inserted == 1
        assert collected.saved.unchanged <= 3 * 24, "a fire does not compare the whole table"


async def test_normalised_windows_stitched_wrongly_boundary_point_twice(sqlite_url):
    async with open_core(sqlite_url, profile(), max_span=_WEEKLY, normalization="MIN_MAX") as core:
        await _backfill(core, _MIDNIGHT - 60 * DAY)
        (row,) = await core.store.list_series()
        assert row.points <= 7 * 24, "values of two answers never stand in one history"
    async with open_core(sqlite_url + ".absolute", profile(), max_span=_WEEKLY, series_per_request=1) as core:
        await _backfill(core, _MIDNIGHT - 60 * DAY)
        stamps = [row[2] async for row in core.store.export()]
        assert len(stamps) == len(set(stamps)) == 60 * 24 + 12


async def test_quota_burnt_by_calibration(tmp_path):
    cell = Cell(31, 5, "422")
    assert await spent(cell, tmp_path) <= 1.3 * fewest(cell)


async def test_one_retention_for_everything(sqlite_url):
    quarters = profile("quarters", AggInterval.FIFTEEN_MINUTES, since=_MIDNIGHT - 5 * DAY)
    hours = profile("hours", since=_MIDNIGHT - 5 * DAY)
    async with open_core(sqlite_url, quarters, hours) as core:
        await collect([quarters, hours], core.clock(), core.store, core.batch_runner, gaps=True)
        before = await core.stored()
        await core.store.prune(RetentionSettings({AggInterval.FIFTEEN_MINUTES: 2 * DAY}), core.clock())
        after = await core.stored()
        assert after["hours"] == before["hours"]
        assert 0 < len(after["quarters"]) < len(before["quarters"])


async def test_catch_up_claims_to_be_done_and_runs_are_missing(sqlite_url):
    async with open_core(sqlite_url, profile(), series_per_request=1, max_span=_WEEKLY) as core:
        ill = (_MIDNIGHT - 30 * DAY).timestamp()

        def fails(asked):
            series = asked.request.series if asked.request else ()
            return faults.html(502) if any(one.start <= ill < one.end for one in series) else None

        core.script(fails)
        done = await _backfill(core, _MIDNIGHT - 60 * DAY)
        assert (done.state, done.progress.windows_failed) == ("failed", 1)
        assert done.progress.gaps_remaining > 0
        core.simulator.clear_script()
        successes = done.progress.points_inserted
        core.clock.advance(minutes=5)
        done = await _backfill(core, _MIDNIGHT - 60 * DAY)
        assert (done.state, done.progress.gaps_remaining) == ("done", 0)
        assert done.progress.points_unchanged < successes / 4, "a backfill does not repeat its successes"


async def test_rollups_stale_after_late_data(sqlite_url):
    day = Window(_MIDNIGHT - 3 * DAY, _MIDNIGHT - 2 * DAY)
    hourly = profile(since=_MIDNIGHT - 5 * DAY)
    asked = f"aggInterval=1d&dateStart={day.start:%Y-%m-%dT%H:%M:%SZ}&dateEnd={day.start:%Y-%m-%dT%H:%M:%SZ}&name=sum"

    async def answered():
        answer = await query_history(core.store, asked, core.clock())
        return float(json.loads("".join(answer.chunks()))["result"]["sum"]["values"][0])

    async with open_core(sqlite_url, hourly) as core:
        await collect([hourly], core.clock(), core.store, core.batch_runner, gaps=True)
        before = await answered()
        core.simulator.change(RevisionChange(day, 3, since=core.clock.timestamp() + 60))
        core.clock.advance(days=1, hours=1)
        await collect([hourly], core.clock(), core.store, core.batch_runner)
        assert await answered() == sum(core.truth(query(), day).values()) != before


async def test_buffer_dropped_while_answering_ok(sqlite_url, tmp_path):
    async with open_core(sqlite_url, profile()) as core:
        with closing(sqlite3.connect(tmp_path / "collector.db")) as connection, connection:
            connection.execute("CREATE TRIGGER full BEFORE INSERT ON points BEGIN SELECT RAISE(ABORT, 'full'); END")
        assert not (await run_pass(core)).complete
        with closing(sqlite3.connect(tmp_path / "collector.db")) as connection, connection:
            connection.execute("DROP TRIGGER full")
        core.clock.advance(minutes=1)
        assert (await run_pass(core)).complete
        assert await core.outcomes() == ["unsaved", "ok"]
        window = Window(_MIDNIGHT - DAY, HOUR.floor(core.clock()))
        assert (await core.stored())["all"] == core.truth(query(), window)


async def test_timestamps_beside_values_cannot_be_parsed_and_past_timestamps_are_not_accepted(sqlite_url):
    async with open_core(sqlite_url, many(2)) as core:
        await _backfill(core, _MIDNIGHT - timedelta(days=400))
        window = Window(_MIDNIGHT - timedelta(days=400), HOUR.floor(NOW))
        for number in range(2):
            asked = query(caOwner=[f"Owner {number}"])
            assert (await core.stored())[f"many/Owner {number}"] == core.truth(asked, window)
