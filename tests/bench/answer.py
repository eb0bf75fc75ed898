"""What an answer from history costs: 7 days of one series at 15m, beside the bare read of its rows plus JSON encoding.

The bare read gives the two lists of text that the API has for a series, and nothing else: no choice of the series, no
meta, no envelope.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from statistics import median
from typing import Any

import psycopg

from collector.model import Batch, Slice, Window
from collector.radar.request import query_string
from collector.serve.radar_api import query_history
from collector.store import Store
from tests.bench import collector_run, run
from tests.bench.workload import FIRST, WEEK, Size, profile

SIZE = Size(series=20, windows=10)
ASKED = Window(FIRST + 5 * WEEK, FIRST + 6 * WEEK)
LABEL = profile(SIZE).series[7].label
_ROWS = "SELECT {}, value FROM points WHERE series_id = {} AND timestamp >= {} AND timestamp < {} ORDER BY timestamp"

Once = Callable[[], Awaitable[str]]
Times = dict[str, dict[str, list[float]]]
"""backend → `floor` or `collector` → seconds an answer took, of each run."""


def measure(backends: tuple[str, ...], runs: int, answers: int) -> Times:
    """Time *answers* of both, by turns, in a store of each kind."""
    with ExitStack() as stack:
        base_url = stack.enter_context(run.server(SIZE.series, SIZE.windows))
        postgres = stack.enter_context(run.postgres()) if "postgresql" in backends else None
        return {
            backend: asyncio.run(
                _measure(stack.enter_context(run.database(backend, postgres)), base_url, runs, answers)
            )
            for backend in backends
        }


async def _measure(address: str, base_url: str, runs: int, answers: int) -> dict[str, list[float]]:
    await collector_run.prepare(address, SIZE, SIZE.series)
    await collector_run.load(address, base_url, SIZE, run.CONCURRENCY)
    async with Store.open(address, owner=None) as store:
        with closing(_floor(address)) as floor:
            kinds: dict[str, Once] = {"floor": floor.once, "collector": _collector(store)}
            _check({kind: json.loads(await once()) for kind, once in kinds.items()})
            seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(runs):
                for kind, once in kinds.items():
                    seconds[kind].append(await _timed(once, answers))
    return seconds


def _collector(store: Store) -> Once:
    series = next(series for series in profile(SIZE).series if series.label == LABEL)
    raw_query = query_string(Batch((Slice(series.query, ASKED),)))
    now = datetime.now(UTC)

    async def once() -> str:
        return "".join((await query_history(store, raw_query, now)).chunks())

    return once


class _SqliteFloor:
    def __init__(self, address: str) -> None:
        self._file = sqlite3.connect(address.removeprefix("sqlite:///"))
        (series_id,) = self._file.execute("SELECT id FROM series WHERE label = ?", [LABEL]).fetchone()
        self._asked = (series_id, int(ASKED.start.timestamp()), int(ASKED.end.timestamp()))

    async def once(self) -> str:
        return _encoded(self._file.execute(_ROWS.format("timestamp", "?", "?", "?"), self._asked).fetchall())

    def close(self) -> None:
        self._file.close()


class _PostgresFloor:
    def __init__(self, address: str) -> None:
        self._database = psycopg.connect(address, autocommit=True)
        found = self._database.execute("SELECT id FROM series WHERE label = %s", [LABEL]).fetchone()
        assert found
        self._asked = (*found, ASKED.start, ASKED.end)

    async def once(self) -> str:
        epoch = "extract(epoch FROM timestamp)::bigint"
        return _encoded(self._database.execute(_ROWS.format(epoch, "%s", "%s", "%s"), self._asked).fetchall())

    def close(self) -> None:
        self._database.close()


def _floor(address: str) -> _SqliteFloor | _PostgresFloor:
    return _SqliteFloor(address) if address.startswith("sqlite") else _PostgresFloor(address)


def _encoded(rows: list[tuple[Any, ...]]) -> str:
    timestamps = [datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z") for seconds, _ in rows]
    return json.dumps({"timestamps": timestamps, "values": [str(value) for _, value in rows]})


async def _timed(once: Once, answers: int) -> float:
    begun = time.perf_counter()
    for _ in range(answers):
        await once()
    return (time.perf_counter() - begun) / answers


def _check(answered: dict[str, Any]) -> None:
    """Both must have said the same."""
    (ours,) = (part for name, part in answered["collector"]["result"].items() if name != "meta")
    floor = answered["floor"]
    if [*map(float, ours["values"])] != [*map(float, floor["values"])] or ours["timestamps"] != floor["timestamps"]:
        raise SystemExit("the answer is not what the store holds")


def table(times: Times) -> str:
    """Write the medians and their ratio, a line for each backend."""
    lines = [f"{'store':<12}{'ms an answer':>14}{'floor':>8}{'ratio':>8}"]
    for backend, seconds in times.items():
        ours, floor = median(seconds["collector"]), median(seconds["floor"])
        lines.append(f"{backend:<12}{ours * 1000:>14.2f}{floor * 1000:>8.2f}{ours / floor:>8.2f}")
    return "\n".join(lines)
