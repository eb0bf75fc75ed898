"""Columns of whole UTC days for charts: from the rows of `series_days`, and from points where there is no row.

The answer is what the points give; see `day_sums` for which days are read from points.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import epoch
from collector.store.db.schema import points, series_days
from collector.store.read.day_sums import DAY, IDS, MAX_STALE, parameters, stale, within
from collector.store.read.points import driver_rows
from collector.store.series import days

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Span = tuple[int, int]
    Row = tuple[int, int, int, float, float, float]
    """(series_id, day, points, sum, minimum, maximum)."""

_IDS_AT_ONCE = 500


class ChartBucket(NamedTuple):
    """The extremes, the mean and the number of the points in one column, which begins at *start* (epoch seconds)."""

    start: int
    least: float
    most: float
    mean: float
    points: int


def day_columns(
    connection: sa.Connection, ids: Sequence[int], span: Span, width: int, edge: int
) -> dict[int, list[ChartBucket]] | None:
    """Return the columns of each of the series *ids*; those without a point are absent. None: read the points instead.

    Only points in *span* count, start and end in seconds. One column starts at *edge*; *width*, in seconds, is whole
    days.
    """
    until = days.until(connection)
    if until is None:
        return None
    columns: dict[int, list[ChartBucket]] = {series_id: [] for series_id in ids}
    for first in range(0, len(ids), _IDS_AT_ONCE):
        rows = _rows(connection, ids[first : first + _IDS_AT_ONCE], span, until)
        if rows is None:
            return None
        _add(columns, rows, edge, width)
    return columns


def _rows(connection: sa.Connection, ids: Sequence[int], span: Span, until: int) -> list[Row] | None:
    """Read the figures of each day by series; None if there are too many stale days.

    Days that *span* cuts, and those from *until* on, are read from points.
    """
    start, end = span
    first = min(-(-start // DAY) * DAY, end)
    known = first, max(min(end // DAY * DAY, until), first)
    lacking = stale(connection, ids, known)
    if sum(map(len, lacking.values())) > MAX_STALE:
        return None
    rows = driver_rows(connection.execute(_days_select(), parameters(ids, known))) if known[0] < known[1] else []
    for day, some in lacking.items():
        rows += driver_rows(connection.execute(_points_select(), parameters(some, (day, day + DAY))))
    for part in ((start, known[0]), (known[1], end)):
        if part[0] < part[1]:
            rows += driver_rows(connection.execute(_points_select(), parameters(ids, part)))
    return rows


def _add(columns: dict[int, list[ChartBucket]], rows: Iterable[Row], origin: int, width: int) -> None:
    sums: dict[tuple[int, int], tuple[int, float, float, float]] = {}
    for series_id, day, count, total, least, most in rows:
        key = series_id, origin + (day - origin) // width * width
        known = sums.get(key)
        if known is None:
            sums[key] = count, total, least, most
        else:
            sums[key] = known[0] + count, known[1] + total, min(known[2], least), max(known[3], most)
    for series_id, start in sorted(sums):
        count, total, least, most = sums[series_id, start]
        columns[series_id].append(ChartBucket(start, least, most, total / count, count))


@lru_cache(maxsize=1)
def _days_select() -> Any:
    table = series_days.c
    figures = table.points, table.sum, table.minimum, table.maximum
    select = sa.select(table.series_id, epoch(table.day), *figures)
    return select.where(table.series_id.in_(IDS), *within(table.day))


@lru_cache(maxsize=1)
def _points_select() -> Any:
    table = points.c
    day = (epoch(table.timestamp) // DAY * DAY).label("day")
    figures = sa.func.count(), sa.func.sum(table.value), sa.func.min(table.value), sa.func.max(table.value)
    select = sa.select(table.series_id, day, *figures)
    return select.where(table.series_id.in_(IDS), *within(table.timestamp)).group_by(table.series_id, day)
