from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from collector.simulator import Simulator, SimulatorOptions, serve
from collector.timestamps import utc

NOW = utc("2026-08-14T10:07:00Z").timestamp()


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Asking:
    """A simulator that is served, and a client that asks it."""

    simulator: Simulator
    clock: Clock
    url: str
    session: aiohttp.ClientSession = field(repr=False)

    async def get(self, query: str, path: str = "/radar/ct/timeseries", **options):
        from yarl import URL

        url = URL(f"{self.url}{path}?{query}", encoded=True)
        async with self.session.get(url, allow_redirects=False, **options) as response:
            return response, await response.read()

    async def json(self, query: str, **options):
        response, body = await self.get(query, **options)
        return response.status, json.loads(body)

    async def result(self, query: str):
        status, document = await self.json(query)
        assert status == 200, document
        return document["result"]

    async def refusal(self, query: str, **options):
        status, document = await self.json(query, **options)
        assert document["success"] is False
        return status, document["errors"][0]["code"]


@pytest.fixture
def serving():
    """Serve a simulator with these options under a clock that stands still until it is moved."""

    @asynccontextmanager
    async def served(headers=None, **options):
        clock = Clock()
        simulator = Simulator(SimulatorOptions(**options), clock)
        credentials = {"Authorization": "Bearer made-up"} if headers is None else headers
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            serve(simulator) as url,
            aiohttp.ClientSession(headers=credentials, connector=connector) as session,
        ):
            yield Asking(simulator, clock, url, session)

    return served
