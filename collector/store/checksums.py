"""Checksums that detect damage which the database does not detect.

A checksum covers the values that a fetch wrote for one slice. A replaced value stays in `revisions` under its fetch, so
the checksum can be recomputed from points and revisions at any time. A set checksum is a count and a sum over rows: of
the fires of a profile, and of the vanished buckets of a series.
"""

from __future__ import annotations

import struct
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import clean, epoch
from collector.store.db.schema import fires, set_checksums, vanished
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
    series_id: int, fetch_id: int, start: int, end: int, date_range: Sequence[datetime | None]
) -> CheckedRange:
    """Return the CheckedRange of a window in epoch seconds and of the API's *date_range* for it.

    A None in *date_range* is replaced by *start* or *end*. So the checksums of an older version, which wrote the window
    instead of None, stay valid.
    """
    times = [
        microseconds(moment) if moment is not None else edge * 1_000_000
        for moment, edge in zip(date_range, (start, end), strict=True)
    ]
    return CheckedRange(series_id, fetch_id, start, end, *times)


def checksum(answered: CheckedRange, timestamps: Sequence[int], values: Sequence[float]) -> int:
    """Return CRC-32 of a date range and of the values its fetch wrote, ascending: all timestamps, then all values."""
    count = len(timestamps)
    packed = struct.pack(f"<{count}q{count}d", *timestamps, *values)
    return zlib.crc32(packed, zlib.crc32(_HEAD.pack(*answered)))


def microseconds(moment: datetime) -> int:
    """Return epoch microseconds, which are the same for a moment on either database."""
    return round(moment.timestamp() * 1_000_000)


CHECKSUMS = 1 << 32
"""Sums of checksums are modulo this."""
_ROWS_AT_ONCE = 5_000


def fire(profile: str, due: datetime, outcome: str) -> tuple[str, int]:
    """Return the set that a fire belongs to, and its checksum."""
    return f"fires of {clean(profile)}", _checksum(int(due.timestamp()), outcome)


def mark(series_id: int, timestamp: int) -> tuple[str, int]:
    """Return the set that a vanished bucket belongs to, and its checksum."""
    return f"vanished buckets of series {series_id}", _checksum(timestamp)


def _checksum(*content: object) -> int:
    return zlib.crc32(" ".join(map(str, content)).encode("utf-8", "surrogatepass"))


def update_set_checksums(connection: sa.Connection, came: Rows = (), gone: Rows = ()) -> None:
    """Add to the set checksums the rows, each as (part, checksum), that this transaction inserts and deletes."""
    change: Sums = defaultdict(_nothing)
    for rows, sign in ((came, 1), (gone, -1)):
        for part, checksum in rows:
            number, total = change[part]
            change[part] = number + sign, (total + sign * checksum) % CHECKSUMS
    rows_to_add = [{"part": part, "number": change[part][0], "digest": change[part][1]} for part in sorted(change)]
    if rows_to_add:
        insert = upsert(connection, set_checksums)
        added = {name: set_checksums.c[name] + insert.excluded[name] for name in ("number", "digest")}
        added["digest"] %= CHECKSUMS
        connection.execute(insert.on_conflict_do_update(index_elements=["part"], set_=added), rows_to_add)


def _nothing() -> tuple[int, int]:
    return 0, 0


def findings(connection: sa.Connection) -> list[str]:
    """Return a sentence for each part whose rows do not match its set checksum."""
    there: Sums = defaultdict(_nothing)
    for block in _blocks(connection):
        for part, checksum in block:
            there[part] = there[part][0] + 1, (there[part][1] + checksum) % CHECKSUMS
    expected: Sums = defaultdict(_nothing)
    expected.update({row.part: (row.number, row.digest) for row in connection.execute(sa.select(set_checksums))})
    parts = sorted({*expected, *there})
    return [_describe(part, expected[part], there[part]) for part in parts if expected[part] != there[part]]


def _blocks(connection: sa.Connection) -> Iterator[list[tuple[str, int]]]:
    """Read all rows that have a set checksum, in blocks."""
    options = {"yield_per": _ROWS_AT_ONCE}
    due = sa.select(fires.c.profile, fires.c.due, fires.c.outcome).execution_options(**options)
    for outcomes in connection.execute(due).partitions():
        yield [fire(*row) for row in outcomes]
    marked = sa.select(vanished.c.series_id, epoch(vanished.c.timestamp)).execution_options(**options)
    for marks in connection.execute(marked).partitions():
        yield [mark(*row) for row in marks]


def _describe(part: str, expected: tuple[int, int], there: tuple[int, int]) -> str:
    if expected[0] != there[0]:
        return f"{part}: counted as they came: {expected[0]}; stored: {there[0]}"
    return f"{part}: they are not what they were (checksum)"
