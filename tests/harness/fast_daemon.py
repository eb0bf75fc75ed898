"""A real `collector run` under a fast clock, which is the same for all replicas.

The class FastSchedule replaces the scheduler, because the scheduler only knows the real time. Leases are real seconds
of the database's clock.
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

CLOCK_START = datetime(2026, 5, 4, 0, 1, tzinfo=UTC)
"""The time of the fast clock at its start."""
_LOOK = 0.02


def fast_clock(started, rate):
    """Return a clock that shows CLOCK_START at the real second *started* and runs *rate* times as fast."""
    return lambda: CLOCK_START + timedelta(seconds=(time.time() - started) * rate)


class FastSchedule:
    """A schedule like Schedule, by any clock."""

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
    """Run a daemon. The arguments are its configuration, the start of its clock and the rate of the clock."""
    config, started, rate = sys.argv[1:]
    clock = fast_clock(float(started), float(rate))
    fires.MAX_CLOCK_SKEW *= float(rate)  # because the time of a statement must not look like clock skew
    daemon.Schedule = partial(FastSchedule, clock)
    settings = load(config, now=clock())
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    try:
        asyncio.run(daemon.run(settings, lambda: settings, clock=clock))
    except CollectorError as error:  # as the command line prints it, because the store may be unavailable at the start
        sys.exit(f"collector: {error}")
