"""Sums of points by UTC day, or by period of whole days: from the rows of `series_days`, else from the points.

The answer is the same. Rows are read for whole days only, and points for the rest: parts of days, days whose row is
stale, and days that have no row yet.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.store.db.column_types import BucketTime, epoch
from collector.store.db.schema import points, series, series_days, stale_days
from collector.store.read.points import driver_rows
from collector.store.series import days
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    Span = tuple[int, int]
    Row = tuple[int, int, int, float]
    """(series_id, moment in its period, number of points, sum)."""

DAY = days.DAY
IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
MAX_STALE = 200
"""Stale days that are read one by one; if there are more, everything is read from the points."""


def period_rows(connection: sa.Connection, ids: Sequence[int], edges: Sequence[int], bounds: Span) -> list[Row]:
    """Sum the points of the series *ids* within *bounds* by day, or by period if they are few.

    A row never crosses one of *edges*, which are at midnight, except for the first and the last one.
    """
    whole = -(-bounds[0] // DAY) * DAY, bounds[1] // DAY * DAY
    if whole[0] >= whole[1]:
        return from_points(connection, ids, edges, bounds)
    until = days.until(connection)
    if until is None:
        return _without_until(connection, ids, edges, bounds)
    known = whole[0], max(min(whole[1], until), whole[0])
    lacking = stale(connection, ids, known)
    if sum(map(len, lacking.values())) > MAX_STALE:
        return from_points(connection, ids, edges, bounds)
    rows = _from_rows(connection, ids, edges, known)
    for day, some in lacking.items():
        rows += from_points(connection, some, edges, (day, day + DAY))
    for span in ((bounds[0], known[0]), (known[1], bounds[1])):
        if span[0] < span[1]:
            rows += from_points(connection, ids, edges, span)
    return rows


def _without_until(connection: sa.Connection, ids: Sequence[int], edges: Sequence[int], bounds: Span) -> list[Row]:
    """Sum before the first run of `days.build`: rows of the series whose points all have one, points of the others."""
    counted = {row.id: row.points for row in connection.execute(_COUNTED, {"ids": list(ids)})}
    in_rows = {row.series_id: row.points for row in connection.execute(_IN_ROWS, {"ids": list(ids)})}
    complete = [i for i in ids if counted.get(i) == in_rows.get(i, 0)]
    whole = -(-bounds[0] // DAY) * DAY, bounds[1] // DAY * DAY
    rows = _from_rows(connection, complete, edges, whole) if complete else []
    for span in ((bounds[0], whole[0]), (whole[1], bounds[1])):
        if complete and span[0] < span[1]:
            rows += from_points(connection, complete, edges, span)
    others = sorted({*ids} - {*complete})
    return rows + (from_points(connection, others, edges, bounds) if others else [])


_COUNTED = sa.select(series.c.id, series.c.points).where(series.c.id.in_(IDS))
_IN_ROWS = (
    sa.select(series_days.c.series_id, sa.func.sum(series_days.c.points).label("points"))
    .where(series_days.c.series_id.in_(IDS))
    .group_by(series_days.c.series_id)
)


def stale(connection: sa.Connection, ids: Sequence[int], span: Span) -> dict[int, list[int]]:
    """Return the series of *ids* by each day of *span* whose row is stale."""
    lacking: dict[int, list[int]] = defaultdict(list)
    for day, series_id in driver_rows(connection.execute(_STALE, parameters(ids, span))):
        lacking[day].append(series_id)
    return dict(lacking)


def parameters(ids: Sequence[int], span: Span) -> dict[str, Any]:
    """Return the parameters of a statement with IDS and `within`."""
    return {"ids": list(ids), "since": from_epoch(span[0]), "until": from_epoch(span[1])}


def within(column: Any) -> list[Any]:
    """Return the conditions for a time within the span of `parameters`."""
    since, until = (sa.bindparam(name, type_=BucketTime) for name in ("since", "until"))
    return [column >= since, column < until]


_SAME_DAY = (series_days.c.series_id == stale_days.c.series_id, series_days.c.day == stale_days.c.day)
_STALE = sa.select(epoch(stale_days.c.day), stale_days.c.series_id).where(
    *within(stale_days.c.day),
    stale_days.c.series_id.in_(IDS),
    ~sa.exists().where(*_SAME_DAY).correlate(stale_days),  # a row that exists is right
)


def _from_rows(connection: sa.Connection, ids: Sequence[int], edges: Sequence[int], span: Span) -> list[Row]:
    if span[0] >= span[1]:
        return []
    (origin, width), values = _columns(edges), parameters(ids, span)
    if width == DAY:
        return driver_rows(connection.execute(_days_select(), values))
    values |= {"origin": origin, "width": width}
    rows = driver_rows(connection.execute(_day_columns_select(), values))
    return [(i, max(origin + n * width, span[0]), count, total) for i, n, count, total in rows]


@lru_cache(maxsize=1)
def _days_select() -> Any:
    table = series_days.c
    select = sa.select(table.series_id, epoch(table.day), table.points, table.sum)
    return select.where(table.series_id.in_(IDS), *within(table.day))


@lru_cache(maxsize=1)
def _day_columns_select() -> Any:
    """Select (series_id, number of the column, points, sum) of whole days."""
    table = series_days.c
    origin, width = (sa.bindparam(name, type_=sa.BigInteger) for name in ("origin", "width"))
    column = ((epoch(table.day) - origin) // width).label("column")
    figures = sa.cast(sa.func.sum(table.points), sa.BigInteger), sa.func.sum(table.sum)
    select = sa.select(table.series_id, column, *figures).where(table.series_id.in_(IDS), *within(table.day))
    return select.group_by(table.series_id, column)


def _columns(edges: Sequence[int]) -> Span:
    """Return (start, width) of columns of equal width that no one of *edges* cuts: the periods, or days."""
    width = edges[1] - edges[0]
    is_uniform = edges[-1] - edges[0] == width * (len(edges) - 1)
    if is_uniform and len(edges) > 2:  # noqa: PLR2004 - more than one period: of weeks, or of the parts of a day
        is_uniform = all(edge % DAY == 0 for edge in edges[:2])
    return (edges[0], width) if is_uniform else (edges[0] // DAY * DAY, DAY)


def from_points(connection: sa.Connection, ids: Sequence[int], edges: Sequence[int], span: Span) -> list[Row]:
    """Sum the points of the series *ids* within *span*, by day or by period."""
    origin, width = _columns(edges)
    values = {"origin": origin, "width": width, **parameters(ids, span)}
    rows = driver_rows(connection.execute(_points_select(), values))
    return [(i, max(origin + n * width, span[0]), count, total) for i, n, count, total in rows]


@lru_cache(maxsize=1)
def _points_select() -> Any:
    table = points.c
    origin, width = (sa.bindparam(name, type_=sa.BigInteger) for name in ("origin", "width"))
    column = ((epoch(table.timestamp) - origin) // width).label("column")
    select = sa.select(table.series_id, column, sa.func.count(), sa.func.sum(table.value))
    return select.where(table.series_id.in_(IDS), *within(table.timestamp)).group_by(table.series_id, column)
