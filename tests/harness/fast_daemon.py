"""A real `collector run` in a hurry: for replicas whose clock is fast and the same for all.

Bucket edges are watched by that clock instead of by the scheduler, which knows the real time alone. Leases are real
seconds of the database's clock.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from collector import daemon, logs
from collector.errors import CollectorError
from collector.settings import load
from collector.store.ledger import fires

ZERO = datetime(2026, 5, 4, 0, 1, tzinfo=UTC)
"""What the fast clock shows when it is born."""
_LOOK = 0.02


def fast(born, rate):
    """A clock that shows ZERO at the real second *born* and runs *rate* times as fast."""
    return lambda: ZERO + timedelta(seconds=(time.time() - born) * rate)


class Ticks:
    """Does what Schedule does, by any clock."""

    def __init__(self, clock):
        self._clock = clock
        self._tasks = []

    def add(self, agg_interval, delay, due):
        self._tasks.append(asyncio.create_task(self._tick(agg_interval, delay, due)))

    async def _tick(self, agg_interval, delay, due):
        edge = None
        while True:
            last, edge = edge, agg_interval.floor(self._clock() - delay)
            if edge != last:
                await due()
            await asyncio.sleep(_LOOK)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for task in self._tasks:
            task.cancel()


def main():
    """Be one: its configuration, when its clock was born, and the clock's rate are its arguments."""
    config, born, rate = sys.argv[1:]
    clock = fast(float(born), float(rate))
    fires.AHEAD *= float(rate)  # the time that a statement takes must not look like a clock that was wrong
    daemon.Schedule = partial(Ticks, clock)
    settings = load(config, now=clock())
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    try:
        asyncio.run(daemon.run(settings, lambda: settings, clock=clock))
    except CollectorError as error:  # as the command line says it: the store may be away at the start
        sys.exit(f"collector: {error}")
