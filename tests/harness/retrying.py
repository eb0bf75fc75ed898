"""Collects until nothing is missing, however often the store fails on the way, so that two stores can be compared."""

from collections import Counter

from collector.collect.one_pass import collect_and_heal
from collector.model import AggInterval, Window
from collector.simulator import RevisionChange
from collector.store import Fire, StoreError
from tests.harness.collect_core import DAY, HOUR, NOW, core
from tests.harness.factories import many

_MANY = many(6, since=NOW - 40 * DAY)
_OPTIONS = {"series_per_request": 1, "max_span": dict.fromkeys(AggInterval, 4 * DAY)}


async def collected(url, found, trouble=lambda world: None):
    """Collect until nothing is missing, revise a part of it, collect once more; *found* counts what failed.

    *trouble* begins when the store is open: a start that fails is told of, and is not what is tried here. Gives how
    often each outcome is on record.
    """
    async with core(url, _MANY, **_OPTIONS) as world:
        trouble(world)
        for add in (0, 5):
            world.simulator.change(RevisionChange(Window(NOW - 9 * DAY, NOW - 5 * DAY), add))
            world.clock.advance(days=add)
            await _until_complete(world, found)
            await _recorded(world, found)
        found["requests"] = len(world.requests)
        return Counter(await world.outcomes())


async def _until_complete(world, found):
    while True:
        try:
            if (await collect_and_heal(world.profiles, world.clock(), world.store, world.batch_runner)).complete:
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
