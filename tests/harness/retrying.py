"""Collects until nothing is missing, however often the store fails on the way, so that two stores can be compared."""

from collections import Counter

from collector.interval import AggInterval
from collector.model import Window
from collector.simulator import RevisionChange
from collector.store import Fire, StoreError
from tests.harness.collect_core import DAY, HOUR, NOW, open_core, run_pass
from tests.harness.factories import many

_MANY = many(6, since=NOW - 40 * DAY)
_OPTIONS = {"series_per_request": 1, "max_span": dict.fromkeys(AggInterval, 4 * DAY)}


async def collected(url, found, trouble=lambda core: None):
    """Collect until nothing is missing, revise a part of it, collect once more; *found* counts what failed.

    *trouble* begins when the store is open: a start that fails is told of, and is not what is tried here. Gives how
    often each outcome is on record.
    """
    async with open_core(url, _MANY, **_OPTIONS) as core:
        trouble(core)
        for add in (0, 5):
            core.simulator.change(RevisionChange(Window(NOW - 9 * DAY, NOW - 5 * DAY), add))
            core.clock.advance(days=add)
            await _until_complete(core, found)
            await _recorded(core, found)
        found["requests"] = len(core.requests)
        return Counter(await core.outcomes())


async def _until_complete(core, found):
    while True:
        try:
            if (await run_pass(core, gaps=True)).complete:
                return
        except StoreError:
            found["passes that failed"] += 1
        core.clock.advance(seconds=1)


async def _recorded(core, found):
    """Put a fire on record, as the service does: again where it does not know whether it is there."""
    while True:
        try:
            await core.store.finish([Fire("many", HOUR.floor(core.clock()), "collected", core.clock())], [])
        except StoreError:
            found["fires that failed"] += 1
        else:
            return
