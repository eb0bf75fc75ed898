"""The series of one profile that a request is about, its time, and their values by period."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

from collector.analysis.columns import Column
from collector.analysis.periods import buckets_between, expected_buckets, periods_of
from collector.analysis.refusals import RequestRefused, why_overlapping
from collector.analysis.within import filters_of, value_of
from collector.datasets import dataset_of
from collector.errors import UsageError, did_you_mean
from collector.interval import DEFAULT_ORIGIN, Grid
from collector.model import Normalization, known_spelling
from collector.report.gaps import why_no_snapshot
from collector.store import PointQuery
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.analysis.periods import Per, Periods
    from collector.store import GroupBounds, ReadView, SelectedSeries, Selection

    Span = tuple[int, int]

_EDGE = int(DEFAULT_ORIGIN.timestamp())


@dataclass(frozen=True)
class Scope:
    """The series of one *profile*, all of one interval, and what is known of them in one state of the store.

    *stored* is from the first stored bucket of any series to the end of the last one; None if nothing is stored.
    *start* and *end* are the requested range in whole buckets, or those of *stored*. *within* is (filter, value) if the
    series are only those of the profile that have this value.
    """

    view: ReadView
    selection: Selection
    profile: str
    series: Sequence[SelectedSeries]
    grid: Grid
    stored: Span | None
    start: int
    end: int
    absolute: frozenset[str]
    within: tuple[str, str] | None = None

    @property
    def step(self) -> int:
        """The width of a bucket in seconds."""
        return self.grid.interval.seconds

    @property
    def expected(self) -> int:
        """The number of buckets in the range."""
        return self.buckets((self.start, self.end))

    def buckets(self, span: Span) -> int:
        """Return how many buckets start in *span*."""
        return buckets_between(*span, self.step, _EDGE + self.grid.seconds)

    @property
    def shown(self) -> Span:
        """The part of the range in which something is stored; empty if there is none."""
        if self.stored is None:
            return self.start, self.start
        return max(self.start, self.stored[0]), min(self.end, self.stored[1])

    def moments(self, span: Span) -> tuple[datetime | None, datetime | None]:
        """Return start and end of *span*, None if no bucket starts in it."""
        return (from_epoch(span[0]), from_epoch(span[1])) if span[0] < span[1] else (None, None)

    @property
    def why_empty(self) -> str | None:
        """A sentence if no bucket is known in the range: what is stored instead. None if one is known."""
        if self.shown[0] < self.shown[1]:
            return None
        as_of = self.selection.chosen.as_of
        nothing = f"nothing was known at {rfc3339(as_of)}" if as_of else "nothing is stored"
        replaced = [] if self.stored else why_no_snapshot(self.view, self.series, as_of)
        if replaced:
            return replaced[0]
        known = f"stored is {span_text(self.stored)}" if self.stored else nothing
        return f"{self.profile}: no bucket is known in the range; {known}"

    @property
    def name(self) -> str:
        """The profile, with the value that its series share."""
        return f"{self.profile} with {self.within[0]} = {self.within[1]}" if self.within else self.profile

    def periods(self, per: Per | None) -> Periods:
        """Return the periods *per*, or the buckets of the series."""
        return periods_of(per, self.grid)

    def columns(self, series: Sequence[SelectedSeries], edges: Sequence[int], bounds: Span) -> list[Column]:
        """Read the values of each of *series* in the periods between *edges*; only buckets within *bounds* count."""
        if len(edges) < 2:  # noqa: PLR2004 - a period has two edges
            return [Column([], [], []) for _ in series]
        return self._read(series, edges, bounds, expected_buckets(edges, self.step))

    def totals(self, span: Span, series: Sequence[SelectedSeries] | None = None) -> list[Column]:
        """Read the sum of each of *series*, by default all, over *span*, as a column of one period."""
        chosen = self.series if series is None else series
        expected = [self.buckets(span)]
        if span[0] >= span[1]:
            return [Column([None], [0], expected) for _ in chosen]
        return self._read(chosen, [*span], span, expected)

    def _read(
        self, series: Sequence[SelectedSeries], edges: Sequence[int], bounds: Span, expected: Sequence[int]
    ) -> list[Column]:
        sums = self.view.period_sums(self.selection, series, edges, bounds)
        columns = [Column(values, known, expected) for values, known in sums]
        beside = self.view.group_bounds(self.selection, series, edges, bounds) if self.has_groups else {}
        return [
            _with_bounds(column, beside[each.series_id]) if each.series_id in beside else column
            for each, column in zip(series, columns, strict=True)
        ]

    @property
    def has_groups(self) -> bool:
        """Whether a series is a group of a dimension."""
        return any(each.query is not None and bool(each.query.group) for each in self.series)

    @cached_property
    def sums(self) -> Sequence[SelectedSeries]:
        """The series with the sums of all groups, if all series are groups; otherwise none."""
        sums = self.view.sums_of_groups(self.series) if self.has_groups else {}
        is_complete = all(each.series_id in sums for each in self.series)
        return [*{each.series_id: each for each in sums.values()}.values()] if is_complete else []

    @property
    def parts(self) -> Sequence[SelectedSeries]:
        """The series whose sum is that of the whole profile."""
        return self.sums or self.series

    def is_relative(self, series: SelectedSeries) -> bool:
        """Return whether the values of *series* can be compared only within one answer of Radar."""
        return series.normalization not in self.absolute

    def why_no_sum_of_series(self) -> tuple[str, str] | None:
        """Return why the series may not be added up, and the nearest request; None if they may."""
        nearest = "of PROFILE, a profile that counts all of them in one series"
        for series in self.series:
            if series.asked_at:
                return f"{series.label} is a snapshot, and each one counts at its own moment", nearest
            if series.normalization and known_spelling(series.normalization) != Normalization.RAW_VALUES:
                return f"{series.label} has no counts: its normalization is {series.normalization}", ""
        units = dict.fromkeys(series.unit for series in self.series if series.unit)
        if len({unit.casefold() for unit in units}) > 1:
            return f"the series have different units: {', '.join(units)}", ""
        queries = {series.label: series.query for series in self.series if series.query}
        overlap = why_overlapping(queries)
        return (overlap, nearest) if overlap else None


def _with_bounds(column: Column, bounds: GroupBounds) -> Column:
    """Return the column of a group: 0 in covered buckets where it had nothing, and the bounds of the unknown ones."""
    if any(bounds.vanished):
        column = _without_vanished(column, bounds)
    known = [max(count, c - u) for count, c, u in zip(column.known, bounds.covered, bounds.unknown, strict=True)]
    values = [0 if v is None and count else v for v, count in zip(column.values, known, strict=True)]
    return Column(values, known, column.expected, bounds.unknown, bounds.most)


def _without_vanished(column: Column, bounds: GroupBounds) -> Column:
    known = [count - gone for count, gone in zip(column.known, bounds.vanished, strict=True)]
    values = [
        v - gone if v is not None and count else None
        for v, gone, count in zip(column.values, bounds.vanished_sum, known, strict=True)
    ]
    return Column(values, known, column.expected)


def scopes(view: ReadView, chosen: PointQuery) -> list[Scope]:
    """Return the scopes of a selection: its series by profile."""
    selection = view.select_series(chosen)
    grids = view.grids()
    groups = groupby(selection.series, key=lambda series: (series.profile, series.agg_interval))
    made = []
    for (profile, interval), members in groups:
        series = list(members)
        grid = grids.get(interval) or Grid(interval)
        made.append(_scope(view, selection, profile, series, Grid(interval, grid.offset)))
    return made


def _scope(view: ReadView, selection: Selection, profile: str, series: Sequence[SelectedSeries], grid: Grid) -> Scope:
    stored, chosen = _stored(view, selection, series, grid), selection.chosen
    step, edge = grid.interval.seconds, _EDGE + grid.seconds
    start, end = (_ceiling(moment, step, edge) for moment in (chosen.start, chosen.end))
    first = start if start is not None else stored[0] if stored else end or edge
    last = end if end is not None else max(stored[1], first) if stored else first
    absolute = frozenset(view.absolute_words({each.normalization for each in series})) | {""}
    return Scope(view, selection, profile, series, grid, stored, first, max(first, last), absolute)


def _stored(view: ReadView, selection: Selection, series: Sequence[SelectedSeries], grid: Grid) -> Span | None:
    ids = [
        generation
        for each in series
        if not each.snapshot
        for generation in [each.series_id, *(other.id for other in selection.several.get(each.series_id, ()))]
    ]
    extents = view.as_of(selection.chosen.as_of).extents(ids) if ids else {}
    spans = [(first, last + grid.interval.seconds) for first, last in extents.values()]
    spans += [
        (int(each.snapshot.start.timestamp()), int(each.snapshot.end.timestamp())) for each in series if each.snapshot
    ]
    return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None


def _ceiling(moment: datetime | None, step: int, edge: int) -> int | None:
    """Return the start of the first bucket that starts at *moment* or later."""
    return None if moment is None else int(-((edge - moment.timestamp()) // step)) * step + edge


def scopes_within(view: ReadView, chosen: PointQuery, name: str | None) -> list[Scope]:
    """Return the scopes of a selection; with the *name* of a filter, one for each of its values in a profile.

    Raises UsageError if there is no such filter, RequestRefused if a series of a profile has no single value of it.
    """
    found = scopes(view, chosen)
    if name is not None:
        _check_filter(name, found)
    return found if name is None else [part for scope in found for part in _divided(scope, name)]


def _check_filter(name: str, found: Sequence[Scope]) -> None:
    queries = [series.query for scope in found for series in scope.series if series.query]
    known = sorted({each.option for query in queries for each in dataset_of(query).parameters})
    if known and not any(dataset_of(query).filter_named(name) for query in queries):
        raise UsageError(f"within: {name!r} is not a filter{did_you_mean(name, known)}; known: {', '.join(known)}")


def _divided(scope: Scope, name: str, where: str = "") -> list[Scope]:
    members: dict[str, list[SelectedSeries]] = {}
    for series in scope.series:
        value = value_of(series.query, name)
        if value is None:
            known = filters_of(each.query for each in scope.series)
            nearest = f"within {' or '.join(known)}" if known else "the whole, without within"
            raise RequestRefused(f"{where}within {name}: {series.label} has no single value of it", nearest)
        members.setdefault(value, []).append(series)
    return [replace(scope, series=series, within=(name, value)) for value, series in members.items()]


def whole_profiles(view: ReadView, chosen: PointQuery) -> PointQuery:
    """Return the selection of all series of the profiles that *chosen* has series of."""
    if not chosen.series:
        return chosen
    profiles = dict.fromkeys(series.profile for series in view.select_series(chosen).series)
    return replace(chosen, profiles=tuple(profiles), series=())


def scope_of(view: ReadView, profile: str, like: Scope) -> Scope:
    """Return the scope of another *profile* whose values those of *like* are a share of.

    Raises UsageError if there is no such profile, RequestRefused if its values cannot be compared.
    """
    chosen = PointQuery(
        profiles=(profile,), start=from_epoch(like.start), end=from_epoch(like.end), as_of=like.selection.chosen.as_of
    )
    others = scopes(view, chosen)
    if not others:
        known = sorted({row.profile for row in view.list_series() if row.profile})
        raise UsageError(
            f"of: there is no profile {profile!r}{did_you_mean(profile, known)}; known: {', '.join(known)}"
        )
    scope = others[0]
    if like.within:
        name, value = like.within
        same = [part for part in _divided(scope, name, "of, ") if part.within == like.within]
        if not same:
            raise RequestRefused(f"of: {profile} has no series with {name} = {value}", "of the whole, without within")
        scope = same[0]
    units = {series.unit.casefold() for series in (*scope.series, *like.series) if series.unit}
    if len(units) > 1:
        raise RequestRefused(f"of: {profile} and {like.profile} have different units: {', '.join(sorted(units))}", "")
    if len(scope.series) > 1 and (problem := scope.why_no_sum_of_series()):
        raise RequestRefused(f"of: the series of {profile} cannot be added up: {problem[0]}", problem[1])
    for series in scope.series:
        if scope.is_relative(series):
            raise RequestRefused(f"of: {series.label} has values that hold only within one answer", "")
    return scope


def check_comparable(series: SelectedSeries) -> None:
    """Raise RequestRefused if values of *series* cannot be compared with those of another time."""
    if series.asked_at:
        reason = f"compare of {series.label}: {NOT_COMPARABLE}"
        raise RequestRefused(reason, "the same range as of another moment, with as_of")


NOT_COMPARABLE = "in a snapshot, older buckets have had more time to change"
"""Why ranges of one snapshot are not compared."""


def is_aligned(periods: Periods, start: int) -> bool:
    """Return whether a period starts at *start*."""
    return periods.start(periods.number(start)) == start


def span_text(span: Span) -> str:
    """Return a span as `A to B`."""
    return " to ".join(rfc3339(from_epoch(edge)) for edge in span)
