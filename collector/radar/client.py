"""The HTTP client of Radar: the only module with the credentials, the time-out, the size limits and the User-Agent.

aiohttp resends a GET by itself when the connection closes before the response, even on a new connection. It does not if
a middleware has replaced the error by one that aiohttp does not know. With such a middleware a connection can be kept
for the next request.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from yarl import URL

from collector import __version__
from collector.errors import CollectorError, os_error_text
from collector.model import Body, is_absolute, is_known, spelling_free
from collector.radar.classify import (
    classify_response,
    clock_sample,
    describe_connection_error,
    is_contradicted,
    redact,
    spellings,
    with_clock_sample,
)
from collector.radar.errors import (
    ANSWERED,
    RadarError,
    RelativeValues,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unreachable,
    Untrusted,
)
from collector.radar.request import path_of_batch, query_string
from collector.radar.response import UnsuccessfulEnvelope, parse_answer
from collector.radar.response_groups import MOST_GROUPS
from collector.text import excerpt
from collector.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from collector.model import Answer, Batch, Slice
    from collector.rules.clock_difference import ClockSample
    from collector.settings import RadarSettings, Secret


USER_AGENT = f"radar-collector/{__version__}"
_MAX_META_BYTES = 1_048_576
_MAX_BUCKET_BYTES = 128
_MAX_VALUE_BYTES = 24
_MAX_GROUPS_BYTES = 67_108_864
_MAX_HEADER_BYTES = 65_536
_ERROR_BODY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RadarResponse:
    """A response of any status: *body* is decoded; it is None if it cannot be read, and *trouble* says why.

    *received_at* is the moment at which the headers arrived, *part* the bytes that were read of a body that is None.
    Neither contains our credentials. *clock_sample* is what the `Date` header shows of our clock.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    received_at: datetime
    trouble: RadarError | None = None
    part: bytes = b""
    clock_sample: ClockSample | None = None

    @property
    def evidence(self) -> Body | None:
        """The body that came, or the part of it that was read; None if nothing came."""
        content = self.part if self.body is None else self.body
        return Body(content, self.status, self.received_at, whole=self.body is not None) if content else None

    @property
    def rate_headers(self) -> Mapping[str, str]:
        """The headers about rate limits."""
        return {name: value for name, value in self.headers.items() if "ratelimit" in name.lower()}


@dataclass(frozen=True, slots=True)
class TrustedAnswer:
    """A checked answer to *batch*, with the size of its body in bytes and its headers about rate limits.

    *missing* are the slices of the request whose series the answer lacks. *body* is kept only if the answer deviates.
    *clock_sample* is what the response shows of our clock.
    """

    batch: Batch
    answer: Answer
    size: int
    rate_headers: Mapping[str, str]
    missing: tuple[Slice, ...] = ()
    body: Body | None = None
    clock_sample: ClockSample | None = None


class RadarClient:
    """Sends requests to Radar, one for each call, without retries.

    A caller takes one of *slots* first, so that at most `concurrency` requests run at once. *clock* returns the present
    as an aware moment. *fingerprint* identifies the credentials. *absolute_words* are normalizations whose values were
    found to compare across answers, in the form of `spelling_free`.
    """

    def __init__(self, settings: RadarSettings, clock: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._clock = clock
        self.slots = asyncio.Semaphore(settings.concurrency)
        credentials = settings.credentials
        self.absolute_words: set[str] = set()
        self.fingerprint = credentials.fingerprint(settings.base_url) if credentials else "none"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.concurrency, ssl=_tls(self._settings.ca_file)),
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout.total_seconds()),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            middlewares=(_no_resend,),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(self, batch: Batch) -> TrustedAnswer:
        """Send *batch* as one request and return the checked answer; raises a RadarError that says what to do."""
        most = _MAX_META_BYTES + _MAX_BUCKET_BYTES * batch.buckets
        if batch.slices[0].series.has_groups:
            most = min(most + _MAX_VALUE_BYTES * batch.buckets * MOST_GROUPS, _MAX_GROUPS_BYTES)
        response = await self.get(path_of_batch(batch), query_string(batch), most)
        try:
            return trusted_answer(response, batch, self.absolute_words)
        except RadarError as error:
            error.body = response.evidence
            raise with_clock_sample(error, batch, response.clock_sample, response.received_at) from None

    async def get(self, path: str, query: str, most: int = _MAX_META_BYTES) -> RadarResponse:
        """Send one GET of *path* with an encoded *query*; read at most *most* bytes of the body after decompression.

        Returns a response of any status. Raises Unavailable if no headers came, Unauthorized without credentials.
        """
        credentials = self._settings.credentials
        if credentials is None:
            raise Unauthorized("there are no credentials: set CLOUDFLARE_API_TOKEN")
        url = URL(f"{self._settings.base_url}{path}?{query}", encoded=True)
        sent_at = self._clock()
        try:
            async with self._session.get(
                url, headers=credentials.headers(), allow_redirects=False, **_by_proxy(self._settings.proxy)
            ) as response:
                now, received = self._clock(), bytearray()
                sample = clock_sample(response.headers, sent_at, now)
                body, trouble = await self._body(response, most, received)
                secrets = spellings(credentials.headers().values())
                part = b"" if body is not None else excerpt(redact(bytes(received), secrets, whole=False))
                body = None if body is None else redact(body, secrets)
                return RadarResponse(response.status, response.headers, body, now, trouble, part, sample)
        except TimeoutError:
            raise self._timed_out() from None
        except (aiohttp.ClientError, OSError) as error:
            kind = Unreachable if isinstance(error, aiohttp.ClientConnectorError) else Unavailable
            raise kind(describe_connection_error(error)) from None

    async def _body(
        self, response: aiohttp.ClientResponse, most: int, received: bytearray
    ) -> tuple[bytes | None, RadarError | None]:
        """Return the whole body of an answer, or why it cannot be read; the body of an error gets a few seconds."""
        if response.status not in ANSWERED:
            return await _error_body(response, received), None
        try:
            return await read_body(response, most, received), None
        except RadarError as error:
            return None, error
        except TimeoutError:
            return None, self._timed_out()
        except (aiohttp.ClientError, OSError) as error:
            return None, Unavailable(describe_connection_error(error))

    def _timed_out(self) -> TimedOut:
        return TimedOut(f"no complete response within {self._settings.timeout.total_seconds():g} s")


def trusted_answer(response: RadarResponse, batch: Batch, absolute_words: Collection[str] = ()) -> TrustedAnswer:
    """Parse *response* as a checked answer to *batch*. Raises the RadarError with the reason if it is not one."""
    answer = answer_of(response, batch)
    word = answer.meta.normalization
    is_relative = word and not is_absolute(word) and spelling_free(word) not in absolute_words
    if len(batch.slices) > 1 and is_relative:
        words = f"{word} values of {len(batch.slices)} slices in one answer"
        raise RelativeValues(words, status=response.status, unknown_word=None if is_known(word) else word)
    return as_trusted(response, batch, answer)


def as_trusted(response: RadarResponse, batch: Batch, answer: Answer) -> TrustedAnswer:
    """Return *answer*, which was parsed from *response*, with the size, headers and missing slices."""
    missing = tuple(batch.slices[position] for position in sorted(answer.missing))
    size, body = len(response.body or b""), response.evidence if answer.deviations else None
    sample = response.clock_sample
    if sample and is_contradicted(sample, answer.meta.last_updated, response.received_at):
        sample = None
    return TrustedAnswer(batch.without(answer.missing), answer, size, response.rate_headers, missing, body, sample)


def answer_of(response: RadarResponse, batch: Batch) -> Answer:
    """Parse *response* as the answer to *batch*, also if several slices share relative values; raises a RadarError."""
    if response.trouble:
        raise response.trouble
    body = response.body
    if response.status not in ANSWERED or body is None or body.lstrip().startswith(b"<"):
        raise classify_response(response.status, response.headers, body, response.received_at)
    try:
        return parse_answer(body, batch)
    except UnsuccessfulEnvelope:
        raise classify_response(response.status, response.headers, body, response.received_at) from None


def _tls(ca_file: str | None) -> ssl.SSLContext | bool:
    """Return the certificate authorities to trust: those of *ca_file*, or the system's."""
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # it was readable when the settings were loaded
        raise CollectorError(f"cannot read radar.ca_file {ca_file}: {os_error_text(error)}") from None


def _by_proxy(proxy: Secret | None) -> dict[str, Any]:
    """Return the options of a request through *proxy*, whose credentials are sent with CONNECT only."""
    if proxy is None:
        return {}
    url = URL(proxy.reveal())
    options = {"proxy": url.with_user(None)}
    if url.user is None:
        return options
    pair = base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    return options | {"proxy_headers": {"Proxy-Authorization": f"Basic {pair}"}}


async def _error_body(response: aiohttp.ClientResponse, received: bytearray) -> bytes | None:
    """Return the body of an error, or None if it cannot be read, because status and headers count without it."""
    try:
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            return await read_body(response, _MAX_META_BYTES, received)
    except (TimeoutError, aiohttp.ClientError, OSError, RadarError):
        return None


async def _no_resend(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Unavailable(describe_connection_error(error)) from None


_CHUNK = 65_536
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_NAME = re.compile(r"(?:x-)?gzip(?: *, *(?:x-)?gzip)*")
_TEXT = (b"{", b"[", b"<", b"\xef\xbb\xbf")
_MAX_LAYERS = 2


async def read_body(response: aiohttp.ClientResponse, most: int, received: bytearray | None = None) -> bytes:
    """Read the whole body, at most *most* bytes after decompression: plain, gzip, x-gzip or deflate.

    The content counts more than the header: gzip is decompressed whatever its name, twice if it was compressed twice,
    and plain JSON is read as it is. Raises Untrusted for a larger body and for another encoding, Unavailable for a
    compressed stream that is broken or incomplete. *received* gets the bytes that were read, also if an error or a
    cancellation ends the read.
    """
    received = bytearray() if received is None else received
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    inflater: _Inflater | None = None
    async for chunk in response.content.iter_chunked(_CHUNK):
        if inflater:
            inflater.add(chunk)
            continue
        is_head = len(received) < len(_GZIP_MAGIC)  # the first bytes may come one by one
        received += chunk
        _check_size(received, most)
        inflater = _inflater(encoding, received, most) if is_head else None
    if inflater:
        body = inflater.end()
        for _ in range(_MAX_LAYERS):
            if body.startswith(_GZIP_MAGIC):
                inflater = _Inflater(_GZIP, most, bytearray())
                inflater.add(body)
                body = inflater.end()
        return body
    if not received.lstrip().startswith(_TEXT):
        _check_plain(encoding, is_empty=not received)
    return bytes(received)


def _inflater(encoding: str, received: bytearray, most: int) -> _Inflater | None:
    """Return the decompressor for a body that begins with *received*, which it decompresses in place; None if plain."""
    head = bytes(received)
    is_gzip = head.startswith(_GZIP_MAGIC)
    if len(head) < len(_GZIP_MAGIC) or not (is_gzip or encoding == "deflate"):
        return None
    received.clear()
    inflater = _Inflater(_GZIP if is_gzip else None, most, received)
    inflater.add(head)
    return inflater


def _check_plain(encoding: str, *, is_empty: bool) -> None:
    """Raise if a body that is neither JSON nor HTML has another Content-Encoding than identity."""
    if encoding in ("identity", ""):
        return
    if _GZIP_NAME.fullmatch(encoding) or encoding == "deflate":
        raise Unavailable("the compressed stream ends too early" if is_empty else "a broken compressed stream")
    raise Untrusted(f"Content-Encoding {encoding[:40]!r} was not requested")


class _Inflater:
    """Decompresses one stream, or several in a row as gzip allows, with zeros after them.

    *wbits* is the format for zlib; None means deflate, in the format that the first byte shows. *body* receives the
    output.
    """

    def __init__(self, wbits: int | None, most: int, body: bytearray) -> None:
        self._wbits = wbits
        self._most = most
        self._stream: zlib._Decompress | None = None
        self._streams = 0
        self._body = body

    def add(self, chunk: bytes) -> None:
        """Decompress *chunk*.

        Raises Untrusted if the output is too large or no stream follows the last one, Unavailable if a stream is
        broken.
        """
        rest = chunk
        try:
            while rest:
                if self._stream is None or self._stream.eof:
                    rest = rest.lstrip(b"\0") if self._streams else rest
                    if not rest:
                        break
                    self._stream = zlib.decompressobj(_deflate_format(rest) if self._wbits is None else self._wbits)
                    self._streams += 1
                self._body += self._stream.decompress(rest, self._most + 1 - len(self._body))
                _check_size(self._body, self._most)
                rest = self._stream.unused_data
        except zlib.error:
            if self._streams > 1:
                raise Untrusted("bytes behind the compressed stream") from None
            raise Unavailable("a broken compressed stream") from None

    def end(self) -> bytes:
        """Return the whole output; raises Unavailable if the last stream is incomplete."""
        if self._stream is None or not self._stream.eof:
            raise Unavailable("the compressed stream ends too early")
        return bytes(self._body)


def _deflate_format(first: bytes) -> int:
    """Return the format of a deflate body: zlib's, which HTTP means, or the raw stream, which some servers send."""
    return zlib.MAX_WBITS if first[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS


def _check_size(body: bytearray, most: int) -> None:
    if len(body) > most:
        raise Untrusted(f"the body is larger than {most} bytes")
