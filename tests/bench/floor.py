"""The bare floor: the least that asking, decoding and upserting can cost in Python.

aiohttp, orjson, and one commit per request; no validation, no meta, no revisions, no record of what was asked. SQLite
takes `executemany` of an upsert with the store's own journal mode and `synchronous`; Postgres takes COPY into a
temporary table and one INSERT … ON CONFLICT from there.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import orjson
import psycopg

from tests.bench.server import PATH

Ask = tuple[str, list[int]]
"""The query string of a request, and the number of the series at each of its positions."""
Rows = list[tuple[int, datetime, float]]
Write = Callable[[Rows], Awaitable[None]]

_UPSERT = "ON CONFLICT (series_id, timestamp) DO UPDATE SET value = excluded.value"
_SQLITE = """
CREATE TABLE points (
  series_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (series_id, timestamp)
) WITHOUT ROWID, STRICT"""
_POSTGRES = """
CREATE TABLE points (
  series_id bigint, timestamp timestamptz, value double precision NOT NULL, PRIMARY KEY (series_id, timestamp)
)"""


def prepare(backend: str, address: str) -> None:
    """Create the one table."""
    if backend == "sqlite":
        with sqlite3.connect(address) as file:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute(_SQLITE)
        file.close()
        return
    with psycopg.connect(address, autocommit=True) as database:
        database.execute(_POSTGRES)


async def load(backend: str, address: str, base_url: str, asks: Iterable[Ask], concurrency: int) -> None:
    """Ask everything, so many requests at a time, each worker with a connection of its own on Postgres."""
    todo = deque(asks)
    writer = _sqlite(address) if backend == "sqlite" else _postgres(address, concurrency)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with writer as writes, aiohttp.ClientSession(base_url, connector=connector) as session:
        await asyncio.gather(*(_work(session, todo, write) for write in writes * (concurrency // len(writes))))


async def _work(session: aiohttp.ClientSession, todo: deque[Ask], write: Write) -> None:
    while todo:
        query, numbers = todo.popleft()
        async with session.get(f"{PATH}?{query}") as response:
            result = orjson.loads(await response.read())["result"]
        await write(
            [
                (number, datetime.fromisoformat(timestamp), float(value))
                for position, number in enumerate(numbers)
                for timestamp, value in zip(*result[f"serie_{position}"].values(), strict=True)
            ]
        )


@asynccontextmanager
async def _sqlite(path: str) -> AsyncIterator[list[Write]]:
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA synchronous = FULL")

    async def write(rows: Rows) -> None:
        file.execute("BEGIN IMMEDIATE")
        seconds = ((number, int(moment.timestamp()), value) for number, moment, value in rows)
        file.executemany(f"INSERT INTO points VALUES (?, ?, ?) {_UPSERT}", seconds)
        file.execute("COMMIT")

    yield [write]
    file.close()


@asynccontextmanager
async def _postgres(url: str, concurrency: int) -> AsyncIterator[list[Write]]:
    connections = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(concurrency)]
    for connection in connections:
        await connection.execute("CREATE TEMPORARY TABLE incoming (LIKE points) ON COMMIT DELETE ROWS")
    yield [_upsert_into(connection) for connection in connections]
    for connection in connections:
        await connection.close()


def _upsert_into(connection: psycopg.AsyncConnection[Any]) -> Write:
    async def write(rows: Rows) -> None:
        async with connection.transaction(), connection.cursor() as cursor:
            async with cursor.copy("COPY incoming FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "timestamptz", "float8"])
                for row in rows:
                    await copy.write_row(row)
            await cursor.execute(f"INSERT INTO points SELECT * FROM incoming {_UPSERT}")

    return write
