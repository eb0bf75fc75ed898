"""What replicas of the previous version have written: evidence that does not know of it is withdrawn.

They know nothing of `finality`. A value that they add, change or mark as vanished where values count as final would
never be read again.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.finality import runs, subtract
from collector.model import AggInterval
from collector.store import evidence
from collector.store.column_types import epoch
from collector.store.schema import date_ranges, fetches, points, series, vanished

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.finality import Evidence

LOOKBACK = timedelta(days=1)
"""Requests that ended longer ago are not looked at."""

_ADOPTED_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_OK = sa.and_(fetches.c.outcome == "ok", fetches.c.ignored.is_(None))
_FOREIGN = sa.select(fetches.c.id).where(_OK, fetches.c.finished_at >= sa.bindparam("since")).order_by(fetches.c.id)
_SERIES = sa.select(series.c.id, series.c.agg_interval).where(series.c.id.in_(_ADOPTED_IDS)).order_by(series.c.id)


class _Stamp(NamedTuple):
    """A bucket that a request has written to, when its answer came, and the answer's lastUpdated."""

    timestamp: int
    finished_at: float
    last_updated: float

    def is_later(self, row: Evidence) -> bool:
        """Tell whether it was written after the evidence *row*.

        What the migration has made of an older store is told when it is asked, at the newest lastUpdated on record.
        """
        return self.finished_at > row.asked_at and (self.last_updated > row.told_at or row.told_at < row.asked_at)


def _written(table: sa.Table) -> Any:
    """Choose the series_id and the stamp of all rows that the answers of requests have left."""
    inside = sa.and_(table.c.timestamp >= date_ranges.c.start, table.c.timestamp < date_ranges.c.end)
    same = sa.and_(table.c.series_id == date_ranges.c.series_id, table.c.fetch_id == date_ranges.c.fetch_id)
    times = fetches.c.finished_at, fetches.c.last_updated
    select = sa.select(table.c.series_id, epoch(table.c.timestamp), *times)
    select = select.join_from(date_ranges, fetches, fetches.c.id == date_ranges.c.fetch_id)
    return select.join(table, sa.and_(same, inside)).where(date_ranges.c.fetch_id.in_(_ADOPTED_IDS))


_WRITTEN = sa.union_all(_written(points), _written(vanished))


async def foreign(connection: AsyncConnection, since: datetime) -> list[int]:
    """Find the requests of a previous version, ended from *since* on, whose answers were not adopted yet."""
    return list((await connection.execute(_FOREIGN, {"since": since})).scalars())


async def adopt(connection: AsyncConnection, fetch_ids: Sequence[int]) -> None:
    """Withdraw the evidence, where it is older, for what the answers of these requests have written; but once."""
    stamps: dict[int, list[_Stamp]] = defaultdict(list)
    for series_id, timestamp, *times in await connection.execute(_WRITTEN, {"ids": fetch_ids}):
        stamps[series_id].append(_Stamp(timestamp, *(time.timestamp() for time in times)))
    locked = await connection.execute(_SERIES.with_for_update(), {"ids": list(stamps)})
    steps = {row.id: AggInterval(row.agg_interval).seconds for row in locked}
    before = await evidence.read(connection, steps)
    after = {series_id: _without(rows, stamps[series_id], steps[series_id]) for series_id, rows in before.items()}
    await evidence.write(connection, {series_id: (before[series_id], rows) for series_id, rows in after.items()})
    await connection.execute(sa.update(fetches).where(fetches.c.id.in_(fetch_ids), _OK).values(ignored=0))


def _without(rows: Sequence[Evidence], stamps: Sequence[_Stamp], step: int) -> list[Evidence]:
    """Cut the buckets of *stamps* out of *rows* that are older."""
    left = []
    for row in rows:
        later = {one.timestamp for one in stamps if row.start <= one.timestamp < row.end and one.is_later(row)}
        left += [row.within(*part) for part in subtract((row.start, row.end), runs(sorted(later), step))]
    return left
