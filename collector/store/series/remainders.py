"""What answers left beside the groups they listed, bucket by bucket, with its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.model import Remainder
from collector.store.db.column_types import epoch
from collector.store.db.schema import remainders
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from collector.windows import EpochWindow

_NOTHING = Remainder(0.0, 0.0)


def read(
    connection: sa.Connection, series_id: int, window: EpochWindow, as_of: datetime | None = None
) -> dict[int, Remainder]:
    """Read what is left in the buckets of *window*, as it is known now or was known at *as_of*.

    A bucket that was complete later has nothing left; one that was complete from the start is absent.
    """
    table = remainders.c
    select = sa.select(epoch(table.timestamp), table.other, table.smallest)
    start, end = map(from_epoch, window)
    select = select.where(table.series_id == series_id, table.timestamp >= start, table.timestamp < end)
    if as_of is not None:
        select = select.where(table.seen_at <= as_of)
    rows = connection.execute(select.order_by(table.timestamp, table.fetch_id))
    return {timestamp: Remainder(other, smallest) for timestamp, other, smallest in rows}


class Seen(NamedTuple):
    """The fetch that brought an answer, and when it came."""

    fetch_id: int
    at: datetime


def write(connection: sa.Connection, series_id: int, answered: Mapping[int, Remainder | None], seen: Seen) -> None:
    """Record what an answer left in each of its buckets, None for nothing, where that differs from what is known."""
    if not answered:
        return
    known = read(connection, series_id, (min(answered), max(answered) + 1))
    rows = [
        {"timestamp": from_epoch(timestamp), "other": left.other, "smallest": left.smallest}
        for timestamp, left in ((timestamp, left or _NOTHING) for timestamp, left in answered.items())
        if known.get(timestamp, _NOTHING) != left
    ]
    if rows:
        common = {"series_id": series_id, "fetch_id": seen.fetch_id, "seen_at": seen.at}
        connection.execute(sa.insert(remainders), [row | common for row in rows])


def count_open(connection: sa.Connection, series_id: int, after: int) -> int:
    """Count the buckets behind the one at *after* in which something is left."""
    table, later = remainders.c, remainders.alias()
    newer = sa.exists().where(
        later.c.series_id == table.series_id, later.c.timestamp == table.timestamp, later.c.fetch_id > table.fetch_id
    )
    select = sa.select(sa.func.count()).select_from(remainders).where(table.series_id == series_id, table.other != 0)
    return int(connection.execute(select.where(table.timestamp > from_epoch(after), ~newer)).scalar_one())
