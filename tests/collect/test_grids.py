"""Buckets may start anywhere: the collector learns it from two answers, and asks and counts by it from then on."""

import json
from contextlib import aclosing
from dataclasses import replace
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


async def is_whole(one, asked, since, grid):
    """Hold what is stored to the truth: every bucket of *grid* from *since* to the newest closed one."""
    window = Window(grid.floor(since), grid.floor(one.clock()))
    stored = await one.stored()
    assert stored["all"] == one.truth(query(asked), window)
    assert stored["all"], "there is nothing to compare"
    assert await find_gaps(one.store, one.profiles, one.clock()) == []


async def view(one):
    """Read the view `history` as a person would: {timestamp: value} of the only label."""
    found = await rows(one.store, "SELECT timestamp, value FROM history WHERE series = 'all'")
    assert len(dict(found)) == len(found)
    return {t if isinstance(t, int) else int(t.timestamp()): value for t, value in found}


async def document(one):
    return await status_document(one.store, one.profiles, 600, one.clock())


async def word(one):
    return [row["state"] for row in (await document(one))["profiles"]]


@pytest.mark.parametrize(
    "grid", [WEDNESDAY, THURSDAY, SUNDAY, EIGHT, QUARTER_PAST, HALF_PAST], ids=lambda grid: f"{grid.interval} {grid}"
)
async def test_the_first_pass_learns_where_buckets_start(grid, sqlite_url):
    since, interval = NOW - 70 * DAY, grid.interval
    async with open_core(sqlite_url, profile(agg_interval=interval, since=since), grids={interval: grid}) as one:
        collected = await run_pass(one, gaps=True)
        assert (collected.complete, await one.store.grids()) == (True, {**USUAL, interval: grid})
        await is_whole(one, interval, since, grid)
        learning = [outcome for outcome in await one.outcomes() if outcome != "ok"]
        assert learning == ["untrusted"]


async def test_later_passes_ask_where_buckets_start_and_nothing_is_late(sqlite_url):
    found = profile(agg_interval=DAILY, since=NOW - 20 * DAY)
    async with open_core(sqlite_url, found, grids={DAILY: EIGHT}) as one:
        await run_pass(one)
        for _ in range(3):
            one.clock.advance(days=1)
            one.restart()
            assert (await run_pass(one)).complete
            await run_pass(one, fires=False, gaps=True)
            assert await word(one) == ["fresh"]
        await is_whole(one, DAILY, found.since, EIGHT)
        assert (await one.outcomes()).count("untrusted") == 1


async def test_a_backfill_is_planned_anew_where_buckets_start(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=WEEK), grids={WEEK: THURSDAY}) as one:
        wanted = BackfillRequest(("all",), NOW - 365 * DAY, NOW)
        job = await one.store.create_backfill(wanted, one.clock())
        standing = await BackfillRunner(one.store, one.batch_runner).run(job, one.profiles)
        assert (standing.state, standing.message) == ("done", None)
        await is_whole(one, WEEK, wanted.start, THURSDAY)
        assert await remaining_gaps(one.profiles, wanted, one.store, one.clock()) == 0


async def test_sums_of_shifted_days_confirm_hours(sqlite_url):
    found = profile(since=NOW - 40 * DAY, settle=2 * DAY)
    async with open_core(sqlite_url, found, grids={DAILY: EIGHT}) as one:
        await run_pass(one, gaps=True)
        for _ in range(2):  # the first answer at 1d tells where days begin
            one.clock.advance(hours=2)
            await confirm(one.profiles, one.clock(), one.store, one.batch_runner)
        assert (await one.store.grids())[DAILY] == EIGHT
        assert (await one.store.series_states([query()]))[query()].sums_differ is False
        assert (await one.store.unconfirmed(one.profiles))["all"] < 3 * 24
        daily = [request for request in one.requests if "aggInterval=1d" in request.raw_query]
        assert len(daily) <= 4


async def test_the_local_api_answers_where_buckets_start(sqlite_url):
    since = NOW - 30 * DAY
    hours = profile(since=since)
    async with open_core(sqlite_url, hours, profile("days", DAILY, since=since), grids={DAILY: EIGHT}) as one:
        await run_pass(one, gaps=True)
        asked = "aggInterval=1d&dateStart=2026-03-01T00:00:00Z&dateEnd=2026-03-05T00:00:00Z"
        answer = json.loads("".join((await query_history(one.store, asked, one.clock())).chunks()))["result"]
        window = Window(datetime(2026, 2, 28, 8, tzinfo=UTC), datetime(2026, 3, 5, 8, tzinfo=UTC))
        truth = one.truth(query(DAILY), window)
        assert [datetime.fromisoformat(t).timestamp() for t in answer["serie_0"]["timestamps"]] == list(truth)
        assert [float(value) for value in answer["serie_0"]["values"]] == list(truth.values())


async def test_hours_are_summed_to_shifted_days(sqlite_url):
    async with open_core(sqlite_url, profile(since=NOW - 30 * DAY), grids={DAILY: EIGHT}) as one:
        await run_pass(one, gaps=True)
        await one.store.move_grid(EIGHT, one.clock())
        asked = "aggInterval=1d&dateStart=2026-03-01T00:00:00Z&dateEnd=2026-03-05T00:00:00Z"
        answer = json.loads("".join((await query_history(one.store, asked, one.clock())).chunks()))["result"]
        window = Window(datetime(2026, 2, 28, 8, tzinfo=UTC), datetime(2026, 3, 5, 8, tzinfo=UTC))
        assert [float(value) for value in answer["serie_0"]["values"]] == [*one.truth(query(DAILY), window).values()]


async def test_buckets_that_begin_with_the_range_are_asked_for_on_the_usual_grid(sqlite_url):
    since = NOW - 60 * DAY
    async with open_core(sqlite_url, profile(agg_interval=WEEK, since=since), grids={WEEK: None}) as one:
        assert (await run_pass(one, gaps=True)).complete
        await is_whole(one, WEEK, since, USUAL[WEEK])
        assert await one.store.grids() == USUAL


async def test_one_wrong_answer_at_first_contact_moves_nothing(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as one:
        one.script(faults.off_grid(8 * 3600))
        await run_pass(one)
        one.clock.advance(hours=2)
        assert (await run_pass(one, gaps=True)).complete
        await is_whole(one, DAILY, NOW - 9 * DAY, USUAL[DAILY])
        assert (await one.store.learned_grids())[DAILY] == LearnedGrid(USUAL[DAILY])


async def passes(one, count, **pause):
    """Make so many passes, with a pause before each."""
    for _ in range(count):
        one.clock.advance(**pause)
        await run_pass(one, gaps=True)


async def test_history_goes_on_as_new_series_when_buckets_start_elsewhere(store_url):
    """Nothing moves at the first such answer; a second one an hour later does it, and what was stored stays."""
    since = NOW - 60 * DAY
    async with open_core(store_url, profile(agg_interval=WEEK, since=since)) as one:
        await passes(one, 1, days=0)
        before = (await one.stored())["all"]
        one.simulator.switch(grids={WEEK: THURSDAY}, data_since=NOW - 30 * DAY)
        await passes(one, 1, days=1)
        assert await one.store.grids() == USUAL
        (warning,) = [text for text in (await document(one))["warnings"] if "second" in text]
        assert warning.startswith("1w: Radar answered with buckets that start at Thursday 00:00 UTC instead of Monday")
        await passes(one, 1, hours=2)
        learned = (await one.store.learned_grids())[WEEK]
        assert (learned.grid, learned.before, learned.proposed) == (THURSDAY, USUAL[WEEK], None)
        found = await one.stored()
        whole = Window(THURSDAY.floor(NOW - 30 * DAY), THURSDAY.floor(one.clock()))
        new = one.truth(query(WEEK), whole)
        old = {t: value for t, value in before.items() if t + 7 * 86400 <= min(new)}
        assert found["all"] == old | new
        assert await view(one) == old | new
        assert len(old) == 4
        row = (await document(one))["profiles"][0]
        assert (row["points"], row["first_point"].timestamp()) == (len(before) + len(new), min(before))
        assert (verify(store_url)).findings == []


async def test_buckets_that_start_where_they_did_before_continue_the_first_series(sqlite_url):
    found = profile(agg_interval=DAILY, since=NOW - 20 * DAY)
    async with open_core(sqlite_url, found) as one:
        await passes(one, 1, days=0)
        for grid in (EIGHT, USUAL[DAILY]):
            one.simulator.switch(grids={DAILY: grid})
            await passes(one, 2, days=1)
            assert (await one.store.grids())[DAILY] == grid
            await passes(one, 1, days=1)
            assert await find_gaps(one.store, one.profiles, one.clock()) == []
        rows = await one.store.list_series()
        assert sorted(row.label for row in rows if row.profile) == ["all"]
        assert len(rows) == 2
        stored = (await one.stored())["all"]
        truth = one.truth(query(DAILY), Window(USUAL[DAILY].floor(found.since), USUAL[DAILY].floor(one.clock())))
        assert stored == truth
        assert await view(one) == truth


@pytest.mark.parametrize("hours", [8, 3])
async def test_one_wrong_answer_does_not_begin_a_new_series(hours, sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as one:
        await passes(one, 1, days=0)
        for _ in range(3):
            one.script(faults.off_grid(hours * 3600))
            await passes(one, 2, days=1)
            one.restart()
        assert await one.store.grids() == USUAL
        await is_whole(one, DAILY, NOW - 9 * DAY, USUAL[DAILY])
        assert (await one.store.learned_grids())[DAILY].proposed is None
        assert len(await one.store.list_series()) == 1


async def test_two_wrong_answers_begin_no_new_series_if_radar_has_no_buckets_there(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as one:
        await passes(one, 1, days=0)
        for _ in range(2):
            one.script(faults.off_grid(8 * 3600))
            await passes(one, 1, days=1)
        assert (await one.store.learned_grids())[DAILY].proposed == EIGHT
        assert await one.store.grids() == USUAL
        await passes(one, 1, days=1)
        assert (await one.store.learned_grids())[DAILY].proposed is None
        await is_whole(one, DAILY, NOW - 9 * DAY, USUAL[DAILY])


async def test_a_question_about_the_time_before_is_answered_from_the_former_grid(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 20 * DAY)) as one:
        await passes(one, 1, days=0)
        one.simulator.switch(grids={DAILY: EIGHT}, data_since=NOW - 4 * DAY)
        await passes(one, 2, days=1)
        asked = "aggInterval=1d&dateStart=2026-02-20T00:00:00Z&dateEnd=2026-02-22T00:00:00Z"
        answer = json.loads("".join((await query_history(one.store, asked, one.clock())).chunks()))["result"]
        assert answer["serie_0"]["timestamps"] == [f"2026-02-{day}T00:00:00Z" for day in (20, 21, 22)]
        asked = "aggInterval=1d&dateStart=2026-03-08T08:00:00Z&dateEnd=2026-03-09T08:00:00Z"
        answer = json.loads("".join((await query_history(one.store, asked, one.clock())).chunks()))["result"]
        assert answer["serie_0"]["timestamps"] == [f"2026-03-{day:02}T08:00:00Z" for day in (8, 9)]


async def test_a_kept_body_about_other_buckets_is_not_replayed(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 9 * DAY)) as one:
        one.script(faults.off_grid(8 * 3600))
        await passes(one, 1, days=0)
        kept, _ = await one.store.bodies()
        asked = await one.store.question(kept.fetch_id)
        points = one.simulator.truth(query(DAILY), asked.slices[0].window, one.clock.timestamp())
        meta = Meta(DAILY, one.clock(), "RAW_VALUES", "certificates", 5, (None,), ())
        await one.store.move_grid(EIGHT, one.clock())
        found = await one.store.replay(ReadBody(kept.fetch_id, asked, Answer(meta, (points,))), one.clock())
        assert (found.filled, found.left_out) == (
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
        (False, replace(NOTED, proposed=QUARTER_PAST), 5, True),
    ],
)
def test_an_answer_elsewhere_may_be_confirmed_at_once_or_an_hour_after_the_first(expected, known, hours, has_history):
    assert may_be_confirmed(known, EIGHT, NOW + hours * HOUR, has_history=has_history) == expected


@pytest.mark.parametrize(
    ("expected", "grid"),
    [((-4 * 24, 0), EIGHT), ((-28 * 24, 0), THURSDAY), ((-24, 0), HALF_PAST), ((-24, 0), USUAL[QUARTER])],
    ids=["1d", "1w", "1h", "15m"],
)
def test_the_second_answer_is_about_the_newest_buckets(expected, grid):
    end = grid.floor(NOW)
    assert confirming_window(grid, NOW) == Window(*(end + hours * HOUR for hours in expected))


async def test_a_past_that_lies_elsewhere_does_not_move_the_present(sqlite_url):
    """Days that begin at a local midnight lie on two grids, of which that of the present counts."""
    async with open_core(sqlite_url, profile(agg_interval=DAILY)) as one:
        await passes(one, 1, days=0)
        wanted = BackfillRequest(("all",), NOW - 40 * DAY, NOW - 10 * DAY)
        border = (NOW - 9 * DAY).timestamp()
        one.script(lambda asked: faults.off_grid(3600) if asked.request.series[0].end < border else None)
        for _ in range(3):
            job = await one.store.create_backfill(wanted, one.clock())
            await BackfillRunner(one.store, one.batch_runner).run(job, one.profiles)
            one.clock.advance(hours=3)
        assert await one.store.grids() == USUAL


@pytest.mark.parametrize("known", [LearnedGrid(USUAL[WEEK]), LearnedGrid(THURSDAY, NOW, USUAL[WEEK], SUNDAY, NOW)])
def test_what_was_learned_is_read_as_it_was_written(known):
    assert load(WEEK, dump(known)) == known
    assert load(WEEK, None) == LearnedGrid(USUAL[WEEK])


async def test_an_answer_on_the_former_grid_that_comes_late_is_not_stored(store_url):
    async with open_core(store_url, profile(agg_interval=DAILY)) as one:
        asked = Batch((Slice(query(DAILY), Window(NOON - 12 * HOUR - 3 * DAY, NOON - 12 * HOUR)),))
        begun = await one.store.start_fetch(asked, ["all"], NOW, 600, "")
        points = one.simulator.truth(query(DAILY), asked.slices[0].window, one.clock.timestamp())
        await one.store.move_grid(EIGHT, NOW)
        meta = Meta(DAILY, NOW, "RAW_VALUES", "certificates", 5, (None,), ())
        await one.store.save(begun.fetch_id, asked, Answer(meta, (points,)), NOW, 100)
        assert await one.stored() == {}
        assert await one.outcomes() == ["ok"]
        assert (verify(store_url)).findings == []


async def test_snapshots_are_taken_where_buckets_start(sqlite_url):
    found = profile(agg_interval=DAILY, filters={"expirationStatus": ("VALID",)}, since=NOW - 9 * DAY)
    async with open_core(sqlite_url, found, grids={DAILY: EIGHT}) as one:
        collected = await run_pass(one)
        assert collected.complete
        assert min((await one.stored())["all"]) == EIGHT.floor(found.since).timestamp()
        assert await word(one) == ["snapshot"]


async def test_columns_of_a_chart_begin_where_buckets_start(sqlite_url):
    since = NOW - 60 * DAY
    async with open_core(sqlite_url, profile(agg_interval=WEEK, since=since), grids={WEEK: THURSDAY}) as one:
        await passes(one, 1, days=0)
        (thin,) = await one.store.downsample(PointQuery(profiles=("all",)), 100)
        assert {column.start: column.mean for column in thin.columns} == (await one.stored())["all"]


async def test_an_export_says_nothing_of_where_buckets_moved_on(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY, since=NOW - 20 * DAY)) as one:
        await passes(one, 1, days=0)
        one.simulator.switch(grids={DAILY: EIGHT}, data_since=NOW - 4 * DAY)
        await passes(one, 2, days=1)
        gaps = await ExportGaps.of(one.store, ["all"], (None, None, None))
        async with aclosing(one.store.export_blocks(["all"])) as blocks:
            async for block in blocks:
                gaps.see(block.profile, block.label, block.points)
        assert gaps.sentences() == []


async def test_where_history_begins_is_looked_for_anew_on_another_grid(sqlite_url):
    async with open_core(sqlite_url, profile(agg_interval=DAILY)) as one:
        begins = int(USUAL[DAILY].floor(NOW - 30 * DAY).timestamp())
        edge = Edge(begins, None, "empty", "nothing", (NOW.timestamp(), NOW.timestamp()), NOW.timestamp())
        await one.store.set_edges({query(DAILY): edge})
        assert await one.store.edges([query(DAILY)]) == {query(DAILY): edge}
        await one.store.move_grid(EIGHT, NOW)
        assert await one.store.edges([query(DAILY)]) == {}


@pytest.mark.parametrize("grid", [EVENING, HALF_PAST], ids=lambda grid: f"{grid.interval} {grid}")
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "moved"])
async def test_what_retention_has_deleted_on_the_usual_grid_is_no_gap_on_another(sqlite_url, grid, known):
    """The first bucket that is kept is on record on the grid that was in force, until retention works again."""
    interval, since = grid.interval, NOW - 100 * DAY
    kept = RetentionSettings({interval: 40 * DAY})
    grids = {} if known else {interval: grid}
    async with open_core(sqlite_url, profile(agg_interval=interval, since=since), grids=grids) as one:
        if known:
            await passes(one, 1, days=0)
        await one.store.prune(kept, one.clock())
        if known:
            one.simulator.switch(grids={interval: grid})
            one.clock.advance(days=14)
        await passes(one, 3, hours=2)
        assert (await one.store.grids())[interval] == grid
        for _ in range(2):
            assert await find_gaps(one.store, one.profiles, one.clock()) == []
            window = Window(grid.floor(since), grid.floor(one.clock()))
            assert await one.store.gaps(query(interval), window, one.profiles[0].settle) == []
            before = len(one.requests)
            assert (await run_pass(one, fires=False, gaps=True)).complete
            assert len(one.requests) == before
            await one.store.prune(kept, one.clock())
