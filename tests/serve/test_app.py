"""Alive and ready over real HTTP, for this machine alone."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest

from collector.daemon import Daemon
from collector.serve.app import make_app, serving
from collector.settings import load
from collector.store import Store
from tests.harness.collect_core import TOKEN, Clock

_CONFIG = '[radar]\nbase_url = "http://127.0.0.1:9/client/v4"\n[[profiles]]\nname = "all"\nagg_interval = "1h"\n'


@asynccontextmanager
async def served(folder, url, host="127.0.0.1"):
    path, clock = folder / "config.toml", Clock()
    path.write_text(_CONFIG)
    settings = load(str(path), environ={"CLOUDFLARE_API_TOKEN": TOKEN})
    async with Store.open(url, owner="run") as store:
        service = Daemon(settings, store, lambda: settings, clock)
        async with serving(make_app(service, host), "127.0.0.1", 0) as address, aiohttp.ClientSession() as session:
            yield session, address


async def test_it_works(tmp_path, store_url):
    async with served(tmp_path, store_url) as (session, address), session.get(f"{address}/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"alive": True})
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers


async def test_not_ready_is_503_with_the_reasons(tmp_path, sqlite_url):
    async with served(tmp_path, sqlite_url) as (session, address):
        (tmp_path / "collector.db").unlink()
        async with session.get(f"{address}/readyz") as answer:
            document = await answer.json()
            assert answer.status == 503
            assert document["ready"] is False
            assert document["reasons"][0] == "all: not attended"
            assert document["reasons"][1].startswith("store: ")
        async with session.get(f"{address}/healthz") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "127.0.0.1@evil"])
async def test_another_host_name_is_not_served(tmp_path, sqlite_url, host):
    async with (
        served(tmp_path, sqlite_url) as (session, address),
        session.get(f"{address}/readyz", headers={"Host": host}) as answer,
    ):
        assert answer.status in {400, 421}


@pytest.mark.parametrize("head", [b"", b"Host: 127.0.0.1\r\nHost: evil.example\r\n"])
async def test_a_missing_or_double_host_is_not_served(tmp_path, sqlite_url, head):
    async with served(tmp_path, sqlite_url) as (_, address):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writer.write(b"GET /readyz HTTP/1.1\r\n" + head + b"Connection: close\r\n\r\n")
        status = (await reader.read()).split(b" ", 2)[1]
        writer.close()
        assert status in {b"400", b"421"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.1"])
async def test_this_machine_under_any_of_its_names_is_served(tmp_path, sqlite_url, host):
    async with (
        served(tmp_path, sqlite_url) as (session, address),
        session.get(f"{address}/healthz", headers={"Host": host}) as answer,
    ):
        assert answer.status == 200


async def test_a_port_that_is_taken_is_an_error(tmp_path, sqlite_url):
    async with served(tmp_path, sqlite_url) as (_, address):
        app = aiohttp.web.Application()
        with pytest.raises(OSError, match="in use"):
            async with serving(app, "127.0.0.1", int(address.rpartition(":")[2])):
                pass


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
async def test_an_ipv6_address_is_shown_in_brackets():
    try:
        async with serving(aiohttp.web.Application(), "::1", 0) as address:
            assert address.startswith("http://[::1]:")
    except OSError:
        pytest.skip("::1 cannot be bound here")
