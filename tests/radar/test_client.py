"""One request to a real server, with and without faults."""

import asyncio
import gzip
import json
import logging
import tracemalloc
import zlib
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from collector.interval import AggInterval
from collector.model import Batch, Question, Slice, Window
from collector.radar import client as radar_client
from collector.radar.client import RadarClient
from collector.radar.errors import (
    Coarsened,
    Misdirected,
    OffGrid,
    RadarError,
    RateLimited,
    Refused,
    TooCostly,
    Unauthorized,
    Unavailable,
    Untrusted,
)
from collector.simulator import Simulator, SimulatorOptions, serve
from tests.harness import faults

TOKEN = "canary-token-0123456789abcdef"
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = Window(datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC))


@dataclass(frozen=True)
class Settings:
    base_url: str
    credentials: object
    timeout: timedelta = timedelta(seconds=5)
    concurrency: int = 4
    requests_per_5min: int = 600
    ca_file: str | None = None
    proxy: object = None


@dataclass(frozen=True)
class Token:
    text: str = TOKEN

    def headers(self):
        return {"Authorization": f"Bearer {self.text}"}

    def fingerprint(self, address):
        return f"{address} {self.text}"


def batch_of(*filters, agg_interval=AggInterval.ONE_HOUR, window=DAY):
    return Batch(tuple(Slice(Question(agg_interval, one), window) for one in filters or ({},)))


@asynccontextmanager
async def radar(options=None, **settings):
    simulator = Simulator(options or SimulatorOptions(token=TOKEN), clock=NOW.timestamp)
    async with serve(simulator) as url:
        chosen = Settings(url, Token())
        async with RadarClient(replace(chosen, **settings), clock=lambda: NOW) as client:
            yield simulator, client


async def test_it_works():
    async with radar() as (simulator, client):
        batch = batch_of({}, {"caOwner": ("DigiCert, Inc.",)}, {"tld": ("com", "org")})
        reply = await client.request(batch)
        truth = [simulator.truth(piece.series, piece.window, NOW.timestamp()) for piece in batch.slices]
        assert [(list(p.timestamps), list(p.values)) for p in reply.answer.series] == [
            (list(p.timestamps), list(p.values)) for p in truth
        ]
        assert len(truth[0].timestamps) == 24


@pytest.mark.parametrize("agg_interval", list(AggInterval))
async def test_every_interval_is_read(agg_interval):
    async with radar() as (_, client):
        window = Window(datetime(2026, 2, 23, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
        reply = await client.request(batch_of({}, agg_interval=agg_interval, window=window))
        assert len(reply.answer.series[0].values) == timedelta(days=7) // agg_interval.step


@pytest.mark.parametrize(
    "options",
    [
        {"timestamp_style": "milliseconds"},
        {"value_style": "decimal"},
        {"date_range_style": "object"},
        {"adjusted_end": "next"},
        {"adjusted_end": "asked"},
        {"messages": True},
        {"compress": False},
        {"unfinished": "partial", "unfinished_coarse": "partial"},
        {"rate_headers": "x"},
    ],
)
async def test_either_answer_to_an_open_question_is_read(options):
    async with radar(SimulatorOptions(**options)) as (_, client):
        assert len((await client.request(batch_of())).answer.series[0].values) == 24


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        (24, faults.byte_order_mark()),
        (23, faults.value("NaN")),
        (23, faults.value("1e999")),
        (24, faults.repeated()),
        (24, faults.unsorted()),
        (23, faults.outside()),
        (24, faults.without("result", "meta", "confidenceInfo")),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else str(value),
)
async def test_an_answer_that_differs_in_form_is_read(points, fault):
    async with radar() as (simulator, client):
        simulator.script(fault)
        reply = await client.request(batch_of())
        assert len(reply.answer.series[0].values) == points


async def test_a_missing_series_is_reported():
    async with radar() as (simulator, client):
        batch = batch_of({}, {"tld": ("com",)})
        simulator.script(faults.without("result", "serie_1"))
        reply = await client.request(batch)
        assert (reply.batch.slices, reply.missing) == (batch.slices[:1], batch.slices[1:])
        assert len(reply.answer.series) == 1


async def test_wrong_credentials_are_unauthorized():
    async with radar(credentials=Token("wrong")) as (_, client):
        with pytest.raises(Unauthorized):
            await client.request(batch_of())


async def test_400_for_a_malformed_header_is_unauthorized():
    async with radar(credentials=Token("not a token")) as (_, client):
        with pytest.raises(Unauthorized):
            await client.request(batch_of())


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Unavailable, faults.html(503)),
        (Unavailable, faults.html(200)),
        (Unavailable, faults.redirect("http://127.0.0.1:9/")),
        (Unavailable, faults.truncated()),
        (Unavailable, faults.truncated_chunk()),
        (Unavailable, faults.reset_in_header()),
        (Unavailable, faults.reset_in_body()),
        (Unavailable, faults.closed()),
        (Unavailable, faults.truncated_gzip()),
        (Untrusted, faults.gzip_bomb()),
        (Untrusted, faults.depth_bomb()),
        (Untrusted, faults.duplicate_keys()),
        (Untrusted, faults.trailing()),
        (Untrusted, faults.invalid_utf8()),
        (Untrusted, faults.null_result()),
        (Untrusted, faults.unequal()),
        (OffGrid, faults.off_grid()),
        (Coarsened, faults.agg_interval("ONE_DAY")),
        (RateLimited, faults.too_many("7")),
        (Refused, faults.api_error(400, 2001)),
        (TooCostly, faults.api_error(422, 2002)),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else value.__name__,
)
async def test_a_reply_that_cannot_be_trusted_is_an_error_of_its_kind(kind, fault):
    async with radar() as (simulator, client):
        simulator.script(fault)
        with pytest.raises(kind) as caught:
            await client.request(batch_of())
        assert type(caught.value) is kind
        assert len(simulator.requests) == 1, "exactly one request was sent"
        assert TOKEN not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("fault", [faults.black_hole(), faults.drip(0.1)], ids=["black hole", "drip"])
async def test_the_time_out_is_total(fault):
    async with radar(timeout=timedelta(seconds=0.5)) as (simulator, client):
        simulator.script(fault)
        with pytest.raises(Unavailable, match="within"):
            await asyncio.wait_for(client.request(batch_of()), 3)


async def test_a_connection_refused_is_unavailable():
    async with RadarClient(Settings("http://127.0.0.1:9/client/v4", Token())) as client:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await client.request(batch_of())


async def test_proxies_and_netrc_of_the_environment_are_ignored(monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(netrc))
    async with radar() as (_, client):
        assert await client.request(batch_of())


async def test_a_bomb_of_gzip_costs_little_memory():
    async with radar() as (simulator, client):
        await client.request(batch_of())
        simulator.script(faults.gzip_bomb())
        tracemalloc.start()
        with pytest.raises(Untrusted, match="larger"):
            await client.request(batch_of())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 * 2**20


async def test_nothing_that_is_logged_holds_the_token(caplog):
    caplog.set_level(logging.DEBUG)
    async with radar() as (simulator, client):
        simulator.script(faults.reset_in_header())
        with pytest.raises(Unavailable):
            await client.request(batch_of())
    assert TOKEN not in caplog.text


@asynccontextmanager
async def answering(replies, *, hang_up=True):
    """A server that gives the replies of one connection in their order, hangs up behind the last, and counts."""
    received, tasks = [], []

    async def serve_one(reader, writer):
        tasks.append(asyncio.current_task())
        for reply in replies:
            received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(reply)
            with suppress(ConnectionError):
                await writer.drain()
        if not hang_up:
            await reader.read()  # until the client does
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve_one, "127.0.0.1") as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", received
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_connection_is_kept_for_the_next_request():
    reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with answering([reply, reply]) as (url, received), RadarClient(Settings(url, Token())) as client:
        for _ in range(2):
            with pytest.raises(RadarError):
                await client.request(batch_of())
        assert len(received) == 2


async def test_a_request_on_a_kept_connection_that_dies_is_not_sent_again():
    reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with answering([reply, b""]) as (url, received), RadarClient(Settings(url, Token())) as client:
        with pytest.raises(RadarError):
            await client.request(batch_of())
        with pytest.raises(Unavailable):
            await client.request(batch_of())
        assert len(received) == 2


BODY = b'{"success": false, "errors": [{"code": 10000, "message": "no"}]}'
BROKEN = {
    "cut": (b"Content-Length: 500", BODY),
    "chunk cut": (b"Transfer-Encoding: chunked", b"40\r\n" + BODY[:20]),
    "broken gzip": (b"Content-Encoding: gzip\r\nContent-Length: 5", b"abcde"),
    "br": (b"Content-Encoding: br\r\nContent-Length: 5", b"abcde"),
    "over the cap": (b"Content-Length: 3000000", b"x" * 3_000_000),
    "slow": (b"Content-Length: 500", None),
}


def replying(status, how, content_type=b"application/json"):
    """A server whose reply has this status and `Retry-After: 300`, but a body that is broken in one way."""
    length, body = BROKEN[how]
    head = b"HTTP/1.1 %d Reason\r\nRetry-After: 300\r\nContent-Type: %s\r\n%s\r\n\r\n" % (status, content_type, length)
    return answering([head + (body or b"{")], hang_up=body is not None)


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, RateLimited),
        (503, Unavailable),
        (401, Unauthorized),
        (403, Unauthorized),
        (422, TooCostly),
        (404, Misdirected),
        (400, Refused),
    ],
)
async def test_status_and_headers_count_when_the_body_cannot_be_read(status, kind, how, monkeypatch):
    monkeypatch.setattr(radar_client, "_ERROR_BODY_SECONDS", 0.05)
    async with replying(status, how) as (url, received), RadarClient(Settings(url, Token()), lambda: NOW) as client:
        with pytest.raises(RadarError) as caught:
            await client.request(batch_of())
    assert type(caught.value) is kind
    assert str(caught.value) == f"HTTP {status}, and its body cannot be read"
    assert getattr(caught.value, "not_before", None) in (None, NOW + timedelta(minutes=5))
    assert getattr(caught.value, "not_before", None) or status not in (429, 503)
    assert len(received) == 1


async def test_a_page_instead_of_an_answer_is_not_unauthorized():
    async with (
        replying(403, "cut", b"text/html") as (url, _),
        RadarClient(Settings(url, Token()), lambda: NOW) as client,
    ):
        with pytest.raises(Unavailable, match="HTTP 403"):
            await client.request(batch_of())


@pytest.mark.parametrize(
    ("kind", "expected", "length"), [(RateLimited, "HTTP 429", 60_000), (Unavailable, "longer than 64 KiB", 70_000)]
)
async def test_a_header_line_of_64_kib_is_read_and_a_longer_one_is_named(kind, expected, length):
    reply = b"HTTP/1.1 429 Too Many\r\nX-Long: %s\r\nContent-Length: 0\r\n\r\n" % (b"a" * length)
    async with answering([reply]) as (url, _), RadarClient(Settings(url, Token()), lambda: NOW) as client:
        with pytest.raises(kind, match=expected):
            await client.request(batch_of())


def _deflated(body):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


ENCODINGS = {
    "gzip of several members": ("gzip", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:])),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its frame": ("deflate", _deflated),
    "identity": ("identity", lambda body: body),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_every_encoding_of_a_body_is_read(encoding):
    name, pack = ENCODINGS[encoding]
    body = pack(json.dumps(_NOT_FOUND).encode())
    reply = f"HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with answering([reply + body]) as (url, _), RadarClient(Settings(url, Token())) as client:
        with pytest.raises(Untrusted, match="no series serie_0"):
            await client.request(batch_of())


@pytest.mark.parametrize(
    ("kind", "words", "body"),
    [
        (Untrusted, "bytes behind", gzip.compress(b"{}") + b"more"),
        (Unavailable, "too early", gzip.compress(b"{}" * 100)[:-3]),
        (Unavailable, "broken", b"\x1f\x8b\x08" + bytes(20)),
    ],
    ids=["trailing", "cut", "broken"],
)
async def test_a_broken_encoding_of_a_body_is_an_error(kind, words, body):
    reply = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with answering([reply + body]) as (url, _), RadarClient(Settings(url, Token())) as client:
        with pytest.raises(kind, match=words):
            await client.request(batch_of())


_NOT_FOUND = {"success": True, "result": {"meta": {}, "pad": "x" * 200}}


@pytest.mark.parametrize("status", ["200 OK", "203 Non-Authoritative Information", "206 Partial Content"])
async def test_a_whole_body_counts_with_every_status_of_success(status):
    body = json.dumps(_NOT_FOUND).encode()
    reply = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with answering([reply + body]) as (url, _), RadarClient(Settings(url, Token())) as client:
        with pytest.raises(Untrusted, match="no series serie_0"):
            await client.request(batch_of())
