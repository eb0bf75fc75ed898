"""Points of a selection downsampled to what a chart can show: columns with the least, the most and the mean value."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import epoch
from collector.store.db.schema import points, snapshot_points
from collector.store.read.points import points_in_force, points_of
from collector.store.read.selection import Bucket, common_buckets, complete_sums, selected
from collector.store.series import generations, grids, snapshots
from collector.store.write.points import SeriesWindow
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from collector.store.read.selection import PointQuery, SelectedSeries
    from collector.store.series.generations import Generation

    Shape = tuple[int, Bucket, int]
    """The width of columns, the bucket they hold, and where one of them starts."""

_WEEK = 7 * 86_400
_WIDTHS = (900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 86_400, 2 * 86_400, _WEEK)
_GRID = int(datetime(1970, 1, 5, tzinfo=UTC).timestamp())
"""A Monday: columns of any width lie on one grid, so that they stand still while a chart is moved.

Where buckets start elsewhere, so do columns.
"""


class ChartBucket(NamedTuple):
    """What the points from *start* (epoch seconds) on, for one column's width, come to."""

    start: int
    least: float
    most: float
    mean: float
    points: int


@dataclass(frozen=True, slots=True)
class Downsampled:
    """A series in columns *width* seconds wide; columns without a point are absent. Each holds whole buckets.

    A label whose unit changes has one for each unit, the newest first.
    """

    series: SelectedSeries
    width: int
    columns: Sequence[ChartBucket]
    bucket: Bucket


def downsampled(
    connection: sa.Connection, chosen: PointQuery, columns: int, *, common: bool = False
) -> list[Downsampled]:
    """Read a selection in about so many columns over its time, each with its extremes; a column holds whole buckets.

    *common*: all of it in buckets of one width, those of the coarsest series, each the sum of all its parts.
    """
    found, several = selected(connection, chosen), generations.several(connection, chosen.as_of)
    every = {i for one in found for i in (one.series_id, *(other.id for other in several.get(one.series_id, ())))}
    start, end = _span(connection, chosen, found, every)
    known = grids.in_force(connection)
    shared = common_buckets(found, chosen.series, several, known) if common else {}
    thin = []
    for one in found:
        bucket = shared.get(one.label, Bucket(one.agg_interval))
        width = bucket_width(end - start, columns, bucket.interval.seconds)
        edge = _GRID + known[bucket.interval].seconds
        first, last = edge + (start - edge) // width * width, edge - (edge - end) // width * width
        stretch = SeriesWindow(one.series_id, first, last)
        if bucket.refused:
            thin.append(Downsampled(one, width, [], bucket))
        elif one.series_id in several and not one.asked_at:
            within = from_epoch(first), from_epoch(last), chosen.as_of
            thin += _by_unit(connection, one, several[one.series_id], within, (width, bucket, edge))
        elif chosen.as_of is None or one.asked_at:
            thin.append(Downsampled(one, width, _columns(connection, one, stretch, width, bucket), bucket))
        else:
            stream = points_of(connection, one.series_id, from_epoch(first), from_epoch(last), chosen.as_of)
            with closing(stream):
                rows = [point for block in stream for point in block]
            thin.append(Downsampled(one, width, _in_columns(one, rows, (width, bucket, edge)), bucket))
    return thin


def _by_unit(
    connection: sa.Connection,
    one: SelectedSeries,
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
        return [Downsampled(one.under(same[0]), width, [], bucket)]
    return [
        Downsampled(
            one.under(generation), width, _in_columns(one, known, (width, bucket, _edge(generation, edge))), bucket
        )
        for generation, known in reversed(rows)
        if generation.former_offset is None or bucket.interval is one.agg_interval
    ]


def _is_alike(one: Generation, other: Generation) -> bool:
    """Tell whether the points of two generations can stand in the same columns."""
    same = one.former_offset == other.former_offset
    return same and generations.same_measure(one.measure, other.measure)


def _edge(one: Generation, edge: int) -> int:
    """Where a column of *one* starts: at *edge*, if its buckets are of the grid in force."""
    return edge if one.former_offset is None else _GRID + one.former_offset


def _span(
    connection: sa.Connection, chosen: PointQuery, found: Sequence[SelectedSeries], ids: Collection[int]
) -> tuple[int, int]:
    """The time a selection spans, in epoch seconds: what was asked for, or else what is stored of the series *ids*."""
    if chosen.start and chosen.end:
        return int(chosen.start.timestamp()), int(chosen.end.timestamp())
    extremes = sa.func.min(epoch(points.c.timestamp)), sa.func.max(epoch(points.c.timestamp))
    known = [tuple(connection.execute(sa.select(*extremes).where(points.c.series_id.in_(ids))).one())]
    known += snapshots.ends(connection, [one.series_id for one in found if one.asked_at]).values()
    oldest = min((first for first, _ in known if first is not None), default=None)
    newest = max((last for _, last in known if last is not None), default=None)
    step = max((one.agg_interval.seconds for one in found), default=0)
    start = int(chosen.start.timestamp()) if chosen.start else oldest or 0
    end = int(chosen.end.timestamp()) if chosen.end else (newest or 0) + step
    return start, max(start, end)


def bucket_width(span: int, columns: int, step: int) -> int:
    """Give the width in seconds of at most *columns* over *span* seconds: whole buckets, whole days once it is long.

    Columns of half a day would show night and day by turns.
    """
    for width in _WIDTHS:
        if width >= step and width * columns >= span:
            return width
    return -(-span // (columns * _WEEK)) * _WEEK


def chart_buckets(found: Iterable[tuple[int, float]], width: int, edge: int = _GRID) -> list[ChartBucket]:
    """Sum up (timestamp, value), ascending, in columns of *width* seconds, one of which starts at *edge*."""
    columns: dict[int, list[float]] = {}
    for timestamp, value in found:
        columns.setdefault(edge + (timestamp - edge) // width * width, []).append(value)
    return [ChartBucket(t, min(v), max(v), sum(v) / len(v), len(v)) for t, v in columns.items()]


def _in_columns(one: SelectedSeries, found: Iterable[tuple[int, float]], shape: Shape) -> list[ChartBucket]:
    (width, bucket, edge), step = shape, one.agg_interval.seconds
    if bucket.interval.seconds > step:
        found = complete_sums(found, step, bucket.interval.seconds, edge)
    return chart_buckets(found, width, edge)


def _columns(
    connection: sa.Connection, one: SelectedSeries, stretch: SeriesWindow, width: int, bucket: Bucket
) -> list[ChartBucket]:
    """Let the database do what _in_columns does, of a snapshot if there is one; *stretch* begins on the grid."""
    values = _buckets(one, stretch, bucket.interval.seconds)
    column, value = (values.c.offset // width).label("column"), values.c.value
    figures = sa.func.min(value), sa.func.max(value), sa.func.avg(value), sa.func.count()
    found = connection.execute(sa.select(column, *figures).group_by(column).order_by(column))
    return [ChartBucket(stretch.start + at * width, *rest) for at, *rest in found]


def _buckets(one: SelectedSeries, stretch: SeriesWindow, bucket: int) -> sa.Subquery:
    """Select *offset*, in seconds from the start of *stretch*, and *value* of its buckets, *bucket* seconds wide."""
    table, step = (points if one.asked_at is None else snapshot_points), one.agg_interval.seconds
    offset = epoch(table.c.timestamp) - stretch.start
    within = [table.c.timestamp >= from_epoch(stretch.start), table.c.timestamp < from_epoch(stretch.end)]
    within += [] if one.asked_at is None else [snapshot_points.c.asked_at == one.asked_at]
    if bucket > step:
        start = (offset // bucket) * bucket
        values = sa.select(start.label("offset"), sa.func.sum(table.c.value).label("value")).group_by(start)
        values = values.having(sa.func.count() * step == bucket)
    else:
        values = sa.select(offset.label("offset"), table.c.value)
    return values.where(table.c.series_id == stretch.series_id, *within).subquery()
