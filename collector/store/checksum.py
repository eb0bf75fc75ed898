"""Checksums that find damage which the database itself does not: one for each slice that a fetch answered.

A replaced value stays in `revisions` under the fetch that brought it, so what a fetch wrote can be found again in
points and revisions, and its checksum be computed anew, at any time.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_HEAD = struct.Struct("<6q")


class Answered(NamedTuple):
    """A row of date_ranges: the buckets [start, end) in epoch seconds, the API's own range in microseconds."""

    series_id: int
    fetch_id: int
    start: int
    end: int
    start_time: int
    end_time: int


def answered_range(series_id: int, fetch_id: int, start: int, end: int, named: Sequence[datetime | None]) -> Answered:
    """Make an Answered of epoch seconds and of the range that the API *named*; one that is None counts as [start, end).

    So the checksum of an older version, which wrote the window in place of None, holds as well.
    """
    times = [
        microseconds(moment) if moment is not None else edge * 1_000_000
        for moment, edge in zip(named, (start, end), strict=True)
    ]
    return Answered(series_id, fetch_id, start, end, *times)


def checksum(answered: Answered, timestamps: Sequence[int], values: Sequence[float]) -> int:
    """Give CRC-32 of a date range and of what its fetch wrote there, ascending: all timestamps, then all values."""
    count = len(timestamps)
    packed = struct.pack(f"<{count}q{count}d", *timestamps, *values)
    return zlib.crc32(packed, zlib.crc32(_HEAD.pack(*answered)))


def microseconds(moment: datetime) -> int:
    """Give epoch microseconds: what a moment is on either database."""
    return round(moment.timestamp() * 1_000_000)
