"""A process that serves a store with a history while it saves answers, as the daemon does."""

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from collector.circuit_breaker import Wait
from collector.interval import AggInterval
from collector.model import Answer, Batch, Meta, Points, Slice, Window
from collector.profile import Profile
from collector.serve.app import make_app, serving
from collector.serve.metrics import Metrics
from collector.store import Store
from tests.bench.workload import FIRST, WEEK, Size, profile

API = "/client/v4/radar/ct/timeseries"
SERIES = 10
END = FIRST + 16 * WEEK
_FIRE = timedelta(minutes=15)
_BACKFILLED = END - timedelta(days=2)
_BUDGET = 10**6
_FIRE_SECONDS = 0.25
_LAG_SECONDS = 0.01


def profile_of(series: int) -> Profile:
    """The profile of the store, with its first *series*."""
    return profile(Size(series, 0))


async def add_history(address: str) -> None:
    """Write 16 weeks of 15m: weekly answers, and one for each bucket of the last two days."""
    chance = random.Random(0)
    async with Store.open(address, owner="bench") as store:
        await store.activate_labels([profile_of(SERIES)], FIRST)
        start = FIRST
        while start < END:
            end = min(start + WEEK, _BACKFILLED) if start < _BACKFILLED else start + _FIRE
            await _save(store, Window(start, end), chance)
            start = end


async def _save(store: Store, window: Window, chance: random.Random) -> None:
    batch = Batch(tuple(Slice(series.query, window) for series in profile_of(SERIES).series))
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()), _FIRE // timedelta(seconds=1))
    ranges = ((window.start, window.end),) * SERIES
    meta = Meta(AggInterval.FIFTEEN_MINUTES, window.end, "RAW_VALUES", "certificates", 5, ranges, ())
    points = tuple(Points(seconds, [float(chance.randrange(10**6)) for _ in seconds]) for _ in range(SERIES))
    now = window.end + timedelta(seconds=20)
    started = await store.start_fetch(batch, ["bench"], now, _BUDGET)
    if isinstance(started, Wait):
        raise SystemExit(f"the store let no request start: {started}")
    await store.save(started.fetch_id, batch, Answer(meta, points), now + timedelta(seconds=1), 10_000)


@dataclass(frozen=True, slots=True)
class Replies:
    """What the process measured: its CPU seconds, the seconds of each fire, and by how much its loop was late."""

    cpu: float
    fires: Sequence[float]
    lags: Sequence[float]


class _Service:
    """What the server needs of a daemon."""

    requests_per_5min = _BUDGET
    simulator = None

    def __init__(self, store: Store) -> None:
        self.store = store
        self.profiles = [profile_of(SERIES)]
        self.metrics = Metrics()

    def now(self) -> Any:
        return END


async def _serve(address: str) -> None:
    """Serve, print the address, fire until standard input ends, and print what was measured."""
    async with Store.open(address, owner="bench") as store:
        service: Any = _Service(store)
        async with serving(make_app(service, "127.0.0.1"), "127.0.0.1", 0) as url:
            sys.stdout.write(f"{url}\n")
            sys.stdout.flush()
            begun, fires, lags = time.process_time(), [], []
            done = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
            others = asyncio.create_task(_fire(store, fires)), asyncio.create_task(_watch(lags))
            await done
            for other in others:
                other.cancel()
            replies = Replies(time.process_time() - begun, fires, lags)
    sys.stdout.write(json.dumps(asdict(replies)) + "\n")


async def _fire(store: Store, fires: list[float]) -> None:
    chance = random.Random(1)
    while True:
        begun = time.perf_counter()
        await _save(store, Window(END, END + _FIRE), chance)
        fires.append(time.perf_counter() - begun)
        await asyncio.sleep(_FIRE_SECONDS)


async def _watch(lags: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(_LAG_SECONDS)
        lags.append(time.perf_counter() - begun - _LAG_SECONDS)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
