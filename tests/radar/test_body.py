"""The size limit of a body, and the headers of a request."""

import gzip
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from collector import __version__
from collector.model import Batch
from collector.radar.client import RadarClient, read_body
from collector.radar.errors import RadarError, RelativeValues, Unauthorized, Unavailable, Untrusted
from collector.radar.request import query_string
from tests.radar.test_client import NOW, TOKEN, Settings, Token, answering, batch_of, radar
from tests.radar.test_response import BATCH, document

MOST = 200_000


@asynccontextmanager
async def response(body, *headers):
    lines = b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers])
    async with (
        answering([lines + b"\r\n\r\n" + body]) as (url, _),
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(url) as found,
    ):
        yield found


ZIPPED = (b"Content-Encoding: gzip",)


@pytest.mark.parametrize("headers", [(), (b"Content-Encoding:  Identity ",), ZIPPED, (b"Content-Encoding: GZIP",)])
async def test_a_body_of_the_largest_size_is_read(headers):
    content = bytes(range(250)) * (MOST // 250)
    async with response(gzip.compress(content) if b"gzip" in b"".join(headers).lower() else content, *headers) as found:
        assert await read_body(found, MOST) == content


@pytest.mark.parametrize(
    ("kind", "words", "body", "headers"),
    [
        (Untrusted, f"larger than {MOST} bytes", b"x" * (MOST + 1), ()),
        (Untrusted, f"larger than {MOST} bytes", gzip.compress(b"x" * (MOST + 1), mtime=0), ZIPPED),
        (Untrusted, "'br' was not requested", b"x", (b"Content-Encoding: br",)),
        (Untrusted, f"'{'a' * 40}' was not requested", b"x", (b"Content-Encoding: " + b"a" * 41,)),
        (Untrusted, "bytes behind the compressed stream", gzip.compress(b"x", mtime=0) + b"more", ZIPPED),
        (Unavailable, "the compressed stream ends too early", gzip.compress(b"x" * 99, mtime=0)[:-1], ZIPPED),
        (Unavailable, "a broken compressed stream", b"no gzip", ZIPPED),
    ],
)
async def test_a_body_that_is_too_large_or_incomplete_is_refused(kind, words, body, headers):
    async with response(body, *headers) as found:
        with pytest.raises(kind, match=words):
            await read_body(found, MOST)


CONTENT = b' {"success": true}'
PACKED = gzip.compress(CONTENT, mtime=0)
BODIES = {
    "twice, and said so": (gzip.compress(PACKED, mtime=0), "gzip, gzip"),
    "twice, said once": (gzip.compress(PACKED, mtime=0), "gzip"),
    "called identity": (PACKED, "identity"),
    "called nothing": (PACKED, ""),
    "called deflate": (PACKED, "deflate"),
    "plain, called gzip": (CONTENT, "gzip"),
    "plain, called br": (CONTENT, "br"),
    "plain, called UTF-8": (CONTENT, "utf-8"),
    "with zeros behind": (PACKED + bytes(70_000), "gzip"),
    "of two members with zeros between": (
        gzip.compress(CONTENT[:5], mtime=0) + bytes(3) + gzip.compress(CONTENT[5:], mtime=0),
        "gzip",
    ),
}


@pytest.mark.parametrize(("body", "named"), BODIES.values(), ids=BODIES)
async def test_what_a_body_is_counts_more_than_what_it_is_called(body, named):
    async with response(body, b"Content-Encoding: " + named.encode()) as found:
        assert await read_body(found, MOST) == CONTENT


async def test_a_body_that_was_compressed_twice_keeps_within_the_bound():
    async with response(gzip.compress(gzip.compress(b"{" * (MOST + 1), mtime=0), mtime=0), *ZIPPED) as found:
        with pytest.raises(Untrusted, match=f"larger than {MOST} bytes"):
            await read_body(found, MOST)


async def asked(reply, batch=None):
    """Return the error of a request that is answered with *reply*, and the bytes that the server received."""
    async with answering([reply]) as (url, received), RadarClient(Settings(url, Token()), lambda: NOW) as client:
        assert client._session.connector.limit == 4
        with pytest.raises(RadarError) as refused:
            await client.request(batch or batch_of())
    return str(refused.value), b"".join(received).decode()


async def test_a_redirect_is_not_followed():
    async with answering([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]) as (elsewhere, received):
        location = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        message, _ = await asked(location.encode())
    assert (message, received) == ("HTTP 302, a redirect, which is not followed", [])


async def test_what_a_request_says_of_itself():
    batch = batch_of({"caOwner": ("A/B", "DigiCert, Inc.")})
    _, text = await asked(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", batch)
    line, *headers = text.strip().split("\r\n")
    said = dict(header.split(": ") for header in headers)
    del said["Host"]
    assert line == f"GET /radar/ct/timeseries?{query_string(batch)} HTTP/1.1"
    assert "caOwner=A%2FB%2CDigiCert%252C%20Inc." in line
    assert said == {
        "User-Agent": f"radar-collector/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Authorization": f"Bearer {TOKEN}",
    }


@pytest.mark.parametrize(("words", "more"), [("not JSON", 0), ("larger than 1051648 bytes", 1)])
async def test_an_answer_may_have_a_mebibyte_and_128_bytes_a_bucket(words, more):
    length = 2**20 + 128 * 24 + more
    message, _ = await asked(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length)
    assert words in message


async def test_a_reply_tells_its_size_and_its_headers_about_rate_limits():
    async with radar() as (_, client):
        reply = await client.request(batch_of())
        assert reply.size > 1000
        assert {name.lower() for name in reply.rate_headers} == {"ratelimit", "ratelimit-policy"}


@pytest.mark.parametrize(("positions", "taken"), [(1, True), (2, False)])
async def test_values_that_are_relative_to_one_answer_are_taken_of_one_series(positions, taken):
    content = document(normalization="MIN_MAX")
    content["result"]["serie_1"] = content["result"]["serie_0"]
    if positions == 1:
        del content["result"]["serie_1"]
    body = json.dumps(content).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with answering([reply]) as (url, _), RadarClient(Settings(url, Token())) as client:
        if taken:
            assert (await client.request(Batch(BATCH.slices * positions))).answer.meta.normalization == "MIN_MAX"
            return
        with pytest.raises(RelativeValues, match="MIN_MAX values of 2 slices in one answer") as refused:
            await client.request(Batch(BATCH.slices * positions))
        assert refused.value.status == 200


async def test_credentials_have_a_fingerprint_and_without_any_nothing_is_asked():
    assert RadarClient(Settings("http://127.0.0.1:9", Token("a"))).fingerprint == "http://127.0.0.1:9 a"
    async with RadarClient(Settings("http://127.0.0.1:9", None)) as client:
        assert client.fingerprint == "none"
        with pytest.raises(Unauthorized, match="there are no credentials"):
            await client.request(batch_of())
