"""The body of a reply, read and inflated inside a fixed bound, whatever the sender claims."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from collector.radar.errors import Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

_CHUNK = 65_536
_GZIP = 16 + zlib.MAX_WBITS


async def read_body(response: aiohttp.ClientResponse, most: int, came: bytearray | None = None) -> bytes:
    """Read the whole body, at most *most* bytes once inflated: as it is, or as gzip, x-gzip or deflate.

    Untrusted for a larger one and for another encoding, Unavailable for a compressed stream that is broken or ends too
    early. What was read is in *came*, also if an error or a cancellation ends the reading.
    """
    came = bytearray() if came is None else came
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return await _read_plain(response, most, came)
    if encoding in ("gzip", "x-gzip"):
        return await _inflate(response, most, lambda _: _GZIP, came)
    if encoding == "deflate":
        return await _inflate(response, most, _deflate_format, came)
    raise Untrusted(f"Content-Encoding {encoding[:40]!r} was not asked for")


async def _read_plain(response: aiohttp.ClientResponse, most: int, body: bytearray) -> bytes:
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        _check_size(body, most)
    return bytes(body)


async def _inflate(
    response: aiohttp.ClientResponse, most: int, format_of: Callable[[bytes], int], body: bytearray
) -> bytes:
    """Inflate one stream, or several behind each other, as gzip allows; *format_of* reads it off the first bytes."""
    inflater, streams = None, 0
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            rest = chunk
            while rest:
                if inflater is None or inflater.eof:
                    inflater, streams = zlib.decompressobj(format_of(rest)), streams + 1
                body += inflater.decompress(rest, most + 1 - len(body))
                _check_size(body, most)
                rest = inflater.unused_data
    except zlib.error:
        if streams > 1:
            raise Untrusted("bytes behind the compressed stream") from None
        raise Unavailable("a broken compressed stream") from None
    if inflater is None or not inflater.eof:
        raise Unavailable("the compressed stream ends too early")
    return bytes(body)


def _deflate_format(first: bytes) -> int:
    """Tell zlib's format, which HTTP means by deflate, from the bare stream, which some servers send."""
    return zlib.MAX_WBITS if first[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS


def _check_size(body: bytearray, most: int) -> None:
    if len(body) > most:
        raise Untrusted(f"the body is larger than {most} bytes")
