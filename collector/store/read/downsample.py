"""Points of a selection downsampled to what a chart can show: columns with the least, the most and the mean value."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import epoch
from collector.store.db.schema import points, snapshot_points
from collector.store.read.common_bucket import Bucket, common_buckets, complete_sums
from collector.store.read.day_columns import ChartBucket, day_columns
from collector.store.read.points import points_in_force, points_of
from collector.store.read.selection import select_series
from collector.store.series import generations, grids, snapshots
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from collector.interval import AggInterval, Grid
    from collector.store.read.selection import PointQuery, SelectedSeries, Selection
    from collector.store.series.generations import Generation

Shape = tuple[int, Bucket, int]
"""The width of columns, the bucket they hold, and where one of them starts."""


_DAY = 86_400
_WEEK = 7 * _DAY
_WIDTHS = (900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 86_400, 2 * 86_400, _WEEK)
_GRID = int(datetime(1970, 1, 5, tzinfo=UTC).timestamp())
"""A Monday: columns of any width are on one grid, so that they stay when a chart is moved.

If buckets start elsewhere, so do columns.
"""


class Downsampled(NamedTuple):
    """A series in columns *width* seconds wide; columns without a point are absent. Each holds whole buckets.

    A label whose unit changes has one for each unit, the newest first.
    """

    series: SelectedSeries
    width: int
    columns: Sequence[ChartBucket]
    bucket: Bucket


def downsample(
    connection: sa.Connection, chosen: PointQuery, columns: int, *, common: bool = False
) -> list[Downsampled]:
    """Read a selection in about *columns* columns over its time, each with its extremes; a column holds whole buckets.

    Only buckets that start in the requested time count, so that the columns have the sum of the time. The first and the
    last column, which reach beyond it, may hold fewer buckets than the others.

    With *common* all series have buckets of one width, that of the coarsest series; each is the sum of all its parts.
    """
    found = select_series(connection, chosen)
    selection, several = found.series, found.several
    every = {
        i
        for series_ in selection
        for i in (series_.series_id, *(other.id for other in several.get(series_.series_id, ())))
    }
    start, end = _span(connection, chosen, selection, every)
    known = grids.in_force(connection)
    shared = common_buckets(selection, chosen.series, several, known) if common else {}
    thin = []
    by_days = _by_days(connection, found, (start, end), columns, (shared, known))
    for series_ in selection:
        if series_.label in by_days:
            thin.append(by_days[series_.label])
            continue
        bucket = shared.get(series_.label, Bucket(series_.agg_interval))
        width = bucket_width(end - start, columns, bucket.interval.seconds)
        edge = _GRID + known[bucket.interval].seconds
        first, within = edge + (start - edge) // width * width, (start, end)
        if bucket.interval is not series_.agg_interval:
            within = _starts_within(start, end, bucket.interval.seconds, edge)
        if bucket.refused:
            thin.append(Downsampled(series_, width, [], bucket))
        elif series_.series_id in several and not series_.asked_at:
            moments = from_epoch(within[0]), from_epoch(within[1]), chosen.as_of
            thin += _by_unit(connection, series_, several[series_.series_id], moments, (width, bucket, edge))
        elif chosen.as_of is None or series_.asked_at:
            window = SeriesWindow(series_.series_id, *within)
            shape = width, bucket, first
            thin.append(Downsampled(series_, width, _columns(connection, series_, window, shape), bucket))
        else:
            moments = from_epoch(within[0]), from_epoch(within[1]), chosen.as_of
            stream = points_of(connection, series_.series_id, *moments)
            with closing(stream):
                rows = [point for block in stream for point in block]
            thin.append(Downsampled(series_, width, _in_columns(series_, rows, (width, bucket, edge)), bucket))
    return thin


def _starts_within(start: int, end: int, step: int, edge: int) -> tuple[int, int]:
    """Return the time of the buckets of *step* seconds, one of which starts at *edge*, that start in [start, end)."""
    first, last = (edge - (edge - moment) // step * step for moment in (start, end))
    return first, last


def _by_days(
    connection: sa.Connection,
    selection: Selection,
    span: tuple[int, int],
    columns: int,
    buckets: tuple[Mapping[str, Bucket], Mapping[AggInterval, Grid]],
) -> dict[str, Downsampled]:
    """Return the series whose columns are whole days of plain points, which the rows of days have; by label."""
    (start, end), (shared, known) = span, buckets
    found: dict[int, list[tuple[SelectedSeries, Bucket]]] = defaultdict(list)
    for series_ in selection.series:
        bucket = shared.get(series_.label, Bucket(series_.agg_interval))
        width = bucket_width(end - start, columns, bucket.interval.seconds)
        is_whole = width % _DAY == 0 and known[bucket.interval].seconds % _DAY == 0
        is_own = not bucket.refused and bucket.interval is series_.agg_interval and bucket.interval.seconds < _DAY
        if is_whole and is_own and selection.is_plain(series_):
            found[width].append((series_, bucket))
    thin = {}
    for width, members in found.items():
        edge = _GRID + known[members[0][1].interval].seconds
        rows = day_columns(connection, [series_.series_id for series_, _ in members], (start, end), width, edge) or {}
        for series_, bucket in members:
            if series_.series_id in rows:
                thin[series_.label] = Downsampled(series_, width, rows[series_.series_id], bucket)
    return thin


def _by_unit(
    connection: sa.Connection,
    series_: SelectedSeries,
    same: Sequence[Generation],
    within: tuple[datetime, datetime, datetime | None],
    shape: Shape,
) -> list[Downsampled]:
    """Read the columns of a label whose unit has changed: for each unit those of its own points."""
    rows: list[tuple[Generation, list[tuple[int, float]]]] = []
    with closing(points_in_force(connection, same, *within)) as parts:
        for generation, block in parts:
            measured = [known for other, known in rows if _is_alike(other, generation)]
            if not measured:
                measured = [[]]
                rows.append((generation, measured[0]))
            measured[0].extend(block)
    width, bucket, edge = shape
    if not rows:
        return [Downsampled(series_.under(same[0]), width, [], bucket)]
    return [
        Downsampled(
            series_.under(generation),
            width,
            _in_columns(series_, known, (width, bucket, _edge(generation, edge))),
            bucket,
        )
        for generation, known in reversed(rows)
        if generation.former_offset is None or bucket.interval is series_.agg_interval
    ]


def _is_alike(generation: Generation, other: Generation) -> bool:
    """Return whether the points of two generations can share the same columns."""
    same = generation.former_offset == other.former_offset
    return same and generations.same_measure(generation.measure, other.measure)


def _edge(generation: Generation, edge: int) -> int:
    """Where a column of *generation* starts: at *edge*, if its buckets are of the grid in force."""
    return edge if generation.former_offset is None else _GRID + generation.former_offset


def _span(
    connection: sa.Connection, chosen: PointQuery, selection: Sequence[SelectedSeries], ids: Collection[int]
) -> tuple[int, int]:
    """Return the time of a selection, in epoch seconds: the requested one, or the stored one of the series *ids*."""
    if chosen.start and chosen.end:
        return int(chosen.start.timestamp()), int(chosen.end.timestamp())
    extremes = sa.func.min(epoch(points.c.timestamp)), sa.func.max(epoch(points.c.timestamp))
    known = [tuple(connection.execute(sa.select(*extremes).where(points.c.series_id.in_(ids))).one())]
    known += snapshots.ends(connection, [series_.series_id for series_ in selection if series_.asked_at]).values()
    oldest = min((first for first, _ in known if first is not None), default=None)
    newest = max((last for _, last in known if last is not None), default=None)
    step = max((series_.agg_interval.seconds for series_ in selection), default=0)
    start = int(chosen.start.timestamp()) if chosen.start else oldest or 0
    end = int(chosen.end.timestamp()) if chosen.end else (newest or 0) + step
    return start, max(start, end)


def bucket_width(span: int, columns: int, step: int) -> int:
    """Return the width in seconds of at most *columns* over *span* seconds: whole buckets, whole days for a long span.

    Columns of half a day would show night and day by turns.
    """
    for width in _WIDTHS:
        if width >= step and width * columns >= span:
            return width
    return -(-span // (columns * _WEEK)) * _WEEK


def chart_buckets(points: Iterable[tuple[int, float]], width: int, edge: int = _GRID) -> list[ChartBucket]:
    """Sum up (timestamp, value), ascending, in columns of *width* seconds, one of which starts at *edge*."""
    columns: dict[int, list[float]] = {}
    for timestamp, value in points:
        columns.setdefault(edge + (timestamp - edge) // width * width, []).append(value)
    return [ChartBucket(t, min(v), max(v), sum(v) / len(v), len(v)) for t, v in columns.items()]


def _in_columns(series_: SelectedSeries, points: Iterable[tuple[int, float]], shape: Shape) -> list[ChartBucket]:
    (width, bucket, edge), step = shape, series_.agg_interval.seconds
    if bucket.interval.seconds > step:
        points = complete_sums(points, step, bucket.interval.seconds, edge)
    return chart_buckets(points, width, edge)


def _columns(
    connection: sa.Connection, series_: SelectedSeries, window: SeriesWindow, shape: Shape
) -> list[ChartBucket]:
    """Do in the database what `_in_columns` does, for a snapshot if there is one; *window* begins in a first column."""
    width, bucket, first = shape
    values = _buckets(series_, window, bucket.interval.seconds, first)
    column, value = (values.c.offset // width).label("column"), values.c.value
    figures = sa.func.min(value), sa.func.max(value), sa.func.avg(value), sa.func.count()
    rows = connection.execute(sa.select(column, *figures).group_by(column).order_by(column))
    return [ChartBucket(first + at * width, *rest) for at, *rest in rows]


def _buckets(series_: SelectedSeries, window: SeriesWindow, bucket: int, first: int) -> sa.Subquery:
    """Select *offset*, in seconds from *first*, and *value* of the buckets of *window*, *bucket* seconds wide."""
    table, step = (points if series_.asked_at is None else snapshot_points), series_.agg_interval.seconds
    offset = epoch(table.c.timestamp) - first
    within = [table.c.timestamp >= from_epoch(window.start), table.c.timestamp < from_epoch(window.end)]
    within += [] if series_.asked_at is None else [snapshot_points.c.asked_at == series_.asked_at]
    if bucket > step:
        start = (offset // bucket) * bucket
        values = sa.select(start.label("offset"), sa.func.sum(table.c.value).label("value")).group_by(start)
        values = values.having(sa.func.count() * step == bucket)
    else:
        values = sa.select(offset.label("offset"), table.c.value)
    return values.where(table.c.series_id == window.series_id, *within).subquery()
