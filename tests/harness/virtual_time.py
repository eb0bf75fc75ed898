"""The daemon in virtual time: when nothing is left to do, the clock jumps to the next timer.

The event loop, the daemon and the simulator share one clock. The clock stops while a thread or a socket is busy, so a
year of the daemon takes only the time of its work, and every run is the same.
"""

import asyncio
import select
import selectors
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import apscheduler.schedulers.base
import pytest

from collector.daemon import Daemon
from collector.settings import load
from collector.simulator import Simulator, SimulatorOptions, serve
from collector.store import Store
from collector.store.db.database import WriteQueue
from tests.harness.collect_core import CALM, TOKEN
from tests.harness.processes import WITHOUT_CATALOGUE

_GRACE = 0.0002
"""Seconds within which data over loopback arrives."""
_LOOK = 0.05
_RESOLUTION = 1e-6
"""Seconds. A float of several years still resolves this; it does not resolve asyncio's nanosecond."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock begins at *start*; *at_work* counts the running calls in threads."""

    def __init__(self, start):
        self.start, self.passed, self.at_work = start, 0.0, 0
        super().__init__(_JumpingSelector(self))
        self._clock_resolution = _RESOLUTION

    def time(self):
        return self.passed

    def now(self):
        return self.start + timedelta(seconds=self.passed)


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self._loop.at_work or timeout is None:
            return super().select(_LOOK)
        if not self._arriving() and not self._loop.at_work:
            self._loop.passed += timeout
        return super().select(0)

    def _arriving(self):
        """Wait for data in flight for a fifth of a millisecond; epoll would wait for a millisecond at least."""
        return select.select([self.fileno()], [], [], _GRACE)[0]


@contextmanager
def _counted(loop):
    """Count the calls that run in threads: writes to the store, reads of it, all others."""
    wrap = asyncio.futures.wrap_future

    def ended(_future):
        loop.at_work -= 1

    def wrapped(future, **options):
        made = wrap(future, **options)
        loop.at_work += 1
        made.add_done_callback(ended)
        return made

    def counting(method):
        async def counted(*arguments, **options):
            loop.at_work += 1
            try:
                return await method(*arguments, **options)
            finally:
                loop.at_work -= 1

        return counted

    class Now(datetime):
        @classmethod
        def now(cls, tz=None):
            return loop.now().astimezone(tz)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "wrap_future", wrapped)
        patch.setattr(asyncio.futures, "wrap_future", wrapped)
        patch.setattr(WriteQueue, "submit", counting(WriteQueue.submit))
        patch.setattr(apscheduler.schedulers.base, "datetime", Now)
        yield


def run_in_virtual_time(start, work):
    """Run the coroutine that *work* returns for the loop, in virtual time that begins at *start*."""
    loop = VirtualTimeLoop(start)
    with _counted(loop), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work(loop))


@dataclass
class DaemonRun:
    """A daemon that runs in a virtual time loop."""

    loop: VirtualTimeLoop
    service: Daemon
    simulator: Simulator
    store: Store
    task: asyncio.Task

    async def until(self, moment):
        """Let it run until *moment*."""
        while (left := (moment - self.loop.now()).total_seconds()) > 0:
            done, _ = await asyncio.wait([self.task], timeout=left)
            assert not done, self.task

    async def never_ready(self, since, until):
        """Let it run until *until*, and assert every 20 seconds from *since* on that it is not ready."""
        await self.until(since)
        while self.loop.now() < until:
            assert await self.service.unready(), self.loop.now()
            await self.until(min(self.loop.now() + timedelta(seconds=20), until))

    async def ready(self, moment):
        """Let it run until it is ready, at *moment* at the latest. Returns the time at which it was ready."""
        while reasons := await self.service.unready():
            assert self.loop.now() < moment, reasons
            await self.until(self.loop.now() + timedelta(seconds=1))
        return self.loop.now()


@asynccontextmanager
async def running_daemon(loop, folder, config, *, with_catalogue=False, **options):
    """Start the daemon with *config*, TOML in which `{url}` is the simulator's address, on SQLite in *folder*.

    *options* are those of the simulator. The daemon reads Radar's lists only *with_catalogue*.
    """
    path = Path(folder, "config.toml")
    simulator = Simulator(SimulatorOptions(**{**CALM, **options}), lambda: loop.now().timestamp())
    opened = Store.open(f"sqlite:///{folder}/collector.db", owner="run")
    async with serve(simulator) as base_url, opened as store:

        def settings():
            path.write_text(config.replace("{url}", base_url))
            environ = {"CLOUDFLARE_API_TOKEN": TOKEN, **({} if with_catalogue else WITHOUT_CATALOGUE)}
            return load(str(path), environ=environ, now=loop.now())

        service = Daemon(settings(), store, settings, loop.now)
        task = asyncio.create_task(service.run())
        try:
            yield DaemonRun(loop, service, simulator, store, task)
        finally:
            service.stop()
            await asyncio.wait([task], timeout=60)
            assert task.cancelled() or not task.exception()
