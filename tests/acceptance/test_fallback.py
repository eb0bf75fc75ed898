"""`[server] upstream_fallback`: a question that history cannot answer, asked with the SDK, beside a simulator."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
import pytest
import sqlalchemy as sa
from cloudflare import AsyncCloudflare, DefaultAioHttpClient, InternalServerError, NotFoundError, RateLimitError

from collector.daemon import Daemon, _server
from collector.settings import load
from collector.simulator import Simulator, SimulatorOptions, serve
from collector.store import Store
from collector.store.db.schema import points
from collector.timestamps import utc
from tests.harness import faults
from tests.harness.collect_core import CALM, HOUR, NOW, TOKEN, Clock, until
from tests.harness.factories import query
from tests.harness.processes import WITHOUT_CATALOGUE

CONFIG = """
[radar]
base_url = "{url}"
[server]
port = 0
upstream_fallback = {on}
[[profiles]]
name = "all"
agg_interval = "1h"
"""
ASKED = {"agg_interval": "1h", "date_start": ["2026-03-08T00:00:00Z"], "date_end": ["2026-03-08T23:45:00Z"]}


@dataclass
class World:
    simulator: Simulator
    store: Store
    service: Daemon
    sdk: AsyncCloudflare
    url: str
    clock: Clock

    async def ask(self, **parameters):
        return await self.sdk.radar.ct.timeseries(**{**ASKED, **parameters})


@asynccontextmanager
async def running(folder, url, on="true", **options):
    clock, path = Clock(), folder / "config.toml"
    simulator = Simulator(SimulatorOptions(**{**CALM, **options}), clock.timestamp)
    async with serve(simulator) as base_url, Store.open(url, owner="run") as store:
        path.write_text(CONFIG.format(url=base_url, on=on))
        settings = load(str(path), environ={"CLOUDFLARE_API_TOKEN": TOKEN, **WITHOUT_CATALOGUE}, now=NOW)
        service = Daemon(settings, store, lambda: settings, clock)
        async with (
            _server(service, settings.server) as address,
            AsyncCloudflare(
                api_token="any", base_url=f"{address}/client/v4", max_retries=0, http_client=DefaultAioHttpClient()
            ) as sdk,
        ):
            task = asyncio.create_task(service.run())
            try:
                await until(lambda: any(h.success for a in service._workers for h in a.health.values()))
                simulator.requests.clear()
                yield World(simulator, store, service, sdk, address, clock)
            finally:
                service.stop()
                await asyncio.wait_for(task, 10)


async def test_unknown_filters_are_answered_stored_and_the_second_time_cost_nothing(tmp_path, store_url):
    async with running(tmp_path, store_url) as world:
        answer = await world.ask(tld=["com"])
        assert len(answer.serie_0.values) == 24
        assert len(world.simulator.requests) == 1
        assert await world.ask(tld=["com"]) == answer
        assert len(world.simulator.requests) == 1
        assert query(tld=["com"]) in await world.store.extents([query(tld=["com"])])


async def test_buckets_that_lack_are_filled_and_a_whole_answer_costs_nothing(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url) as world:
        for _ in range(2):
            answer = await world.ask(
                name=["a", "b"], tld=["", "de"], **{k: v * 2 for k, v in ASKED.items() if "date" in k}
            )
            assert [len(answer.a.values), len(answer.b.values)] == [24, 24]
        assert 1 <= len(world.simulator.requests) <= 2
        stored = await world.store.extents([query()])
        assert stored[query()].end == HOUR.floor(NOW)


async def test_equal_questions_at_once_ask_once(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url) as world:
        answers = await asyncio.gather(*(world.ask(ca_owner=["X"]) for _ in range(20)))
        assert len(world.simulator.requests) == 1
        assert all(answer == answers[0] for answer in answers)


async def test_without_it_there_is_no_history_and_nobody_is_asked(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url, on="false") as world:
        with pytest.raises(NotFoundError, match="There is no history for"):
            await world.ask(tld=["com"])
        assert not world.simulator.requests


async def test_what_was_known_then_is_not_asked_now(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url) as world:
        with pytest.raises(NotFoundError):
            await world.ask(tld=["com"], extra_query={"as_of": "2026-03-09T00:00:00Z"})
        assert not world.simulator.requests


async def test_a_block_upstream_is_429_with_the_time_and_no_word_of_its_cause(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url) as world:
        await world.store.set_state("blocked_until", (world.clock() + timedelta(minutes=2)).isoformat())
        with pytest.raises(RateLimitError) as limited:
            await world.ask(tld=["com"])
        assert 0 < int(limited.value.response.headers["Retry-After"]) <= 120
        assert not world.simulator.requests


async def test_nonsense_upstream_is_502_and_leaks_nothing(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url) as world:
        world.simulator.script(faults.unequal().always())
        with pytest.raises(InternalServerError) as broken:
            await world.ask(tld=["com"])
        assert broken.value.status_code == 502
        body = broken.value.response.text
        for secret in (TOKEN, "127.0.0.1", "values", str(tmp_path)):
            assert secret not in body
        assert await world.store.extents([query(tld=["com"])]) == {}


async def test_history_in_part_is_given_while_radar_talks_nonsense(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url) as world:
        world.simulator.script(faults.unequal().always())
        lost = sa.delete(points).where(points.c.timestamp == utc("2026-03-10T03:00:00Z"))
        await world.store._database.write(lambda connection: connection.execute(lost))
        answer = await world.ask(date_start=["2026-03-10T00:00:00Z"], date_end=["2026-03-10T05:00:00Z"])
        assert [moment.hour for moment in answer.serie_0.timestamps] == [0, 1, 2, 4, 5]
        with pytest.raises(InternalServerError, match="before the history: the first stored 1h bucket is 2026-03-"):
            await world.ask(date_start=["2026-03-01T00:00:00Z"], date_end=["2026-03-10T05:00:00Z"])


async def test_a_bad_question_is_refused_here(tmp_path, sqlite_url):
    async with running(tmp_path, sqlite_url) as world, aiohttp.ClientSession() as session:
        target = f"{world.url}/client/v4/radar/ct/timeseries?aggInterval=2h"
        async with session.get(target) as response:
            assert response.status == 400
        assert not world.simulator.requests
