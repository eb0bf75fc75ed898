"""The edge of Radar's history is found with few requests, is no gap, costs nothing later, and hides no data."""

from math import ceil, log2

import pytest

from collector.collect.backfill import BackfillRunner
from collector.collect.one_pass import collect
from collector.interval import AggInterval
from collector.model import Window
from collector.report.gaps import find_gaps
from collector.report.status import status_document
from collector.settings import RetentionSettings
from collector.simulator import ErrorCode, GapChange, SimulatorOptions
from collector.store import backfill_request
from tests.harness import faults
from tests.harness.collect_core import CALM, DAY, HOUR, NOW, open_core, run_pass, window_of
from tests.harness.factories import many, profile, query

QUARTER = AggInterval.FIFTEEN_MINUTES
EDGE = NOW.replace(hour=5, minute=0) - 77 * DAY
SINCE = NOW.replace(hour=0, minute=0) - 200 * DAY
WAYS = [ErrorCode(400, 2001), ErrorCode(404, 7003), ErrorCode(422, 2002), ErrorCode(500, 2000)]
FEW = 20


def bisection(interval, since=SINCE):
    return ceil(log2((NOW - since) / interval.step))


async def one_pass(core):
    before = len(core.requests)
    collected = await run_pass(core, gaps=True)
    return collected, len(core.requests) - before


async def backfilled(core, start=SINCE, end=None, *, force=False):
    order = backfill_request([profile.name for profile in core.profiles], start, end, core.clock(), force=force)
    job = await core.store.create_backfill(order, core.clock())
    return await BackfillRunner(core.store, core.batch_runner).run(job, core.profiles)


async def gaps(core):
    return list(await find_gaps(core.store, core.profiles, core.clock()))


async def begins(core):
    return (await status_document(core.store, core.profiles, 600, core.clock()))["profiles"][0]["history_begins"]


async def all_that_radar_has(core, since=SINCE):
    window = Window(since, core.profiles[0].agg_interval.floor(core.clock()))
    labels = {series.label: series.query for profile in core.profiles for series in profile.series}
    stored = await core.stored()
    return all(stored.get(label) == core.truth(question, window) for label, question in labels.items())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.status))
@pytest.mark.parametrize(("count", "interval"), [(1, HOUR), (30, QUARTER)], ids=["1h", "15m"])
async def test_a_date_before_which_radar_refuses_is_found_by_bisection_and_costs_nothing_later(
    sqlite_url, way, count, interval
):
    wide = many(count, agg_interval=interval, since=SINCE)
    async with open_core(sqlite_url, wide, data_since=EDGE, before_data=way) as core:
        collected, requests = await one_pass(core)
        windows = 2 * ceil(count * 78 / 7 / 100)
        assert requests <= bisection(interval) + windows + FEW
        assert await all_that_radar_has(core), "what lies on the good side is stored at once"
        if way.status == 500:
            assert not collected.complete
            assert await begins(core) is None
            core.clock.advance(minutes=20)
            collected, requests = await one_pass(core)
            assert requests <= FEW
        assert collected.complete
        assert await gaps(core) == []
        assert await begins(core) == EDGE
        for _ in range(3):
            core.restart()
            core.clock.advance(hours=1)
            collected, requests = await one_pass(core)
            assert (collected.complete, requests) == (True, 1)


@pytest.mark.parametrize("way", WAYS[:3], ids=lambda way: str(way.status))
async def test_a_backfill_over_the_edge_ends_with_the_right_counts(store_url, way):
    async with open_core(store_url, profile(), data_since=EDGE, before_data=way) as core:
        standing = await backfilled(core)
        assert (standing.state, standing.message) == ("done", None)
        assert (standing.progress.windows_failed, standing.progress.gaps_remaining) == (0, 0)
        assert standing.progress.points_inserted == (HOUR.floor(NOW) - EDGE) // HOUR.step
        assert await all_that_radar_has(core)
        before = len(core.requests)
        core.clock.advance(minutes=10)
        for force in (False, False):
            standing = await backfilled(core, SINCE - 100 * DAY, EDGE, force=force)
            assert (standing.state, standing.progress.gaps_remaining) == ("done", 0)
        assert len(core.requests) == before


async def test_empty_windows_before_a_date_are_confirmed_by_one_request_for_all_series(store_url):
    of_twenty = many(20, since=SINCE)
    async with open_core(store_url, of_twenty, data_since=EDGE) as core:
        collected, _ = await one_pass(core)
        assert collected.complete
        assert await gaps(core) == []
        assert await begins(core) == EDGE
        assert await all_that_radar_has(core)
        for days in (0, 1, 3):
            core.clock.advance(days=days, hours=1)
            await one_pass(core)  # reads what is not final again
            assert (await run_pass(core, fires=False, gaps=True)).requests == 0
        assert await gaps(core) == []


async def test_a_gap_in_the_middle_is_never_an_edge(sqlite_url):
    hole = Window(EDGE + 10 * DAY, EDGE + 30 * DAY)
    async with open_core(sqlite_url, profile(since=SINCE), data_since=EDGE) as core:
        core.simulator.change(GapChange(hole))
        await one_pass(core)
        assert await begins(core) == EDGE
        (gap,) = await gaps(core)
        assert (gap.start, gap.end) == (hole.start, hole.end)


def both_kinds(url):
    """A store for each form of an edge: Radar refuses older windows, or its answers do not contain them."""
    return [(way, f"{url}{number}") for number, way in enumerate((WAYS[0], None))]


def publish(core, **options):
    """Switch the simulator to these options."""
    core.simulator.options = core.simulator._history._options = SimulatorOptions(**{**CALM, **options})


async def test_series_of_one_batch_have_an_edge_each(sqlite_url):
    later, of_six = EDGE + 30 * DAY, many(6, since=SINCE)
    for way, url in both_kinds(sqlite_url):
        async with open_core(url, of_six, data_since=EDGE, began={"Owner 3": later}, before_data=way) as core:
            await one_pass(core)
            edges = await core.store.edges([series.query for series in of_six.series])
            edge_starts = [edges[series.query].begins for series in of_six.series]
            assert edge_starts == [EDGE.timestamp()] * 3 + [later.timestamp()] + [EDGE.timestamp()] * 2
            assert await gaps(core) == []
            assert await begins(core) == EDGE
            assert await all_that_radar_has(core)


async def test_an_edge_is_checked_weekly_by_one_request_and_deleted_if_radar_has_older_data(sqlite_url):
    earlier = EDGE - 40 * DAY
    for way, url in both_kinds(sqlite_url):
        async with open_core(url, many(3, since=SINCE), data_since=EDGE, before_data=way) as core:
            await one_pass(core)
            costs = []
            for _ in range(16):
                core.clock.advance(days=1)
                await run_pass(core)
                costs.append(
                    (
                        await collect(
                            core.profiles, core.clock(), core.store, core.batch_runner, fires=False, gaps=True
                        )
                    ).requests
                )
            assert sum(costs) == 2
            assert await begins(core) == EDGE
            publish(core, data_since=earlier, before_data=way)
            for _ in range(9):
                core.clock.advance(days=1)
                await one_pass(core)
            assert await all_that_radar_has(core)
            assert await begins(core) == earlier
            assert await gaps(core) == []


@pytest.mark.parametrize("way", [WAYS[0], WAYS[3], None], ids=["400", "500", "empty"])
async def test_when_the_edge_moves_stored_values_stay_and_nothing_is_due_for_ever(sqlite_url, way):
    settled = profile(since=NOW - 60 * DAY, settle=14 * DAY)
    async with open_core(sqlite_url, settled, retention=8 * DAY, before_data=way) as core:
        for _ in range(2):
            await one_pass(core)
            core.clock.advance(minutes=20)
        first = await core.stored()
        costs = []
        for _ in range(24):
            core.clock.advance(days=1)
            costs.append((await one_pass(core))[1])
            core.clock.advance(minutes=20)
            costs.append((await one_pass(core))[1])
        stored = await core.stored()
        assert len(stored["all"]) == len(first["all"]) + 24 * 24 + 8
        assert first["all"].items() <= stored["all"].items()
        assert await gaps(core) == []
        assert await vanished(core) == 0
        assert sum(costs[8:]) / 20 <= 16, "a day"
        row = (await status_document(core.store, core.profiles, 600, core.clock()))["profiles"][0]
        assert (row["state"], row["unconfirmed"]) == ("fresh", 0)


async def test_ten_profiles_cost_as_much_a_day_as_if_there_were_no_edge(sqlite_url):
    intervals = [HOUR] * 5 + [QUARTER] * 2 + [AggInterval.ONE_DAY] * 2 + [AggInterval.ONE_WEEK]
    ten = [
        profile(f"p{n}", agg_interval=interval, since=SINCE, filters={"caOwner": (f"Owner {n}",)})
        for n, interval in enumerate(intervals)
    ]
    costs = []
    for number, options in enumerate([{}, {"data_since": EDGE}, {"data_since": EDGE, "before_data": WAYS[0]}]):
        async with open_core(f"{sqlite_url}{number}", *ten, **options) as core:
            for _ in range(2):
                await one_pass(core)
                core.clock.advance(hours=6)
            costs.append([(await one_pass(core))[1]])
            for _ in range(3):
                core.clock.advance(hours=6)
                costs[-1].append((await one_pass(core))[1])
    assert costs[0] == costs[1] == costs[2]


async def test_an_outage_of_old_windows_is_no_edge(store_url):
    """Until a second answer it counts as a failure. The windows after the outage are stored."""

    def old(received):
        return any(series.start < EDGE.timestamp() for series in received.request.series)

    async with open_core(store_url, profile(since=SINCE)) as core:
        minutes = NOW.timestamp() + 600
        core.script(faults.api_error(500, 2000).always().only(old).between(0, minutes))
        collected, _ = await one_pass(core)
        assert not collected.complete
        assert (await core.stored())["all"] == core.truth(
            core.profiles[0].series[0].query, Window(EDGE, HOUR.floor(NOW))
        )
        collected, requests = await one_pass(core)
        assert not collected.complete
        assert requests <= 2, "it is not asked again at once"
        core.clock.advance(minutes=20)
        collected, _ = await one_pass(core)
        assert collected.complete
        assert await all_that_radar_has(core)
        assert await begins(core) is None
        assert await gaps(core) == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.status))
async def test_no_edge_is_found_if_everything_is_refused(sqlite_url, way):
    async with open_core(sqlite_url, profile(since=SINCE)) as core:
        core.script(faults.api_error(way.status, way.code).always())
        collected, _ = await one_pass(core)
        assert not collected.complete
        assert await core.store.edges([query()]) == {}
        if way.status == 404:
            assert len(core.requests) <= 3


async def test_a_window_that_is_refused_between_others_is_no_edge(sqlite_url):
    bad = Window(EDGE, EDGE + DAY)
    async with open_core(sqlite_url, profile(since=SINCE)) as core:
        core.script(faults.api_error(400, 2001).always().only(lambda series: overlaps(series, bad)))
        for _ in range(4):
            core.clock.advance(hours=2)
            await one_pass(core)
        assert await core.store.edges([query()]) == {}
        assert all(gap.start >= bad.start - 32 * DAY and gap.end <= bad.end + 32 * DAY for gap in await gaps(core))


def overlaps(received, window):
    return any(window_of(series).overlaps(window) for series in received.request.series)


async def vanished(core):
    rows = await core.store.list_fetches()
    return sum(row.vanished or 0 for row in rows)


KEPT = {"before the edge": 100 * DAY, "at the edge": NOW - EDGE, "after the edge": 50 * DAY, "the newest": 9 * DAY}


def _retained():
    """Every way with every period; the ordinary run has each way twice and each period twice or more."""
    ways = [*WAYS, None]
    return [
        pytest.param(
            way,
            kept,
            id=f"{name}-{way.status if way else 'empty'}",
            marks=[] if (number - place) % len(KEPT) in (0, 1) else pytest.mark.campaign,
        )
        for number, way in enumerate(ways)
        for place, (name, kept) in enumerate(KEPT.items())
    ]


@pytest.mark.parametrize(("way", "kept"), _retained())
async def test_retention_beside_a_known_edge_makes_no_gap(sqlite_url, way, kept):
    async with open_core(sqlite_url, profile(since=SINCE), data_since=EDGE, before_data=way) as core:
        for _ in range(2):
            await one_pass(core)
            core.clock.advance(minutes=20)
        await keeps_what_is_wanted(core, kept)


@pytest.mark.parametrize("kept", [KEPT["before the edge"], KEPT["after the edge"]], ids=str)
async def test_retention_beside_a_known_edge_makes_no_gap_on_postgres(postgres_url, kept):
    async with open_core(postgres_url, profile(since=SINCE), data_since=EDGE) as core:
        await one_pass(core)
        await keeps_what_is_wanted(core, kept)


async def keeps_what_is_wanted(core, kept):
    """Collect for a day with a known edge and a retention run every six hours."""
    costs = []
    for _ in range(4):
        await core.store.prune(RetentionSettings({HOUR: kept}), core.clock())
        assert await gaps(core) == []
        assert await begins(core) == EDGE
        assert await all_that_radar_has(core, max(EDGE, HOUR.floor(core.clock() - kept)))
        core.clock.advance(hours=6)
        collected, requests = await one_pass(core)
        assert collected.complete
        costs.append(requests)
    assert sum(costs) <= len(costs) + 1, "one looks at the edge again"


async def test_retention_before_the_first_answer_makes_no_gap_at_an_edge(store_url):
    for number, kept in enumerate(KEPT.values()):
        since = SINCE + number * DAY
        wanted = profile(since=since, filters={"caOwner": (f"Owner {number}",)})
        async with open_core(store_url, wanted, data_since=EDGE, before_data=WAYS[0]) as core:
            await core.store.prune(RetentionSettings({HOUR: kept}), core.clock())
            collected, requests = await one_pass(core)
            assert collected.complete
            assert requests <= bisection(HOUR, since) + FEW
            assert await gaps(core) == []
            assert (await one_pass(core))[1] <= 1
