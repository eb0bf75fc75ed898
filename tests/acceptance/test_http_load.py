"""A running collector under load: idle clients, slow ones, and requests that nobody would send in good faith."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import resource
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from tests.harness.processes import Collector, profile_toml, simulating

IDLE = 1_000
GROWTH = 60_000_000
"""Bytes by which the process may grow, whatever is done to it."""
SERIES = "/client/v4/radar/ct/timeseries"
LIVE = [
    "/",
    "/healthz",
    "/metrics",
    "/api/v1/status",
    "/api/v1/points?limit=100",
    f"{SERIES}?dateRange=1d&aggInterval=1h",
]
NAMES = [
    "aggInterval",
    "dateRange",
    "dateStart",
    "dateEnd",
    "format",
    "name",
    "ca",
    "caOwner",
    "duration",
    "entryType",
    "expirationStatus",
    "hasIps",
    "hasWildcards",
    "log",
    "logApi",
    "logOperator",
    "publicKeyAlgorithm",
    "signatureAlgorithm",
    "tld",
    "uniqueEntries",
    "validationLevel",
    "as_of",
    "asOf",
    "profile",
    "series",
    "start",
    "end",
    "thin",
    "limit",
    "after",
    "nothing",
]
VALUES = [
    "", "1h", "15m", "1d", "1w", "7d", "28d", "7dcontrol", "364d", "9999d", "-1d", "JSON", "csv", "thin", "all", "com",
    "A,B", ",", "2026-01-01T00:00:00Z", "2026-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "1969-12-31T23:59:59Z", "0", "1", "-1", "1000", "99999999999999999999", "1e308", "NaN", "true", "RSA", "DOMAIN",
    "meta", "serie_0", "%", "%2C", "\x00", "\r\nX: y", "' OR 1=1 --", "'; DROP TABLE points", "<script>", "W10", "WzFd",
    "../../etc/passwd", "\U0001f4a9", "\ud7ff\ufffe", "x" * 3_000, "bnVsbA", "WyJhbGwiLCJhbGwiLDBd", "eyJhIjoxfQ",
    "=1+1", "\u0661", "\u202e",
]  # fmt: skip
PATHS = [
    SERIES,
    SERIES,
    SERIES,
    "/client/v4/x",
    "/",
    "/metrics",
    "/readyz",
    "/openapi.json",
    "/nothing",
    "/dashboard/app.js",
]
PATHS += [
    f"/api/v1/{name}"
    for name in ("profiles", "series", "fetches", "annotations", "gaps", "revisions", "points", "points", "status")
]
PATHS += ["/api/v1/backfills", "/api/v1/backfills/1", "/api/v1/backfills/999999999999999999"]
METHODS = ["GET"] * 12 + ["HEAD", "POST", "POST", "PUT", "OPTIONS", "DELETE", "BREW"]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8_192, hard), hard))
    with simulating() as (_, url):
        collector = Collector(tmp_path_factory.mktemp("loaded"), url)
        collector.configure(profile_toml("all", "1h", 20))
        collector.run("collect")
        with collector.running("run", anew=True) as process:
            process.says("serving", "outcome=ok")
            yield process
            assert process.ends() == 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _bytes(running):
    """The memory that the process holds."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def _address(running):
    found = re.search(r"http://(127\.0\.0\.1):(\d+)", running.log)
    return found[0], (found[1], int(found[2]))


async def _served(session, rounds):
    """Ask for everything as people do; the slowest answer in seconds."""
    slowest, loop = 0.0, asyncio.get_running_loop()
    for _ in range(rounds):
        for target in LIVE:
            started = loop.time()
            async with session.get(target) as response:
                assert response.status == 200, (target, await response.text())
                assert await response.read()
            slowest = max(slowest, loop.time() - started)
    return slowest


@contextlib.asynccontextmanager
async def _clients(address, count, first=b""):
    """Open connections that say *first* and then nothing."""
    writers = []
    try:
        for _ in range(count):
            _, writer = await asyncio.open_connection(*address)
            writer.write(first)
            writers.append(writer)
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST /api/v1/backfills HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n{",
        b"GET /api/v1/points?format=csv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=["idle", "header", "kept-alive", "body", "reader"],
)
async def test_a_thousand_clients_that_dawdle_keep_nobody_from_being_served(running, first):
    url, address = _address(running)
    async with aiohttp.ClientSession(url) as session:
        await _served(session, 2)
        before = _bytes(running)
        async with _clients(address, IDLE, first) as writers:
            for writer in writers[-200:]:
                writer.write(b"x")
            assert await _served(session, 3) < 10
            assert _bytes(running) - before < GROWTH
        assert await _served(session, 1) < 10
    assert "too many open files" not in running.log.lower()
    assert "Traceback" not in running.log


def _target(chance):
    path = chance.choice(PATHS)
    if chance.random() < 0.05:
        path += "".join(chance.choice(["/", "..", "%00", "%2f", "a", "%ff", ";", "//"]) for _ in range(6))
    pairs = []
    for _ in range(chance.randrange(6)):
        name, value = chance.choice(NAMES), chance.choice(VALUES)
        if chance.random() < 0.1:
            value = "".join(chr(chance.randrange(1, 0xD7FF)) for _ in range(chance.randrange(30)))
        pairs.append(f"{quote(name)}={value.encode().hex() if chance.random() < 0.05 else quote(value)}")
    return path + ("?" + "&".join(pairs) if pairs else "")


def _request(chance):
    method = chance.choice(METHODS)
    body = chance.choice(
        [b"", b"{}", b"[", b"null", b'{"start":"2026-01-01T00:00:00Z","x":1}', b'{"start":[]}', b"\xff" * 99]
    )
    headers = [b"Host: 127.0.0.1" if chance.random() < 0.97 else b"Host: evil", b"Connection: close"]
    if body or method == "POST":
        headers.append(b"Content-Length: %d" % len(body))
        headers.append(
            b"Content-Type: " + chance.choice([b"application/json", b"text/plain", b"application/json; charset=x"])
        )
    if chance.random() < 0.1:
        headers.append(
            chance.choice([b"Accept-Encoding: gzip", b"Range: bytes=0-", b'If-None-Match: "x', b"Expect: 100-continue"])
        )
    text = f"{method} {_target(chance)} HTTP/1.1\r\n".encode() + b"\r\n".join(headers) + b"\r\n\r\n" + body
    if chance.random() < 0.05:
        at = chance.randrange(len(text))
        text = text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]
    return text


async def _fuzz(address, seeds):
    """Send requests; gives those whose answer nobody planned."""
    unplanned = []
    for seed in seeds:
        text = _request(random.Random(seed))
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(text)
            async with asyncio.timeout(30):
                if writer.can_write_eof():
                    writer.write_eof()
                said = await reader.read()
        except ConnectionError:
            said = b""
        finally:
            writer.close()
        if said.split(b" ", 2)[1:2] and said.split(b" ", 2)[1] >= b"500":
            unplanned.append((seed, text[:300], said[:500]))
    return unplanned


async def _no_unplanned_errors(running, count, start=0):
    url, address = _address(running)
    async with aiohttp.ClientSession(url) as session:
        await _served(session, 1)
        await _fuzz(address, range(start + count, start + count + 300))
        before, workers = _bytes(running), 8
        parts = [range(start + n, start + count, workers) for n in range(workers)]
        done = await asyncio.gather(_served(session, 5), *(_fuzz(address, part) for part in parts))
        assert [bad for part in done[1:] for bad in part] == []
        assert _bytes(running) - before < GROWTH
    assert "Traceback" not in running.log
    assert "outcome=failed" not in running.log


async def test_five_hundred_random_requests_meet_no_unplanned_error(running):
    await _no_unplanned_errors(running, 500)


@pytest.mark.campaign
async def test_a_hundred_thousand_random_requests_meet_no_unplanned_error(running):
    await _no_unplanned_errors(running, 100_000, start=10_000)
