"""Which points: of some profiles or labels, of a time, as known at a moment; and the bucket width they have in common.

Counts of several series compare only in buckets of one width: which series can be summed to it, and the sums.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.datasets import why_not_over_time
from collector.interval import AggInterval, Grid
from collector.model import Normalization, Question, known_spelling
from collector.store.db.schema import labels, series
from collector.store.read.points import points_in_force, points_of
from collector.store.series import generations, snapshots
from collector.store.series.generations import described, same_measure
from collector.store.series.identity import chosen as chosen_labels
from collector.store.series.identity import renamed
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.store.series.generations import Generation
    from collector.store.series.snapshots import Snapshot

    Grids = Mapping[AggInterval, Grid]

_USUAL: Grids = MappingProxyType({})


class Bucket(NamedTuple):
    """The width of the buckets in which a series is given; *refused* says why it cannot be, None if it can."""

    interval: AggInterval
    refused: str | None = None


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
