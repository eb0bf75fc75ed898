"""What the work of every day costs in stores of 10^5, 10^6 and 10^7 points, and the exponent of its growth.

cost ~ points ** exponent: 0 if the age of a store costs nothing, 1 if every point is read.
"""

import asyncio
import gc
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log10
from pathlib import Path
from statistics import median, quantiles

from collector.collect.batches.batch_runner import BatchRunner
from collector.collect.batches.fetcher import Fetcher
from collector.collect.confirm import confirm
from collector.collect.one_pass import collect
from collector.collect.worker import ProfileWorker
from collector.model import Batch, Slice, Window
from collector.profile import Profile
from collector.radar.client import RadarClient
from collector.radar.request import query_string
from collector.report.gaps import find_gaps
from collector.report.status import status_document
from collector.serve.radar_api import query_history
from collector.settings import Credentials, RadarSettings, RetentionSettings, Secret
from collector.store import ExpectedWindow, Store
from collector.timestamps import rfc3339
from tests.bench import growth_store, run
from tests.bench.growth_store import END, LAG, NO_LIMIT, QUARTER, Size
from tests.bench.server import PATH

_ROOT = Path(__file__).parents[2]
_MINUTE = timedelta(minutes=1)
_WEEK = timedelta(days=7)
_MONTH = timedelta(days=30)
_CONCURRENCY = 8
_TICK_SECONDS = 0.002
_GROUPS = 200
"""The profiles of the second fire. Each has the same number of series."""

Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one piece of work, in seconds: *cpu* of this process, and *wall*, which includes the database's."""

    cpu: float
    wall: float


@dataclass(slots=True)
class Costs:
    """The costs of every piece of work by its name, of each run, in one store; *lags* of the event loop in a fire."""

    by_name: dict[str, list[Cost]] = field(default_factory=dict)
    lags: dict[str, float] = field(default_factory=dict)

    async def measure(self, name: str, work: Work) -> None:
        """Do *work* and note its cost under *name*."""
        wall, cpu = time.perf_counter(), time.process_time()
        await work()
        cost = Cost(time.process_time() - cpu, time.perf_counter() - wall)
        self.by_name.setdefault(name, []).append(cost)

    def median(self, name: str, kind: str) -> float:
        """Return the median of *kind*, `cpu` or `wall`."""
        return median(getattr(cost, kind) for cost in self.by_name[name])


Results = dict[tuple[str, int], Costs]
"""By backend and number of points."""


def measure(backends: tuple[str, ...], series: int, points: tuple[int, ...], runs: int) -> Results:
    """Measure all work in a store of each size on each backend."""
    window = min(_WEEK, Size(series, min(points)).window.duration)
    results: Results = {}
    gc.freeze()  # as the service does
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        base_url = stack.enter_context(local_server())
        postgres = stack.enter_context(run.postgres()) if "postgresql" in backends else None
        for backend in backends:
            for number in sorted(points):
                with run.database(backend, postgres) as address:
                    size = Size(series, number)
                    results[backend, number] = asyncio.run(_measure(address, base_url, size, window, runs))
    return results


@contextmanager
def _quiet() -> Iterator[None]:
    """Write no log meanwhile."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def local_server() -> Iterator[str]:
    """Run `growth_server` in a process of its own; gives its base URL."""
    command = [sys.executable, "-m", "tests.bench.growth_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()


class _Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = END + LAG

    def __call__(self) -> datetime:
        return self.now


async def _measure(address: str, base_url: str, size: Size, window: timedelta, runs: int) -> Costs:
    await growth_store.build(address, size)
    clock, profiles = _Clock(), growth_store.profiles(size.series)
    costs, first = Costs(), Costs()  # the first run fills caches, as in a daemon
    async with Store.open(address, owner="bench") as store, _batch_runner(store, base_url, clock) as batch_runner:
        for number in range(runs + 1):
            noted = costs if number else first
            await _read(noted, store, profiles, window)
            await _look(noted, store, profiles, size)
            await _heal(noted, batch_runner, clock, profiles)
            await _upkeep(noted, store, clock)
        await _fires(costs, batch_runner, clock, profiles, runs)
        await _fires(costs, batch_runner, clock, growth_store.profiles(size.series, min(_GROUPS, size.series)), runs)
    return costs


@asynccontextmanager
async def _batch_runner(store: Store, base_url: str, clock: _Clock) -> AsyncIterator[BatchRunner]:
    settings = RadarSettings(
        base_url + PATH.removesuffix("/radar/ct/timeseries"),
        1,
        _CONCURRENCY,
        _MINUTE,
        Credentials(token=Secret("a token that nobody checks")),
    )
    async with RadarClient(settings, clock) as radar:
        fetcher = Fetcher(radar, store, limit=NO_LIMIT, stop=asyncio.Event(), clock=clock)
        yield BatchRunner(fetcher, _CONCURRENCY)


async def _read(costs: Costs, store: Store, profiles: list[Profile], window: timedelta) -> None:
    """Answer a query about the newest buckets of one series, now and as of the moment of the history's end."""
    now, series = END + LAG + _MINUTE, profiles[0].series
    query = query_string(Batch((Slice(series[len(series) // 2].query, Window(END - window, END)),)))
    await costs.measure("read", lambda: query_history(store, query, now))
    as_of = f"{query}&asOf={rfc3339(now)}"
    await costs.measure("as of", lambda: query_history(store, as_of, now))


async def _look(costs: Costs, store: Store, profiles: list[Profile], size: Size) -> None:
    """Read the status and the gaps, with nothing late, and with every series one bucket late.

    The gap search is the part of it that looks for absent buckets.
    """
    queries = [series.query for profile in profiles for series in profile.series]
    for name, now in (("on time", END + LAG + _MINUTE), ("late", END + LAG + QUARTER.step + _MINUTE)):
        await costs.measure(f"status {name}", lambda now=now: status_document(store, profiles, NO_LIMIT, now))
        await costs.measure(f"gaps {name}", lambda now=now: find_gaps(store, profiles, now))
        window = Window(size.window.start, QUARTER.floor(now - LAG))
        expected = [ExpectedWindow(query, window, growth_store.SETTLE) for query in queries]
        await costs.measure(f"gap search {name}", lambda expected=expected: store.find_gaps(expected))


async def _heal(costs: Costs, batch_runner: BatchRunner, clock: _Clock, profiles: list[Profile]) -> None:
    """Look for gaps and for values to confirm, where there are none."""
    clock.now = END + LAG + _MINUTE
    store = batch_runner.fetcher.store

    async def work() -> None:
        result = await collect(profiles, clock(), store, batch_runner, fires=False, gaps=True)
        confirmed = await confirm(profiles, clock(), store, batch_runner)
        if result.requests or confirmed.requests:
            raise SystemExit("something was missing")

    await costs.measure("heal", work)


async def _upkeep(costs: Costs, store: Store, clock: _Clock) -> None:
    """Prune where nothing is old enough, and write the rows of days, which all exist but those of the last day."""
    kept = RetentionSettings(fetches=_MONTH, fires=_MONTH, revisions=_MONTH)
    await costs.measure("prune", lambda: store.prune(kept, clock()))
    await costs.measure("rows of days", lambda: store.build_days(clock()))


async def _fires(costs: Costs, batch_runner: BatchRunner, clock: _Clock, profiles: list[Profile], runs: int) -> None:
    """Collect the next bucket of all series, once in each run and once before."""
    name = f"fire {len(profiles)} x {len(profiles[0].series)}"
    store, lags = batch_runner.fetcher.store, list[float]()
    await store.activate_labels(profiles, clock())
    worker = ProfileWorker(profiles, store, batch_runner)
    for number in range(runs + 1):
        clock.now = QUARTER.floor(clock.now) + QUARTER.step + LAG
        spare = Costs() if number == 0 else costs
        ticking = asyncio.create_task(_tick(lags if number else []))
        await spare.measure(name, worker.run_due)
        ticking.cancel()
        extents = await store.extents([series.query for profile in profiles for series in profile.series])
        if any(extent.end != clock.now - LAG for extent in extents.values()):
            raise SystemExit("a bucket is missing after its fire")
    costs.lags[name] = quantiles(lags, n=100)[98]


async def _tick(lags: list[float]) -> None:
    """Note by how much the event loop is late, again and again."""
    while True:
        due = time.perf_counter() + _TICK_SECONDS
        await asyncio.sleep(_TICK_SECONDS)
        lags.append(time.perf_counter() - due)


def exponent(costs: list[tuple[int, float]]) -> float:
    """Return the exponent of growth from the smallest store to the largest: (points, cost), ascending."""
    (few, cheap), (many, dear) = costs[0], costs[-1]
    return log10(dear / cheap) / log10(many / few)


def table(results: Results) -> str:
    """Write a line for each piece of work on each backend: milliseconds by size, and the exponents."""
    lines = []
    for backend in dict.fromkeys(backend for backend, _ in results):
        sizes = sorted(points for name, points in results if name == backend)
        heads = "".join(f"{f'{points:.0e}':>9}" for points in sizes)
        lines.append(f"{backend:<14}{'CPU ms':>6}{heads}{'exponent':>10}{'wall ms':>9}{heads}{'exponent':>10}")
        for name in results[backend, sizes[0]].by_name:
            line = f"{name:<20}"
            for kind in ("cpu", "wall"):
                medians = [(points, results[backend, points].median(name, kind)) for points in sizes]
                line += "" if kind == "cpu" else " " * 9
                line += "".join(f"{1000 * cost:>9.1f}" for _, cost in medians)
                line += f"{exponent(medians):>10.2f}" if len(medians) > 1 else " " * 10
            lines.append(line)
        for name in results[backend, sizes[0]].lags:
            lags = "".join(f"{1000 * results[backend, points].lags[name]:>9.1f}" for points in sizes)
            lines.append(f"{name + ', lag p99':<20}{lags}")
        lines.append("")
    return "\n".join(lines).rstrip()
