"""Checksums that find damage which the database itself does not: one for each slice that a fetch answered.

A replaced value stays in `revisions` under the fetch that brought it, so what a fetch wrote can be found again in
points and revisions, and its checksum be computed anew, at any time.
"""

from __future__ import annotations

import struct
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import clean, epoch
from collector.store.db.schema import fires, seals, vanished
from collector.store.db.sql import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    Rows = Iterable[tuple[str, int]]
    Sums = defaultdict[str, tuple[int, int]]


_HEAD = struct.Struct("<6q")


class CheckedRange(NamedTuple):
    """A row of date_ranges: the buckets [start, end) in epoch seconds, the API's own range in microseconds."""

    series_id: int
    fetch_id: int
    start: int
    end: int
    start_time: int
    end_time: int


def answered_range(
    series_id: int, fetch_id: int, start: int, end: int, named: Sequence[datetime | None]
) -> CheckedRange:
    """Make an Answered of epoch seconds and of the range that the API *named*; one that is None counts as [start, end).

    So the checksum of an older version, which wrote the window in place of None, holds as well.
    """
    times = [
        microseconds(moment) if moment is not None else edge * 1_000_000
        for moment, edge in zip(named, (start, end), strict=True)
    ]
    return CheckedRange(series_id, fetch_id, start, end, *times)


def checksum(answered: CheckedRange, timestamps: Sequence[int], values: Sequence[float]) -> int:
    """Give CRC-32 of a date range and of what its fetch wrote there, ascending: all timestamps, then all values."""
    count = len(timestamps)
    packed = struct.pack(f"<{count}q{count}d", *timestamps, *values)
    return zlib.crc32(packed, zlib.crc32(_HEAD.pack(*answered)))


def microseconds(moment: datetime) -> int:
    """Give epoch microseconds: what a moment is on either database."""
    return round(moment.timestamp() * 1_000_000)


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


def seal(connection: sa.Connection, came: Rows = (), gone: Rows = ()) -> None:
    """Account for rows, each as (part, checksum), that the transaction writes and deletes."""
    change = _sums()
    _add(change, came)
    _add(change, gone, -1)
    rows = [{"part": part, "number": number, "digest": digest} for part, (number, digest) in sorted(change.items())]
    if rows:
        insert = upsert(connection, seals)
        added = {name: seals.c[name] + insert.excluded[name] for name in ("number", "digest")}
        added["digest"] %= _ALL
        connection.execute(insert.on_conflict_do_update(index_elements=["part"], set_=added), rows)


def _sums() -> Sums:
    return defaultdict(lambda: (0, 0))


def _add(sums: Sums, rows: Rows, sign: int = 1) -> None:
    for part, checksum in rows:
        number, digest = sums[part]
        sums[part] = number + sign, (digest + sign * checksum) % _ALL


def findings(connection: sa.Connection) -> list[str]:
    """Give a sentence for each part that is not as it was sealed."""
    there, sealed = _sums(), _sums()
    for block in _blocks(connection):
        _add(there, block)
    sealed.update({row.part: (row.number, row.digest) for row in connection.execute(sa.select(seals))})
    parts = sorted({*sealed, *there})
    return [_told(part, sealed[part], there[part]) for part in parts if sealed[part] != there[part]]


def _blocks(connection: sa.Connection) -> Iterator[list[tuple[str, int]]]:
    """Read what is sealed, block by block."""
    options = {"yield_per": _ROWS_AT_ONCE}
    due = sa.select(fires.c.profile, fires.c.due, fires.c.outcome).execution_options(**options)
    for outcomes in connection.execute(due).partitions():
        yield [fire(*row) for row in outcomes]
    marked = sa.select(vanished.c.series_id, epoch(vanished.c.timestamp)).execution_options(**options)
    for marks in connection.execute(marked).partitions():
        yield [mark(*row) for row in marks]


def _told(part: str, sealed: tuple[int, int], there: tuple[int, int]) -> str:
    if sealed[0] != there[0]:
        return f"{part}: counted as they came: {sealed[0]}; stored: {there[0]}"
    return f"{part}: they are not what they were (checksum)"
