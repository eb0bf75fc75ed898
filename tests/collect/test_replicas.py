"""Several workers on one Postgres share the fires, and take over those of a dead one."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg

from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.lease import hold_lease
from collector.collect.maintenance import do_backfills
from collector.collect.planning import packing
from collector.collect.worker import ProfileWorker
from collector.model import DATASET, RequestKind
from collector.settings import load
from collector.store import BackfillRequest, JobStatus, Store
from tests.harness.collect_core import HOUR, NOW, NoWaitFetcher, open_core
from tests.harness.factories import many, profile

LEASE = timedelta(minutes=5)
DUE = HOUR.floor(NOW)


@asynccontextmanager
async def replica(core, url, *profiles, lease=LEASE):
    """Another replica beside those of *core*, with its own store and memory."""
    stop = asyncio.Event()
    async with Store.open(url, owner="run") as store, hold_lease(store, profiles, lease, stop):
        await store.activate_labels(profiles, core.clock())
        fetcher = NoWaitFetcher(core.fetcher.radar, store, limit=600, stop=stop, clock=core.clock)
        yield ProfileWorker(profiles, store, BatchRunner(fetcher, 4)), store, stop


def test_a_share_fills_whole_requests():
    profiles = [profile(f"p{number}") for number in range(10)]
    assert [profile.name for profile in packing.fair_share(profiles, 1, 3)] == [profile.name for profile in profiles]
    assert len(packing.fair_share(profiles, 5, 1)) == 2
    assert len(packing.fair_share(profiles, 5, 4)) == 4
    assert len(packing.fair_share(profiles, 2, 20)) == 10
    assert len(packing.fair_share([many(50), many(50)], 2, 20)) == 1
    assert packing.fair_share([], 2, 20) == []


async def test_every_due_moment_is_handled_once_with_one_request(postgres_url):
    profiles = [profile(f"p{number}", filters={"ca": (f"CA {number}",)}) for number in range(12)]
    async with (
        open_core(postgres_url, *profiles, series_per_request=2, patience=60) as core,
        replica(core, postgres_url, *profiles) as (a, *_),
        replica(core, postgres_url, *profiles) as (b, *_),
    ):
        await a.run_due()  # learns the limit, once
        for _ in range(10):
            core.clock.advance(hours=1)
            seen = len(core.requests)
            await asyncio.gather(a.run_due(), b.run_due())
            assert len(core.requests) - seen == 6
        fires = await core.store.list_fires(limit=None)
        assert Counter(fire.due for fire in fires) == {DUE + timedelta(hours=n): 12 for n in range(11)}
        assert {fire.outcome for fire in fires} == {"collected"}


async def test_fires_that_other_replicas_finished_during_a_long_pass_are_not_repeated(postgres_url, monkeypatch):
    profiles = [profile(f"p{number}", filters={"ca": (f"CA {number}",)}) for number in range(12)]
    async with (
        open_core(postgres_url, *profiles, series_per_request=2) as core,
        replica(core, postgres_url, *profiles) as (a, *_),
        replica(core, postgres_url, *profiles) as (b, *_),
    ):
        await b._batch_runner.limits(RequestKind(DATASET, HOUR))
        await a.run_due()  # learns the limit, for b too
        core.clock.advance(hours=1)
        seen, its_own = len(core.requests), a._pass

        async def a_long_one(duties, now):
            complete = await its_own(duties, now)
            core.clock.advance(minutes=5)
            await b.run_due()
            return complete

        monkeypatch.setattr(a, "_pass", a_long_one)
        await a.run_due()
        assert [received.status for received in core.requests[seen:]] == [200] * 6


async def test_claims_of_a_dead_replica_are_taken_over_when_its_lease_expires(postgres_url):
    async with (
        open_core(postgres_url, profile()) as core,
        replica(core, postgres_url, profile()) as (_, dead, _),
        replica(core, postgres_url, profile()) as (b, store, _),
    ):
        await dead.claim("profile", ["all"], core.clock(), lambda free, _: [item.name for item in free])
        assert await b.run_due()
        assert b._others_hold_due
        assert await store.list_fires() == []
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            expired = "UPDATE replicas SET expires_at = clock_timestamp() WHERE id = %s"
            connection.execute(expired, [dead._replica_id])
        assert await b.run_due()
        assert [fire.outcome for fire in await store.list_fires()] == ["collected"]
        assert not b._others_hold_due


async def test_the_health_of_a_profile_is_known_to_all_replicas(postgres_url):
    async with (
        open_core(postgres_url, profile()) as core,
        replica(core, postgres_url, profile()) as (a, *_),
        replica(core, postgres_url, profile()) as (b, *_),
    ):
        await a.run_due()
        await b.run_due()
        assert b.health["all"].success == a.health["all"].success is not None
        assert len(core.requests) == 1


async def test_a_replica_that_lost_its_lease_stops(postgres_url):
    async with (
        open_core(postgres_url, profile()) as core,
        replica(core, postgres_url, profile(), lease=timedelta(seconds=1)) as (_, store, stop),
    ):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DELETE FROM replicas WHERE id = %s", [store._replica_id])
        await asyncio.wait_for(stop.wait(), 10)


async def test_a_job_that_another_replica_has_finished_is_not_repeated(postgres_url, monkeypatch, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[[profiles]]\nname = "all"\nagg_interval = "1h"\n')
    settings = load(str(path), environ={}, now=NOW)
    async with open_core(postgres_url, *settings.profiles) as core:
        job = await core.store.create_backfill(
            BackfillRequest(("all",), NOW.replace(minute=0) - 2 * HOUR.step, NOW), NOW
        )
        looks = [await core.store.open_backfills(), []]
        done = JobStatus("done", job.status.progress, "another replica has done it")
        await core.store.stop_backfill(job, done, NOW)

        async def as_seen_before():
            if len(looks) == 1:
                core.fetcher.stop.set()
            return looks.pop(0)

        monkeypatch.setattr(core.store, "open_backfills", as_seen_before)
        await do_backfills(settings, core.batch_runner, asyncio.Event())
        assert core.requests == []
        assert (await core.store.backfill(job.id)).status.state == "done"
