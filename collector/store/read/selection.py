"""Which points: of some profiles or labels, of a time, as known at a moment; and the bucket width they have in common.

Counts of several series compare only in buckets of one width: which series can be summed to it, and the sums.

Points of a selection downsampled to what a chart can show: columns with the least, the most and the mean value.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.datasets import dataset_of, why_not_over_time
from collector.interval import AggInterval, Grid
from collector.model import Normalization, Question, known_spelling
from collector.store.db.column_types import epoch
from collector.store.db.schema import labels, points, series, snapshot_points
from collector.store.read.day_columns import ChartBucket, day_columns
from collector.store.read.points import Run, first_points, points_in_force, points_of, read_run
from collector.store.series import generations, grids, snapshots
from collector.store.series.generations import described, same_measure
from collector.store.series.identity import chosen as chosen_labels
from collector.store.series.identity import renamed
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Generator, Iterable, Mapping, Sequence

    from collector.store.series.generations import Generation
    from collector.store.series.identity import Renamed
    from collector.store.series.snapshots import Snapshot

    Rows = Sequence[tuple[int, float]]
    Grids = Mapping[AggInterval, Grid]

_USUAL: Grids = MappingProxyType({})


class Bucket(NamedTuple):
    """The width of a series' buckets in a chart; *refused* is the reason why there is none, None if there is one."""

    interval: AggInterval
    refused: str | None = None


Shape = tuple[int, Bucket, int]
"""The width of columns, the bucket they hold, and where one of them starts."""


def why_not_summed(query: Question, normalization: str, *, in_snapshot: bool = False) -> str | None:
    """Return why values of *query* may not be summed to those of a coarser bucket; None if they may.

    *in_snapshot*: all of them are of one snapshot.
    """
    if known_spelling(normalization) != Normalization.RAW_VALUES:
        return f"their normalization is {normalization}"
    return why_not_over_time(query, in_snapshot=in_snapshot)


def common_buckets(
    selection: Sequence[SelectedSeries], order: Sequence[str], changed: Container[int] = (), grids: Grids = _USUAL
) -> dict[str, Bucket]:
    """Return the finest bucket that all series of *selection* can have; by label.

    A series is accepted if it has the unit of those before it, in *order* of labels, and if it or they can be summed to
    the coarser interval. Otherwise it is refused, so that those before it stay. The unit of series whose unit has
    *changed* (their ids) depends on the time, and is compared when their points are read.
    """
    accepted: list[SelectedSeries] = []
    refused: dict[str, str] = {}
    place = {label: at for at, label in enumerate(order)}
    for series_ in sorted(selection, key=lambda series: place.get(series.label, len(place))):
        if reason := _why_not_with(accepted, series_, grids, changed):
            refused[series_.label] = reason
        else:
            accepted.append(series_)
    common = max((series_.agg_interval for series_ in accepted), key=lambda interval: interval.seconds, default=None)
    return {series_.label: Bucket(common or series_.agg_interval, refused.get(series_.label)) for series_ in selection}


def why_another_unit(measure: tuple[str, str], shown: tuple[str, str]) -> str | None:
    """Return why two pairs of normalization and unit cannot share an axis; None if they can."""
    if same_measure(measure, shown):
        return None
    return f"its unit is {described(measure, shown)}, the unit of this chart is {described(shown, measure)}"


def _why_not_with(
    accepted: Sequence[SelectedSeries], series_: SelectedSeries, grids: Grids, changed: Container[int]
) -> str | None:
    if not accepted:
        return None
    is_fixed = series_.series_id not in changed and accepted[0].series_id not in changed
    if is_fixed and (reason := why_another_unit(series_.measure, accepted[0].measure)):
        return reason
    coarsest = max((*accepted, series_), key=lambda series: series.agg_interval.seconds).agg_interval
    for other in (series_, *accepted):
        reason = other.why_not_summed or _why_not_within(other.agg_interval, coarsest, grids)
        if other.agg_interval is not coarsest and reason:
            whose = "its" if other is series_ else f"the chart has {other.label}, whose"
            return f"{whose} {other.agg_interval} values cannot be summed to {coarsest}: {reason}"
    return None


def _why_not_within(fine: AggInterval, coarse: AggInterval, grids: Grids) -> str | None:
    fine_grid, coarse_grid = (grids.get(interval) or Grid(interval) for interval in (fine, coarse))
    if fine_grid.divides(coarse_grid):
        return None
    return f"buckets of {coarse} start at {coarse_grid}, within those of {fine}"


def complete_sums(points: Iterable[tuple[int, float]], step: int, bucket: int, grid: int) -> list[tuple[int, float]]:
    """Sum (timestamp, value) of buckets of *step* seconds to those of *bucket*; incomplete ones are left out."""
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


class SelectedSeries(NamedTuple):
    """A series of a selection under its label; *snapshot* is the one that is read of a snapshot series.

    *why_not_summed* is None if values of several buckets may be added up. *query* is the question it answers.
    """

    profile: str
    label: str
    series_id: int
    agg_interval: AggInterval
    normalization: str
    unit: str
    snapshot: Snapshot | None = None
    why_not_summed: str | None = None
    query: Question | None = None

    @property
    def measure(self) -> tuple[str, str]:
        """(normalization, unit)."""
        return self.normalization, self.unit

    @property
    def asked_at(self) -> datetime | None:
        """When the snapshot that is read was requested; None for a history."""
        return self.snapshot.asked_at if self.snapshot else None

    @property
    def why_no_total(self) -> str | None:
        """Why the values that are read have no sum over time; None if they have one.

        Those of one snapshot were judged at one moment, so they have one.
        """
        if self.snapshot is None or self.query is None:
            return self.why_not_summed
        return why_not_summed(self.query, self.normalization, in_snapshot=True)

    @property
    def counts_once(self) -> bool:
        """Whether counts are of objects that count once in a bucket, so that a sum of buckets is a bound."""
        is_count = known_spelling(self.normalization) == Normalization.RAW_VALUES
        return is_count and self.query is not None and dataset_of(self.query).counts_once(self.query.filters)

    def under(self, other: Generation) -> SelectedSeries:
        """Return the series that has the label for the buckets of another generation."""
        return self._replace(series_id=other.id, normalization=other.normalization, unit=other.unit)


class Selection(NamedTuple):
    """The *series* that *chosen* means by profile and the labels' positions; a name that was renamed is followed.

    *several* has the series of each question that has several, see `generations.several`.
    """

    chosen: PointQuery
    series: Sequence[SelectedSeries]
    several: Mapping[int, Sequence[Generation]]

    def is_plain(self, series_: SelectedSeries) -> bool:
        """Return whether the points of a series are its rows of `points`, as they are now."""
        return self.chosen.as_of is None and not series_.asked_at and series_.series_id not in self.several


def selected(connection: sa.Connection, chosen: PointQuery) -> list[SelectedSeries]:
    """List the series of a selection by profile and the labels' positions; a name that was renamed is followed."""
    return [*select_series(connection, chosen).series]


def select_series(connection: sa.Connection, chosen: PointQuery) -> Selection:
    """Find the series of a selection."""
    by_profile = tuple(renamed(connection, chosen.profiles)) if chosen.profiles else None
    by_label = tuple(renamed(connection, labels=chosen.series)) if chosen.series else None
    names = {"profiles": chosen.profiles, "labels": chosen.series}
    parameters = {name: values for name, values in names.items() if values}
    rows = connection.execute(_labelled(by_profile, by_label), parameters)
    selection = [_selected(*row) for row in sorted(tuple(row) for row in rows)]
    several = generations.several(connection, chosen.as_of)
    taken = snapshots.current_snapshots(snapshots.newest(connection, None, chosen.as_of), several)
    selection = [
        _of_snapshot(series_, taken.get(series_.series_id), several.get(series_.series_id, ())) for series_ in selection
    ]
    return Selection(chosen, selection, several)


@lru_cache(maxsize=64)
def _labelled(by_profile: tuple[Renamed, ...] | None, by_label: tuple[Renamed, ...] | None) -> Any:
    """Select the series under their labels: those of *profiles* and *labels*, and where these are renamed to.

    None: of all profiles, under all labels.
    """
    label_columns = [labels.c[name] for name in ("profile", "position", "label", "series_id")]
    question_columns = [series.c[name] for name in ("filters", "dataset", "dimension", "group")]
    select = sa.select(*label_columns, series.c.agg_interval, series.c.normalization, series.c.unit, *question_columns)
    select = select.join_from(labels, series, series.c.id == labels.c.series_id)
    for name, column, followed in (
        ("profiles", labels.c.profile, by_profile),
        ("labels", labels.c.label, by_label),
    ):
        if followed is not None:
            named = column.in_(sa.bindparam(name, expanding=True))
            select = select.where(sa.or_(named, chosen_labels(labels.c.profile, labels.c.label, followed)))
    return select


def _selected(  # noqa: PLR0913, PLR0917 - a row
    profile: str,
    _position: int,
    label: str,
    series_id: int,
    agg_interval: str,
    normalization: str,
    unit: str,
    *question: str,
) -> SelectedSeries:
    query, reason = _question(agg_interval, normalization, *question)
    interval = AggInterval(agg_interval)
    return SelectedSeries(profile, label, series_id, interval, normalization, unit, why_not_summed=reason, query=query)


@lru_cache(maxsize=4096)
def _question(  # noqa: PLR0913, PLR0917 - what makes a question
    agg_interval: str, normalization: str, filters: str, dataset: str, dimension: str, group: str
) -> tuple[Question, str | None]:
    """Return the question of a series, and why its values may not be summed; None if they may."""
    values = {name: tuple(texts) for name, texts in json.loads(filters).items()}
    query = Question(AggInterval(agg_interval), values, dataset, dimension, group)
    return query, why_not_summed(query, normalization)


def _of_snapshot(series_: SelectedSeries, taken: Snapshot | None, several: Sequence[Generation]) -> SelectedSeries:
    """Return the series whose snapshot the label has, if *series_* is a snapshot series."""
    if taken is None:
        return series_
    same = next((part for part in several if part.id == taken.series_id), None)
    return (series_.under(same) if same else series_)._replace(snapshot=taken)


def blocks(
    connection: sa.Connection, chosen: PointQuery, after: PointCursor | None = None
) -> Generator[tuple[SelectedSeries, Sequence[tuple[int, float]]], None, None]:
    """Stream the points of a selection in blocks, from the first point after the position *after*.

    A block has one unit: if the unit has changed, the series of a block is the one that is in force there. Raises
    LookupError if the series of that position is not in the selection.
    """
    selection = select_series(connection, chosen)
    for series_, start in _remaining(selection, after):
        with closing(_stream(connection, selection, series_, start)) as parts:
            yield from parts


def _remaining(selection: Selection, after: PointCursor | None) -> list[tuple[SelectedSeries, datetime | None]]:
    """Return the series from the position *after* on, each with the time from which its points are read."""
    start, places = selection.chosen.start, [(series_.profile, series_.label) for series_ in selection.series]
    starts = dict.fromkeys(places, start)
    first = 0
    if after is not None:
        if after[:2] not in places:
            raise LookupError(after.label)
        first, beyond = places.index(after[:2]), from_epoch(after.timestamp + 1)
        starts[after[:2]] = max(beyond, start) if start else beyond
    return [(selection.series[at], starts[places[at]]) for at in range(first, len(places))]


def _stream(
    connection: sa.Connection, selection: Selection, series_: SelectedSeries, start: datetime | None
) -> Generator[tuple[SelectedSeries, Rows], None, None]:
    """Stream the points of one series in blocks."""
    end, as_of = selection.chosen.end, selection.chosen.as_of
    if series_.series_id in selection.several and not series_.asked_at:
        same = selection.several[series_.series_id]
        with closing(points_in_force(connection, same, start, end, as_of)) as parts:
            for generation, block in parts:
                yield series_.under(generation), block
        return
    with closing(points_of(connection, series_.series_id, start, end, as_of, asked_at=series_.asked_at)) as stream:
        for block in stream:
            yield series_, block


def page(
    connection: sa.Connection, selection: Selection, after: PointCursor | None, limit: int
) -> list[tuple[SelectedSeries, Run | Rows]]:
    """Read the first *limit* points of a selection after the position *after*, in blocks as those of `blocks`.

    A block of buckets in a row is a Run. Raises what `blocks` raises.
    """
    page_blocks: list[tuple[SelectedSeries, Run | Rows]] = []
    for series_, start in _remaining(selection, after):
        with closing(_first_blocks(connection, selection, series_, start, limit)) as parts:
            for part, block in parts:
                if block:
                    page_blocks.append((part, block[:limit]))
                    limit -= len(page_blocks[-1][1])
                if limit <= 0:
                    return page_blocks
    return page_blocks


def _first_blocks(
    connection: sa.Connection, selection: Selection, series_: SelectedSeries, start: datetime | None, limit: int
) -> Generator[tuple[SelectedSeries, Run | Rows], None, None]:
    """Yield at least the first *limit* points of one series in blocks."""
    if not selection.is_plain(series_):
        yield from _stream(connection, selection, series_, start)
        return
    run, bounds = None, (series_.series_id, start, selection.chosen.end)
    if series_.normalization == Normalization.RAW_VALUES:  # because others are fractions
        run = read_run(connection, *bounds, series_.agg_interval.seconds, limit)
    yield series_, first_points(connection, *bounds, limit) if run is None else run


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
        first, last = edge + (start - edge) // width * width, edge - (edge - end) // width * width
        window = SeriesWindow(series_.series_id, first, last)
        if bucket.refused:
            thin.append(Downsampled(series_, width, [], bucket))
        elif series_.series_id in several and not series_.asked_at:
            within = from_epoch(first), from_epoch(last), chosen.as_of
            thin += _by_unit(connection, series_, several[series_.series_id], within, (width, bucket, edge))
        elif chosen.as_of is None or series_.asked_at:
            thin.append(Downsampled(series_, width, _columns(connection, series_, window, width, bucket), bucket))
        else:
            stream = points_of(connection, series_.series_id, from_epoch(first), from_epoch(last), chosen.as_of)
            with closing(stream):
                rows = [point for block in stream for point in block]
            thin.append(Downsampled(series_, width, _in_columns(series_, rows, (width, bucket, edge)), bucket))
    return thin


def _by_days(
    connection: sa.Connection,
    selection: Selection,
    span: tuple[int, int],
    columns: int,
    buckets: tuple[Mapping[str, Bucket], Grids],
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
        window = edge + (start - edge) // width * width, edge - (edge - end) // width * width
        rows = day_columns(connection, [series_.series_id for series_, _ in members], window, width) or {}
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
    connection: sa.Connection, series_: SelectedSeries, window: SeriesWindow, width: int, bucket: Bucket
) -> list[ChartBucket]:
    """Do in the database what `_in_columns` does, for a snapshot if there is one; *window* begins on the grid."""
    values = _buckets(series_, window, bucket.interval.seconds)
    column, value = (values.c.offset // width).label("column"), values.c.value
    figures = sa.func.min(value), sa.func.max(value), sa.func.avg(value), sa.func.count()
    rows = connection.execute(sa.select(column, *figures).group_by(column).order_by(column))
    return [ChartBucket(window.start + at * width, *rest) for at, *rest in rows]


def _buckets(series_: SelectedSeries, window: SeriesWindow, bucket: int) -> sa.Subquery:
    """Select *offset*, in seconds from the start of *window*, and *value* of its buckets, *bucket* seconds wide."""
    table, step = (points if series_.asked_at is None else snapshot_points), series_.agg_interval.seconds
    offset = epoch(table.c.timestamp) - window.start
    within = [table.c.timestamp >= from_epoch(window.start), table.c.timestamp < from_epoch(window.end)]
    within += [] if series_.asked_at is None else [snapshot_points.c.asked_at == series_.asked_at]
    if bucket > step:
        start = (offset // bucket) * bucket
        values = sa.select(start.label("offset"), sa.func.sum(table.c.value).label("value")).group_by(start)
        values = values.having(sa.func.count() * step == bucket)
    else:
        values = sa.select(offset.label("offset"), table.c.value)
    return values.where(table.c.series_id == window.series_id, *within).subquery()
