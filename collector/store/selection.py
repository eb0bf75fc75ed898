"""Which points: of some profiles or labels, of a time, as known at a moment; in blocks, or thinned to columns."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.model import AggInterval, from_epoch
from collector.store import generations, renames, snapshots
from collector.store.column_types import epoch
from collector.store.export import points_in_force, points_of
from collector.store.points import Span
from collector.store.schema import labels, points, series, snapshot_points

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.generations import Generation
    from collector.store.snapshots import Snapshot

_WEEK = 7 * 86_400
_WIDTHS = (900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 86_400, 2 * 86_400, _WEEK)
_GRID = int(datetime(1970, 1, 5, tzinfo=UTC).timestamp())
"""A Monday: columns of any width lie on one grid, so that they stand still while a chart is moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Points of *profiles* and *series* (labels), all for none, from *start* up to, not including, *end*."""

    profiles: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    as_of: datetime | None = None


class Place(NamedTuple):
    """A point's place in the order of a selection; *timestamp* in epoch seconds."""

    profile: str
    label: str
    timestamp: int


class Column(NamedTuple):
    """What the points from *start* (epoch seconds) on, for one column's width, come to."""

    start: int
    least: float
    most: float
    mean: float
    points: int


@dataclass(frozen=True, slots=True)
class SelectedSeries:
    """A series of a selection under its label; *snapshot* is the one that is read of a snapshot series."""

    profile: str
    label: str
    series_id: int
    agg_interval: AggInterval
    normalization: str
    unit: str
    snapshot: Snapshot | None = None

    @property
    def asked_at(self) -> datetime | None:
        """When the snapshot was asked for that is read; None for a history."""
        return self.snapshot.asked_at if self.snapshot else None

    def under(self, other: Generation) -> SelectedSeries:
        """Return the series that has the label for the buckets of another generation."""
        return replace(self, series_id=other.id, normalization=other.normalization, unit=other.unit)


@dataclass(frozen=True, slots=True)
class Thinned:
    """A series in columns *width* seconds wide; columns without a point are absent.

    A label whose unit changes has one for each unit, the newest first.
    """

    series: SelectedSeries
    width: int
    columns: Sequence[Column]


async def selected(connection: AsyncConnection, chosen: Selection) -> list[SelectedSeries]:
    """List the series of a selection by profile and the labels' positions; a name that was renamed is followed."""
    named = [labels.c[name] for name in ("profile", "position", "label", "series_id")]
    select = sa.select(*named, series.c.agg_interval, series.c.normalization, series.c.unit)
    select = select.join_from(labels, series, series.c.id == labels.c.series_id)
    if chosen.profiles:
        followed = renames.chosen(labels.c.profile, labels.c.label, await renames.renamed(connection, chosen.profiles))
        select = select.where(sa.or_(labels.c.profile.in_(chosen.profiles), followed))
    if chosen.series:
        named_before = await renames.renamed(connection, labels=chosen.series)
        followed = renames.chosen(labels.c.profile, labels.c.label, named_before)
        select = select.where(sa.or_(labels.c.label.in_(chosen.series), followed))
    rows = sorted(tuple(row) for row in await connection.execute(select))
    found = [
        SelectedSeries(profile, label, series_id, AggInterval(agg_interval), normalization, unit)
        for profile, _, label, series_id, agg_interval, normalization, unit in rows
    ]
    several = await generations.several(connection, chosen.as_of)
    taken = snapshots.standing(await snapshots.newest(connection, None, chosen.as_of), several)
    return [_of_snapshot(one, taken.get(one.series_id), several.get(one.series_id, ())) for one in found]


def _of_snapshot(one: SelectedSeries, taken: Snapshot | None, several: Sequence[Generation]) -> SelectedSeries:
    """Give the series whose snapshot is read under the label, if *one* is a snapshot series."""
    if taken is None:
        return one
    same = next((part for part in several if part.id == taken.series_id), None)
    return replace(one.under(same) if same else one, snapshot=taken)


async def blocks(
    connection: AsyncConnection, chosen: Selection, after: Place | None = None
) -> AsyncGenerator[tuple[SelectedSeries, Sequence[tuple[int, float]]], None]:
    """Stream a selection's points in blocks, from behind the place *after* on; LookupError where it is not there.

    A block is of one unit: where that has changed, the series of a block is the one that is in force there.
    """
    found, several = await selected(connection, chosen), await generations.several(connection, chosen.as_of)
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
            async with aclosing(points_in_force(connection, same, start, chosen.end, chosen.as_of)) as parts:
                async for generation, block in parts:
                    yield one.under(generation), block
            continue
        stream = points_of(connection, one.series_id, start, chosen.end, chosen.as_of, asked_at=one.asked_at)
        async with aclosing(stream) as found_points:
            async for block in found_points:
                yield one, block


async def thinned(connection: AsyncConnection, chosen: Selection, columns: int) -> list[Thinned]:
    """Read a selection in about so many columns over its time, each with its extremes; a column holds whole buckets."""
    found, several = await selected(connection, chosen), await generations.several(connection, chosen.as_of)
    every = {i for one in found for i in (one.series_id, *(other.id for other in several.get(one.series_id, ())))}
    start, end = await _span(connection, chosen, found, every)
    thin = []
    for one in found:
        width = column_width(end - start, columns, one.agg_interval.seconds)
        first, last = _GRID + (start - _GRID) // width * width, _GRID - (_GRID - end) // width * width
        stretch = Span(one.series_id, first, last)
        if one.series_id in several and not one.asked_at:
            within = from_epoch(first), from_epoch(last), chosen.as_of
            thin += await _thinned_by_unit(connection, one, several[one.series_id], within, width)
        elif chosen.as_of is None or one.asked_at:
            thin.append(Thinned(one, width, await _columns(connection, stretch, width, one.asked_at)))
        else:
            stream = points_of(connection, one.series_id, from_epoch(first), from_epoch(last), chosen.as_of)
            async with aclosing(stream):
                rows = [point async for block in stream for point in block]
            thin.append(Thinned(one, width, in_columns(rows, width)))
    return thin


async def _thinned_by_unit(
    connection: AsyncConnection,
    one: SelectedSeries,
    same: Sequence[Generation],
    within: tuple[datetime, datetime, datetime | None],
    width: int,
) -> list[Thinned]:
    """Read the columns of a label whose unit has changed: for each unit those of its own points."""
    rows: list[tuple[Generation, list[tuple[int, float]]]] = []
    async with aclosing(points_in_force(connection, same, *within)) as parts:
        async for generation, block in parts:
            measured = [known for other, known in rows if generations.same_measure(other.measure, generation.measure)]
            if not measured:
                measured = [[]]
                rows.append((generation, measured[0]))
            measured[0].extend(block)
    if not rows:
        return [Thinned(one.under(same[0]), width, [])]
    return [Thinned(one.under(generation), width, in_columns(known, width)) for generation, known in reversed(rows)]


async def _span(
    connection: AsyncConnection, chosen: Selection, found: Sequence[SelectedSeries], ids: Collection[int]
) -> tuple[int, int]:
    """The time a selection spans, in epoch seconds: what was asked for, or else what is stored of the series *ids*."""
    if chosen.start and chosen.end:
        return int(chosen.start.timestamp()), int(chosen.end.timestamp())
    extremes = sa.func.min(epoch(points.c.timestamp)), sa.func.max(epoch(points.c.timestamp))
    known = [tuple((await connection.execute(sa.select(*extremes).where(points.c.series_id.in_(ids)))).one())]
    known += (await snapshots.ends(connection, [one.series_id for one in found if one.asked_at])).values()
    oldest = min((first for first, _ in known if first is not None), default=None)
    newest = max((last for _, last in known if last is not None), default=None)
    step = max((one.agg_interval.seconds for one in found), default=0)
    start = int(chosen.start.timestamp()) if chosen.start else oldest or 0
    end = int(chosen.end.timestamp()) if chosen.end else (newest or 0) + step
    return start, max(start, end)


def column_width(span: int, columns: int, step: int) -> int:
    """Give the width in seconds of at most *columns* over *span* seconds: whole buckets, whole days once it is long.

    Columns of half a day would show night and day by turns.
    """
    for width in _WIDTHS:
        if width >= step and width * columns >= span:
            return width
    return -(-span // (columns * _WEEK)) * _WEEK


def in_columns(found: Iterable[tuple[int, float]], width: int) -> list[Column]:
    """Sum up (timestamp, value), ascending, in columns of *width* seconds."""
    columns: dict[int, list[float]] = {}
    for timestamp, value in found:
        columns.setdefault(_GRID + (timestamp - _GRID) // width * width, []).append(value)
    return [Column(t, min(v), max(v), sum(v) / len(v), len(v)) for t, v in columns.items()]


async def _columns(
    connection: AsyncConnection, stretch: Span, width: int, asked_at: datetime | None = None
) -> list[Column]:
    """Let the database do what in_columns does, of a snapshot if *asked_at* names one; it begins on the grid."""
    table = points if asked_at is None else snapshot_points
    column = ((epoch(table.c.timestamp) - stretch.start) // width).label("column")
    value = table.c.value
    found = await connection.execute(
        sa.select(column, sa.func.min(value), sa.func.max(value), sa.func.avg(value), sa.func.count())
        .where(table.c.series_id == stretch.series_id)
        .where(table.c.timestamp >= from_epoch(stretch.start), table.c.timestamp < from_epoch(stretch.end))
        .where(*([] if asked_at is None else [snapshot_points.c.asked_at == asked_at]))
        .group_by(column)
        .order_by(column)
    )
    return [Column(stretch.start + at * width, *rest) for at, *rest in found]
