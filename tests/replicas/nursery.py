"""Where replicas are born: one process that has imported everything, and forks a real `collector run` on demand.

Their clock is fast and the same for all: `run` takes it as an argument, and bucket edges are watched by it instead of
by the scheduler, which knows the real time alone. Leases are real seconds of the database's clock.

A line of JSON on stdin, {"config", "log", "born", "rate"}, is answered by the new process's id; on a line {"reap": pid}
it waits for that one and answers with its exit code.
"""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from collector import logs
from collector.collect import daemon
from collector.settings import load

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


def replica(config, born, rate):
    """Be one."""
    clock = fast(born, rate)
    daemon.Schedule = partial(Ticks, clock)
    settings = load(config, now=clock())
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    asyncio.run(daemon.run(settings, lambda: settings, clock=clock))


def bear(config, log, born, rate):
    """Fork a replica; gives its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    with suppress(BaseException):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(target, number)
        os.close(0)
        try:
            replica(config, born, rate)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException as error:  # noqa: BLE001 - a person reads it
            Path(f"{log}.error").write_text(repr(error))
    os._exit(code)


def main():
    for line in sys.stdin:
        order = json.loads(line)
        if "reap" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["reap"], 0)[1]), flush=True)  # noqa: T201
        else:
            print(bear(**order), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
