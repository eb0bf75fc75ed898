"""The body of a reply, read and inflated inside a fixed bound, whatever the sender claims."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from collector.radar.errors import Unavailable, Untrusted

if TYPE_CHECKING:
    import aiohttp

_CHUNK = 65_536
_GZIP = 16 + zlib.MAX_WBITS


async def read_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read the whole body, at most *most* bytes once inflated; more is Untrusted, half of a gzip stream Unavailable."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return await _read_plain(response, most)
    if encoding != "gzip":
        raise Untrusted(f"Content-Encoding {encoding[:40]!r} was not asked for")
    return await _read_gzip(response, most)


async def _read_plain(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        _check_size(body, most)
    return bytes(body)


async def _read_gzip(response: aiohttp.ClientResponse, most: int) -> bytes:
    inflater = zlib.decompressobj(_GZIP)
    body = bytearray()
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += inflater.decompress(chunk, most + 1 - len(body))
            _check_size(body, most)
    except zlib.error:
        raise Unavailable("a broken gzip stream") from None
    if not inflater.eof:
        raise Unavailable("the gzip stream ends too early")
    if inflater.unused_data:
        raise Untrusted("bytes behind the gzip stream")
    return bytes(body)


def _check_size(body: bytearray, most: int) -> None:
    if len(body) > most:
        raise Untrusted(f"the body is larger than {most} bytes")
