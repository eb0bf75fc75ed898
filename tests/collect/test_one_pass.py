"""The windows that a pass requests, and that the store then equals the server."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from collector.interval import AggInterval
from collector.model import Window
from collector.simulator import GapChange, NormalizationChange, RevisionChange
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass, window_of
from tests.harness.factories import many, profile, query

QUARTER = AggInterval.FIFTEEN_MINUTES
SINCE = datetime.fromisoformat("2026-03-01T00:00:00+00:00")


def _windows(core, since=0):
    """The windows of the answered requests, from request number *since* on."""
    return [window_of(series) for got in core.requests[since:] if got.status == 200 for series in got.request.series]


def _buckets(window, agg_interval=HOUR):
    return window.duration // agg_interval.step


async def test_it_works(store_url):
    async with open_core(store_url, profile(since=SINCE), profile("quarters", QUARTER), many(3, "each")) as core:
        collected = await run_pass(core, gaps=True)
        assert collected.complete
        assert collected.reasons == {"all": None, "quarters": None, "each": None}
        stored = await core.stored()
        assert stored["all"] == core.truth(query(), Window(SINCE, HOUR.floor(NOW)))
        start = QUARTER.floor(NOW - DAY).replace(hour=0, minute=0)
        assert stored["quarters"] == core.truth(query(QUARTER), Window(start, QUARTER.floor(NOW)))
        assert len(stored) == 5


async def test_the_newest_bucket_is_stored_only_when_it_is_closed(sqlite_url):
    async with open_core(sqlite_url, profile(), unfinished="partial") as core:
        await run_pass(core)
        assert max((await core.stored())["all"]) == HOUR.floor(NOW).timestamp() - 3600
        core.clock.advance(hours=1)
        await run_pass(core)
        assert max((await core.stored())["all"]) == HOUR.floor(NOW).timestamp()


async def test_a_pass_reads_from_the_newest_point_less_lookback(sqlite_url):
    async with open_core(sqlite_url, profile(lookback=timedelta(hours=1))) as core:
        await run_pass(core)
        await run_pass(core)
        core.clock.advance(hours=30)
        seen = len(core.requests)
        await run_pass(core)
        assert [window.start for window in _windows(core, seen)] == [SINCE + 9 * DAY]


@pytest.mark.parametrize("days", [1, 10, 45])
async def test_the_next_pass_catches_up_after_a_downtime_of_any_length(store_url, days):
    async with open_core(store_url, profile(), many(2, "quarters", agg_interval=QUARTER)) as core:
        await run_pass(core)
        first = min(min(points) for points in (await core.stored()).values())
        core.restart()
        core.clock.advance(days=days)
        assert (await run_pass(core)).complete
        start = datetime.fromtimestamp(first, NOW.tzinfo)
        stored = await core.stored()
        for profile_ in core.profiles:
            for series in profile_.series:
                end = profile_.agg_interval.floor(core.clock())
                assert stored[series.label] == core.truth(series.query, Window(start, end))


async def test_profiles_that_share_a_series_ask_for_it_once(sqlite_url):
    twins = profile("one"), profile("other", lookback=3 * DAY), profile("third", filters={"tld": ("com",)})
    async with open_core(sqlite_url, *twins) as core:
        await run_pass(core)
        counts = Counter(str(series.query.filters) for got in core.requests for series in got.request.series)
        assert len(counts) == 2
        assert len({frozenset(window) for window in (await core.stored()).values()}) == 2
        stored = await core.stored()
        assert stored["one"] == stored["other"]
        hours = Counter(
            hour
            for got in core.requests
            for series in got.request.series
            if not series.query.filters
            for hour in range(series.start, series.end, 3600)
        )
        assert set(hours.values()) == {1}
        assert {tuple(row.profiles) for row in await core.store.list_fetches()} == {("one", "other"), ("third",)}


async def test_young_values_are_read_again_once_a_day_and_only_then(sqlite_url):
    async with open_core(sqlite_url, profile(since=SINCE, settle=5 * DAY)) as core:
        await run_pass(core, gaps=True)
        lengths = []
        for _ in range(50):
            core.clock.advance(hours=1)
            seen = len(core.requests)
            await run_pass(core)
            lengths.append(sum(_buckets(window) for window in _windows(core, seen)))
        long = [at for at, length in enumerate(lengths) if length >= 5 * 24]
        assert len(long) in {2, 3}
        assert all(later - earlier >= 23 for earlier, later in pairwise(long))


async def test_a_revision_below_the_high_water_mark_is_seen_within_a_day(store_url):
    async with open_core(store_url, profile(since=SINCE)) as core:
        await run_pass(core, gaps=True)
        late = Window(SINCE + 2 * DAY, SINCE + 2 * DAY + timedelta(hours=3))
        core.simulator.change(RevisionChange(late, 1000))
        for _ in range(25):
            core.clock.advance(hours=1)
            await run_pass(core)
        stored = (await core.stored())["all"]
        assert stored == core.truth(query(), Window(SINCE, HOUR.floor(core.clock())))
        revisions = await core.store.list_revisions()
        assert {row.timestamp for row in revisions} == {late.start + timedelta(hours=hour) for hour in range(3)}
        assert all(row.new_value == row.value + 4000 for row in revisions)
        as_of = {t: v async for *_, t, v in core.store.export(as_of=NOW + timedelta(minutes=1))}
        assert all(as_of[int(row.timestamp.timestamp())] == row.value for row in revisions)


async def test_a_change_of_normalization_or_unit_starts_a_new_series_and_mixes_nothing(store_url):
    async with open_core(store_url, profile(), many(2)) as core:
        await run_pass(core)
        before = await core.stored()
        core.simulator.change(NormalizationChange(unit="requests", since=core.clock.timestamp() + 1))
        for _ in range(2):
            core.clock.advance(hours=1)
            assert (await run_pass(core)).complete
        series = await core.store.list_series()
        assert Counter(row.unit for row in series) == {"certificates": 3, "requests": 3}
        assert {row.profile for row in series if row.unit == "requests"} == {"all", "many"}
        after = await core.stored()
        window = Window(SINCE + 8 * DAY, HOUR.floor(core.clock()))
        assert set(after) == set(before)
        assert after["all"].items() <= core.truth(query(), window).items()


async def test_a_gap_that_the_server_fills_later_is_healed(store_url):
    hole = Window(SINCE + 3 * DAY, SINCE + 3 * DAY + timedelta(hours=5))
    async with open_core(store_url, profile(since=SINCE)) as core:
        core.simulator.change(GapChange(hole, until=(NOW + 2 * DAY).timestamp()))
        await run_pass(core, gaps=True)
        assert len((await core.stored())["all"]) == 9 * 24 + 12 - 5
        core.clock.advance(days=3)
        await run_pass(core, fires=False, gaps=True)
        stored = (await core.stored())["all"]
        assert stored.items() >= core.truth(query(), Window(SINCE, HOUR.floor(NOW))).items()


async def test_a_permanent_gap_is_requested_once_a_day_until_it_is_final(sqlite_url):
    hole = Window(SINCE + 3 * DAY, SINCE + 3 * DAY + timedelta(hours=5))
    async with open_core(sqlite_url, profile(since=SINCE, settle=10 * DAY)) as core:
        core.simulator.change(GapChange(hole))
        await run_pass(core, gaps=True)
        for _ in range(5):
            await run_pass(core, fires=False, gaps=True)
        assert len(core.requests) == 1
        requests = []
        for _ in range(10):
            core.clock.advance(days=1, minutes=1)
            seen = len(core.requests)
            await run_pass(core, fires=False, gaps=True)
            requests.append(len(core.requests) - seen)
        assert requests[0] == 1
        assert requests[-3:] == [0, 0, 0]


async def test_a_failure_is_in_the_reasons_of_the_profiles_it_concerns(sqlite_url):
    async with open_core(sqlite_url, profile("well", QUARTER), profile("ill")) as core:
        core.script(faults.unequal().always().only(lambda got: got.request.agg_interval == HOUR))
        collected = await run_pass(core)
        assert not collected.complete
        assert collected.reasons["well"] is None
        assert "values" in collected.reasons["ill"]
        assert set(await core.stored()) == {"well"}


async def test_repeating_a_pass_changes_nothing(store_url):
    async with open_core(store_url, profile(since=SINCE), many(3)) as core:
        await run_pass(core, gaps=True)
        before = await core.stored()
        again = await run_pass(core, gaps=True)
        assert (again.saved.inserted, again.saved.revised, again.saved.vanished) == (0, 0, 0)
        assert await core.stored() == before


async def test_an_earlier_since_fetches_the_earlier_part_alone(sqlite_url):
    async with open_core(sqlite_url, profile(since=SINCE)) as core:
        await run_pass(core, gaps=True)
        seen = len(core.requests)
        await core.activate_labels(profile(since=SINCE - 60 * DAY))
        await run_pass(core, fires=False, gaps=True)
        assert (await core.stored())["all"] == core.truth(query(), Window(SINCE - 60 * DAY, HOUR.floor(NOW)))
        buckets = sum(_buckets(window) for window in _windows(core, seen))
        assert buckets <= (60 + 31) * 24  # whole windows of the grid, and no more of what is there


async def test_a_vanished_bucket_is_kept_and_comes_back(sqlite_url):
    gone = Window(SINCE + 9 * DAY, SINCE + 9 * DAY + timedelta(hours=2))
    async with open_core(sqlite_url, profile()) as core:
        await run_pass(core)
        before = await core.stored()
        core.simulator.change(GapChange(gone, until=(NOW + timedelta(hours=2)).timestamp()))
        core.clock.advance(hours=1)
        assert (await run_pass(core)).saved.vanished == 2
        assert (await core.stored())["all"].items() >= before["all"].items()
