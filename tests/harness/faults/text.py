"""Faults of the text: bytes that no decoder should take, or should take only with care."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from collector.contract.response import HttpReply
from collector.simulator.faults import Fault, instead

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 1 << 20


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Fault:
    """Answer with the bytes that *change* makes of the body."""
    return Fault(name, lambda honest: replace(honest, body=change(honest.body)), needs_json=True)


def trailing(data: bytes = b"}{garbage") -> Fault:
    """Append bytes behind the document."""
    return rewrite("trailing", lambda body: body + data)


def byte_order_mark() -> Fault:
    """Begin with a byte-order mark."""
    return rewrite("byte-order mark", lambda body: b"\xef\xbb\xbf" + body)


def invalid_utf8() -> Fault:
    """Put a byte into the text that UTF-8 does not have."""
    return rewrite("invalid UTF-8", lambda body: body.replace(b'"CT"', b'"C\xffT"').replace(b'"*"', b'"\xff"'))


def charset(encoding: str = "utf-16", declared: str | None = None) -> Fault:
    """Encode in *encoding* and declare it, or declare another."""
    content_type = f"application/json; charset={declared or encoding}"
    return Fault(
        f"charset {encoding}",
        lambda honest: replace(honest, body=honest.body.decode().encode(encoding), content_type=content_type),
        needs_json=True,
    )


def content_type(text: str) -> Fault:
    """Declare any content type."""
    return Fault(f"content type {text}", lambda honest: replace(honest, content_type=text), needs_json=True)


def duplicate_keys() -> Fault:
    """Give the first series twice under one name, the second time empty."""

    def change(body: bytes) -> bytes:
        name = next(name for name in json.loads(body)["result"] if name != "meta")
        end = body.rindex(b"}}")
        return body[:end] + f',{json.dumps(name)}:{{"timestamps":[],"values":[]}}'.encode() + body[end:]

    return rewrite("duplicate keys", change)


def depth_bomb(depth: int = 100_000) -> Fault:
    """Answer with arrays inside arrays."""
    return instead("depth bomb", HttpReply(200, b'{"success":true,"result":' + b"[" * depth + b"]" * depth + b"}"))


def truncated_gzip() -> Fault:
    """Compress, and send half of that as if it were all."""

    def change(honest: HttpReply) -> HttpReply:
        packed = gzip.compress(honest.body, 1)
        return replace(honest, body=packed[: len(packed) // 2], headers={**honest.headers, "Content-Encoding": "gzip"})

    return Fault("truncated gzip", change, needs_json=True)


def gzip_bomb(size: int = 1024 * _MIB) -> Fault:
    """Answer a blank text of *size* bytes (whole MiB), about a thousandth of that on the wire."""
    headers = {"Content-Encoding": "gzip"}
    return Fault("gzip bomb", lambda _: HttpReply(200, _blank_gzip(size // _MIB), headers))


@lru_cache(maxsize=4)
def _blank_gzip(mebibytes: int) -> bytes:
    """Repeat one deflate block instead of compressing it all: after a full flush every block stands for itself."""
    blank = b" " * _MIB
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(mebibytes):
        checksum = zlib.crc32(blank, checksum)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    trailer = struct.pack("<LL", checksum, mebibytes * _MIB & 0xFFFFFFFF)
    return header + block * mebibytes + packer.flush(zlib.Z_FINISH) + trailer
