"""Points with what the words derive from them: sums per period, shares, ranks, comparisons, running sums and means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from collector.analysis import cells as cells_of
from collector.analysis import columns as derive
from collector.analysis.cells import ReadColumns, Whole
from collector.analysis.columns import Column
from collector.analysis.refusals import RequestRefused, why_no_period
from collector.analysis.shift import shifts_of
from collector.report.analysis.counted import counted_notes
from collector.report.analysis.scope import (
    check_comparable,
    is_aligned,
    scope_of,
    scopes_within,
    whole_profiles,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from collector.analysis.words import Words
    from collector.report.analysis.scope import Scope
    from collector.store import PointQuery, ReadView, SelectedSeries

REST = "rest"
"""The label of the sum of all series that `top` leaves out. Labels of several series contain a slash, so it is free."""
_SERIES_AT_ONCE = 20


@dataclass(frozen=True)
class Line:
    """The answer about one series: *starts* of periods in epoch seconds, and the *cells* of each column by name.

    *rest* is the number of series that are added up under the label REST, 0 for a single series.
    """

    profile: str
    label: str
    unit: str
    starts: tuple[int, ...]
    cells: dict[str, Sequence[Any]]
    rest: int = 0
    asked_at: datetime | None = None


@dataclass(frozen=True)
class PointsAnswer:
    """An answer: the names of the *columns* behind profile, series and timestamp, and sentences about it."""

    columns: tuple[str, ...]
    parts: Sequence[Part]
    notes: Sequence[str]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(part.rows for part in self.parts)

    @property
    def rows_at_once(self) -> int:
        """The number of rows that are in memory together, because series are compared with each other."""
        return sum(part.rows_at_once for part in self.parts)

    def lines(self, first: int = 0) -> Iterator[tuple[int, Line]]:
        """Yield (number of its first row, line). Lines that end before the row *first* are left out."""
        at = 0
        for part in self.parts:
            length = len(part.starts)
            skipped = min((first - at) // length, part.line_count) if first > at and length else 0
            at += skipped * length
            for line in part.lines(skipped):
                yield at, line
                at += length


def answer_points(view: ReadView, chosen: PointQuery, words: Words) -> PointsAnswer:
    """Answer *words* about the points of *chosen*. Raises RequestRefused if that would not be true."""
    labels = None
    if words.needs_all_series and chosen.series:
        if words.top is not None:
            raise RequestRefused("top: cannot be combined with series", "top of the whole profile")
        labels = {series.label for series in view.selected(chosen)}
        chosen = whole_profiles(view, chosen)
    words.check()
    parts = [Part(scope, words, labels) for scope in scopes_within(view, chosen, words.within)]
    parts = [part for part in parts if part.line_count]
    for part in parts:
        part.check()
    notes = list(dict.fromkeys(note for part in parts for note in part.notes()))
    notes += counted_notes(series for part in parts for series in part.scope.series)
    with_bounds = any(part.scope.has_groups for part in parts)
    return PointsAnswer(cells_of.column_names(words, with_bounds=with_bounds), parts, notes)


class Part:
    """The answer about one scope, made when its lines are read. *labels* chooses series; None: all."""

    def __init__(self, scope: Scope, words: Words, labels: set[str] | None = None) -> None:
        self.scope = scope
        self._words = words
        self._shown = [series for series in scope.series if labels is None or series.label in labels]
        self._periods = scope.periods(words.per)
        self._first, self._last = self._periods.covering(*scope.shown)
        self._edges = self._periods.edges(self._first, self._last)
        self._of: Scope | None = None
        self._shifts: list[int] = []

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The starts of the periods in which something is stored."""
        return tuple(self._edges[:-1])

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.line_count * len(self.starts)

    @property
    def rows_at_once(self) -> int:
        """The number of rows of all series, if they are compared with each other; otherwise 0."""
        return len(self.scope.series) * len(self.starts) if self._words.needs_all_series else 0

    @property
    def line_count(self) -> int:
        """The number of lines."""
        top, count = self._words.top, len(self._shown)
        return count if top is None else min(top + 1, count)

    def check(self) -> None:
        """Raise RequestRefused if the words cannot be answered about these series."""
        words, scope = self._words, self.scope
        for series in scope.series:
            if series.normalization:  # otherwise Radar has not answered yet
                _check_series(scope, series, words)
        if words.share and words.of is None and (problem := scope.why_no_sum_of_series()):
            raise RequestRefused(f"share of {scope.profile}: {problem[0]}", problem[1])
        if words.of is not None:
            self._of = scope_of(scope.view, words.of, scope)
            _check_whole(self._of, scope, words)
        if words.compare is not None:
            self._shifts = shifts_of(words.compare, self._periods, scope.start)

    def notes(self) -> list[str]:
        """Return sentences about what the answer means."""
        scope, words, notes = self.scope, self._words, []
        if words.share:
            notes.append(f"{scope.profile}: share is in percent of {self._whole_text}")
        chained = [name for name in ("growth", "cumulative", "mean") if getattr(words, name)]
        if chained and (words.share or words.rank):
            word = "share" if words.share else "rank"
            notes.append(f"{scope.profile}: {' and '.join(chained)} of the value, not of the {word}")
        if empty := scope.why_empty:
            notes.append(empty)
        return notes

    def lines(self, skipped: int = 0) -> Iterator[Line]:
        """Yield the answer about each series, after the first *skipped* ones."""
        if not self.starts:
            return
        if self._words.needs_all_series:
            yield from self._all_lines[skipped:]
            return
        for first in range(skipped, len(self._shown), _SERIES_AT_ONCE):
            series = self._shown[first : first + _SERIES_AT_ONCE]
            for each, read in zip(series, self._read(series), strict=True):
                yield self._line(each, cells_of.make_cells(self._words, read))

    @property
    def _whole_text(self) -> str:
        """What shares are of, for all parts of a profile."""
        name = self._words.within
        if name is None:
            return self._whole_name
        return f"{self._words.of or f'the series of {self.scope.profile}'} with the same {name}"

    @property
    def _whole_name(self) -> str:
        if self._of is not None:
            return self._of.name
        count, name = len(self.scope.series), self.scope.name
        return f"the sum of the {count} series of {name}" if count > 1 else name

    @cached_property
    def _all_lines(self) -> list[Line]:
        """The lines of all series that are shown, with what depends on the other series of the profile."""
        words, series = self._words, self.scope.series
        read = self._read(series)
        mains = [each.main for each in read]
        lacking = cells_of.lacking([each.label for each in series], mains)
        whole = self._whole(mains) if words.share else None
        ranks = derive.ranks(mains) if words.rank else [None] * len(series)
        places = range(len(series)) if words.top is None else derive.largest(mains, words.top)
        shown = {each.label for each in self._shown}
        lines = [
            self._line(series[at], cells_of.make_cells(words, read[at], whole, ranks[at], lacking))
            for at in places
            if series[at].label in shown
        ]
        others = [read[at] for at in sorted({*range(len(series))} - {*places})]
        listed = [read[at] for at in places]
        return [*lines, self._rest(others, listed, whole)] if others else lines

    @cached_property
    def _sums(self) -> list[ReadColumns]:
        """The sums of all groups."""
        return self._read(self.scope.sums)

    def _whole(self, mains: Sequence[Column]) -> Whole:
        scope = self._of or self.scope
        if self._of is not None:
            mains = scope.columns(scope.parts, self._edges, self._bounds)
        elif scope.sums:
            mains = [read.main for read in self._sums]
        labels = [series.label for series in scope.parts]
        return Whole(derive.added(mains), self._whole_name, cells_of.lacking(labels, mains))

    def _rest(self, others: Sequence[ReadColumns], listed: Sequence[ReadColumns], whole: Whole | None) -> Line:
        """Return the line of all series that are not *listed*: their sum, or what the sum of all groups has beside."""
        first, count = self.scope.series[0], len(self.starts)
        if problem := self.scope.why_no_sum_of_series():
            main, compared, before = (_nothing(column) for column in others[0])
            read = ReadColumns(main or others[0].main, compared, before)
            cells = cells_of.make_cells(self._words, read, whole)
            cells["reason"] = [problem[0]] * count
        else:
            rest = cells_of.without(self._sums, listed) if self.scope.sums else cells_of.added(others)
            cells = cells_of.make_cells(self._words, rest, whole)
        self._count_absent_before(cells, 1 if self.scope.sums else len(others))
        label = f"{REST} of {self.scope.within[1]}" if self.scope.within else REST
        return Line(first.profile, label, first.unit, self.starts, cells, rest=len(others))

    def _line(self, series: SelectedSeries, cells: dict[str, Sequence[Any]]) -> Line:
        self._count_absent_before(cells, 1)
        return Line(series.profile, series.label, series.unit, self.starts, cells, asked_at=series.asked_at)

    def _count_absent_before(self, cells: dict[str, Sequence[Any]], count: int) -> None:
        """Add to the running sums of *count* series what is absent from the start of the range to the first row."""
        start, first = self.scope.start, max(self._edges[0], self.scope.start)
        absent = count * self.scope.buckets((start, first))
        if absent and "cumulative_missing" in cells:
            cells["cumulative_missing"] = [absent + more for more in cells["cumulative_missing"]]

    @property
    def _bounds(self) -> tuple[int, int]:
        return self.scope.start, self.scope.end

    def _read(self, series: Sequence[SelectedSeries]) -> list[ReadColumns]:
        """Read the requested periods, those to compare with, and earlier ones for the mean."""
        words, first, last, scope = self._words, self._first, self._last, self.scope
        lead = (words.mean or 1) - 1
        earlier = max(lead, *self._shifts, 0)
        if 0 < earlier <= last - first and is_aligned(self._periods, scope.start):  # one read is cheaper than several
            edges = self._periods.edges(first - earlier, last)
            columns = scope.columns(series, edges, (edges[0], scope.end))
            mains = [column[earlier:] for column in columns]
            if all(shift >= 0 for shift in self._shifts):
                return [self._cut(column, main, earlier) for column, main in zip(columns, mains, strict=True)]
        else:
            mains = scope.columns(series, self._edges, self._bounds)
        others = [self._other(series, (first - shift, last - shift)) for shift in self._shifts]
        compared = [derive.mean_of(each) for each in zip(*others, strict=True)] if others else None
        before = self._other(series, (first - lead, first)) if lead else None
        nothing = [None] * len(series)
        rows = zip(mains, compared or nothing, before or nothing, strict=True)
        return [ReadColumns(*row) for row in rows]

    def _cut(self, column: Column, main: Column, earlier: int) -> ReadColumns:
        """Cut what was read in one column, whose first *earlier* periods are before the requested ones."""
        lead = (self._words.mean or 1) - 1
        cuts = [column[earlier - shift : len(column) - shift] for shift in self._shifts]
        compared = derive.mean_of(cuts) if cuts else None
        return ReadColumns(main, compared, column[earlier - lead : earlier] if lead else None)

    def _other(self, series: Sequence[SelectedSeries], numbers: tuple[int, int]) -> list[Column]:
        """Read whole periods outside of the range."""
        edges = self._periods.edges(*numbers)
        return self.scope.columns(series, edges, (edges[0], edges[-1]))


def _nothing(column: Column | None) -> Column | None:
    return Column([None] * len(column), [0] * len(column), column.expected) if column else None


def _check_series(scope: Scope, series: SelectedSeries, words: Words) -> None:
    own = "its points" if series.asked_at else "share, rank or mean of its own buckets"
    if words.per and (problem := why_no_period(words.per, scope.grid, series.why_no_total)):
        raise RequestRefused(f"per {words.per} of {series.label}: {problem[0]}", problem[1])
    for word, is_used in (("cumulative", words.cumulative), ("top", words.top is not None)):
        if is_used and series.why_no_total:
            reason = f"{word} of {series.label}: its values cannot be added up over time: {series.why_no_total}"
            raise RequestRefused(reason, own)
    if (words.compare or words.mean or words.rank or words.share) and scope.is_relative(series):
        reason = f"{series.label}: values of {series.normalization} can be compared only within one answer"
        raise RequestRefused(reason, "its points, without words")
    if words.compare:
        check_comparable(series)


def _check_whole(of: Scope, like: Scope, words: Words) -> None:
    """Raise RequestRefused if values of *like* cannot be compared with those of *of* in the same periods."""
    if not words.per and of.grid != like.grid:
        reason = f"of: {of.profile} has buckets of {of.grid.interval}, {like.profile} of {like.grid.interval}"
        raise RequestRefused(reason, "per day or longer")
    for series in of.series:
        problem = why_no_period(words.per, of.grid, series.why_no_total) if words.per else None
        if problem and series.normalization:
            raise RequestRefused(f"per {words.per} of {series.label}: {problem[0]}", problem[1])
