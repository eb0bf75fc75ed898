"""Where Radar's history begins: found for few requests, no gap, no cost, and whatever Radar still has is stored."""

from math import ceil, log2

import pytest

from collector.collect.backfill import BackfillRunner
from collector.collect.one_pass import collect, collect_and_heal, heal
from collector.model import AggInterval, Window
from collector.report.gaps import find_gaps
from collector.report.status import status_document
from collector.simulator import ErrorCode, GapChange, SimulatorOptions
from collector.store import wanted
from tests.harness import faults
from tests.harness.collect_core import CALM, DAY, HOUR, NOW, core, window_of
from tests.harness.factories import many, profile, query

QUARTER = AggInterval.FIFTEEN_MINUTES
EDGE = NOW.replace(hour=5, minute=0) - 77 * DAY
SINCE = NOW.replace(hour=0, minute=0) - 200 * DAY
WAYS = [ErrorCode(400, 2001), ErrorCode(404, 7003), ErrorCode(422, 2002), ErrorCode(500, 2000)]
FEW = 20


def bisection(interval, since=SINCE):
    return ceil(log2((NOW - since) / interval.step))


async def one_pass(world):
    before = len(world.requests)
    collected = await collect_and_heal(world.profiles, world.clock(), world.store, world.batch_runner)
    return collected, len(world.requests) - before


async def backfilled(world, start=SINCE, end=None, *, force=False):
    order = wanted([one.name for one in world.profiles], start, end, world.clock(), force=force)
    job = await world.store.create_backfill(order, world.clock())
    return await BackfillRunner(world.store, world.batch_runner).run(job, world.profiles)


async def gaps(world):
    return list(await find_gaps(world.store, world.profiles, world.clock()))


async def begins(world):
    return (await status_document(world.store, world.profiles, 600, world.clock()))["profiles"][0]["history_begins"]


async def all_that_radar_has(world, since=SINCE):
    window = Window(since, world.profiles[0].agg_interval.floor(world.clock()))
    labels = {series.label: series.query for one in world.profiles for series in one.series}
    stored = await world.stored()
    return all(stored.get(label) == world.truth(asked, window) for label, asked in labels.items())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.status))
@pytest.mark.parametrize(("count", "interval"), [(1, HOUR), (30, QUARTER)], ids=["1h", "15m"])
async def test_what_radar_refuses_before_a_date_is_found_by_bisection_and_costs_nothing_later(
    sqlite_url, way, count, interval
):
    wide = many(count, agg_interval=interval, since=SINCE)
    async with core(sqlite_url, wide, data_since=EDGE, before_data=way) as world:
        collected, requests = await one_pass(world)
        windows = 2 * ceil(count * 78 / 7 / 100)
        assert requests <= bisection(interval) + windows + FEW
        assert await all_that_radar_has(world), "what lies on the good side is stored at once"
        if way.status == 500:
            assert not collected.complete
            assert await begins(world) is None
            world.clock.advance(minutes=20)
            collected, requests = await one_pass(world)
            assert requests <= FEW
        assert collected.complete
        assert await gaps(world) == []
        assert await begins(world) == EDGE
        for _ in range(3):
            world.restart()
            world.clock.advance(hours=1)
            collected, requests = await one_pass(world)
            assert (collected.complete, requests) == (True, 1)


@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: str(way.status))
async def test_a_backfill_over_the_edge_ends_with_the_right_counts(store_url, way):
    async with core(store_url, profile(), data_since=EDGE, before_data=way) as world:
        standing = await backfilled(world)
        assert (standing.state, standing.message) == ("done", None)
        assert (standing.progress.windows_failed, standing.progress.gaps_remaining) == (0, 0)
        assert standing.progress.points_inserted == (HOUR.floor(NOW) - EDGE) // HOUR.step
        assert await all_that_radar_has(world)
        before = len(world.requests)
        world.clock.advance(minutes=10)
        for force in (False, False):
            standing = await backfilled(world, SINCE - 100 * DAY, EDGE, force=force)
            assert (standing.state, standing.progress.gaps_remaining) == ("done", 0)
        assert len(world.requests) == before


async def test_what_answers_lack_before_a_date_is_confirmed_by_one_request_for_all_series(store_url):
    of_twenty = many(20, since=SINCE)
    async with core(store_url, of_twenty, data_since=EDGE) as world:
        collected, _ = await one_pass(world)
        assert collected.complete
        assert await gaps(world) == []
        assert await begins(world) == EDGE
        assert await all_that_radar_has(world)
        for days in (0, 1, 3):
            world.clock.advance(days=days, hours=1)
            await one_pass(world)  # reads what is not final again
            assert (await heal(world.profiles, world.clock(), world.store, world.batch_runner)).requests == 0
        assert await gaps(world) == []


async def test_a_gap_in_the_middle_is_never_an_edge(sqlite_url):
    hole = Window(EDGE + 10 * DAY, EDGE + 30 * DAY)
    async with core(sqlite_url, profile(since=SINCE), data_since=EDGE) as world:
        world.simulator.change(GapChange(hole))
        await one_pass(world)
        assert await begins(world) == EDGE
        (gap,) = await gaps(world)
        assert (gap.start, gap.end) == (hole.start, hole.end)


def both_kinds(url):
    """A store for each of the ways in which Radar may have nothing: it refuses, or its answers lack what is before."""
    return [(way, f"{url}{number}") for number, way in enumerate((WAYS[0], None))]


def publish(world, **options):
    """From now on Radar has what these options of the simulator say."""
    world.simulator.options = world.simulator._history._options = SimulatorOptions(**{**CALM, **options})


async def test_series_of_one_batch_have_an_edge_each(sqlite_url):
    later, of_six = EDGE + 30 * DAY, many(6, since=SINCE)
    for way, url in both_kinds(sqlite_url):
        async with core(url, of_six, data_since=EDGE, began={"Owner 3": later}, before_data=way) as world:
            await one_pass(world)
            edges = await world.store.edges([series.query for series in of_six.series])
            found = [edges[series.query].begins for series in of_six.series]
            assert found == [EDGE.timestamp()] * 3 + [later.timestamp()] + [EDGE.timestamp()] * 2
            assert await gaps(world) == []
            assert await begins(world) == EDGE
            assert await all_that_radar_has(world)


async def test_an_edge_is_looked_at_weekly_by_one_request_and_forgotten_if_radar_has_more(sqlite_url):
    earlier = EDGE - 40 * DAY
    for way, url in both_kinds(sqlite_url):
        async with core(url, many(3, since=SINCE), data_since=EDGE, before_data=way) as world:
            await one_pass(world)
            costs = []
            for _ in range(16):
                world.clock.advance(days=1)
                await collect(world.profiles, world.clock(), world.store, world.batch_runner)
                costs.append((await heal(world.profiles, world.clock(), world.store, world.batch_runner)).requests)
            assert sum(costs) == 2
            assert await begins(world) == EDGE
            publish(world, data_since=earlier, before_data=way)
            for _ in range(9):
                world.clock.advance(days=1)
                await one_pass(world)
            assert await all_that_radar_has(world)
            assert await begins(world) == earlier
            assert await gaps(world) == []


@pytest.mark.parametrize("way", [WAYS[0], WAYS[3], None], ids=["400", "500", "empty"])
async def test_when_the_edge_moves_on_what_is_stored_stays_and_nothing_is_due_for_ever(sqlite_url, way):
    settled = profile(since=NOW - 60 * DAY, settle=14 * DAY)
    async with core(sqlite_url, settled, retention=8 * DAY, before_data=way) as world:
        for _ in range(2):
            await one_pass(world)
            world.clock.advance(minutes=20)
        first = await world.stored()
        costs = []
        for _ in range(24):
            world.clock.advance(days=1)
            costs.append((await one_pass(world))[1])
            world.clock.advance(minutes=20)
            costs.append((await one_pass(world))[1])
        stored = await world.stored()
        assert len(stored["all"]) == len(first["all"]) + 24 * 24 + 8
        assert first["all"].items() <= stored["all"].items()
        assert await gaps(world) == []
        assert await vanished(world) == 0
        assert sum(costs[8:]) / 20 <= 16, "a day"
        row = (await status_document(world.store, world.profiles, 600, world.clock()))["profiles"][0]
        assert (row["state"], row["unconfirmed"]) == ("fresh", 0)


async def test_ten_profiles_cost_as_much_a_day_as_if_there_were_no_edge(sqlite_url):
    intervals = [HOUR] * 5 + [QUARTER] * 2 + [AggInterval.ONE_DAY] * 2 + [AggInterval.ONE_WEEK]
    ten = [
        profile(f"p{n}", agg_interval=interval, since=SINCE, filters={"caOwner": (f"Owner {n}",)})
        for n, interval in enumerate(intervals)
    ]
    costs = []
    for number, options in enumerate([{}, {"data_since": EDGE}, {"data_since": EDGE, "before_data": WAYS[0]}]):
        async with core(f"{sqlite_url}{number}", *ten, **options) as world:
            for _ in range(2):
                await one_pass(world)
                world.clock.advance(hours=6)
            costs.append([(await one_pass(world))[1]])
            for _ in range(3):
                world.clock.advance(hours=6)
                costs[-1].append((await one_pass(world))[1])
    assert costs[0] == costs[1] == costs[2]


async def test_an_outage_of_old_windows_is_no_edge(store_url):
    """Until a second answer it is a failure; what is on the good side is stored meanwhile."""

    def old(received):
        return any(asked.start < EDGE.timestamp() for asked in received.question.series)

    async with core(store_url, profile(since=SINCE)) as world:
        minutes = NOW.timestamp() + 600
        world.script(faults.api_error(500, 2000).always().only(old).between(0, minutes))
        collected, _ = await one_pass(world)
        assert not collected.complete
        assert (await world.stored())["all"] == world.truth(
            world.profiles[0].series[0].query, Window(EDGE, HOUR.floor(NOW))
        )
        collected, requests = await one_pass(world)
        assert not collected.complete
        assert requests <= 2, "it is not asked again at once"
        world.clock.advance(minutes=20)
        collected, _ = await one_pass(world)
        assert collected.complete
        assert await all_that_radar_has(world)
        assert await begins(world) is None
        assert await gaps(world) == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.status))
async def test_where_everything_is_refused_there_is_no_edge(sqlite_url, way):
    async with core(sqlite_url, profile(since=SINCE)) as world:
        world.script(faults.api_error(way.status, way.code).always())
        collected, _ = await one_pass(world)
        assert not collected.complete
        assert await world.store.edges([query()]) == {}
        if way.status == 404:
            assert len(world.requests) <= 3


async def test_a_window_that_is_refused_between_others_is_no_edge(sqlite_url):
    bad = Window(EDGE, EDGE + DAY)
    async with core(sqlite_url, profile(since=SINCE)) as world:
        world.script(faults.api_error(400, 2001).always().only(lambda asked: overlaps(asked, bad)))
        for _ in range(4):
            world.clock.advance(hours=2)
            await one_pass(world)
        assert await world.store.edges([query()]) == {}
        assert all(gap.start >= bad.start - 32 * DAY and gap.end <= bad.end + 32 * DAY for gap in await gaps(world))


def overlaps(received, window):
    return any(window_of(asked).overlaps(window) for asked in received.question.series)


async def vanished(world):
    rows = await world.store.list_fetches()
    return sum(row.vanished or 0 for row in rows)
