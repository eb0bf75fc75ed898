"""Which points: of some profiles or labels, of a time, as known at a moment; in blocks."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.model import AggInterval, Question, from_epoch
from collector.store.db.schema import labels, series
from collector.store.read.common_bucket import why_not_summed
from collector.store.read.points import points_in_force, points_of
from collector.store.series import generations, snapshots
from collector.store.series.identity import chosen as chosen_labels
from collector.store.series.identity import renamed

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from datetime import datetime

    from collector.store.series.generations import Generation
    from collector.store.series.snapshots import Snapshot


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
