from __future__ import annotations

import asyncio

import pytest

from collector.serve.read_slots import MAX_ALL_READS, MAX_READS, ReadSlots
from collector.store.db.engine import READERS


async def _reads(slots, routes, order, hold):
    """One read of each of *routes*, which appends its route to *order* when it begins."""

    async def read(route):
        async with slots.slot(route, 60):
            order.append(route)
            await hold.wait()

    tasks = [asyncio.create_task(read(route)) for route in routes]
    await asyncio.sleep(0)
    return tasks


async def test_it_works():
    slots = ReadSlots(2, 2)
    async with slots.slot("a", 1), slots.slot("a", 1):
        with pytest.raises(TimeoutError):
            async with slots.slot("a", 0.01):
                pass
    async with slots.slot("a", 1), slots.slot("b", 1):
        pass


async def test_a_route_never_holds_all_slots():
    slots, order, hold = ReadSlots(3, 2), [], asyncio.Event()
    tasks = await _reads(slots, ["a"] * 5 + ["b"], order, hold)
    await asyncio.sleep(0)
    assert order == ["a", "a", "b"]
    hold.set()
    await asyncio.gather(*tasks)


async def test_routes_take_turns_however_many_requests_one_of_them_has():
    slots, order, go = ReadSlots(1, 1), [], asyncio.Event()
    go.set()
    async with slots.slot("z", 1):
        tasks = await _reads(slots, ["a"] * 4 + ["b", "b", "c"], order, go)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "a", "b", "a", "a"]


async def test_a_cancelled_request_keeps_no_slot():
    slots, order, hold = ReadSlots(1, 1), [], asyncio.Event()
    async with slots.slot("a", 1):
        tasks = await _reads(slots, ["a", "b"], order, hold)
        tasks[0].cancel()
        await asyncio.sleep(0)
    tasks[1].cancel()  # at the moment at which it was granted the slot
    await asyncio.gather(*tasks, return_exceptions=True)
    async with slots.slot("c", 0.01):
        assert order == []


def test_fires_have_threads_that_http_never_takes():
    assert MAX_READS < MAX_ALL_READS < READERS
