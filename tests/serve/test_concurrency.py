from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from collector.serve import middleware
from collector.serve.app import serving


async def test_a_request_that_waits_too_long_for_a_slot_gets_503(monkeypatch):
    monkeypatch.setattr(middleware, "MAX_READS", 2)
    monkeypatch.setattr(middleware, "MAX_STREAMS", 1)
    monkeypatch.setattr(middleware, "SLOT_TIMEOUT_SECONDS", 0.05)
    go, most, under_way = asyncio.Event(), 0, 0

    async def read(_request):
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await go.wait()
        under_way -= 1
        return web.Response()

    async def alive(_request):
        return web.Response()

    app = web.Application(middlewares=[middleware.limit_concurrency()])
    app.router.add_get("/api/v1/points", read)
    app.router.add_get("/healthz", alive)
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession(url) as session:

        async def status(target):
            async with session.get(target) as response:
                return response.status

        asking = [asyncio.create_task(status("/api/v1/points")) for _ in range(5)]
        while sum(task.done() for task in asking) < 3:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=0.05)
        assert await status("/healthz") == 200
        streaming = asyncio.create_task(status("/api/v1/points?format=csv"))
        while most < 3:  # noqa: ASYNC110 - the event would be the server's
            await asyncio.sleep(0)
        go.set()
        assert sorted(await asyncio.gather(*asking)) == [200, 200, 503, 503, 503]
        assert await streaming == 200
        assert await status("/api/v1/points") == 200


async def test_long_changes_take_no_slot_of_reads(monkeypatch):
    monkeypatch.setattr(middleware, "MAX_ALL_READS", 1)
    monkeypatch.setattr(middleware, "SLOT_TIMEOUT_SECONDS", 0.05)
    started, go = asyncio.Event(), asyncio.Event()

    async def change(_request):
        started.set()
        await go.wait()
        return web.Response()

    async def read(_request):
        return web.Response()

    app = web.Application(middlewares=[middleware.limit_concurrency()])
    app.router.add_post("/api/v1/prune", change)
    app.router.add_get("/api/v1/points", read)
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession(url) as session:
        changing = asyncio.create_task(session.post("/api/v1/prune"))
        await started.wait()
        async with session.get("/api/v1/points") as response:
            assert response.status == 200
        go.set()
        (await changing).release()
