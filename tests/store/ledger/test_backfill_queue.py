"""The windows of a backfill, shared out among replicas: each is one's at a time, and settled once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from collector.model import Slice
from collector.store import (
    BackfillRequest,
    CompletedWindows,
    Fire,
    JobProgress,
    JobStatus,
    LeaseLost,
    NewReplica,
    Store,
    WorkItem,
)
from collector.store.ledger import backfills
from tests.harness.factories import DAY, HOUR, NOW, answer, batch, hours, profile, query, rows, saved, start_fetch
from tests.harness.postgres_proxy import Proxy
from tests.store.ledger.test_replicas import LONG, claim, expire, replicas

ALL = query()
WANTED = BackfillRequest(("all",), DAY, DAY + 8 * HOUR)
PIECES = [Slice(ALL, hours(start, start + 2)) for start in (0, 2, 4, 6)]


async def begun(store, pieces=PIECES, *, alone=False):
    job = await store.create_backfill(WANTED, NOW)
    return await store.enqueue_windows(job, pieces, alone=alone)


async def take(store, job, most=100, known=(ALL,)):
    def newest(free, _replicas):
        ordered = sorted(free, key=lambda piece: piece.window.end, reverse=True)
        return ordered[:most], ordered[most:]

    return await store.claim_windows(job, known, NOW, newest)


async def settle(store, job, done, failed=None, **counts):
    return (
        await store.complete_windows(CompletedWindows(job.id, done, failed or {}, JobProgress(**counts)))
    ).status.progress


async def test_a_job_is_planned_once_claimed_settled_and_ended(store_url):
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store)
        assert (job.status.state, job.status.progress.buckets) == ("running", 8)
        assert await store.enqueue_windows(job, [], alone=False) == job
        share = await take(store, job, most=3)
        assert (share.mine, share.left, share.again) == (tuple(reversed(PIECES[1:])), False, False)
        await settle(store, job, share.mine, requests=2, windows=3, buckets_done=6)
        assert await store.finish_backfill(job, 0, NOW) is None
        share = await take(store, job)
        assert share.mine == (PIECES[0],)
        await settle(store, job, share.mine, requests=1, windows=1, buckets_done=2)
        ended = await store.finish_backfill(job, 5, NOW)
        counts = JobProgress(buckets=8, buckets_done=8, requests=3, windows=4, gaps_remaining=5)
        assert (ended.status.state, ended.status.progress, ended.finished_at) == ("done", counts, NOW)
        assert await store.finish_backfill(job, 0, NOW) is None
        assert (await take(store, job)).mine == ()
        assert await rows(store, "SELECT count(*) FROM backfill_windows") == [(0,)]


async def test_what_failed_is_counted_and_named_at_the_end_the_newest_first(store_url):
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store)
        share = await take(store, job)
        half = Slice(ALL, hours(3, 4))
        await settle(store, job, share.mine, {PIECES[0]: "older", half: "newer"}, requests=4)
        ended = await store.finish_backfill(job, 3, NOW)
        assert (ended.status.state, ended.status.message) == ("failed", "newer")
        assert ended.status.progress.windows_failed == 2


async def test_windows_that_are_cut_anew_are_the_ones_on_record(store_url):
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store, [Slice(ALL, hours(0, 8))])
        share = await store.claim_windows(job, [ALL], NOW, lambda _free, _replicas: (PIECES[2:], PIECES[:2]))
        await settle(store, job, share.mine)
        assert sorted((await take(store, job)).mine, key=lambda piece: piece.window) == PIECES[:2]


async def test_windows_that_are_cut_anew_are_on_record_even_where_there_are_as_many_as_before(store_url):
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store, [Slice(ALL, hours(0, 4)), Slice(ALL, hours(4, 8))])
        mine, rest = Slice(ALL, hours(0, 2)), Slice(ALL, hours(2, 8))
        assert (await store.claim_windows(job, [ALL], NOW, lambda _free, _replicas: ([mine], [rest]))).mine == (mine,)
        await settle(store, job, [mine])
        assert (await take(store, job)).mine == (rest,)


async def test_a_claim_looks_at_no_more_than_the_newest_windows_unless_the_replica_is_alone(store_url, monkeypatch):
    monkeypatch.setattr(backfills, "_AT_ONCE", 2)
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store)
        assert (await take(store, job)).mine == (PIECES[3], PIECES[2])
        alone = await begun(store, alone=True)
        assert len((await store.claim_windows(alone, [ALL], NOW, None)).mine) == 4


async def test_what_nobody_here_knows_is_planned_anew_once_nobody_is_at_the_rest(store_url):
    async with Store.open(store_url, owner="run") as store:
        other = query(tld="com")
        job = await begun(store, [*PIECES, Slice(other, hours(0, 2))])
        share = await take(store, job)
        assert share.mine == tuple(reversed(PIECES))
        await settle(store, job, share.mine, requests=1)
        assert (await take(store, job)).job.status.state == "queued"
        again = await store.enqueue_windows(job, PIECES[:1], alone=False)
        assert (again.status.progress.requests, (await take(store, job)).mine) == (1, (PIECES[0],))


@pytest.mark.parametrize(("state", "ended"), [("stopped", "stopped"), ("failed", "failed")])
async def test_a_job_that_is_stopped_keeps_its_counts_and_no_windows(store_url, state, ended):
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store)
        await settle(store, job, (await take(store, job, most=1)).mine, requests=1)
        await store.stop_backfill(job, JobStatus(state, JobProgress(buckets_done=3), "told to"), NOW, 7)
        found = (await store.backfill(job.id)).status
        assert (found.state, found.message, found.progress.requests) == (ended, "told to", 1)
        assert (found.progress.buckets_done, found.progress.gaps_remaining) == (3, 7)
        assert (await take(store, job)).mine == ()


@pytest.mark.parametrize(("state", "failed"), [("done", {}), ("failed", {PIECES[0]: "why"})])
async def test_a_job_that_is_over_cannot_be_stopped(store_url, state, failed):
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store)
        await settle(store, job, (await take(store, job)).mine, failed, buckets_done=8)
        ended = await store.finish_backfill(job, 5, NOW)
        assert ended.status.state == state
        await store.stop_backfill(job, JobStatus("stopped", JobProgress(buckets_done=9), "told to"), NOW + HOUR, 7)
        assert await store.backfill(job.id) == ended


async def test_an_answer_is_counted_with_it_and_once(store_url):
    async with Store.open(store_url, owner="run") as store:
        job = await begun(store)
        assert job.status.progress.gaps_remaining is None
        asked = batch((ALL, hours(0, 4)))
        fetch_id = await start_fetch(store, asked)
        for _ in range(2):
            await store.save(fetch_id, asked, answer(asked, [1, 2, 3, 4]), NOW, 100, job_id=job.id)
        await saved(store, asked, [1, 2, 3, 5])
        counted = JobProgress(buckets=8, requests=1, windows=1, points_inserted=4)
        assert (await store.backfill(job.id)).status.progress == counted
        more = await store.add_progress(job, JobProgress(requests=2, points_ignored=3))
        more = await store.add_progress(job, JobProgress(points_ignored=4))
        assert (more.status.progress.requests, more.status.progress.points_ignored) == (3, 7)
        assert [one.status for one in await store.list_backfills()] == [more.status]


async def test_of_many_that_claim_at_once_each_window_has_one(postgres_url):
    pieces = [Slice(ALL, hours(start, start + 1)) for start in range(60)]
    async with replicas(postgres_url, "a", "b", "c") as opened:
        job = await begun(opened[0], pieces)

        async def work(store):
            mine = []
            while share := (await take(store, job, most=4)).mine:
                mine += share
                await settle(store, job, share, requests=1, windows=len(share))
            return mine

        found = await asyncio.gather(*map(work, opened))
        assert sorted((piece for mine in found for piece in mine), key=lambda piece: piece.window) == pieces
        progress = (await opened[0].backfill(job.id)).status.progress
        assert (progress.requests, progress.windows) == (15, 60)
        ended = await asyncio.gather(*(store.finish_backfill(job, 0, NOW) for store in opened))
        assert len([one for one in ended if one]) == 1


async def test_what_a_buried_replica_was_at_is_free_and_it_settles_nothing(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        job = await begun(a)
        mine = (await take(a, job, most=3)).mine
        share = await take(b, job)
        assert share.mine == (PIECES[0],)
        await settle(b, job, share.mine)
        share = await take(b, job)
        assert (share.mine, share.left) == ((), True)
        assert await b.finish_backfill(job, 0, NOW) is None
        expire(postgres_url, "a")
        share = await take(b, job)
        assert (share.mine, share.again) == (mine, True)
        with pytest.raises(LeaseLost):
            await settle(a, job, mine, requests=9)
        with pytest.raises(LeaseLost):
            await take(a, job)
        assert (await settle(b, job, share.mine, requests=1)).requests == 1


async def test_a_replica_does_not_settle_the_windows_of_another(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        job = await begun(a)
        mine = (await take(a, job)).mine
        assert (await settle(b, job, mine, requests=9)).requests == 0
        assert (await settle(a, job, mine[:1], requests=1)).requests == 1
        assert (await take(a, job)).mine == mine[1:]


async def test_nobody_takes_a_window_of_one_who_is_alone_at_a_job(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        job = await begun(a, alone=True)
        share = await take(b, job)
        assert (share.mine, share.left) == ((), True)
        assert len((await take(a, job)).mine) == 4


async def test_a_series_that_a_replica_does_not_know_is_left_to_those_that_do(postgres_url):
    async with replicas(postgres_url, "a", "b") as (a, b):
        job = await begun(a)
        assert len((await take(a, job, most=1)).mine) == 1
        share = await take(b, job, known=[query(tld="com")])
        assert (share.mine, share.left, share.job.status.state) == ((), True, "running")


async def test_a_lost_reply_to_a_commit_counts_and_claims_nothing_twice(postgres_url):
    proxy = Proxy(postgres_url)
    async with proxy.serving() as url, Store.open(url, owner="run") as store:
        await store.register(NewReplica("a", "1.0", ["all"], LONG))
        job = await store.create_backfill(WANTED, NOW)
        proxy.cuts = 1
        job = await store.enqueue_windows(job, PIECES, alone=False)
        proxy.cuts = 1
        share = await take(store, job, most=2)
        proxy.cuts = 1
        progress = await settle(store, job, share.mine, requests=2, windows=2, buckets_done=4)
        assert (proxy.cut, progress) == (3, replace(JobProgress(buckets=8), requests=2, windows=2, buckets_done=4))
        assert (await take(store, job)).mine == tuple(reversed(PIECES[:2]))


async def test_a_pass_whose_commit_got_no_reply_is_finished_once(postgres_url):
    proxy = Proxy(postgres_url)
    async with proxy.serving() as url, Store.open(url, owner="run") as store:
        await store.register(NewReplica("a", "1.0", ["all"], LONG))
        await store.activate_labels([profile()], NOW)
        assert await claim(store) == ("all",)
        proxy.cuts = 1
        await store.finish([Fire("all", DAY, "failed", NOW, "why")], [WorkItem("all", DAY, None, 1, "why", NOW)])
        assert proxy.cut == 1
        assert [fire.outcome for fire in await store.list_fires()] == ["failed"]
        with pytest.raises(LeaseLost):
            await store.finish([], [WorkItem("all", DAY, NOW + timedelta(hours=1))])


async def test_jobs_leave_nothing_behind_but_their_own_row(postgres_url):
    async with replicas(postgres_url, "a") as (a,):
        job = await begun(a)
        await settle(a, job, (await take(a, job)).mine)
        await a.finish_backfill(job, 0, NOW)
        with psycopg.connect(postgres_url) as connection:
            left = "SELECT (SELECT count(*) FROM duties), (SELECT count(*) FROM backfill_windows)"
            assert connection.execute(left).fetchone() == (0, 0)
