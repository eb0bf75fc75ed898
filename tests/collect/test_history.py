"""History as it grows: what a day costs, what was known when, what is missing and why."""

from collections import defaultdict
from datetime import datetime, timedelta

import pytest

from collector.collect.backfill import BackfillRunner
from collector.collect.one_pass import collect
from collector.collect.worker import ProfileWorker
from collector.interval import AggInterval
from collector.model import Annotation, Window
from collector.report.gaps import find_gaps
from collector.simulator import GapChange, NormalizationChange, RevisionChange, WithdrawalChange
from collector.store import backfill_request
from tests.harness import faults
from tests.harness.collect_core import DAY, NOW, open_core, run_pass
from tests.harness.factories import many, profile

QUARTER = AggInterval.FIFTEEN_MINUTES
MIDNIGHT = NOW.replace(hour=0, minute=0)


async def exported(store, **chosen):
    return [row async for row in store.export(**chosen)]


async def run_backfill(opened, start, end=None, *, force=False):
    order = backfill_request([profile.name for profile in opened.profiles], start, end, opened.clock(), force=force)
    job = await opened.store.create_backfill(order, opened.clock())
    return await BackfillRunner(opened.store, opened.batch_runner).run(job, opened.profiles)


@pytest.mark.parametrize("fires", [24, pytest.param(96, marks=pytest.mark.campaign)])
async def test_50_series_cost_one_batch_of_each_fire_and_one_daily_re_read(sqlite_url, fires):
    of_fifty = many(50, agg_interval=QUARTER)
    async with open_core(sqlite_url, of_fifty, series_per_request=20) as opened:
        await collect([of_fifty], opened.clock(), opened.store, opened.batch_runner)
        before = len(opened.requests)
        for _ in range(fires):
            opened.clock.advance(minutes=15)
            collected = await collect([of_fifty], opened.clock(), opened.store, opened.batch_runner)
            assert collected.complete
        windows_of_a_re_read = 3  # fourteen days and a bit on a grid of weeks
        assert len(opened.requests) - before <= fires * 3 + 3 * windows_of_a_re_read
        assert {len(points) for points in (await opened.stored()).values()} == {96 + 48 + fires}


async def test_as_of_returns_the_values_that_were_served_by_that_moment(store_url):
    hourly = profile(since=MIDNIGHT - 2 * DAY)
    async with open_core(store_url, hourly, revised_for=timedelta(days=3), lag=timedelta(minutes=45)) as opened:
        served = []
        for _ in range(18):
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner, gaps=True)
            served.append((opened.clock(), await exported(opened.store)))
            opened.clock.advance(hours=4)
        assert served[0][1] != served[-1][1]
        assert await opened.store.list_revisions()
        for moment, rows in served:
            assert await exported(opened.store, as_of=moment) == rows
            assert await exported(opened.store, as_of=moment + timedelta(minutes=239)) == rows
        assert await exported(opened.store, as_of=served[0][0] - timedelta(seconds=1)) == []


async def test_a_withdrawn_annotation_is_kept_with_the_moment_of_its_withdrawal(store_url):
    outage = Annotation(
        MIDNIGHT - DAY, MIDNIGHT, "CT", "OUTAGE", "A log went away", "https://example.com/", is_instantaneous=False
    )
    hourly = profile()
    async with open_core(store_url, hourly, annotations=(outage,)) as opened:
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        first = opened.clock()
        opened.simulator.change(WithdrawalChange(outage, since=opened.clock().timestamp() + 60))
        opened.clock.advance(hours=1)
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        (row,) = await opened.store.list_annotations()
        assert (row.description, row.first_seen_at, row.withdrawn_at) == ("A log went away", first, opened.clock())


async def test_an_upstream_gap_is_proven_within_three_days_and_then_costs_nothing(store_url):
    hourly = profile()
    hole = Window(MIDNIGHT - 40 * DAY, MIDNIGHT - 39 * DAY)
    async with open_core(store_url, hourly) as opened:
        opened.simulator.change(GapChange(hole))
        assert (await run_backfill(opened, MIDNIGHT - 60 * DAY)).state == "done"
        costs = []
        for _ in range(24 * 4):
            opened.clock.advance(hours=1)
            before = len(opened.requests)
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
            costs += [len(opened.requests) - before]
            (gap, *_) = await find_gaps(opened.store, [hourly], opened.clock())
            assert (gap.start, gap.end, gap.buckets) == (hole.start, hole.end, 24)
            assert gap.reason == ("upstream" if len(costs) >= 48 else "missing")
        assert (sum(costs), sum(costs[:3]), costs[47]) == (2, 1, 1)


async def test_an_explicit_backfill_asks_for_a_proven_gap_again(store_url):
    hourly = profile()
    hole = Window(MIDNIGHT - 40 * DAY, MIDNIGHT - 39 * DAY)
    async with open_core(store_url, hourly) as opened:
        opened.simulator.change(GapChange(hole))
        await run_backfill(opened, MIDNIGHT - 60 * DAY)
        for _ in range(3):
            opened.clock.advance(days=1)
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
        (gap, *_) = await find_gaps(opened.store, [hourly], opened.clock())
        assert gap.reason == "upstream"
        assert (await run_backfill(opened, MIDNIGHT - 60 * DAY)).progress.requests > 0


async def test_a_window_that_always_fails_with_500_is_reported_and_the_rest_is_complete(store_url):
    hourly = profile()
    async with open_core(store_url, hourly, max_span={**dict.fromkeys(AggInterval, 7 * DAY)}) as opened:
        bad = MIDNIGHT - 30 * DAY

        def ill(received):
            is_hit = received.request and any(
                series.start <= bad.timestamp() < series.end for series in received.request.series
            )
            return faults.api_error(500, 2000) if is_hit else None

        opened.script(ill)
        done = await run_backfill(opened, MIDNIGHT - 60 * DAY)
        assert done.state == "failed"
        assert "500" in done.message
        (gap,) = await find_gaps(opened.store, [hourly], opened.clock())
        assert gap.reason == "missing"
        assert gap.start <= bad < gap.end
        assert gap.buckets <= 7 * 24
        assert done.progress.windows_failed == 1


async def test_the_next_pass_catches_up_after_a_day_of_downtime(store_url):
    hourly = profile()
    async with open_core(store_url, hourly) as opened:
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        opened.clock.advance(days=3)
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        assert await find_gaps(opened.store, [hourly], opened.clock()) == []
        window = Window(MIDNIGHT - DAY, hourly.agg_interval.floor(opened.clock()))
        assert (await opened.stored())["all"] == opened.truth(hourly.series[0].query, window)


async def test_a_forced_backfill_requests_stored_buckets_and_writes_nothing_new(store_url):
    hourly = profile()
    async with open_core(store_url, hourly) as opened:
        first = await run_backfill(opened, MIDNIGHT - 10 * DAY)
        opened.clock.advance(seconds=1)
        forced = await run_backfill(opened, MIDNIGHT - 10 * DAY, force=True)
        assert forced.progress.requests > 0
        assert forced.progress.points_unchanged == first.progress.points_inserted
        assert (forced.progress.points_inserted, forced.progress.points_revised) == (0, 0)


async def test_a_stopped_backfill_continues_where_it_stopped(store_url):
    hourly = profile()
    async with open_core(
        store_url, hourly, concurrency=1, series_per_request=1, max_span={**dict.fromkeys(AggInterval, DAY)}
    ) as opened:
        order = backfill_request(["all"], MIDNIGHT - 20 * DAY, MIDNIGHT, opened.clock(), force=True)
        job = await opened.store.create_backfill(order, opened.clock())

        def stop_after_the_third(standing):
            if standing.progress.requests > 3:
                opened.fetcher.stop.set()

        half = await BackfillRunner(opened.store, opened.batch_runner, stop_after_the_third).run(job, opened.profiles)
        assert half.state == "running"
        opened.restart()
        opened.clock.advance(seconds=5)
        rest = await BackfillRunner(opened.store, opened.batch_runner).run(
            (await opened.store.open_backfills())[0], opened.profiles
        )
        assert rest.state == "done"
        assert rest.progress.points_unchanged == 0, "nothing was asked twice, though all was forced"
        window = Window(MIDNIGHT - 20 * DAY, MIDNIGHT)
        assert (await opened.stored())["all"] == opened.truth(hourly.series[0].query, window)


async def test_a_job_for_a_removed_profile_fails_with_a_message(sqlite_url):
    async with open_core(sqlite_url, profile()) as opened:
        order = backfill_request(["gone"], MIDNIGHT - DAY, None, opened.clock(), force=False)
        job = await opened.store.create_backfill(order, opened.clock())
        done = await BackfillRunner(opened.store, opened.batch_runner).run(job, opened.profiles)
        assert (done.state, done.message) == ("failed", "no such profile: gone")


async def test_a_renamed_profile_keeps_its_history_and_a_changed_filter_starts_a_new_one(store_url):
    async with open_core(store_url, profile("old")) as opened:
        await run_pass(opened)
        before = await opened.stored()
        await opened.activate_labels(profile("new"))
        assert await opened.stored() == {"new": before["old"]}
        changed = profile("new", filters={"tld": ("com",)})
        await opened.activate_labels(changed)
        await collect([changed], opened.clock(), opened.store, opened.batch_runner)
        assert (await opened.stored())["new"] != before["old"]
        assert sorted(row.points for row in await opened.store.list_series()) == [36, 36]


async def test_values_before_and_after_a_change_of_normalization_are_never_mixed(store_url):
    hourly = profile()
    async with open_core(store_url, hourly) as opened:
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        opened.simulator.change(NormalizationChange("PERCENTAGE", "percent", since=opened.clock().timestamp() + 60))
        for _ in range(2):
            opened.clock.advance(hours=1)
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        assert [(row.normalization, row.active) for row in await opened.store.list_series()] == [
            ("RAW_VALUES", False),
            ("PERCENTAGE", True),
        ]
        values = defaultdict(list)
        async for block in opened.store.export_blocks():
            values[block.normalization] += [value for _, value in block.points]
        assert all(0 <= value <= 100 for value in values["PERCENTAGE"])
        assert all(value > 100 for value in values["RAW_VALUES"])


async def test_values_that_are_relative_to_one_answer_stand_alone(store_url):
    three = many(3, since=MIDNIGHT - 30 * DAY)
    async with open_core(store_url, three, normalization="MIN_MAX") as opened:
        await collect([three], opened.clock(), opened.store, opened.batch_runner, gaps=True)
        opened.clock.advance(days=20)
        await collect([three], opened.clock(), opened.store, opened.batch_runner, gaps=True)
        assert {received.series for received in opened.requests if received.status == 200} <= {1, 3}
        for row in await opened.store.list_series():
            fetched = [fetch for fetch in await opened.store.list_fetches() if fetch.outcome == "ok"]
            assert row.points <= max(fetch.inserted + fetch.revised + fetch.unchanged for fetch in fetched)
        assert await opened.store.list_revisions(), "what the first answer said is past, not gone"


@pytest.mark.parametrize("start", [NOW + DAY, NOW])
def test_history_of_the_future_is_refused(start):
    with pytest.raises(ValueError, match="does not lie before now"):
        backfill_request(["all"], start, None, NOW, force=False)


def test_an_end_before_the_start_is_refused():
    with pytest.raises(ValueError, match="does not lie before end 2026-01-01T00:00:00Z"):
        backfill_request(
            ["all"], datetime(2026, 2, 1, tzinfo=NOW.tzinfo), datetime(2026, 1, 1, tzinfo=NOW.tzinfo), NOW, force=False
        )


async def test_the_day_that_has_just_ended_is_stored_within_the_hour_although_radar_lags(sqlite_url):
    daily = profile(agg_interval=AggInterval.ONE_DAY)
    async with open_core(sqlite_url, daily, lag=timedelta(minutes=45)) as opened:
        opened.clock.now = MIDNIGHT + DAY + timedelta(minutes=2)
        worker = ProfileWorker([daily], opened.store, opened.batch_runner)
        assert await worker.run_due()
        passes = 1
        while (seconds := worker._seconds(failures=0)) is not None:
            opened.clock.advance(seconds=seconds)
            await worker.run_due()
            passes += 1
        assert opened.clock() < MIDNIGHT + DAY + timedelta(minutes=75)
        assert passes <= 3
        assert int(MIDNIGHT.timestamp()) in (await opened.stored())["all"]
        assert len(await opened.store.list_fires()) == 1


@pytest.mark.parametrize("late", [MIDNIGHT, NOW + 100 * DAY], ids=["today", "in the future"])
async def test_values_before_since_are_read_again_until_they_are_final(store_url, late):
    early, hourly = profile(since=MIDNIGHT - 10 * DAY), profile(since=late)
    async with open_core(store_url, early) as opened:
        await run_backfill(opened, MIDNIGHT - 10 * DAY)
        await opened.activate_labels(hourly)
        old = Window(MIDNIGHT - 10 * DAY, MIDNIGHT)
        opened.simulator.change(RevisionChange(old, 1, since=(opened.clock() + 3 * DAY).timestamp()))
        for _ in range(16):
            opened.clock.advance(days=1)
            await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        stored = (await opened.stored())["all"]
        assert {t: stored[t] for t in stored if t < MIDNIGHT.timestamp()} == opened.truth(hourly.series[0].query, old)


async def kept_for(opened, hourly, days):
    """Collect and heal twice a day. Returns the reasons of the gaps, and the number of requests of the last day."""
    for _ in range(2 * days):
        before = len(opened.requests)
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner)
        await collect([hourly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
        opened.clock.advance(hours=12)
    gaps = await find_gaps(opened.store, [hourly], opened.clock() - timedelta(hours=12))
    return [gap.reason for gap in gaps], len(opened.requests) - before


@pytest.mark.parametrize("interval", [AggInterval.ONE_HOUR, AggInterval.ONE_DAY])
@pytest.mark.parametrize("days", [1, 3])
async def test_a_history_that_begins_a_few_days_after_since_has_no_gap_before_it(store_url, interval, days):
    kept = profile(agg_interval=interval, since=MIDNIGHT - 60 * DAY, settle=4 * DAY)
    async with open_core(store_url, kept, data_since=kept.since + days * DAY) as opened:
        assert await kept_for(opened, kept, 4) == ([], 1)
        (edge,) = (await opened.store.edges([series.query for series in kept.series])).values()
        assert (edge.begins, edge.is_accepted) == ((kept.since + days * DAY).timestamp(), True)


async def test_the_end_that_a_truncated_answer_lacks_is_requested_alone(store_url):
    def cap(document):
        series = document["result"]["serie_0"]
        series.update({name: series[name][:600] for name in ("timestamps", "values")})

    hourly = profile(since=MIDNIGHT - 60 * DAY, settle=4 * DAY)
    async with open_core(store_url, hourly) as opened:
        opened.script(faults.edit("600 values at most", cap).only(lambda received: received.series == 1).always())
        assert await kept_for(opened, hourly, 2) == ([], 1)


async def test_a_gap_in_a_history_of_three_weeks_is_proven(store_url):
    monday = MIDNIGHT - timedelta(days=MIDNIGHT.weekday())
    weekly = profile(agg_interval=AggInterval.ONE_WEEK, since=monday - 21 * DAY, settle=DAY)
    async with open_core(store_url, weekly) as opened:
        opened.simulator.change(GapChange(Window(monday - 14 * DAY, monday - 7 * DAY)))
        await collect([weekly], opened.clock(), opened.store, opened.batch_runner)
        for _ in range(8):
            await collect([weekly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
            opened.clock.advance(hours=12)
        gaps = await find_gaps(opened.store, [weekly], opened.clock())
        before = len(opened.requests)
        await collect([weekly], opened.clock(), opened.store, opened.batch_runner, fires=False, gaps=True)
        assert ([gap.reason for gap in gaps], len(opened.requests) - before) == (["upstream"], 0)
