"""What others load the same history with, into SQLite: the official SDK with pandas, and dlt's REST source.

Both upsert by series and bucket, as the floor does; neither checks an answer, keeps meta, or records what was asked.
"""

import asyncio
import os
import platform
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs

from tests.bench.floor import Ask
from tests.bench.run import PEERS, Case, Measured, Results

PACKAGES = {"sdk": ("cloudflare", "pandas"), "dlt": ("dlt",)}
_SNAKE_CASE = {"aggInterval": "agg_interval", "caOwner": "ca_owner", "dateStart": "date_start", "dateEnd": "date_end"}
_REPEATED = {"ca_owner", "date_start", "date_end", "name"}
_UPSERT = """
INSERT INTO points (series_id, timestamp, value) VALUES (?, ?, ?)
ON CONFLICT (series_id, timestamp) DO UPDATE SET value = excluded.value"""


def lacking(kind: str) -> list[str]:
    """Return the packages of a peer that are not installed."""
    return [name for name in PACKAGES[kind] if not _version(name)]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def sdk(path: str, base_url: str, asks: Iterable[Ask], concurrency: int) -> None:
    """Ask with `cloudflare`, so many requests at a time, and write each answer as one DataFrame."""
    asyncio.run(_sdk(path, base_url, deque(asks), concurrency))


async def _sdk(path: str, base_url: str, todo: deque[Ask], concurrency: int) -> None:
    from cloudflare import AsyncCloudflare

    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA synchronous = FULL")
        async with AsyncCloudflare(api_token="a token that nobody checks", base_url=f"{base_url}/client/v4") as client:

            async def work() -> None:
                while todo:
                    query, numbers = todo.popleft()
                    answer = await client.radar.ct.timeseries(**_arguments(query))
                    _write(file, answer, numbers)

            await asyncio.gather(*(work() for _ in range(concurrency)))


def _arguments(query: str) -> dict[str, Any]:
    """Give the parameters of a request as the SDK takes them."""
    asked = {_SNAKE_CASE.get(name, name): values for name, values in parse_qs(query).items()}
    return {name: values if name in _REPEATED else values[0] for name, values in asked.items()}


def _write(file: sqlite3.Connection, answer: Any, numbers: list[int]) -> None:
    import pandas as pd

    parts = []
    for position, number in enumerate(numbers):
        part = getattr(answer, f"serie_{position}")
        seconds = pd.to_datetime(pd.Series(part.timestamps), utc=True).astype("datetime64[s, UTC]").astype("int64")
        parts.append(pd.DataFrame({"series_id": number, "timestamp": seconds, "value": pd.to_numeric(part.values)}))
    frame = pd.concat(parts, ignore_index=True)
    frame.to_sql("points", file, if_exists="append", index=False, method=_upsert)
    file.commit()


def _upsert(table: Any, cursor: Any, _columns: list[str], rows: Iterable[tuple[int, int, float]]) -> None:
    """Write as pandas' own manual tells for rows that may exist; *table* is the only one."""
    assert table.name == "points"
    cursor.executemany(_UPSERT, [(number, second, float(value)) for number, second, value in rows])


def dlt(path: str, base_url: str, asks: Iterable[Ask], _concurrency: int) -> None:
    """Ask with dlt's REST source, one series a request, and merge all rows by series and bucket."""
    with TemporaryDirectory() as folder:
        os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
        import dlt as library
        from dlt.destinations import sqlalchemy

        pipeline = library.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=sqlalchemy(f"sqlite:///{path}"),
            dataset_name="main",
        )
        pipeline.run(_source(f"{base_url}/client/v4/", list(asks))).raise_on_failed_jobs()


def _source(base_url: str, asks: list[Ask]) -> Any:
    """Describe the requests as a list, and the points as what depends on each of its entries."""
    import dlt as library
    from dlt.sources.rest_api import rest_api_resources

    fields = {name: values[0] for name, values in parse_qs(asks[0][0]).items()}

    @library.resource(selected=False)
    def requests() -> Iterator[list[dict[str, Any]]]:
        yield [{name: each[0] for name, each in parse_qs(query).items()} | {"number": n} for query, (n,) in asks]

    points = {
        "name": "points",
        "primary_key": ["series_id", "timestamp"],
        "write_disposition": "merge",
        "include_from_parent": ["number"],
        "endpoint": {
            "path": "radar/ct/timeseries",
            "params": {name: f"{{resources.requests.{name}}}" for name in fields},
            "data_selector": "result.*",
            "paginator": "single_page",
        },
        "processing_steps": [{"yield_map": _rows}],
    }
    resources = rest_api_resources({"client": {"base_url": base_url}, "resources": [requests(), points]})
    return next(resource for resource in resources if resource.name == "points")


def _rows(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make rows of the series of an answer; its meta makes none."""
    for timestamp, value in zip(part.get("timestamps", ()), part.get("values", ()), strict=True):
        second = int(datetime.fromisoformat(timestamp).timestamp())
        yield {"series_id": part["_requests_number"], "timestamp": second, "value": float(value)}


LOADS: dict[str, Callable[[str, str, Iterable[Ask], int], None]] = {"sdk": sdk, "dlt": dlt}


def table(results: Results, middle: Callable[[list[Measured]], Measured]) -> str:
    """Write machine and versions, then a line for each way to load, with its ratio to the floor."""
    lines = [_machine(), f"{'SQLite':<12}{'series':>7}{'wall s':>9}{'ratio':>7}{'cpu s':>8}{'ratio':>7}{'MiB':>6}"]
    lines[-1] += f"{'bytes a point':>15}{'rows again':>12}"
    for case, runs in results.items():
        floor = middle(runs["floor"])
        for kind, measured in runs.items():
            lines.append(_line(kind, case, middle(measured), floor) if measured else "")
    lines += [f"{kind}: {' and '.join(names)} not installed" for kind in PEERS if (names := lacking(kind))]
    return "\n".join(line for line in lines if line)


def _line(kind: str, case: Case, one: Measured, floor: Measured) -> str:
    ratios = f"{one.wall:>9.2f}{one.wall / floor.wall:>7.2f}{one.cpu:>8.2f}{one.cpu / floor.cpu:>7.2f}"
    size = f"{one.peak / (1 << 20):>6.0f}{one.bytes_a_point:>15.1f}{one.rewritten:>12.0f}"
    return f"{kind:<12}{case.positions:>7}{ratios}{size}"


def _machine() -> str:
    names = ("radar-collector", "aiohttp", *(name for names in PACKAGES.values() for name in names))
    versions = ", ".join(f"{name} {version}" for name in names if (version := _version(name)))
    cpu = next((x.partition(":")[2].strip() for x in _cpu_lines() if x.startswith("model name")), platform.machine())
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{os.cpu_count()} x {cpu}, {python}\n{versions}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
