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
    connection: sa.Connection, ids: Sequence[int], span: Span, width: int
) -> dict[int, list[ChartBucket]] | None:
    """Return the columns of each of the series *ids*; those without a point are absent. None: read the points instead.

    *span*, the start and the end, and *width* are whole days in seconds, and *span* is a multiple of *width*.
    """
    until = days.until(connection)
    if until is None:
        return None
    columns: dict[int, list[ChartBucket]] = {series_id: [] for series_id in ids}
    for first in range(0, len(ids), _IDS_AT_ONCE):
        rows = _rows(connection, ids[first : first + _IDS_AT_ONCE], span, max(min(span[1], until), span[0]))
        if rows is None:
            return None
        _add(columns, rows, span[0], width)
    return columns


def _rows(connection: sa.Connection, ids: Sequence[int], span: Span, until: int) -> list[Row] | None:
    """Read the figures of each day by series; None if there are too many stale days."""
    known = span[0], until
    lacking = stale(connection, ids, known)
    if sum(map(len, lacking.values())) > MAX_STALE:
        return None
    rows = driver_rows(connection.execute(_days_select(), parameters(ids, known))) if known[0] < known[1] else []
    for day, some in lacking.items():
        rows += driver_rows(connection.execute(_points_select(), parameters(some, (day, day + DAY))))
    if until < span[1]:
        rows += driver_rows(connection.execute(_points_select(), parameters(ids, (until, span[1]))))
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
