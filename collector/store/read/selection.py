"""Which points: of some profiles or labels, of a time, as known at a moment; and the bucket width they have in common.

Counts of several series compare only in buckets of one width: which series can be summed to it, and the sums.

Points of a selection downsampled to what a chart can show: columns with the least, the most and the mean value.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.datasets import why_not_over_time
from collector.interval import Grid
from collector.model import AggInterval, Normalization, Question, from_epoch, known_spelling
from collector.store.db.column_types import epoch
from collector.store.db.schema import labels, points, series, snapshot_points
from collector.store.read.points import points_in_force, points_of
from collector.store.series import generations, grids, snapshots
from collector.store.series.generations import described, same_measure
from collector.store.series.identity import chosen as chosen_labels
from collector.store.series.identity import renamed
from collector.store.write.points import SeriesWindow

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Generator, Iterable, Mapping, Sequence

    from collector.store.series.generations import Generation
    from collector.store.series.snapshots import Snapshot

    Grids = Mapping[AggInterval, Grid]

_USUAL: Grids = MappingProxyType({})


class Bucket(NamedTuple):
    """The width of the buckets in which a series is given; *refused* says why it cannot be, None if it can."""

    interval: AggInterval
    refused: str | None = None


Shape = tuple[int, Bucket, int]
"""The width of columns, the bucket they hold, and where one of them starts."""


def why_not_summed(query: Question, normalization: str) -> str | None:
    """Say why values of *query* may not be added up to those of a coarser bucket; None if they may."""
    if known_spelling(normalization) != Normalization.RAW_VALUES:
        return f"their normalization is {normalization}"
    return why_not_over_time(query)


def common_buckets(
    found: Sequence[SelectedSeries], order: Sequence[str], changed: Container[int] = (), grids: Grids = _USUAL
) -> dict[str, Bucket]:
    """Find the finest bucket in which all of *found* can be given; by label.

    A series comes in if it has the unit of those before it, in *order* of labels, and if it or they can be summed to
    the coarser interval. Otherwise it is refused, so that those before it keep their place. The unit of series whose
    unit has *changed* (their ids) depends on the time, and is compared once their points are read.
    """
    accepted: list[SelectedSeries] = []
    refused: dict[str, str] = {}
    place = {label: at for at, label in enumerate(order)}
    for one in sorted(found, key=lambda series: place.get(series.label, len(place))):
        if reason := _why_not_with(accepted, one, grids, changed):
            refused[one.label] = reason
        else:
            accepted.append(one)
    common = max((one.agg_interval for one in accepted), key=lambda interval: interval.seconds, default=None)
    return {one.label: Bucket(common or one.agg_interval, refused.get(one.label)) for one in found}


def why_another_unit(measure: tuple[str, str], shown: tuple[str, str]) -> str | None:
    """Say that two pairs of normalization and unit do not share an axis; None if they do."""
    if same_measure(measure, shown):
        return None
    return f"its unit is {described(measure, shown)}, the unit of this chart is {described(shown, measure)}"


def _why_not_with(
    accepted: Sequence[SelectedSeries], one: SelectedSeries, grids: Grids, changed: Container[int]
) -> str | None:
    if not accepted:
        return None
    is_fixed = one.series_id not in changed and accepted[0].series_id not in changed
    if is_fixed and (reason := why_another_unit(one.measure, accepted[0].measure)):
        return reason
    coarsest = max((*accepted, one), key=lambda series: series.agg_interval.seconds).agg_interval
    for other in (one, *accepted):
        reason = other.why_not_summed or _why_not_within(other.agg_interval, coarsest, grids)
        if other.agg_interval is not coarsest and reason:
            whose = "its" if other is one else f"the chart has {other.label}, whose"
            return f"{whose} {other.agg_interval} values cannot be summed to {coarsest}: {reason}"
    return None


def _why_not_within(fine: AggInterval, coarse: AggInterval, grids: Grids) -> str | None:
    one, other = (grids.get(interval) or Grid(interval) for interval in (fine, coarse))
    return None if one.divides(other) else f"buckets of {coarse} start at {other}, within those of {fine}"


def complete_sums(points: Iterable[tuple[int, float]], step: int, bucket: int, grid: int) -> list[tuple[int, float]]:
    """Sum (timestamp, value) of buckets of *step* seconds to those of *bucket*; one that lacks a part is left out."""
    parts: dict[int, list[float]] = defaultdict(list)
    for timestamp, value in points:
        parts[grid + (timestamp - grid) // bucket * bucket].append(value)
    return [(start, sum(values)) for start, values in parts.items() if len(values) * step == bucket]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointQuery:
    """Points of *profiles* and *series* (labels), all for none, from *start* up to, not including, *end*."""

    profiles: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    as_of: datetime | None = None


class PointCursor(NamedTuple):
    """A point's place in the order of a selection; *timestamp* in epoch seconds."""

    profile: str
    label: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class SelectedSeries:
    """A series of a selection under its label; *snapshot* is the one that is read of a snapshot series.

    *why_not_summed* is None if values of several buckets may be added up.
    """

    profile: str
    label: str
    series_id: int
    agg_interval: AggInterval
    normalization: str
    unit: str
    snapshot: Snapshot | None = None
    why_not_summed: str | None = None

    @property
    def measure(self) -> tuple[str, str]:
        """(normalization, unit)."""
        return self.normalization, self.unit

    @property
    def asked_at(self) -> datetime | None:
        """When the snapshot was asked for that is read; None for a history."""
        return self.snapshot.asked_at if self.snapshot else None

    def under(self, other: Generation) -> SelectedSeries:
        """Return the series that has the label for the buckets of another generation."""
        return replace(self, series_id=other.id, normalization=other.normalization, unit=other.unit)


def selected(connection: sa.Connection, chosen: PointQuery) -> list[SelectedSeries]:
    """List the series of a selection by profile and the labels' positions; a name that was renamed is followed."""
    named = [labels.c[name] for name in ("profile", "position", "label", "series_id")]
    asked = [series.c[name] for name in ("filters", "dataset", "dimension", "group")]
    select = sa.select(*named, series.c.agg_interval, series.c.normalization, series.c.unit, *asked)
    select = select.join_from(labels, series, series.c.id == labels.c.series_id)
    if chosen.profiles:
        followed = chosen_labels(labels.c.profile, labels.c.label, renamed(connection, chosen.profiles))
        select = select.where(sa.or_(labels.c.profile.in_(chosen.profiles), followed))
    if chosen.series:
        named_before = renamed(connection, labels=chosen.series)
        followed = chosen_labels(labels.c.profile, labels.c.label, named_before)
        select = select.where(sa.or_(labels.c.label.in_(chosen.series), followed))
    found = [_selected(*row) for row in sorted(tuple(row) for row in connection.execute(select))]
    several = generations.several(connection, chosen.as_of)
    taken = snapshots.standing(snapshots.newest(connection, None, chosen.as_of), several)
    return [_of_snapshot(one, taken.get(one.series_id), several.get(one.series_id, ())) for one in found]


def _selected(  # noqa: PLR0913, PLR0917 - a row
    profile: str,
    _position: int,
    label: str,
    series_id: int,
    agg_interval: str,
    normalization: str,
    unit: str,
    filters: str,
    dataset: str,
    dimension: str,
    group: str,
) -> SelectedSeries:
    interval = AggInterval(agg_interval)
    query = Question(interval, json.loads(filters), dataset, dimension, group)
    return SelectedSeries(
        profile, label, series_id, interval, normalization, unit, why_not_summed=why_not_summed(query, normalization)
    )


def _of_snapshot(one: SelectedSeries, taken: Snapshot | None, several: Sequence[Generation]) -> SelectedSeries:
    """Give the series whose snapshot is read under the label, if *one* is a snapshot series."""
    if taken is None:
        return one
    same = next((part for part in several if part.id == taken.series_id), None)
    return replace(one.under(same) if same else one, snapshot=taken)


def blocks(
    connection: sa.Connection, chosen: PointQuery, after: PointCursor | None = None
) -> Generator[tuple[SelectedSeries, Sequence[tuple[int, float]]], None, None]:
    """Stream a selection's points in blocks, from behind the place *after* on; LookupError where it is not there.

    A block is of one unit: where that has changed, the series of a block is the one that is in force there.
    """
    found, several = selected(connection, chosen), generations.several(connection, chosen.as_of)
    places = [(one.profile, one.label) for one in found]
    if after is not None and after[:2] not in places:
        raise LookupError(after.label)
    first = places.index(after[:2]) if after else 0
    for one in found[first:]:
        start = chosen.start
        if after and (one.profile, one.label) == after[:2]:
            beyond = from_epoch(after.timestamp + 1)
            start = max(beyond, start) if start else beyond
        if one.series_id in several and not one.asked_at:
            same = several[one.series_id]
            with closing(points_in_force(connection, same, start, chosen.end, chosen.as_of)) as parts:
                for generation, block in parts:
                    yield one.under(generation), block
            continue
        stream = points_of(connection, one.series_id, start, chosen.end, chosen.as_of, asked_at=one.asked_at)
        with closing(stream) as found_points:
            for block in found_points:
                yield one, block


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


def downsample(
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
