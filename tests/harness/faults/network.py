"""Ways to deliver an answer, the right one first; the others write to the socket behind aiohttp's back."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from collector.contract.response import HttpReply

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Delivered(web.StreamResponse):
    """Stands for an answer of which aiohttp has nothing more to send."""

    def __init__(self) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        pass


async def truncated(request: web.Request, reply: HttpReply) -> web.StreamResponse:
    """End after half of the length that was promised."""
    _write(request, _head(reply, f"Content-Length: {len(reply.body)}") + reply.body[: len(reply.body) // 2])
    return _close(request)


async def truncated_chunk(request: web.Request, reply: HttpReply) -> web.StreamResponse:
    """End in the middle of a chunk."""
    size = f"{len(reply.body):x}\r\n".encode()
    _write(request, _head(reply, "Transfer-Encoding: chunked") + size + reply.body[: len(reply.body) // 2])
    return _close(request)


async def closed(request: web.Request, reply: HttpReply) -> web.StreamResponse:
    """Close the connection without a byte."""
    return _close(request)


async def reset_in_header(request: web.Request, reply: HttpReply) -> web.StreamResponse:
    """Reset the connection in the middle of the header."""
    _write(request, _head(reply, f"Content-Length: {len(reply.body)}")[:20])
    return _reset(request)


async def reset_in_body(request: web.Request, reply: HttpReply) -> web.StreamResponse:
    """Reset the connection after half of the body."""
    _write(request, _head(reply, f"Content-Length: {len(reply.body)}") + reply.body[: len(reply.body) // 2])
    return _reset(request)


async def black_hole(request: web.Request, reply: HttpReply) -> web.StreamResponse:
    """Never answer; ends when the caller hangs up or the server stops."""
    await asyncio.Event().wait()
    return _close(request)


async def dripped(request: web.Request, reply: HttpReply, seconds: float) -> web.StreamResponse:
    """Deliver correctly, one byte every so many seconds."""
    for byte in _head(reply, f"Content-Length: {len(reply.body)}") + reply.body:
        if request.transport is None or request.transport.is_closing():
            break
        _write(request, bytes([byte]))
        await asyncio.sleep(seconds)
    return _close(request)


def _head(reply: HttpReply, framing: str) -> bytes:
    fields = {"Content-Type": reply.content_type, **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", framing]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode()


def _write(request: web.Request, data: bytes) -> None:
    if request.transport is not None:
        request.transport.write(data)


def _close(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return _Delivered()


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
    return _Delivered()
