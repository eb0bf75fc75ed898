"""Seals on rows that have no checksum of their own: fires, and the marks of buckets that vanished.

A seal tells how many rows a part has and what their checksums add up to, so that rows come and go and the others are
not read; a row that was changed or lost is found all the same.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.column_types import clean, epoch
from collector.store.schema import fires, seals, vanished
from collector.store.names import upsert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    Rows = Iterable[tuple[str, int]]
    Sums = defaultdict[str, tuple[int, int]]

_ALL = 1 << 32
_ROWS_AT_ONCE = 5_000


def fire(profile: str, due: datetime, outcome: str) -> tuple[str, int]:
    """Give the part that a fire belongs to, and its checksum."""
    return f"fires of {clean(profile)}", _checksum(int(due.timestamp()), outcome)


def mark(series_id: int, timestamp: int) -> tuple[str, int]:
    """Give the part that the mark of a vanished bucket belongs to, and its checksum."""
    return f"vanished buckets of series {series_id}", _checksum(timestamp)


def _checksum(*content: object) -> int:
    return zlib.crc32(" ".join(map(str, content)).encode("utf-8", "surrogatepass"))


async def seal(connection: AsyncConnection, came: Rows = (), gone: Rows = ()) -> None:
    """Account for rows, each as (part, checksum), that the transaction writes and deletes."""
    change = _sums()
    _add(change, came)
    _add(change, gone, -1)
    rows = [{"part": part, "number": number, "digest": digest} for part, (number, digest) in sorted(change.items())]
    if rows:
        insert = upsert(connection, seals)
        added = {name: seals.c[name] + insert.excluded[name] for name in ("number", "digest")}
        added["digest"] %= _ALL
        await connection.execute(insert.on_conflict_do_update(index_elements=["part"], set_=added), rows)


def _sums() -> Sums:
    return defaultdict(lambda: (0, 0))


def _add(sums: Sums, rows: Rows, sign: int = 1) -> None:
    for part, checksum in rows:
        number, digest = sums[part]
        sums[part] = number + sign, (digest + sign * checksum) % _ALL


async def findings(connection: AsyncConnection) -> list[str]:
    """Give a sentence for each part that is not as it was sealed."""
    there, sealed = _sums(), _sums()
    async for block in _blocks(connection):
        _add(there, block)
    sealed.update({row.part: (row.number, row.digest) for row in await connection.execute(sa.select(seals))})
    parts = sorted({*sealed, *there})
    return [_told(part, sealed[part], there[part]) for part in parts if sealed[part] != there[part]]


async def _blocks(connection: AsyncConnection) -> AsyncIterator[list[tuple[str, int]]]:
    """Read what is sealed, block by block."""
    options = {"yield_per": _ROWS_AT_ONCE}
    due = sa.select(fires.c.profile, fires.c.due, fires.c.outcome).execution_options(**options)
    async for outcomes in (await connection.stream(due)).partitions():
        yield [fire(*row) for row in outcomes]
    marked = sa.select(vanished.c.series_id, epoch(vanished.c.timestamp)).execution_options(**options)
    async for marks in (await connection.stream(marked)).partitions():
        yield [mark(*row) for row in marks]


def _told(part: str, sealed: tuple[int, int], there: tuple[int, int]) -> str:
    if sealed[0] != there[0]:
        return f"{part}: counted as they came: {sealed[0]}; stored: {there[0]}"
    return f"{part}: they are not what they were (checksum)"
