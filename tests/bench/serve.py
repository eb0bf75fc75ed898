"""What answers over HTTP cost: beside the bare read of their rows plus JSON encoding, and for many clients at once.

The bare read is one SELECT for each series. Its JSON is the rows as they come (epoch seconds and value) for the local
API, and an object for each point for `/api/v1/points`: no choice of the series, no meta, no form of a timestamp. Ratios
are of CPU time of this process. The clients are in this process, the server is in another one; beside the clients it
saves an answer about the newest bucket of all series four times a second, as a fire does.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg

from collector.model import Batch, Slice, Window
from collector.radar.request import query_string
from collector.serve.api.parameters import QueryParameters
from collector.serve.api.points import list_points
from collector.serve.radar_api import query_history
from collector.store import Store
from tests.bench import run
from tests.bench.serve_app import API, END, Replies, add_history, profile_of
from tests.bench.workload import FIRST

_ROWS = "SELECT {}, value FROM points WHERE series_id = {} AND timestamp >= {} AND timestamp < {} ORDER BY timestamp"
_ROOT = Path(__file__).parents[2]
_DAY = timedelta(days=1)
_MOST = "10000"

Rows = list[tuple[int, float]]
Read = Callable[[int, "Question"], Rows]
Once = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Question:
    """A route, so many days before the end of the history, so many series, and the largest ratio that is wanted."""

    route: str
    days: int
    series: int
    goal: float

    @property
    def window(self) -> Window:
        return Window(max(FIRST, END - self.days * _DAY), END)


QUESTIONS = (
    Question("api", 7, 1, 3),
    Question("api", 28, 10, 2),
    Question("api", 104, 10, 2),
    Question("points", 28, 1, 2),
    Question("points", 7, 10, 2),
)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The CPU seconds of an answer and of its floor, of each run."""

    backend: str
    question: Question
    collector: Sequence[float]
    floor: Sequence[float]


@dataclass(frozen=True, slots=True)
class Load:
    """Seconds that answers took for many clients, and what went on in the server: seconds of fires, lag of its loop."""

    backend: str
    route: str
    answers: Sequence[float]
    elapsed: float
    cpu: float
    fires: Sequence[float]
    lags: Sequence[float]


@contextmanager
def _stores(backends: Sequence[str]) -> Iterator[Iterator[tuple[str, str]]]:
    """Yield (backend, address) of a store with a history, one after the other."""

    def filled() -> Iterator[tuple[str, str]]:
        for backend in backends:
            with run.database(backend, postgres) as address:
                asyncio.run(add_history(address))
                yield backend, address

    with ExitStack() as stack:
        postgres = stack.enter_context(run.postgres()) if "postgresql" in backends else None
        yield filled()


def ratios(backends: Sequence[str], runs: int) -> Iterator[Ratio]:
    """Time answers and their floors by turns."""
    with _stores(backends) as stores:
        for backend, address in stores:
            for question in QUESTIONS:
                yield asyncio.run(_ratio(backend, address, question, runs))


async def _ratio(backend: str, address: str, question: Question, runs: int) -> Ratio:
    seconds: tuple[list[float], list[float]] = [], []
    async with Store.open(address, owner=None) as store:
        with closing(_connect(address)) as connection:
            once = _api(store, question) if question.route == "api" else _points(store, question)
            floor = _floor(_reader(connection), question)
            _check(question, await once(), floor())
            for _ in range(runs):
                begun = time.process_time()
                await once()
                middle = time.process_time()
                floor()
                seconds[0].append(middle - begun)
                seconds[1].append(time.process_time() - middle)
    return Ratio(backend, question, *seconds)


def _api(store: Store, question: Question) -> Once:
    raw_query = api_query(question)

    async def once() -> bytes:
        return "".join((await query_history(store, raw_query, END)).chunks()).encode()

    return once


def api_query(question: Question) -> str:
    """The query string that asks the local API."""
    series = profile_of(question.series).series
    return query_string(Batch(tuple(Slice(each.query, question.window) for each in series)))


def _points(store: Store, question: Question) -> Once:
    values: dict[str, list[str]] = {
        "series": [series.label for series in profile_of(question.series).series],
        "start": [question.window.start.isoformat()],
        "end": [question.window.end.isoformat()],
        "limit": [_MOST],
    }

    async def once() -> bytes:
        return (await list_points(store, QueryParameters(values, END))).encode()

    return once


def _connect(address: str) -> Any:
    if address.startswith("sqlite"):
        return sqlite3.connect(address.removeprefix("sqlite:///"))
    return psycopg.connect(address, autocommit=True)


def _reader(connection: Any) -> Read:
    """Return what reads the rows of the series of a number."""
    is_sqlite = isinstance(connection, sqlite3.Connection)
    mark = "?" if is_sqlite else "%s"
    find = f"SELECT id FROM series WHERE label = {mark}"
    ids = [connection.execute(find, [series.label]).fetchone()[0] for series in profile_of(10).series]
    epoch = "timestamp" if is_sqlite else "extract(epoch FROM timestamp)::bigint"
    select = _ROWS.format(epoch, mark, mark, mark)

    def read(number: int, question: Question) -> Rows:
        edges: list[Any] = [question.window.start, question.window.end]
        edges = [int(edge.timestamp()) for edge in edges] if is_sqlite else edges
        rows: Rows = connection.execute(select, [ids[number], *edges]).fetchall()
        return rows

    return read


def _floor(read: Read, question: Question) -> Callable[[], bytes]:
    labels = [series.label for series in profile_of(question.series).series]

    def rows() -> bytes:
        return json.dumps([read(number, question) for number in range(question.series)]).encode()

    def objects() -> bytes:
        return json.dumps(
            [
                {"profile": "bench", "series": label, "timestamp": timestamp, "value": value, "unit": "certificates"}
                for number, label in enumerate(labels)
                for timestamp, value in read(number, question)
            ]
        ).encode()

    return rows if question.route == "api" else objects


def _check(question: Question, answer: bytes, floor: bytes) -> None:
    """Both must have the same values."""
    ours, bare = json.loads(answer), json.loads(floor)
    if question.route == "api":
        values = [float(value) for name, part in ours["result"].items() if name != "meta" for value in part["values"]]
        expected = [value for rows in bare for _, value in rows]
    else:
        values, expected = ([point["value"] for point in points] for points in (ours["points"], bare))
    if values != expected or not values:
        raise SystemExit("the answer is not what the store holds")


def loads(backends: Sequence[str], clients: int, seconds: float) -> Iterator[Load]:
    """Let so many *clients* ask for 7 days of one series for some seconds, each as soon as it has its answer."""
    with _stores(backends) as stores:
        for backend, address in stores:
            for route in ("idle", "api", "points"):
                yield _load(backend, address, route, clients if route != "idle" else 0, seconds)


def _load(backend: str, address: str, route: str, clients: int, seconds: float) -> Load:
    command = [sys.executable, "-m", "tests.bench.serve_app", address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdin
        assert process.stdout
        url = process.stdout.readline().strip()
        began = time.perf_counter()
        answers = asyncio.run(_ask(url, route, clients, seconds))
        elapsed = time.perf_counter() - began
        process.stdin.close()
        replies = Replies(**json.loads(process.stdout.readline()))
    return Load(backend, route, answers, elapsed, replies.cpu, replies.fires, replies.lags)


async def _ask(url: str, route: str, clients: int, seconds: float) -> list[float]:
    end = time.perf_counter() + seconds
    if not clients:
        await asyncio.sleep(seconds)
    asked = [_client(url, _target(route, number), end) for number in range(clients)]
    return [second for each in await asyncio.gather(*asked) for second in each]


def _target(route: str, number: int) -> str:
    """The target of a client: each one asks for another range and one of ten series."""
    end = END - number * timedelta(hours=1)
    window, series = Window(end - 7 * _DAY, end), profile_of(10).series[number % 10]
    if route == "api":
        return f"{API}?{query_string(Batch((Slice(series.query, window),)))}"
    times = f"start={quote(window.start.isoformat())}&end={quote(window.end.isoformat())}"
    return f"/api/v1/points?series={quote(series.label)}&{times}"


async def _client(url: str, target: str, end: float) -> list[float]:
    address, seconds = urlsplit(url), []
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    request = f"GET {target} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
    while (begun := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(head.decode())
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        seconds.append(time.perf_counter() - begun)
    writer.close()
    return seconds


def ratio_line(ratio: Ratio) -> str:
    """Write one measurement as a line."""
    ours, floor, question = median(ratio.collector), median(ratio.floor), ratio.question
    return (
        f"{ratio.backend:<11}{question.route:<7}{question.days:>4} d x {question.series:<3}{ours * 1000:>9.2f} ms"
        f"{floor * 1000:>9.2f} ms{ours / floor:>7.2f}  (goal {question.goal:g})"
    )


def load_line(load: Load) -> str:
    """Write one measurement as a line."""
    answers = "" if not load.answers else (
        f"{len(load.answers) / load.elapsed:>6.0f} a second, p50 {_part(load.answers, 0.5):.0f} ms,"
        f" p99 {_part(load.answers, 0.99):.0f} ms, {load.cpu / len(load.answers) * 1000:.2f} ms of CPU each;"
    )  # fmt: skip
    return (
        f"{load.backend:<11}{load.route:<7}{answers} a fire p50 {_part(load.fires, 0.5):.0f} ms,"
        f" p99 {_part(load.fires, 0.99):.0f} ms; lag of the loop p99 {_part(load.lags, 0.99):.0f} ms"
    )


def _part(seconds: Sequence[float], part: float) -> float:
    """The milliseconds that such a part of *seconds* does not exceed."""
    return sorted(seconds)[min(int(len(seconds) * part), len(seconds) - 1)] * 1000
