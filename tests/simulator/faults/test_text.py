from __future__ import annotations

import json
import zlib

import pytest

from tests.harness import faults

DAY = "dateRange=1d"
MIB = 1 << 20


async def _got(serving, fault, **options):
    async with serving() as radar:
        radar.simulator.script(fault)
        response, body = await radar.get(DAY, **options)
        return response, body, (await radar.get(DAY))[1]


async def _wire(serving, fault):
    """The body as it came, packed or not."""
    async with serving() as radar:
        radar.simulator.script(fault)
        radar.session._auto_decompress = False
        return (await radar.get(DAY))[1]


async def test_bytes_can_follow_the_document(serving):
    _, body, honest = await _got(serving, faults.trailing(b"{}"))
    assert body == honest + b"{}"


async def test_a_byte_order_mark_can_stand_before_it(serving):
    _, body, honest = await _got(serving, faults.byte_order_mark())
    assert body.decode("utf-8-sig") == honest.decode()
    assert body != honest


async def test_text_can_be_invalid_utf_8(serving):
    _, body, _ = await _got(serving, faults.invalid_utf8())
    with pytest.raises(UnicodeDecodeError):
        body.decode()


async def test_another_charset_can_be_used_and_declared(serving):
    response, body, honest = await _got(serving, faults.charset("utf-16"))
    assert response.charset == "utf-16"
    assert body.decode("utf-16") == honest.decode()
    response, body, _ = await _got(serving, faults.charset("utf-16", declared="utf-8"))
    assert response.charset == "utf-8"


async def test_any_content_type_can_be_declared(serving):
    response, body, honest = await _got(serving, faults.content_type("text/html"))
    assert (response.content_type, body) == ("text/html", honest)


async def test_a_key_can_come_twice(serving):
    async with serving() as radar:
        radar.simulator.script(faults.duplicate_keys())
        _, body = await radar.get(f"{DAY}&name=a")
    pairs = []
    json.loads(body, object_pairs_hook=lambda found: pairs.append([name for name, _ in found]) or dict(found))
    assert ["meta", "a", "a"] in pairs
    assert json.loads(body)["result"]["a"]["values"] == []


async def test_a_document_can_be_too_deep(serving):
    _, body, _ = await _got(serving, faults.depth_bomb(100_000))
    assert body.count(b"[") == 100_000
    with pytest.raises(RecursionError):
        json.loads(body)


async def test_gzip_can_be_truncated(serving):
    packed = await _wire(serving, faults.truncated_gzip())
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert len(unpacker.decompress(packed)) > 100
    assert not unpacker.eof


async def test_a_little_gzip_can_hold_a_lot(serving):
    packed = await _wire(serving, faults.gzip_bomb(64 * MIB))
    assert len(packed) < MIB // 8
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    size = len(unpacker.decompress(packed))
    assert size == 64 * MIB
    assert unpacker.eof


async def test_any_rewriting_can_be_done(serving):
    _, body, honest = await _got(serving, faults.rewrite("upper", bytes.upper))
    assert body == honest.upper()
