"""The body of a reply, read and inflated inside a fixed bound, whatever the sender claims."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from collector.radar.errors import Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

_CHUNK = 65_536
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_NAME = re.compile(r"(?:x-)?gzip(?: *, *(?:x-)?gzip)*")
_TEXT = (b"{", b"[", b"<", b"\xef\xbb\xbf")
_MOST_LAYERS = 2


async def read_body(response: aiohttp.ClientResponse, most: int, came: bytearray | None = None) -> bytes:
    """Read the whole body, at most *most* bytes once inflated: as it is, or as gzip, x-gzip or deflate.

    What the body is counts more than what it is called: gzip is inflated whatever its name, twice if it was compressed
    twice, and JSON is read as it is. Raises Untrusted for a larger body and for another encoding, Unavailable for a
    compressed stream that is broken or ends too early. What was read is in *came*, also if an error or a cancellation
    ends the reading.
    """
    came = bytearray() if came is None else came
    named = response.headers.get("Content-Encoding", "identity").strip().lower()
    inflater: _Inflater | None = None
    async for chunk in response.content.iter_chunked(_CHUNK):
        if inflater:
            inflater.add(chunk)
            continue
        is_head = len(came) < len(_GZIP_MAGIC)  # the first bytes may come one by one
        came += chunk
        _check_size(came, most)
        inflater = _inflater(named, came, most) if is_head else None
    if inflater:
        return _inflated_again(inflater.end(), most)
    if not came.lstrip().startswith(_TEXT):
        _check_plain(named, is_empty=not came)
    return bytes(came)


def _inflater(named: str, came: bytearray, most: int) -> _Inflater | None:
    """Return what inflates a body that begins with *came*, and inflate that in its place; None for a plain body."""
    head = bytes(came)
    is_gzip = head.startswith(_GZIP_MAGIC)
    if len(head) < len(_GZIP_MAGIC) or not (is_gzip or named == "deflate"):
        return None
    came.clear()
    inflater = _Inflater(_gzip_format if is_gzip else _deflate_format, most, came)
    inflater.add(head)
    return inflater


def _gzip_format(_: bytes) -> int:
    return _GZIP


def _check_plain(named: str, *, is_empty: bool) -> None:
    """Raise if what is neither JSON nor HTML is called something else than plain."""
    if named in ("identity", ""):
        return
    if _GZIP_NAME.fullmatch(named) or named == "deflate":
        raise Unavailable("the compressed stream ends too early" if is_empty else "a broken compressed stream")
    raise Untrusted(f"Content-Encoding {named[:40]!r} was not asked for")


def _inflated_again(body: bytes, most: int) -> bytes:
    """Inflate what was compressed several times."""
    for _ in range(_MOST_LAYERS):
        if not body.startswith(_GZIP_MAGIC):
            break
        inflater = _Inflater(_gzip_format, most, bytearray())
        inflater.add(body)
        body = inflater.end()
    return body


class _Inflater:
    """Inflates one stream, or several behind each other, as gzip allows, and zeros behind them.

    *format_of* reads the format off the first bytes of a stream; *body* gets what was inflated.
    """

    def __init__(self, format_of: Callable[[bytes], int], most: int, body: bytearray) -> None:
        self._format_of = format_of
        self._most = most
        self._stream: zlib._Decompress | None = None
        self._streams = 0
        self._body = body

    def add(self, chunk: bytes) -> None:
        """Inflate *chunk*; Untrusted for what is too large or no stream behind one, Unavailable for a broken one."""
        rest = chunk
        try:
            while rest:
                if self._stream is None or self._stream.eof:
                    rest = rest.lstrip(b"\0") if self._streams else rest
                    if not rest:
                        break
                    self._stream = zlib.decompressobj(self._format_of(rest))
                    self._streams += 1
                self._body += self._stream.decompress(rest, self._most + 1 - len(self._body))
                _check_size(self._body, self._most)
                rest = self._stream.unused_data
        except zlib.error:
            if self._streams > 1:
                raise Untrusted("bytes behind the compressed stream") from None
            raise Unavailable("a broken compressed stream") from None

    def end(self) -> bytes:
        """Return all that was inflated; Unavailable if the last stream is not whole."""
        if self._stream is None or not self._stream.eof:
            raise Unavailable("the compressed stream ends too early")
        return bytes(self._body)


def _deflate_format(first: bytes) -> int:
    """Tell zlib's format, which HTTP means by deflate, from the bare stream, which some servers send."""
    return zlib.MAX_WBITS if first[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS


def _check_size(body: bytearray, most: int) -> None:
    if len(body) > most:
        raise Untrusted(f"the body is larger than {most} bytes")
