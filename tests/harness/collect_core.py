"""Collecting on a real store with a real server, under a clock that only moves when the code waits."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.batches.fetcher import Fetcher, ShuttingDown
from collector.collect.one_pass import collect
from collector.interval import AggInterval
from collector.model import Batch, Slice, Window
from collector.radar.client import RadarClient
from collector.settings import Credentials, RadarSettings, Secret
from collector.simulator import Simulator, SimulatorOptions, serve
from collector.store import Store
from collector.timestamps import from_epoch
from tests.harness.factories import query

TOKEN = "canary-token-0123456789abcdef"
NOW = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)
HOUR = AggInterval.ONE_HOUR
DAY = timedelta(days=1)
CALM = {"token": TOKEN, "lag": timedelta(0), "revised_for": timedelta(0), "annotations": ()}


def batch(*queries, days=1, end=NOW):
    until = HOUR.floor(end)
    return Batch(tuple(Slice(one, Window(until - days * DAY, until)) for one in queries or (query(),)))


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self):
        return self.now

    def timestamp(self):
        return self.now.timestamp()

    def advance(self, **duration):
        self.now += timedelta(**duration)


class NoWaitFetcher(Fetcher):
    """A fetcher that moves the clock instead of waiting; *pauses* are the waits in seconds."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.pauses = []
        self.stop_after = None

    async def pause(self, seconds, cancelled=None):
        await asyncio.sleep(0)
        if (
            self.stop.is_set()
            or (cancelled and cancelled.is_set())
            or (self.stop_after is not None and len(self.pauses) >= self.stop_after)
        ):
            raise ShuttingDown
        self.pauses.append(seconds)
        self.clock.advance(seconds=seconds)


@dataclass
class CollectCore:
    simulator: Simulator
    store: Store
    fetcher: NoWaitFetcher
    clock: Clock
    profiles: tuple = ()
    batch_runners: list = field(default_factory=list)

    @property
    def batch_runner(self):
        return self.batch_runners[-1]

    @property
    def requests(self):
        return self.simulator.requests

    def script(self, *steps):
        self.simulator.script(*steps)

    async def stored(self):
        """{label: {timestamp: value}} of all that is exported."""
        found = {}
        async for _, label, timestamp, value in self.store.export():
            found.setdefault(label, {})[timestamp] = value
        return found

    def truth(self, asked, window):
        points = self.simulator.truth(asked, window, self.clock.timestamp())
        return dict(zip(points.timestamps, points.values, strict=True))

    async def outcomes(self):
        """The outcomes on record, the oldest first."""
        return [row.outcome for row in reversed(await self.store.list_fetches())]

    async def activate_labels(self, *profiles):
        self.profiles = profiles
        await self.store.activate_labels(profiles, self.clock())

    def restart(self):
        """Create a new fetcher and batch runner, as a new process would."""
        fetcher = self.fetcher
        self.fetcher = NoWaitFetcher(
            fetcher.radar, self.store, limit=fetcher._limit, stop=asyncio.Event(), clock=self.clock
        )
        self.batch_runners.append(BatchRunner(self.fetcher, self.batch_runner.concurrency))


@asynccontextmanager
async def open_core(url, *profiles, limit=600, concurrency=4, patience=5, **options):
    """Open a simulator, the store at *url* and the client; *options* are those of the simulator."""
    clock = Clock()
    simulator = Simulator(SimulatorOptions(**{**CALM, **options}), clock.timestamp)
    async with serve(simulator) as base_url, Store.open(url, owner="test") as store:
        settings = RadarSettings(
            base_url, limit, concurrency, timedelta(seconds=patience), Credentials(token=Secret(TOKEN))
        )
        async with RadarClient(settings, clock) as radar:
            fetcher = NoWaitFetcher(radar, store, limit=limit, stop=asyncio.Event(), clock=clock)
            opened = CollectCore(simulator, store, fetcher, clock, batch_runners=[BatchRunner(fetcher, concurrency)])
            await opened.activate_labels(*profiles)
            yield opened


def window_of(asked):
    """Return the window of one position of a request."""
    return Window(from_epoch(asked.start), from_epoch(asked.end))


async def until(condition):
    """Wait until *condition* holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in other places
            await asyncio.sleep(0.01)


async def run_pass(core, *, fires=True, gaps=False):
    """Run one pass of all profiles of *core*."""
    return await collect(core.profiles, core.clock(), core.store, core.batch_runner, fires=fires, gaps=gaps)
