"""What live use costs in bytes: a simulated time of fires at 15m, by table.

Each fire is one request for the newest bucket of all series. Once a day, requests of a week each re-read what is not
final, one bucket in a hundred gets another value, and requests are pruned. Nothing is sent: the answers go straight to
the store. Moments have a fraction of a second, because they take more bytes than whole seconds.

From the day on which the first requests are pruned, every day adds the same. So a year can be read off some months: a
table grows on as it did between two marks.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from collector.circuit_breaker import Wait
from collector.interval import AggInterval
from collector.model import Answer, Batch, Meta, Points, Slice, Window
from collector.profile import LabelledSeries
from collector.settings import RetentionSettings
from collector.store import Store
from collector.store.ledger.fires import Fire
from tests.bench import disk, run
from tests.bench.workload import FIRST, WEEK, Size, profile

FIRE = timedelta(minutes=15)
SETTLE = timedelta(days=14)
DAY = timedelta(days=1)
_ASKED_AFTER = timedelta(seconds=20)
_REVISED = 0.01
RETENTION = RetentionSettings(fetches=timedelta(days=90))
_BUDGET = 10**6


@dataclass(frozen=True, slots=True)
class Live:
    """What a simulated time of *days* left: points, revisions, bytes by table with its indexes, CPU seconds."""

    backend: str
    series: int
    days: int
    points: int
    revisions: int
    tables: dict[str, int]
    cpu: float

    def per_point(self) -> dict[str, float]:
        """Bytes a point by table, the largest first; revisions are their own row."""
        ordered = sorted(self.tables.items(), key=lambda item: -item[1])
        return {name: size / self.points for name, size in ordered}

    @property
    def bytes_a_point(self) -> float:
        """All bytes a point, without those of revisions."""
        return sum(size for name, size in self.tables.items() if name != "revisions") / self.points


STEADY = 100
"""From this day on, every day adds the same bytes."""


def measure(backend: str, address: str, series: int, days: int, until: int | None = None) -> Live:
    """Simulate *days* of *series* in the store at *address*; with *until* extrapolate from day STEADY to that day."""
    marks = [STEADY, days] if until else [days]
    begun, measured = time.process_time(), []
    plain, radar = address.removeprefix("sqlite:///"), _Radar(profile(Size(series, 0)).series)
    for since, day in pairwise([0, *marks]):
        asyncio.run(_live(address, series, radar, (since, day)))
        tables = disk.bytes_by_table(backend, plain)
        points, revisions = disk.rows(backend, plain, "points"), disk.rows(backend, plain, "revisions")
        measured.append(Live(backend, series, day, points, revisions, tables, time.process_time() - begun))
    return extrapolated(*measured, until) if until else measured[-1]


def extrapolated(first: Live, last: Live, until: int) -> Live:
    """Return what a store will hold on day *until* if it grows on as it did from *first* to *last*."""
    times = (until - last.days) / (last.days - first.days)

    def later(before: int, now: int) -> int:
        return now + round(times * (now - before))

    tables = {name: later(first.tables.get(name, 0), size) for name, size in last.tables.items()}
    counts = later(first.points, last.points), later(first.revisions, last.revisions)
    return replace(last, days=until, points=counts[0], revisions=counts[1], tables=tables)


def measure_all(backends: Sequence[str], counts: Sequence[int], days: int, until: int | None = None) -> Iterator[Live]:
    """Measure each number of series on each backend, in a database of its own."""
    with ExitStack() as stack:
        postgres = stack.enter_context(run.postgres()) if "postgresql" in backends else None
        for backend in backends:
            for series in counts:
                with run.database(backend, postgres) as address:
                    yield measure(backend, address, series, days, until)


async def _live(address: str, series: int, radar: "_Radar", days: tuple[int, int]) -> None:
    chosen = profile(Size(series, 0))
    async with Store.open(address, owner="bench") as store:
        await store.activate_labels([chosen], FIRST)
        moment, end = (FIRST + timedelta(days=day) for day in days)
        while moment < end:
            due = moment + FIRE
            await _ask(store, radar, Window(moment, due), due + _ASKED_AFTER)
            ended = due + 2 * _ASKED_AFTER + radar.jitter()
            await store.finish([Fire(chosen.name, due, "collected", ended)], [])
            if (due - FIRST) % DAY == timedelta(0):
                for window in _young(due):
                    await _ask(store, radar, window, due + 3 * _ASKED_AFTER)
                await _upkeep(store, due + 4 * _ASKED_AFTER)
                disk.vacuum(address)
            moment = due


async def _upkeep(store: Store, now: datetime) -> None:
    """Do the daily work of the service."""
    while await store.fold_coverage(now) is not None:
        pass
    await store.prune(RETENTION, now)


def _young(now: datetime) -> Iterator[Window]:
    start = max(FIRST, now - SETTLE)
    while start < now:
        yield Window(start, min(start + WEEK, now))
        start += WEEK


class _Radar:
    """Answers about *series*; a bucket that is asked for again has another value now and then."""

    def __init__(self, series: Sequence[LabelledSeries]) -> None:
        self._series = series
        self._values: dict[tuple[int, int], float] = {}
        self._chance = random.Random(0)

    def jitter(self) -> timedelta:
        """Return up to two seconds."""
        return timedelta(microseconds=self._chance.randrange(2_000_000))

    def batch(self, window: Window) -> Batch:
        return Batch(tuple(Slice(labelled.query, window) for labelled in self._series))

    def answer(self, window: Window) -> Answer:
        timestamps = range(int(window.start.timestamp()), int(window.end.timestamp()), FIRE // timedelta(seconds=1))
        meta = Meta(
            agg_interval=AggInterval.FIFTEEN_MINUTES,
            last_updated=window.end,
            normalization="RAW_VALUES",
            unit="certificates",
            confidence_level=5,
            date_ranges=((window.start, window.end),) * len(self._series),
            annotations=(),
        )
        points = (
            Points(timestamps, [self._value(number, timestamp) for timestamp in timestamps])
            for number in range(len(self._series))
        )
        return Answer(meta, tuple(points))

    def _value(self, number: int, timestamp: int) -> float:
        key = number, timestamp
        if key not in self._values or self._chance.random() < _REVISED / (SETTLE // DAY):
            self._values[key] = float(self._chance.randrange(10_000))
        return self._values[key]


async def _ask(store: Store, radar: _Radar, window: Window, now: datetime) -> None:
    batch, now = radar.batch(window), now + radar.jitter()
    started = await store.start_fetch(batch, ["bench"], now, _BUDGET)
    if isinstance(started, Wait):
        raise SystemExit(f"the store let no request start: {started}")
    await store.save(started.fetch_id, batch, radar.answer(window), now + radar.jitter(), 10_000)


def table(results: Sequence[Live]) -> str:
    """Write the results as text, bytes a point by table."""
    lines = []
    for live in results:
        lines.append(
            f"{live.backend}, {live.series} series at 15m, {live.days} days: {live.points} points,"
            f" {live.bytes_a_point:.1f} bytes a point without revisions, {live.cpu:.0f} s of CPU"
        )
        lines += [f"  {name:16} {size:8.2f}" for name, size in live.per_point().items() if size >= 0.05]
    return "\n".join(lines)
