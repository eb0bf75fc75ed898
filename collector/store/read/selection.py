"""Which points: of some profiles or labels, of a time, as known at a moment; and these points, in blocks or by page."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.datasets import dataset_of, why_not_over_time
from collector.interval import AggInterval
from collector.model import Normalization, Question, known_spelling
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import labels, series
from collector.store.read.points import Run, first_points, points_in_force, points_of, read_run
from collector.store.series import generations, snapshots
from collector.store.series.identity import chosen as chosen_labels
from collector.store.series.identity import renamed
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from datetime import datetime

    from collector.store.series.generations import Generation
    from collector.store.series.identity import Renamed
    from collector.store.series.snapshots import Snapshot

    Rows = Sequence[tuple[int, float]]


def why_not_summed(query: Question, normalization: str, *, in_snapshot: bool = False) -> str | None:
    """Return why values of *query* may not be summed to those of a coarser bucket; None if they may.

    *in_snapshot*: all of them are of one snapshot.
    """
    if known_spelling(normalization) != Normalization.RAW_VALUES:
        return f"their normalization is {normalization}"
    return why_not_over_time(query, in_snapshot=in_snapshot)


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
    parameters = {name: list(values) for name, values in names.items() if values}
    rows = _labelled(by_profile, by_label).rows(connection, parameters)
    selection = [_selected(*row) for row in sorted(rows)]
    several = generations.several(connection, chosen.as_of)
    taken = snapshots.current_snapshots(snapshots.newest(connection, None, chosen.as_of), several)
    selection = [
        _of_snapshot(series_, taken.get(series_.series_id), several.get(series_.series_id, ())) for series_ in selection
    ]
    return Selection(chosen, selection, several)


@lru_cache(maxsize=64)
def _labelled(by_profile: tuple[Renamed, ...] | None, by_label: tuple[Renamed, ...] | None) -> DriverSelect:
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
    return DriverSelect(select)


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
