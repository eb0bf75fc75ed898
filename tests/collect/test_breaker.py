"""A Radar that is down gets one request a minute from all profiles together, until it answers again."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import pairwise

from collector.circuit_breaker import BREAKER_THRESHOLD
from collector.collect.one_pass import collect
from collector.interval import AggInterval
from collector.radar.client import RadarClient
from collector.radar.errors import Unavailable
from collector.settings import Credentials, Secret
from tests.collect.test_replicas import replica
from tests.harness import faults
from tests.harness.collect_core import batch, open_core, run_pass
from tests.harness.factories import profile

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
PROFILES = [profile(interval.name, interval) for interval in AggInterval]


async def test_a_radar_that_is_down_is_asked_once_a_minute_by_all_profiles_together(sqlite_url):
    async with open_core(sqlite_url, *PROFILES) as core:
        core.script(faults.html(503).always())
        for _ in range(20):
            passes = (collect([profile], core.clock(), core.store, core.batch_runner) for profile in PROFILES)
            done = await asyncio.gather(*passes)
            assert not any(result.complete for result in done)
            core.clock.advance(seconds=20)
        sent_at = [received.at for received in core.requests]
        assert len(sent_at) > BREAKER_THRESHOLD + 10
        assert all(later - earlier >= 60 for earlier, later in pairwise(sent_at[BREAKER_THRESHOLD + 2 :]))
        assert await core.outcomes() == ["unavailable"] * len(sent_at)
        core.simulator.clear_script()
        passes = (collect([profile], core.clock(), core.store, core.batch_runner) for profile in PROFILES)
        assert all(result.complete for result in await asyncio.gather(*passes))
        assert (core.requests[len(sent_at)].at - sent_at[-1]) <= 60


async def test_one_pass_does_not_probe_each_interval_of_a_server_that_is_down(sqlite_url):
    async with open_core(
        sqlite_url,
        *[
            profile(f"{interval.name}{n}", interval, filters={"tld": (f"x{n}",)})
            for interval in AggInterval
            for n in range(2)
        ],
    ) as core:
        core.script(faults.html(503).always())
        collected = await run_pass(core)
        assert all("503" in reason for reason in collected.reasons.values())
        assert len(core.requests) <= BREAKER_THRESHOLD


async def test_requests_that_waited_for_a_probe_do_not_probe_again(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.script(faults.html(503).always())
        for _ in range(4):
            await asyncio.gather(core.fetcher.fetch(batch(), ["all"]), return_exceptions=True)
        sent = len(core.requests)
        many = [core.fetcher.fetch(batch(days=day), ["all"]) for day in range(1, 9)]
        errors = await asyncio.gather(*many, return_exceptions=True)
        assert len(core.requests) == sent + 1
        assert sum("asked again at" in str(error) for error in errors) == 7
        assert {type(error) for error in errors} == {Unavailable}


async def test_a_refusal_closes_the_circuit(sqlite_url):
    async with open_core(sqlite_url, profile()) as core:
        core.script(faults.html(503).times(BREAKER_THRESHOLD), faults.api_error(400, 2001), faults.html(503).times(3))
        for _ in range(4):
            await asyncio.gather(core.fetcher.fetch(batch(), ["all"]), return_exceptions=True)
        began = core.clock()
        assert (await core.fetcher.fetch(batch(), ["all"])).saved.inserted == 24
        assert core.clock() - began < MINUTE


@asynccontextmanager
async def _three(url, **options):
    """A core for reading the record, and three replicas of its profiles on its Postgres and with its clock."""
    async with open_core(url, *PROFILES, **options) as core, AsyncExitStack() as stack:
        enter = stack.enter_async_context
        yield core, [(await enter(replica(core, url, *PROFILES, lease=10 * MINUTE)))[0] for _ in range(3)]


async def _live(core, workers, minutes, pause=7 * SECOND):
    """Run the replicas side by side for some time. Returns the moments of the recorded requests."""
    end = core.clock() + minutes * MINUTE
    while core.clock() < end:
        await asyncio.gather(*(worker.run_due() for worker in workers))
        core.clock.now += pause
    record = await core.store.list_fetches(limit=None)
    assert len(record) == len(core.requests)
    return sorted(row.started_at for row in record)


async def test_replicas_ask_a_radar_that_is_down_once_a_minute_in_all(postgres_url):
    async with _three(postgres_url) as (core, workers):
        core.script(faults.html(503).always())
        sent_at = await _live(core, workers, 12)
        probes = sent_at[BREAKER_THRESHOLD + 2 :]
        assert len(probes) >= 5
        assert all(later - earlier >= MINUTE for earlier, later in pairwise(probes))
        core.simulator.clear_script()
        began = core.clock()
        while not all([await worker.run_due() for worker in workers]):
            core.clock.advance(seconds=1)
        assert core.clock() - began <= MINUTE + 10 * SECOND


async def test_replicas_try_a_revoked_token_once_in_five_minutes_in_all(postgres_url):
    async with _three(postgres_url, token="another") as (core, workers):
        sent_at = await _live(core, workers, 11, MINUTE / 2)
        assert 2 <= len(sent_at) <= 3
        assert all(later - earlier >= 5 * MINUTE for earlier, later in pairwise(sent_at))
        assert "403" in await core.store.rejection_reason(core.fetcher.radar.fingerprint)


async def test_passes_of_new_processes_send_no_more_requests(store_url):
    async with open_core(store_url, profile()) as core:
        core.script(faults.html(503).always())
        for _ in range(30):
            core.restart()
            assert not (await run_pass(core)).complete
        sent_at = [received.at for received in core.requests]
        assert all(later - earlier >= 60 for earlier, later in pairwise(sent_at[BREAKER_THRESHOLD:]))
        core.restart()
        core.simulator.clear_script()
        began = core.clock()
        assert (await run_pass(core)).complete
        assert core.clock() - began <= MINUTE


async def test_a_new_process_reports_the_end_of_the_pause_and_tries_a_changed_token_at_once(store_url):
    async with open_core(store_url, profile(), token="another") as core:
        for _ in range(3):
            core.restart()
            collected = await run_pass(core)
            assert not collected.complete
        assert len(core.requests) == 1
        assert collected.reasons["all"].endswith("; the same credentials are tried again at 2026-03-10T12:12:00Z")
        settings = core.fetcher.radar._settings._replace(credentials=Credentials(token=Secret("another")))
        async with RadarClient(settings, core.clock) as core.fetcher.radar:
            core.restart()
            assert (await run_pass(core)).complete
