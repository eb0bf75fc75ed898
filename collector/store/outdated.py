"""Points and replaced values that are no longer kept: a few of one series are deleted at a time."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.model import from_epoch
from collector.store import evidence, seals
from collector.store.amend import amend
from collector.store.column_types import epoch
from collector.store.schema import date_ranges, points, revisions, series, vanished
from collector.store.series import count_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_POINTS_AT_ONCE = 5_000
_REVISIONS_AT_ONCE = 1_000


class Replaced(NamedTuple):
    """A row of revisions, as far as the order of a bucket's values needs it."""

    timestamp: int
    fetch_id: int
    replaced_by: int
    replaced_at: datetime


async def delete_points(connection: AsyncConnection, series_id: int, edge: datetime) -> tuple[int, int] | None:
    """Delete the oldest points of a series before *edge*, with all that is known of their buckets.

    Gives how many points and revisions went; None where there was nothing left to delete.
    """
    await _lock(connection, series_id)
    if not await _anything(connection, series_id, edge):
        return None
    cut = await _cut(connection, series_id, edge)
    at = int(cut.timestamp())
    across = sa.and_(date_ranges.c.end > cut, date_ranges.c.start < cut)
    await amend(connection, series_id, across, lambda _, timestamp: timestamp >= at, at)
    gone = [
        (await connection.execute(sa.delete(table).where(table.c.series_id == series_id, column < cut))).rowcount
        for table, column in ((points, points.c.timestamp), (revisions, revisions.c.timestamp))
    ]
    marks = sa.delete(vanished).where(vanished.c.series_id == series_id, vanished.c.timestamp < cut)
    unmarked = await connection.execute(marks.returning(epoch(vanished.c.timestamp)))
    await seals.seal(connection, gone=[seals.mark(series_id, timestamp) for (timestamp,) in unmarked])
    ended = sa.and_(date_ranges.c.series_id == series_id, date_ranges.c.end <= cut)
    await connection.execute(sa.delete(date_ranges).where(ended))
    await evidence.forget_before(connection, series_id, cut)
    await count_points(connection, {series_id: -gone[0]})
    return gone[0], gone[1]


async def _lock(connection: AsyncConnection, series_id: int) -> None:
    """Wait for whoever saves to this series, as they will wait for us."""
    await connection.execute(sa.select(series.c.id).where(series.c.id == series_id).with_for_update())


async def _anything(connection: AsyncConnection, series_id: int, edge: datetime) -> bool:
    for table, column in (
        (points, points.c.timestamp),
        (revisions, revisions.c.timestamp),
        (date_ranges, date_ranges.c.start),
    ):
        older = sa.select(table.c.series_id).where(table.c.series_id == series_id, column < edge).limit(1)
        if (await connection.execute(older)).first() is not None:
            return True
    return False


async def _cut(connection: AsyncConnection, series_id: int, edge: datetime) -> datetime:
    """Before which bucket to delete in one go."""
    cuts = [edge]
    for table, column in ((points, points.c.timestamp), (date_ranges, date_ranges.c.end)):
        rows = sa.select(column).where(table.c.series_id == series_id, column < edge).order_by(column)
        cuts += (await connection.execute(rows.offset(_POINTS_AT_ONCE).limit(1))).scalars().all()
    return min(cuts)


async def delete_revisions(
    connection: AsyncConnection, series_id: int, moment: datetime, after: int
) -> tuple[int, int] | None:
    """Delete values of a series that were replaced before *moment*, of a few buckets later than *after*.

    Gives how many went, and the last bucket that was looked at; None where there was none.
    """
    await _lock(connection, series_id)
    columns = (epoch(revisions.c.timestamp).label("t"), *(revisions.c[name] for name in Replaced._fields[1:]))
    later = sa.select(*columns).where(revisions.c.series_id == series_id, revisions.c.timestamp > from_epoch(after))
    found = await connection.execute(later.order_by(revisions.c.timestamp).limit(_REVISIONS_AT_ONCE))
    rows = [Replaced(*row) for row in found]
    if not rows:
        return None
    if len(rows) == _REVISIONS_AT_ONCE and rows[0].timestamp != rows[-1].timestamp:
        rows = [row for row in rows if row.timestamp != rows[-1].timestamp]  # its others may come with the next ones
    gone = [r for _, group in groupby(rows, key=lambda row: row.timestamp) for r in outdated(list(group), moment)]
    if gone:
        await _delete(connection, series_id, gone)
    return len(gone), rows[-1].timestamp


def outdated(replaced: Sequence[Replaced], moment: datetime) -> list[Replaced]:
    """Choose of the values that one bucket had before those that were replaced before *moment*.

    A value that replaced another goes only with it, whatever the clocks said, for else it would be missing.
    """
    old = {row.fetch_id: row for row in replaced if row.replaced_at < moment}
    kept = [row for row in replaced if row.fetch_id not in old]
    while kept:
        row = old.pop(kept.pop().replaced_by, None)
        kept += [row] if row else []
    return list(old.values())


async def _delete(connection: AsyncConnection, series_id: int, gone: Iterable[Replaced]) -> None:
    keys = {(row.fetch_id, row.timestamp) for row in gone}
    fetch_ids = sorted({fetch_id for fetch_id, _ in keys})
    concerned = date_ranges.c.fetch_id.in_(fetch_ids)
    await amend(connection, series_id, concerned, lambda fetch_id, timestamp: (fetch_id, timestamp) not in keys)
    same: list[Any] = [revisions.c.series_id == series_id, revisions.c.timestamp == sa.bindparam("t")]
    delete = sa.delete(revisions).where(*same, revisions.c.replaced_by == sa.bindparam("r"))
    await connection.execute(delete, [{"t": from_epoch(row.timestamp), "r": row.replaced_by} for row in gone])
