"""What arrives is read from a bare socket: a client library would hide the difference."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness import faults


async def _connect(radar):
    port = int(radar.url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = ("GET /client/v4/radar/ct/timeseries?dateRange=1d HTTP/1.1", "Host: localhost", "Authorization: Bearer x")
    writer.write("\r\n".join((*lines, "", "")).encode())
    return reader, writer


async def _arrived(serving, fault):
    """Head and body of what came until the connection ended, and whether it was reset."""
    async with serving() as radar:
        radar.simulator.script(fault)
        reader, writer = await _connect(radar)
        data, reset = b"", False
        try:
            while part := await asyncio.wait_for(reader.read(65536), 5):
                data += part
        except ConnectionResetError:
            reset = True
        writer.close()
        assert len(radar.simulator.requests) == 1
        head, _, body = data.partition(b"\r\n\r\n")
        return head, body, reset


def _length(head):
    return int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


async def test_a_truncated_answer_is_half_of_what_its_header_promises(serving):
    head, body, reset = await _arrived(serving, faults.truncated())
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(body) == _length(head) // 2
    assert not reset


async def test_a_truncated_chunk_ends_in_its_middle(serving):
    head, body, _ = await _arrived(serving, faults.truncated_chunk())
    assert b"Transfer-Encoding: chunked" in head
    size, _, data = body.partition(b"\r\n")
    assert len(data) == int(size, 16) // 2


async def test_a_closed_connection_gives_not_a_byte(serving):
    assert await _arrived(serving, faults.closed()) == (b"", b"", False)


async def test_a_connection_is_reset_in_its_header(serving):
    head, body, reset = await _arrived(serving, faults.reset_in_header())
    assert reset
    assert b"HTTP/1.1 200 OK\r\nContent-Length".startswith(head)
    assert body == b""


async def test_a_connection_is_reset_in_its_body(serving):
    head, body, reset = await _arrived(serving, faults.reset_in_body())
    assert reset
    assert not head or len(body) < _length(head)


async def test_a_black_hole_takes_the_request_and_says_nothing(serving):
    async with serving() as radar:
        radar.simulator.script(faults.black_hole())
        reader, writer = await _connect(radar)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        assert radar.simulator.requests[0].fault == "black hole"
        writer.close()


async def test_a_server_with_a_black_hole_in_it_stops_at_once(serving):
    began = asyncio.get_running_loop().time()
    async with serving() as radar:
        arrived = asyncio.Event()
        radar.simulator.script(lambda _: arrived.set() or faults.black_hole())
        _, writer = await _connect(radar)
        await asyncio.wait_for(arrived.wait(), 5)
    assert asyncio.get_running_loop().time() - began < 2
    writer.close()


async def test_a_dripping_answer_comes_byte_by_byte(serving):
    async with serving() as radar:
        radar.simulator.script(faults.drip(0.05))
        reader, writer = await _connect(radar)
        assert await reader.readexactly(1) == b"H"
        began = asyncio.get_running_loop().time()
        assert await reader.readexactly(4) == b"TTP/"
        assert asyncio.get_running_loop().time() - began > 0.15
        writer.close()


async def test_a_dripping_answer_is_whole_in_the_end(serving):
    head, body, reset = await _arrived(serving, faults.drip(0))
    assert len(body) == _length(head)
    assert body.endswith(b"}}")
    assert not reset


async def test_an_honest_answer_keeps_the_connection(serving):
    async with serving() as radar:
        reader, writer = await _connect(radar)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(head))
        assert not reader.at_eof()
        writer.close()
