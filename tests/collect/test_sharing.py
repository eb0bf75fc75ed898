"""Several replicas run one backfill: they share its windows, send no extra requests, and end it once."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from collector.collect.backfill import BackfillRunner
from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.lease import hold_lease
from collector.collect.planning.packing import take_chunk
from collector.collect.planning.request_limits import Rejection, Size, initial_limits, measured
from collector.interval import AggInterval
from collector.model import DATASET, RequestKind, Slice, Window
from collector.store import LeaseLost, Store, backfill_request
from collector.store.admin import commands
from tests.harness import faults
from tests.harness.collect_core import DAY, HOUR, NOW, NoWaitFetcher, open_core
from tests.harness.factories import many, profile, query

MIDNIGHT = NOW.replace(hour=0, minute=0)
START = MIDNIGHT - 42 * DAY
LIMITS = {"series_per_request": 5, "max_span": dict.fromkeys(AggInterval, 7 * DAY)}
OWNERS = many(12)
LEASE = timedelta(minutes=5)


@asynccontextmanager
async def replica(core, *profiles):
    """Another replica on the store of *core*. Yields its backfill runner."""
    stop = asyncio.Event()
    async with Store.open(core.url, owner="run") as store, hold_lease(store, profiles, LEASE, stop):
        await store.activate_labels(profiles, core.clock())
        fetcher = NoWaitFetcher(core.fetcher.radar, store, limit=6000, stop=stop, clock=core.clock)
        yield BackfillRunner(store, BatchRunner(fetcher, 2), shares=True)


@asynccontextmanager
async def replicas(url, count, *profiles, **options):
    async with open_core(url, *profiles, limit=6000, **{**LIMITS, **options}) as core, AsyncExitStack() as stack:
        core.url = url
        yield core, [await stack.enter_async_context(replica(core, *profiles)) for _ in range(count)]


async def job_of(core, *names, force=False):
    order = backfill_request(names or ["many"], START, MIDNIGHT, core.clock(), force=force)
    return await core.store.create_backfill(order, core.clock())


async def take_part(backfill_runner, job, profiles):
    """Run the job as a daemon does until it has ended. Returns the JobStatus if this runner ended it."""
    while True:
        standing = await backfill_runner.run(job, profiles)
        job_now = await backfill_runner._store.backfill(job.id)
        if standing or job_now.status.ended:
            return standing
        await asyncio.sleep(0.02)


def asked_twice(core):
    """Return the buckets that were answered more than once."""
    answered = [series for received in core.requests if received.status == 200 for series in received.request.series]
    counts = Counter(
        (series.query, start) for series in answered for start in range(series.start, series.end, HOUR.seconds)
    )
    return [bucket for bucket, count in counts.items() if count > 1]


async def alone(url, *profiles, **options):
    """Run the same job in one process. Returns the number of requests, the JobStatus and the digest."""
    async with open_core(url, *profiles, limit=6000, **{**LIMITS, **options}) as core:
        job = await job_of(core, *(profile.name for profile in profiles))
        standing = await BackfillRunner(core.store, core.batch_runner).run(job, profiles)
        return len(core.requests), standing, commands.digest(url)


async def test_three_replicas_do_a_job_with_the_same_result_as_one(postgres_url, sqlite_url):
    requests, standing, digest = await alone(sqlite_url, OWNERS)
    async with replicas(postgres_url, 3, OWNERS) as (core, backfillers):
        job = await job_of(core)
        ended = await asyncio.gather(*(take_part(runner, job, [OWNERS]) for runner in backfillers))
        (last,) = [status for status in ended if status]
        assert (last.state, last.message) == ("done", None)
        assert last.progress.points_inserted == standing.progress.points_inserted == 12 * 42 * 24
        assert last.progress.requests == len(core.requests) <= requests + 3 * 4
        assert asked_twice(core) == []
        askers = await core.store.list_fetches(limit=None)
        assert len(askers) == len(core.requests)
    assert commands.digest(postgres_url) == digest


async def test_every_refused_request_is_counted_however_often_the_progress_is_written(sqlite_url, monkeypatch):
    monkeypatch.setattr("collector.collect.backfill._REPORT_EVERY", -1)
    async with open_core(sqlite_url, OWNERS, limit=6000, **LIMITS) as core:
        await BackfillRunner(core.store, core.batch_runner).run(job := await job_of(core), [OWNERS])
        assert {received.status for received in core.requests} > {200}
        assert (await core.store.backfill(job.id)).status.progress.requests == len(core.requests)


async def test_the_others_request_only_the_windows_that_a_dead_replica_had_claimed(postgres_url, sqlite_url):
    """It dies after some of its answers were saved and before it recorded their windows as done."""
    _, standing, digest = await alone(sqlite_url, OWNERS)
    async with replicas(postgres_url, 3, OWNERS) as (core, (*backfillers, dead)):
        job = await job_of(core)
        sent = len(core.requests)
        stopped_short = dead._store.complete_windows

        async def dies(settled):
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                expired = "UPDATE replicas SET expires_at = clock_timestamp() WHERE id = %s"
                connection.execute(expired, [dead._store._replica_id])
            await backfillers[0]._store.renew_lease(LEASE, core.clock())
            return await stopped_short(settled)

        dead._store.complete_windows = dies
        with pytest.raises(LeaseLost):
            await dead.run(job, [OWNERS])
        saved = len(core.requests) - sent
        ended = await asyncio.gather(*(take_part(runner, job, [OWNERS]) for runner in backfillers))
        (last,) = [status for status in ended if status]
        assert (last.state, last.progress.buckets_done) == ("done", standing.progress.buckets_done)
        assert last.progress.gaps_remaining == 0
        assert saved > 0
        assert asked_twice(core) == []
    assert commands.digest(postgres_url) == digest


async def test_failed_windows_of_a_shared_job_have_the_same_reason(postgres_url, sqlite_url):
    bad = int((MIDNIGHT - 30 * DAY).timestamp())

    def ill(received):
        series = received.request.series if received.request else ()
        return (
            faults.api_error(400, 2000) if any(requested.start <= bad < requested.end for requested in series) else None
        )

    async def failed(url, count):
        async with replicas(url, count, OWNERS) as (core, backfillers):
            core.script(ill)
            job = await job_of(core)
            runners = backfillers or [BackfillRunner(core.store, core.batch_runner)]
            ended = await asyncio.gather(*(take_part(runner, job, [OWNERS]) for runner in runners))
            (last,) = [status for status in ended if status]
            return last.state, last.message, last.progress.gaps_remaining, last.progress.points_inserted

    assert await failed(postgres_url, 2) == await failed(sqlite_url, 0)


async def test_a_replica_without_the_profile_of_a_job_leaves_it_to_the_others(postgres_url):
    async with replicas(postgres_url, 1, OWNERS) as (core, (knows,)), replica(core, profile("other")) as knows_not:
        job = await job_of(core)
        assert await knows_not.run(job, [profile("other")]) is None
        assert (await knows.run(job, [OWNERS])).state == "done"


async def test_other_replicas_do_not_join_the_job_of_a_command(postgres_url):
    async with replicas(postgres_url, 1, OWNERS) as (core, (helper,)), replica(core, OWNERS) as command:
        command._shares = False
        job = await command._plan(await job_of(core), [OWNERS])
        assert await helper.run(job, [OWNERS]) is None
        assert core.requests == []
        assert (await command.run(job, [OWNERS])).state == "done"


def test_a_portion_is_whole_requests_and_only_one_while_their_size_is_unproven():
    slices = [Slice(series.query, Window(START, START + 62 * DAY)) for series in many(50).series]
    daily = Slice(query(AggInterval.ONE_DAY), Window(START, START + 62 * DAY))
    known = {RequestKind(DATASET, interval): initial_limits(interval) for interval in AggInterval}
    hourly = RequestKind(DATASET, HOUR)
    mine, rest = take_chunk([daily, *slices], known, 16)
    assert (len(mine), len(rest)) == (100, 1)
    known[hourly] = replace(known[hourly], rejected=(Rejection(Size(31 * DAY, 50), "refused"),))
    mine, _ = take_chunk([daily, *slices], known, 3)
    assert len(mine) == 20
    mine, rest = take_chunk([daily, *slices], {**known, hourly: measured(HOUR, 31 * DAY, 50, now=START)}, 1)
    assert {piece.window for piece in mine} == {Window(START + 31 * DAY, START + 62 * DAY)}
    assert daily in rest
    assert take_chunk([daily], known, 16) == ([daily], [])


@pytest.mark.parametrize("count", [0, 2])
async def test_only_the_newest_window_is_stored_of_values_that_are_relative_to_one_answer(
    sqlite_url, postgres_url, count
):
    """Also in a forced backfill, and with several replicas."""
    three, week = many(3), Window(MIDNIGHT - 7 * DAY, MIDNIGHT)
    async with replicas(postgres_url if count else sqlite_url, count, three, normalization="MIN_MAX") as (
        core,
        runners,
    ):
        backfillers = runners or [BackfillRunner(core.store, core.batch_runner)]
        for force in [False, True, True]:
            core.clock.advance(minutes=1)
            sent, job = len(core.requests), await job_of(core, force=force)
            await asyncio.gather(*(take_part(runner, job, [three]) for runner in backfillers))
            assert (await core.store.backfill(job.id)).status.state == "done"
            assert {*(await core.store.extents([series.query for series in three.series])).values()} == {week}
            assert len(core.requests) - sent == 3 or not force
