"""The texts of connection errors, from real sockets that misbehave."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

import aiohttp
import pytest

from collector.radar.classify import describe_connection_error

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


class _Lost(aiohttp.abc.AbstractResolver):
    """Knows no name."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        raise OSError(None, "no address for this name")

    async def close(self):
        pass


async def _said(url):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_Lost())) as session:
        with pytest.raises((aiohttp.ClientError, OSError)) as caught:
            async with session.get(url, headers={"Authorization": "Bearer canary"}) as response:
                await response.read()
    words = describe_connection_error(caught.value)
    assert words.isprintable()
    assert "canary" not in words
    return words


@asynccontextmanager
async def _answering(reply, *, reset=False):
    async def answer(reader, writer):
        await reader.read(65_536)  # a whole request, or the hello of TLS
        writer.write(reply)
        await writer.drain()
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize(
    ("expected", "reply"),
    [
        ("the server closed the connection without a response", b""),
        ("the response ended early", HEAD + b"half"),
        ("the response is not valid HTTP: Bad status line:", b"nonsense\r\n\r\n"),
    ],
)
async def test_a_body_that_is_no_answer_is_described(expected, reply):
    async with _answering(reply) as url:
        assert (await _said(url)).startswith(expected)


async def test_a_reset_connection_has_the_text_of_the_system():
    async with _answering(b"", reset=True) as url:
        assert await _said(url) == "the connection was lost: connection reset by peer"


async def test_a_closed_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert (
            await _said(f"http://127.0.0.1:{port}/") == f"cannot connect to 127.0.0.1 port {port}: connection refused"
        )


async def test_a_port_that_speaks_no_tls_is_named():
    async with _answering(HEAD) as url:
        port = url.rsplit(":", 1)[1].rstrip("/")
        said = await _said(url.replace("http:", "https:"))
        assert said.startswith(f"no TLS with 127.0.0.1 port {port}: ")
        assert "SSL" in said


async def test_an_unknown_host_name_is_named():
    assert await _said("http://radar.invalid/") == "the name radar.invalid cannot be resolved: no address for this name"


def test_an_unknown_error_keeps_its_class_name():
    assert describe_connection_error(aiohttp.ClientError("odd\nthing")) == "ClientError: odd thing"
