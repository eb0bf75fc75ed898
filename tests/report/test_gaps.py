from __future__ import annotations

from datetime import timedelta

from collector.model import Window
from collector.report.gaps import find_gaps
from collector.simulator import GapChange
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import many, profile

MIDNIGHT = NOW.replace(hour=0, minute=0)


async def _collect(core):
    await run_pass(core, gaps=True)


async def _gaps(core):
    return await find_gaps(core.store, core.profiles, core.clock())


async def test_it_works(store_url):
    hole = Window(MIDNIGHT - 2 * DAY, MIDNIGHT - 2 * DAY + timedelta(hours=3))
    async with open_core(store_url, many(2, since=MIDNIGHT - 4 * DAY)) as core:
        core.simulator.change(GapChange(hole))
        await _collect(core)
        assert [(gap.series, gap.start, gap.end, gap.buckets, gap.reason) for gap in await _gaps(core)] == [
            (label, hole.start, hole.end, 3, "missing") for label in ("many/Owner 0", "many/Owner 1")
        ]


async def test_before_the_first_pass_everything_from_since_on_is_missing(sqlite_url):
    async with open_core(sqlite_url, profile(since=MIDNIGHT - DAY)) as core:
        (gap,) = await _gaps(core)
        assert (gap.start, gap.buckets, gap.reason) == (MIDNIGHT - DAY, 36, "missing")


async def test_buckets_that_radar_has_not_published_are_no_gap(sqlite_url):
    async with open_core(sqlite_url, profile(since=MIDNIGHT - DAY), lag=timedelta(hours=5)) as core:
        await _collect(core)
        assert await _gaps(core) == []


async def test_a_final_bucket_that_two_answers_lack_is_upstream(sqlite_url):
    hole = Window(MIDNIGHT - 3 * DAY, MIDNIGHT - 3 * DAY + timedelta(hours=1))
    async with open_core(sqlite_url, profile(since=MIDNIGHT - 4 * DAY, settle=2 * DAY)) as core:
        core.simulator.change(GapChange(hole))
        reasons = []
        for _ in range(5):
            await _collect(core)
            (gap,) = await _gaps(core)
            assert (gap.start, gap.end) == (hole.start, hole.end)
            reasons.append(gap.reason)
            core.clock.advance(days=1)
        assert reasons[0] == "missing"
        assert reasons[-1] == "upstream"


async def test_downtime_is_a_gap_until_it_is_filled(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        await _collect(core)
        core.clock.advance(hours=5, minutes=15)
        (gap,) = await _gaps(core)
        assert (gap.start, gap.buckets) == (HOUR.floor(NOW), 5)
        await _collect(core)
        assert await _gaps(core) == []
