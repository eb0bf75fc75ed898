"""Bodies as they are kept: compressed, and of a large one only an excerpt that explains it."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from collector.excerpt import excerpt

MOST_BYTES = 1_048_576
"""A body that takes more than this once compressed is kept as an excerpt."""
_CHUNK = 65_536


class Packed(NamedTuple):
    """A compressed body; it is *whole*, or *data* holds an excerpt."""

    data: bytes
    whole: bool


def pack(content: bytes, *, whole: bool = True) -> Packed:
    """Compress a body, or the excerpt of one that is not *whole* or that stays too large."""
    if whole and (data := _compressed(content)) is not None:
        return Packed(data, whole=True)
    return Packed(zlib.compress(excerpt(content)), whole=False)


def _compressed(content: bytes) -> bytes | None:
    """Compress *content*; None as soon as it takes too many bytes."""
    packer, parts, size = zlib.compressobj(), list[bytes](), 0
    view = memoryview(content)
    for start in range(0, len(view), _CHUNK):
        parts.append(packer.compress(view[start : start + _CHUNK]))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return None
    data = b"".join([*parts, packer.flush()])
    return data if len(data) <= MOST_BYTES else None


def unpack(data: bytes, size: int) -> bytes:
    """Return what was packed, at most *size* bytes; ValueError if *data* is damaged or holds more."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > size or not inflater.eof:
        raise ValueError("its length is not what it was")
    return content
