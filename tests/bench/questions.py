"""What questions cost: shares, ranks, growth, medians and the past, over a year of many series at 1h."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from collector.analysis.words import make_words
from collector.interval import AggInterval
from collector.model import Answer, Batch, Meta, Points, Slice, Window
from collector.profile import Profile
from collector.report.analysis.points import answer_points
from collector.report.analysis.stats import answer_stats
from collector.report.analysis.top import answer_top
from collector.store import PointQuery, ReadView, Store
from tests.bench import run

END = datetime(2026, 6, 30, 12, tzinfo=UTC)
"""The end of every history; at noon, so that the newest day has no row yet."""
NOW = END + timedelta(minutes=2)
SETTLE = timedelta(days=14)
_STEP = AggInterval.ONE_HOUR
_SERIES_A_SAVE = 10
_NO_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: its words, how it is answered, and within how many milliseconds it should be."""

    name: str
    within: int
    words: dict[str, Any]
    answer: str = "points"
    as_of: bool = False


QUESTIONS = (
    Asked("per day", 100, {"per": "day"}),
    Asked("share per day", 100, {"per": "day", "share": True}),
    Asked("share per month", 100, {"per": "month", "share": True}),
    Asked("growth per week", 100, {"per": "week", "growth": True}),
    Asked("top 10 per day", 100, {"per": "day", "top": 10}),
    Asked("top, against a year ago", 100, {"top": 10, "compare": "52w"}, "top"),
    Asked("per hour", 1000, {"per": "hour"}),
    Asked("cumulative", 1000, {"cumulative": True}),
    Asked("mean of a day", 1000, {"mean": 24}),
    Asked("median and p95", 1000, {}, "stats"),
    Asked("share per day as of a week ago", 1000, {"per": "day", "share": True}, as_of=True),
)


def profile(series: int) -> Profile:
    """Return a profile with a series for each of so many authorities."""
    zero, names = timedelta(0), tuple(f"Authority {number:04}" for number in range(series))
    return Profile("bench", _STEP, {}, {"caOwner": names}, None, zero, zero, SETTLE, heal=True)


async def fill(store: Store, series: int, days: int) -> None:
    """Save so many days of each series, a tenth of them asked again a day ago, and make the rows of days."""
    made, window = profile(series), Window(END - timedelta(days=days), END)
    await store.activate_labels([made], NOW)
    old = NOW - timedelta(days=30)
    for part in _parts(made):
        await _save(store, Batch(tuple(Slice(each.query, window) for each in part)), old, 0)
    fresh = Window(END - timedelta(days=days) / 10, END)
    for part in _parts(made):
        await _save(store, Batch(tuple(Slice(each.query, fresh) for each in part)), NOW - timedelta(days=1), 1)
    while (await store.build_days(NOW)).more:
        pass


def _parts(made: Profile) -> Iterator[Any]:
    for first in range(0, len(made.series), _SERIES_A_SAVE):
        yield made.series[first : first + _SERIES_A_SAVE]


async def _save(store: Store, batch: Batch, now: datetime, revised: int) -> None:
    started = await store.start_fetch(batch, ["bench"], now, _NO_LIMIT)
    ranges = tuple((slice_.window.start, slice_.window.end) for slice_ in batch.slices)
    meta = Meta(_STEP, now, "RAW_VALUES", "certificates", 5, ranges, ())
    points = [_points(number, slice_.window, revised) for number, slice_ in enumerate(batch.slices)]
    await store.save(started.fetch_id, batch, Answer(meta, tuple(points)), now, 0)


def _points(number: int, window: Window, revised: int) -> Points:
    """Return values that differ by series and bucket; *revised* changes every seventh of them."""
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()), _STEP.seconds)
    changed = ((at // _STEP.seconds) % 7 == 0 for at in seconds)
    values = (float((at // _STEP.seconds * 7919 + number * 104_729) % 100_000 + 1) for at in seconds)
    return Points(seconds, [value + revised * is_changed for value, is_changed in zip(values, changed, strict=True)])


def measure(backends: tuple[str, ...], series: int, days: int, runs: int) -> dict[str, dict[str, list[float]]]:
    """Return medians for each store and question: milliseconds of CPU time of this process, and those that pass."""
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        postgres = stack.enter_context(run.postgres()) if "postgresql" in backends else None
        for backend in backends:
            address = stack.enter_context(run.database(backend, postgres))
            found[backend] = asyncio.run(_measure(address, series, days, runs))
    return found


async def _measure(address: str, series: int, days: int, runs: int) -> dict[str, list[float]]:
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    async with Store.open(address, owner="bench") as store:
        await fill(store, series, days)
        await store.with_read_view(_once(QUESTIONS[0], series))
        for _ in range(runs):
            for asked in QUESTIONS:  # by turns, because the machine may be busy for a while
                cpu, clock = time.process_time(), time.perf_counter()
                await store.with_read_view(_once(asked, series))
                times[asked.name].append((time.process_time() - cpu, time.perf_counter() - clock))
    return {name: [1000 * median(each) for each in zip(*pairs, strict=True)] for name, pairs in times.items()}


def _once(asked: Asked, series: int) -> Callable[[ReadView], int]:
    words, as_of = make_words(asked.words, NOW), NOW - timedelta(days=7) if asked.as_of else None
    chosen = PointQuery(profiles=("bench",), as_of=as_of)

    def work(view: ReadView) -> int:
        if asked.answer == "points":
            answer = answer_points(view, chosen, words)
            return sum(len(line.starts) for _, line in answer.lines())
        return len(answer_top(view, chosen, words) if asked.answer == "top" else answer_stats(view, chosen, words))

    return work


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Write a line for each store and question."""
    goals = {asked.name: asked.within for asked in QUESTIONS}
    lines = [f"{'store':<12}{'question':<32}{'CPU ms':>8}{'ms':>8}{'goal':>8}"]
    for backend, times in found.items():
        lines += [
            f"{backend:<12}{name:<32}{cpu:>8.0f}{passed:>8.0f}{goals[name]:>8}" for name, (cpu, passed) in times.items()
        ]
    return "\n".join(lines)
