"""Buckets may start anywhere. The collector learns the grid from two answers and then uses it everywhere."""

import json
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from collector.cli.commands.export import ExportGaps
from collector.collect.backfill import BackfillRunner, remaining_gaps
from collector.collect.batches.interpretation import confirming_window, may_be_confirmed
from collector.collect.confirm import confirm
from collector.interval import AggInterval, Grid
from collector.model import Answer, Batch, Meta, Slice, Window
from collector.report.gaps import find_gaps
from collector.report.status import status_document
from collector.rules.edge import Edge
from collector.serve.radar_api import query_history
from collector.settings import RetentionSettings
from collector.store import BackfillRequest, LearnedGrid, PointQuery
from collector.store.admin.verify import verify
from collector.store.series.grids import dump, load
from collector.store.write.replays import ReadBody
from tests.harness import faults
from tests.harness.collect_core import DAY, NOW, open_core, run_pass
from tests.harness.factories import profile, query, rows

WEEK, DAILY, HOURLY, QUARTER = (AggInterval(word) for word in ("1w", "1d", "1h", "15m"))
HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
WEDNESDAY = Grid(WEEK, timedelta(days=2, hours=5))
THURSDAY, SUNDAY = Grid(WEEK, timedelta(days=3)), Grid(WEEK, timedelta(days=6))
EIGHT, QUARTER_PAST = Grid(DAILY, timedelta(hours=8)), Grid(DAILY, timedelta(minutes=15))
EVENING = Grid(DAILY, timedelta(hours=19))
HALF_PAST = Grid(HOURLY, timedelta(minutes=30))


USUAL = {interval: Grid(interval) for interval in AggInterval}


async def is_whole(core, interval, since, grid):
    """Assert that every bucket of *grid* from *since* to the newest closed one is stored with its true value."""
    window = Window(grid.floor(since), grid.floor(core.clock()))
    stored = await core.stored()
    assert stored["all"] == core.truth(query(interval), window)
    assert stored["all"], "there is nothing to compare"
    assert await find_gaps(core.store, core.profiles, core.clock()) == []


async def view(core):
    """Return {timestamp: value} of the only label in the view `history`."""
    points = await rows(core.store, "SELECT timestamp, value FROM history WHERE series = 'all'")
    assert len(dict(points)) == len(points)
    return {t if isinstance(t, int) else int(t.timestamp()): value for t, value in points}


async def document(core):
    return await status_document(core.store, core.profiles, 600, core.clock())


async def word(core):
    return [row["state"] for row in (await document(core))["profiles"]]


@pytest.mark.parametrize(
    "grid", [WEDNESDAY, THURSDAY, SUNDAY, EIGHT, QUARTER_PAST, HALF_PAST], ids=lambda grid: f"{grid.interval} {grid}"
)
async def test_the_first_pass_learns_where_buckets_start(grid, sqlite_url):
    since, interval = NOW - 70 * DAY, grid.interval
    async with open_core(sqlite_url, profile(agg_interval=interval, since=since), grids={interval: grid}) as core:
        collected = await run_pass(core, gaps=True)
        assert (collected.complete, await core.store.grids()) == (True, {**USUAL, interval: grid})
        await is_whole(core, interval, since, grid)
        learning = [outcome for outcome in await core.outcomes() if outcome != "ok"]
        assert learning == ["untrusted"]


async def test_later_passes_request_windows_where_buckets_start_and_nothing_is_late(sqlite_url):
    daily = profile(agg_interval=DAILY, since=NOW - 20 * DAY)
    async with open_core(sqlite_url, daily, grids={DAILY: EIGHT}) as core:
        await run_pass(core)
        for _ in range(3):
            core.clock.advance(days=1)
            core.restart()
            assert (await run_pass(core)).complete
            await run_pass(core, fires=False, gaps=True)
            assert await word(core) == ["fresh"]
        await is_whole(core, DAILY, daily.since, EIGHT)
        assert (await core.outcomes()).count("untrusted") == 1


async def test_a_backfill_is_planned_anew_where_buckets_start(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=WEEK), grids={WEEK: THURSDAY}) as core:
        wanted = BackfillRequest(("all",), NOW - 365 * DAY, NOW)
        job = await core.store.create_backfill(wanted, core.clock())
        standing = await BackfillRunner(core.store, core.batch_runner).run(job, core.profiles)
        assert (standing.state, standing.message) == ("done", None)
        await is_whole(core, WEEK, wanted.start, THURSDAY)
        assert await remaining_gaps(core.profiles, wanted, core.store, core.clock()) == 0


async def test_sums_of_shifted_days_confirm_hours(sqlite_url):
    hourly = profile(since=NOW - 40 * DAY, settle=2 * DAY)
    async with open_core(sqlite_url, hourly, grids={DAILY: EIGHT}) as core:
        await run_pass(core, gaps=True)
        for _ in range(2):  # the first answer at 1d tells where days begin
            core.clock.advance(hours=2)
            await confirm(core.profiles, core.clock(), core.store, core.batch_runner)
        assert (await core.store.grids())[DAILY] == EIGHT
        assert (await core.store.series_states([query()]))[query()].sums_differ is False
        assert (await core.store.unconfirmed(core.profiles))["all"] < 3 * 24
        daily = [request for request in core.requests if "aggInterval=1d" in request.raw_query]
        assert len(daily) <= 4


async def test_the_local_api_answers_where_buckets_start(sqlite_url):
    since = NOW - 30 * DAY
    hours = profile(since=since)
    async with open_core(sqlite_url, hours, profile("days", DAILY, since=since), grids={DAILY: EIGHT}) as core:
        await run_pass(core, gaps=True)
        parameters = "aggInterval=1d&dateStart=2026-03-01T00:00:00Z&dateEnd=2026-03-05T00:00:00Z"
        answer = json.loads("".join((await query_history(core.store, parameters, core.clock())).chunks()))["result"]
        window = Window(datetime(2026, 2, 28, 8, tzinfo=UTC), datetime(2026, 3, 5, 8, tzinfo=UTC))
        truth = core.truth(query(DAILY), window)
        assert [datetime.fromisoformat(t).timestamp() for t in answer["serie_0"]["timestamps"]] == list(truth)
        assert [float(value) for value in answer["serie_0"]["values"]] == list(truth.values())


async def test_hours_are_summed_to_shifted_days(sqlite_url):
    async with open_core(sqlite_url, profile(since=NOW - 30 * DAY), grids={DAILY: EIGHT}) as core:
        await run_pass(core, gaps=True)
        await core.store.move_grid(EIGHT, core.clock())
        parameters = "aggInterval=1d&dateStart=2026-03-01T00:00:00Z&dateEnd=2026-03-05T00:00:00Z"
        answer = json.loads("".join((await query_history(core.store, parameters, core.clock())).chunks()))["result"]
        window = Window(datetime(2026, 2, 28, 8, tzinfo=UTC), datetime(2026, 3, 5, 8, tzinfo=UTC))
        assert [float(value) for value in answer["serie_0"]["values"]] == [*core.truth(query(DAILY), window).values()]


async def test_buckets_that_begin_with_the_range_are_asked_for_on_the_usual_grid(sqlite_url):
    since = NOW - 60 * DAY
    async with open_core(sqlite_url, profile(agg_interval=WEEK, since=since), grids={WEEK: None}) as core:
        assert (await run_pass(core, gaps=True)).complete
        await is_whole(core, WEEK, since, USUAL[WEEK])
        assert await core.store.grids() == USUAL


async def test_one_wrong_first_answer_moves_no_grid(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as core:
        core.script(faults.off_grid(8 * 3600))
        await run_pass(core)
        core.clock.advance(hours=2)
        assert (await run_pass(core, gaps=True)).complete
        await is_whole(core, DAILY, NOW - 9 * DAY, USUAL[DAILY])
        assert (await core.store.learned_grids())[DAILY] == LearnedGrid(USUAL[DAILY])


async def passes(core, count, **pause):
    """Run *count* passes, with a pause before each."""
    for _ in range(count):
        core.clock.advance(**pause)
        await run_pass(core, gaps=True)


async def test_history_goes_on_as_new_series_when_buckets_start_elsewhere(store_url):
    """The first such answer moves nothing. A second one an hour later moves the grid, and stored points stay."""
    since = NOW - 60 * DAY
    async with open_core(store_url, profile(agg_interval=WEEK, since=since)) as core:
        await passes(core, 1, days=0)
        before = (await core.stored())["all"]
        core.simulator.switch(grids={WEEK: THURSDAY}, data_since=NOW - 30 * DAY)
        await passes(core, 1, days=1)
        assert await core.store.grids() == USUAL
        (warning,) = [text for text in (await document(core))["warnings"] if "second" in text]
        assert warning.startswith("1w: Radar answered with buckets that start at Thursday 00:00 UTC instead of Monday")
        await passes(core, 1, hours=2)
        learned = (await core.store.learned_grids())[WEEK]
        assert (learned.grid, learned.before, learned.proposed) == (THURSDAY, USUAL[WEEK], None)
        stored = await core.stored()
        whole = Window(THURSDAY.floor(NOW - 30 * DAY), THURSDAY.floor(core.clock()))
        new = core.truth(query(WEEK), whole)
        old = {t: value for t, value in before.items() if t + 7 * 86400 <= min(new)}
        assert stored["all"] == old | new
        assert await view(core) == old | new
        assert len(old) == 4
        row = (await document(core))["profiles"][0]
        assert (row["points"], row["first_point"].timestamp()) == (len(before) + len(new), min(before))
        assert (verify(store_url)).findings == []


async def test_buckets_that_start_where_they_did_before_continue_the_first_series(sqlite_url):
    daily = profile(agg_interval=DAILY, since=NOW - 20 * DAY)
    async with open_core(sqlite_url, daily) as core:
        await passes(core, 1, days=0)
        for grid in (EIGHT, USUAL[DAILY]):
            core.simulator.switch(grids={DAILY: grid})
            await passes(core, 2, days=1)
            assert (await core.store.grids())[DAILY] == grid
            await passes(core, 1, days=1)
            assert await find_gaps(core.store, core.profiles, core.clock()) == []
        rows = await core.store.list_series()
        assert sorted(row.label for row in rows if row.profile) == ["all"]
        assert len(rows) == 2
        stored = (await core.stored())["all"]
        truth = core.truth(query(DAILY), Window(USUAL[DAILY].floor(daily.since), USUAL[DAILY].floor(core.clock())))
        assert stored == truth
        assert await view(core) == truth


@pytest.mark.parametrize("hours", [8, 3])
async def test_one_wrong_answer_does_not_begin_a_new_series(hours, sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as core:
        await passes(core, 1, days=0)
        for _ in range(3):
            core.script(faults.off_grid(hours * 3600))
            await passes(core, 2, days=1)
            core.restart()
        assert await core.store.grids() == USUAL
        await is_whole(core, DAILY, NOW - 9 * DAY, USUAL[DAILY])
        assert (await core.store.learned_grids())[DAILY].proposed is None
        assert len(await core.store.list_series()) == 1


async def test_two_wrong_answers_begin_no_new_series_if_radar_has_no_buckets_there(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as core:
        await passes(core, 1, days=0)
        for _ in range(2):
            core.script(faults.off_grid(8 * 3600))
            await passes(core, 1, days=1)
        assert (await core.store.learned_grids())[DAILY].proposed == EIGHT
        assert await core.store.grids() == USUAL
        await passes(core, 1, days=1)
        assert (await core.store.learned_grids())[DAILY].proposed is None
        await is_whole(core, DAILY, NOW - 9 * DAY, USUAL[DAILY])


async def test_a_query_before_the_move_is_answered_from_the_former_grid(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 20 * DAY)) as core:
        await passes(core, 1, days=0)
        core.simulator.switch(grids={DAILY: EIGHT}, data_since=NOW - 4 * DAY)
        await passes(core, 2, days=1)
        parameters = "aggInterval=1d&dateStart=2026-02-20T00:00:00Z&dateEnd=2026-02-22T00:00:00Z"
        answer = json.loads("".join((await query_history(core.store, parameters, core.clock())).chunks()))["result"]
        assert answer["serie_0"]["timestamps"] == [f"2026-02-{day}T00:00:00Z" for day in (20, 21, 22)]
        parameters = "aggInterval=1d&dateStart=2026-03-08T08:00:00Z&dateEnd=2026-03-09T08:00:00Z"
        answer = json.loads("".join((await query_history(core.store, parameters, core.clock())).chunks()))["result"]
        assert answer["serie_0"]["timestamps"] == [f"2026-03-{day:02}T08:00:00Z" for day in (8, 9)]


async def test_a_kept_body_about_other_buckets_is_not_replayed(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as core:
        core.script(faults.off_grid(8 * 3600))
        await passes(core, 1, days=0)
        kept, _ = await core.store.bodies()
        batch = await core.store.question(kept.fetch_id)
        points = core.simulator.truth(query(DAILY), batch.slices[0].window, core.clock.timestamp())
        meta = Meta(DAILY, core.clock(), "RAW_VALUES", "certificates", 5, (None,), ())
        await core.store.move_grid(EIGHT, core.clock())
        replayed = await core.store.replay(ReadBody(kept.fetch_id, batch, Answer(meta, (points,))), core.clock())
        assert (replayed.filled, replayed.left_out) == (
            0,
            ("buckets of this interval start elsewhere now than this question asked for",),
        )


NOTED = LearnedGrid(USUAL[DAILY], proposed=EIGHT, proposed_at=NOW)


@pytest.mark.parametrize(
    ("expected", "known", "hours", "has_history"),
    [
        (True, LearnedGrid(USUAL[DAILY]), 0, False),
        (False, LearnedGrid(USUAL[DAILY]), 0, True),
        (False, NOTED, 0.9, True),
        (True, NOTED, 1, True),
        (False, NOTED._replace(proposed=QUARTER_PAST), 5, True),
    ],
)
def test_an_answer_on_another_grid_may_be_confirmed_at_once_or_an_hour_after_the_first(
    expected, known, hours, has_history
):
    assert may_be_confirmed(known, EIGHT, NOW + hours * HOUR, has_history=has_history) == expected


@pytest.mark.parametrize(
    ("expected", "grid"),
    [((-4 * 24, 0), EIGHT), ((-28 * 24, 0), THURSDAY), ((-24, 0), HALF_PAST), ((-24, 0), USUAL[QUARTER])],
    ids=["1d", "1w", "1h", "15m"],
)
def test_the_confirming_request_is_for_the_newest_buckets(expected, grid):
    end = grid.floor(NOW)
    assert confirming_window(grid, NOW) == Window(*(end + hours * HOUR for hours in expected))


async def test_old_buckets_on_another_grid_do_not_move_the_grid(sqlite_url):
    """Days that begin at a local midnight lie on two grids. Only the present grid counts."""
    async with open_core(sqlite_url, profile(agg_interval=DAILY)) as core:
        await passes(core, 1, days=0)
        wanted = BackfillRequest(("all",), NOW - 40 * DAY, NOW - 10 * DAY)
        border = (NOW - 9 * DAY).timestamp()
        core.script(lambda received: faults.off_grid(3600) if received.request.series[0].end < border else None)
        for _ in range(3):
            job = await core.store.create_backfill(wanted, core.clock())
            await BackfillRunner(core.store, core.batch_runner).run(job, core.profiles)
            core.clock.advance(hours=3)
        assert await core.store.grids() == USUAL


@pytest.mark.parametrize("known", [LearnedGrid(USUAL[WEEK]), LearnedGrid(THURSDAY, NOW, USUAL[WEEK], SUNDAY, NOW)])
def test_a_learned_grid_is_read_as_it_was_written(known):
    assert load(WEEK, dump(known)) == known
    assert load(WEEK, None) == LearnedGrid(USUAL[WEEK])


async def test_an_answer_on_the_former_grid_that_comes_late_is_not_stored(store_url):
    async with open_core(store_url, profile(agg_interval=DAILY)) as core:
        batch = Batch((Slice(query(DAILY), Window(NOON - 12 * HOUR - 3 * DAY, NOON - 12 * HOUR)),))
        begun = await core.store.start_fetch(batch, ["all"], NOW, 600, "")
        points = core.simulator.truth(query(DAILY), batch.slices[0].window, core.clock.timestamp())
        await core.store.move_grid(EIGHT, NOW)
        meta = Meta(DAILY, NOW, "RAW_VALUES", "certificates", 5, (None,), ())
        await core.store.save(begun.fetch_id, batch, Answer(meta, (points,)), NOW, 100)
        assert await core.stored() == {}
        assert await core.outcomes() == ["ok"]
        assert (verify(store_url)).findings == []


async def test_snapshots_are_taken_where_buckets_start(sqlite_url):
    valid = profile(agg_interval=DAILY, filters={"expirationStatus": ("VALID",)}, since=NOW - 9 * DAY)
    async with open_core(sqlite_url, valid, grids={DAILY: EIGHT}) as core:
        collected = await run_pass(core)
        assert collected.complete
        assert min((await core.stored())["all"]) == EIGHT.floor(valid.since).timestamp()
        assert await word(core) == ["snapshot"]


async def test_columns_of_a_chart_begin_where_buckets_start(sqlite_url):
    since = NOW - 60 * DAY
    async with open_core(sqlite_url, profile(agg_interval=WEEK, since=since), grids={WEEK: THURSDAY}) as core:
        await passes(core, 1, days=0)
        (thin,) = await core.store.downsample(PointQuery(profiles=("all",)), 100)
        assert {column.start: column.mean for column in thin.columns} == (await core.stored())["all"]


async def test_an_export_reports_no_gap_where_the_grid_moved(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 20 * DAY)) as core:
        await passes(core, 1, days=0)
        core.simulator.switch(grids={DAILY: EIGHT}, data_since=NOW - 4 * DAY)
        await passes(core, 2, days=1)
        gaps = await ExportGaps.of(core.store, PointQuery(profiles=("all",)))
        async with aclosing(core.store.export_blocks(["all"])) as blocks:
            async for block in blocks:
                gaps.see(block.profile, block.label, block.points)
        assert gaps.sentences() == []


async def test_the_edge_of_history_is_searched_again_on_another_grid(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY)) as core:
        begins = int(USUAL[DAILY].floor(NOW - 30 * DAY).timestamp())
        edge = Edge(begins, None, "empty", "nothing", (NOW.timestamp(), NOW.timestamp()), NOW.timestamp())
        await core.store.set_edges({query(DAILY): edge})
        assert await core.store.edges([query(DAILY)]) == {query(DAILY): edge}
        await core.store.move_grid(EIGHT, NOW)
        assert await core.store.edges([query(DAILY)]) == {}


@pytest.mark.parametrize("grid", [EVENING, HALF_PAST], ids=lambda grid: f"{grid.interval} {grid}")
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "moved"])
async def test_buckets_that_retention_deleted_on_the_usual_grid_are_no_gap_on_another(sqlite_url, grid, known):
    """The first kept bucket is recorded on the former grid, until retention runs again."""
    interval, since = grid.interval, NOW - 100 * DAY
    kept = RetentionSettings({interval: 40 * DAY})
    grids = {} if known else {interval: grid}
    async with open_core(sqlite_url, profile(agg_interval=interval, since=since), grids=grids) as core:
        if known:
            await passes(core, 1, days=0)
        await core.store.prune(kept, core.clock())
        if known:
            core.simulator.switch(grids={interval: grid})
            core.clock.advance(days=14)
        await passes(core, 3, hours=2)
        assert (await core.store.grids())[interval] == grid
        for _ in range(2):
            assert await find_gaps(core.store, core.profiles, core.clock()) == []
            window = Window(grid.floor(since), grid.floor(core.clock()))
            assert await core.store.gaps(query(interval), window, core.profiles[0].settle) == []
            before = len(core.requests)
            assert (await run_pass(core, fires=False, gaps=True)).complete
            assert len(core.requests) == before
            await core.store.prune(kept, core.clock())
