"""The COMMIT's reply lost: the server has done it and the collector does not know. The record decides.

A proxy before a real Postgres passes the COMMIT on, swallows what comes back, and cuts the connection.
"""

import random
from collections import Counter
from contextlib import aclosing

import pytest

from collector.collect.collect import collect_and_heal
from collector.model import AggInterval, Window
from collector.radar.simulator import Revised
from collector.store import Fire, StoreError, upkeep
from tests.collect.doubles import DAY, HOUR, NOW, core, many
from tests.store.proxy import Proxy

MANY = many(6, since=NOW - 40 * DAY)
OPTIONS = {"series_per_request": 1, "max_span": dict.fromkeys(AggInterval, 4 * DAY)}


class Unreliable(Proxy):
    """Loses the reply of about one commit in six, until it has lost so many."""

    def __init__(self, url, dice):
        super().__init__(url)
        self._dice = dice

    def cuts_now(self):
        return self._dice.random() < 1 / 6 and super().cuts_now()


async def _collected(url, found, proxy=None, cuts=0):
    """Collect until nothing is missing, revise a part of it, collect once more; the record is compared, too.

    Replies are lost from when the store is open: a start that fails is told of, and is not what is tried here.
    """
    async with core(url, MANY, **OPTIONS) as world:
        if proxy:
            proxy.cuts = cuts
        for add in (0, 5):
            world.simulator.change(Revised(Window(NOW - 9 * DAY, NOW - 5 * DAY), add))
            world.clock.advance(days=add)
            await _until_complete(world, found)
            await _recorded(world, found)
        found["requests"] = len(world.requests)
        outcomes = Counter(await world.outcomes())
        unsent = outcomes["started"] + outcomes["interrupted"]
        assert outcomes.total() - unsent == found["requests"], outcomes
        return unsent


async def _until_complete(world, found):
    while True:
        try:
            if (await collect_and_heal(world.profiles, world.clock(), world.store, world.gatherer)).complete:
                return
        except StoreError:
            found["passes that failed"] += 1
        world.clock.advance(seconds=1)


async def _recorded(world, found):
    """Put a fire on record, as the service does: again where it does not know whether it is there."""
    while True:
        try:
            await world.store.finish([Fire("many", HOUR.floor(world.clock()), "collected", world.clock())], [])
        except StoreError:
            found["fires that failed"] += 1
        else:
            return


async def _dump(url):
    async with aclosing(upkeep.dump(url)) as parts:
        return "".join([part async for part in parts])


@pytest.mark.parametrize("cuts", [8, pytest.param(100, marks=pytest.mark.campaign)])
async def test_whatever_reply_is_lost_the_store_ends_as_the_one_on_sqlite(postgres_url, sqlite_url, cuts, seed):
    found = Counter()
    proxy = Unreliable(postgres_url, random.Random(seed))
    async with proxy.serving() as url:
        unsent = await _collected(url, found, proxy, cuts)
    assert unsent <= proxy.cut == cuts, "a request that was begun and not sent is one whose begin was lost"
    await _collected(sqlite_url, Counter())
    assert await _dump(postgres_url) == await _dump(sqlite_url)
    print(f"{proxy.cut} replies lost: {dict(found)}")  # noqa: T201 - counts for the record
