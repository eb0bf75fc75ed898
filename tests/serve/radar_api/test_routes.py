from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from collector.serve.app import serving
from collector.serve.middleware import restrict_access
from collector.serve.radar_api import RadarApi, routes
from collector.settings import Secret
from tests.harness.factories import NOW, batch, hours, query, saved

PATH = "/client/v4/radar/ct/timeseries"
EVENING = "dateStart=2026-04-30T21:00:00Z&dateEnd=2026-04-30T23:00:00Z&aggInterval=1h"
TOKEN = "0123456789abcdef"


@dataclass
class Service:
    store: object

    def now(self):
        return NOW


@pytest.fixture
async def history(store):
    await saved(store, batch((query(), hours(0, 24))), range(24))
    return store


@asynccontextmanager
async def _asking(store, token=None, headers=None):
    secret = Secret(token) if token else None
    app = web.Application(middlewares=[restrict_access("127.0.0.1", read_token=secret, write_token=secret)])
    RadarApi(Service(store)).add_to(app)
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession(url, headers=headers) as session:
        yield session


async def _get(session, target, method="GET"):
    async with session.request(method, target) as response:
        return response.status, response, await response.read()


async def _error(session, target=f"{PATH}?{EVENING}", method="GET"):
    async with session.request(method, target) as response:
        document = await response.json()
        assert document["success"] is False
        [error] = document["errors"]
        return response.status, error["code"]


async def test_it_works(history):
    async with _asking(history) as session:
        status, response, body = await _get(session, f"{PATH}?{EVENING}")
        assert (status, response.content_type) == (200, "application/json")
        assert b'"values":["21","22","23"]' in body
        status, response, body = await _get(session, f"{PATH}?{EVENING}&format=csv")
        assert (status, response.content_type) == (200, "text/csv")
        assert body.startswith(b"Serie_0 timestamps,Serie_0 values\n")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"X-Auth-Email": "a@b.c", "X-Auth-Key": "k"}])
async def test_a_server_without_a_token_accepts_any_credentials(history, headers):
    async with _asking(history, headers=headers) as session:
        assert (await _get(session, f"{PATH}?{EVENING}"))[0] == 200


async def test_a_request_without_the_token_is_rejected(history):
    async with _asking(history, TOKEN) as session:
        assert await _error(session) == (401, 9106)
        assert await _error(session, "/client/v4/else") == (401, 9106)
    async with _asking(history, TOKEN, {"Authorization": "Bearer other"}) as session:
        assert await _error(session) == (403, 10000)
    async with _asking(history, TOKEN, {"Authorization": f"Bearer {TOKEN}"}) as session:
        assert (await _get(session, f"{PATH}?{EVENING}"))[0] == 200


@pytest.mark.parametrize(
    ("expected", "method", "target"),
    [
        ((400, 2001), "GET", f"{PATH}?aggInterval=2h"),
        ((400, 2001), "GET", f"{PATH}?ca=%ff"),
        ((404, 7003), "GET", f"{PATH}?tld=com"),
        ((404, 7003), "GET", f"{PATH}?dateRange=7d&aggInterval=1h"),
        ((400, 7000), "GET", "/client/v4/radar/http/timeseries"),
        ((400, 7000), "GET", f"{PATH}/"),
        ((400, 7000), "GET", "/client/v4/%00/../x"),
        ((405, 7001), "POST", PATH),
        ((405, 7001), "DELETE", PATH),
    ],
)
async def test_an_error_is_in_the_apis_form(history, expected, method, target):
    async with _asking(history) as session:
        assert await _error(session, target, method) == expected


async def test_a_missing_store_is_503(history, lose_the_store):
    lose_the_store()
    async with _asking(history) as session:
        status, response, body = await _get(session, f"{PATH}?{EVENING}")
        assert (status, response.headers["Retry-After"]) == (503, "5")
        assert b"collector.db" not in body


async def test_an_internal_error_shows_only_its_id(history, monkeypatch, caplog):
    async def broken(*_):
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    monkeypatch.setattr(routes, "query_history", broken)
    async with _asking(history) as session:
        status, _, body = await _get(session, PATH)
        assert status == 500
        assert b"secret" not in body
        number = body.split(b"Internal error ")[1][:8].decode()
        assert caplog.records[-1].id == number


async def test_absent_buckets_are_also_in_a_header(store, monkeypatch):
    await saved(store, batch((query(), hours(0, 24))), {20: 1, 21: 1, 23: 1})
    said = "a%0D%0Ab: 1h buckets absent: 2026-04-30T22:00:00Z..2026-04-30T22:00:00Z (1)"
    target = f"{PATH}?{EVENING}&name=a%0d%0ab&format=csv"
    async with _asking(store) as session:
        for large in (20_000, 0):
            monkeypatch.setattr(routes, "_LARGE_POINTS", large)
            for method in ("GET", "HEAD"):
                _, response, _ = await _get(session, target, method)
                assert response.headers["X-Absent-Buckets"] == said
        whole = target.replace("30T21", "30T23")
        assert "X-Absent-Buckets" not in (await _get(session, whole))[1].headers


async def test_a_large_answer_is_streamed_and_the_same(history, monkeypatch):
    async with _asking(history) as session:
        _, _, whole = await _get(session, f"{PATH}?{EVENING}")
        monkeypatch.setattr(routes, "_LARGE_POINTS", 0)
        status, response, streamed = await _get(session, f"{PATH}?{EVENING}")
        assert (status, response.headers.get("Content-Length")) == (200, None)
        assert streamed == whole
        assert (await _get(session, f"{PATH}?{EVENING}", "HEAD"))[2] == b""


async def test_one_large_answer_too_many_waits_and_gets_503(history, monkeypatch):
    monkeypatch.setattr(routes, "_LARGE_POINTS", 0)
    monkeypatch.setattr(routes, "_LARGE_WAIT_SECONDS", 0.05)
    api = RadarApi(Service(history))
    app = web.Application()
    api.add_to(app)
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession(url) as session:
        held = [await api._large.acquire() for _ in range(routes._MAX_LARGE)]
        assert await _error(session) == (503, 2000)
        for _ in held:
            api._large.release()
        assert (await _get(session, f"{PATH}?{EVENING}"))[0] == 200


async def test_many_concurrent_requests_are_all_answered(history):
    async with _asking(history) as session:
        found = await asyncio.gather(*(_get(session, f"{PATH}?{EVENING}") for _ in range(100)))
        assert {status for status, _, _ in found} == {200}
