"""Which stored series can answer a request, how far each of them reaches, and the error if none can. Pure decisions.

Coarser buckets are summed from finer ones, and an OR of values from the series of each value: exactly, or not at all.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

from collector.contract.request_parser import floor
from collector.contract.response import ApiError, ErrorCode, bad_request, quote
from collector.datasets import adds_up_over_time, adds_up_over_values, why_not_over_time
from collector.interval import AggInterval
from collector.model import Normalization, spelling_free
from collector.timestamps import from_epoch, rfc3339
from collector.windows import SeriesWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.contract.request_parser import SeriesRequest
    from collector.model import Question
    from collector.store import Change, Snapshot, StoredSeries

NO_HISTORY = ErrorCode(404, 7003)
_MAX_NEAREST = 3


@dataclass(frozen=True, slots=True)
class SeriesMatch:
    """A way to answer one position: *parts* are series of one interval whose values add up to the requested ones.

    *is_summed*: they must be added up, because there are several parts or because their interval is finer.
    """

    parts: tuple[StoredSeries, ...]
    is_summed: bool

    @property
    def ids(self) -> tuple[int, ...]:
        """The series_ids of the parts."""
        return tuple(part.id for part in self.parts)

    @property
    def agg_interval(self) -> AggInterval:
        """The interval that is stored."""
        return self.parts[0].query.agg_interval

    @property
    def measure(self) -> tuple[str, str]:
        """(normalization, unit) of the values."""
        return self.parts[0].normalization, self.parts[0].unit

    @property
    def is_counts(self) -> bool:
        """Return whether the values are whole numbers, as far as their normalization shows."""
        return self.parts[0].normalization == Normalization.RAW_VALUES


class SeriesIndex:
    """The stored series, in *by_query* by their query."""

    def __init__(self, stored: Iterable[StoredSeries]) -> None:
        self.by_query = {series.query: series for series in stored}
        self._has_unit_changes = any(series.generations for series in self.by_query.values())

    def matches(self, query: Question) -> list[SeriesMatch]:
        """Return the ways to answer *query*, the most direct first; an empty list without history for it.

        First the series of the same filters at the same interval. Then one at a finer interval, of counts. Then, for
        an OR of counts, the series of each value, at the same interval or a finer one. The dataset says which counts
        may be added up.
        """
        intervals = [interval for interval in reversed(AggInterval) if interval.seconds <= query.agg_interval.seconds]
        several = any(len(values) > 1 for values in query.filters.values())
        direct: list[SeriesMatch] = []
        split: list[SeriesMatch] = []
        for interval in intervals:
            stored_query = _at(query, interval)
            if series := self._answered(stored_query):
                direct.append(SeriesMatch((series,), is_summed=interval is not query.agg_interval))
            split += self._split(stored_query) if several else []
        return [match for match in direct + split if not match.is_summed or _adds_up(match, query)]

    def changed(self, query: Question) -> list[StoredSeries]:
        """Return the series that could answer *query* and whose unit has changed; usually none."""
        if not self._has_unit_changes:
            return []
        series = {fitting: self.by_query.get(fitting) for fitting in _fitting(query)}
        return [each for each in series.values() if each and each.generations]

    def with_series(self, others: Iterable[StoredSeries]) -> SeriesIndex:
        """Return the index with *others* instead of the series of the same queries."""
        return SeriesIndex({**self.by_query, **{series.query: series for series in others}}.values())

    def _answered(self, query: Question) -> StoredSeries | None:
        series = self.by_query.get(query)
        return series if series and series.answered and not series.change else None

    def _split(self, query: Question) -> Iterator[SeriesMatch]:
        for name, alternatives in query.filters.items():
            values = sorted(set(alternatives))
            if len(values) == 1 or not adds_up_over_values(query, name):
                continue
            answered = [self._answered(replace(query, filters={**query.filters, name: (value,)})) for value in values]
            parts = tuple(part for part in answered if part)
            if len(parts) == len(values) and len({spelling_free(part.unit) for part in parts}) == 1:
                yield SeriesMatch(parts, is_summed=True)

    def rejection(self, query: Question) -> ApiError:
        """Return the most exact error for a *query* that nothing answers."""
        for fitting in _fitting(query):
            if (series := self.by_query.get(fitting)) and series.change:
                return _unit_change_error(series, series.change)
        same_filters = [series for interval in AggInterval if (series := self.by_query.get(_at(query, interval)))]
        answered = [series for series in same_filters if series.answered]
        coarser = [interval for interval in AggInterval if interval.seconds > query.agg_interval.seconds]
        for interval in coarser:
            if self.matches(_at(query, interval)):
                message = f"aggInterval {query.agg_interval} is too granular"
                return bad_request(f"{message}: history for these filters is kept at {interval}")
        if answered:
            normalization = answered[0].normalization
            not_counts = None if normalization == Normalization.RAW_VALUES else f"its normalization is {normalization}"
            return bad_request(
                f"History for these filters is kept at {answered[0].query.agg_interval} and cannot be summed to "
                f"{query.agg_interval}, for {not_counts or why_not_over_time(query)}"
            )
        if same_filters:
            return ApiError(NO_HISTORY, f"Nothing has been collected yet for {_described(same_filters[0])}")
        requested = _filters(query.filters) if query.filters else "a series without filters"
        if query.dimension:
            requested = f"groups of {query.dimension} with {_filters(query.filters)}"
        return ApiError(NO_HISTORY, f"There is no history for {requested}; {self._nearest(query)}")

    def _nearest(self, query: Question) -> str:
        requested = _pairs(query)
        nearest = sorted(
            (series for series in self.by_query.values() if series.labels),
            key=lambda series: (
                series.query.dimension != query.dimension,
                -_likeness(requested, _pairs(series.query)), -_spelling(query, series.query), series.labels
            ),
        )  # fmt: skip
        if not nearest:
            return "no profile has been collected"
        return "the nearest profiles are " + ", ".join(map(_described, nearest[:_MAX_NEAREST]))


def _fitting(query: Question) -> Iterator[Question]:
    """Yield the queries whose series may be parts of an answer to *query*."""
    for interval in (interval for interval in AggInterval if interval.seconds <= query.agg_interval.seconds):
        at_interval = _at(query, interval)
        yield at_interval
        for name, values in query.filters.items():
            yield from (replace(at_interval, filters={**query.filters, name: (value,)}) for value in values)


def possible_parts(query: Question, coarsest: AggInterval) -> Iterator[Question]:
    """Return the queries whose series may be parts of an answer to *query* at any interval up to *coarsest*."""
    if any(len(values) > 1 for values in query.filters.values()):
        return _fitting(_at(query, coarsest))
    return (_at(query, interval) for interval in AggInterval if interval.seconds <= coarsest.seconds)


def _unit_change_error(series: StoredSeries, change: Change) -> ApiError:
    """Return the error for a range whose values have two units."""
    moment = rfc3339(from_epoch(change.timestamp))
    return bad_request(
        f"The unit of {_described(series)} changes from {change.old} to {change.new} at {moment}: choose a range that "
        f"ends before this time, or one that starts then"
    )


def _at(query: Question, agg_interval: AggInterval) -> Question:
    return query if query.agg_interval is agg_interval else replace(query, agg_interval=agg_interval)


def _adds_up(match: SeriesMatch, query: Question) -> bool:
    """Return whether the values of *match* are counts that add up to the answer."""
    if match.agg_interval is not query.agg_interval and not adds_up_over_time(query):
        return False
    return all(part.normalization == Normalization.RAW_VALUES for part in match.parts)


def _pairs(query: Question) -> frozenset[tuple[str, str]]:
    """Return what likeness is measured by: each filter's name, and each value in lower case."""
    pairs = {(name, value.lower()) for name, values in query.filters.items() for value in values}
    return frozenset(pairs | {(name, "") for name in query.filters})


def _likeness(left: frozenset[tuple[str, str]], right: frozenset[tuple[str, str]]) -> float:
    return len(left & right) / (len(left | right) or 1)


def _spelling(left: Question, right: Question) -> float:
    return SequenceMatcher(None, _filters(left.filters), _filters(right.filters)).ratio()


def _described(series: StoredSeries) -> str:
    label = series.labels[0] if series.labels else f"series {series.id}"
    groups = f"groups of {series.query.dimension}, " if series.query.dimension else ""
    return f"{quote(label)} ({series.query.agg_interval}, {groups}{_filters(series.query.filters)})"


def _filters(filters: Mapping[str, tuple[str, ...]]) -> str:
    if not filters:
        return "no filter"
    text = "; ".join(f"{name} = {' or '.join(sorted(set(values)))}" for name, values in sorted(filters.items()))
    return quote(text)[1:-1]


ALWAYS = (0, 2**40)
"""The span of a series that is not known to begin or end."""


@dataclass(frozen=True, slots=True)
class Extents:
    """By series_id: *spans* (oldest, newest bucket; nothing for a series without points), the newest *last_updated*.

    *snapshots* has the snapshot of each series that has one.
    """

    spans: Mapping[int, tuple[int, int]]
    last_updated: Mapping[int, datetime]
    snapshots: Mapping[int, Snapshot] = field(default_factory=dict)

    def spans_of(self, match: SeriesMatch) -> list[tuple[int, int]]:
        """Return the spans of the series of *match* that have points."""
        return [self.spans[i] for i in match.ids if i in self.spans]

    def known_until(self, match: SeriesMatch) -> int:
        """Return until when all series of *match* are known, in epoch seconds."""
        return int(min(self.last_updated[i] for i in match.ids).timestamp())

    def rollup_spec(self, position: SeriesRequest, match: SeriesMatch) -> RollupSpec:
        """Return what has to be added up."""
        coarse = position.query.agg_interval
        return RollupSpec(position.start, position.end, match.agg_interval, coarse, len(match.parts))

    def windows(self, position: SeriesRequest, match: SeriesMatch) -> list[SeriesWindow]:
        """Return the window of each series of *match* in which there can be points for *position*."""
        windows = []
        for series_id in match.ids:
            oldest, newest = self.spans.get(series_id, (position.end, position.start))
            start = max(position.start, oldest)
            end = max(start, min(position.end, newest + match.agg_interval.seconds))
            windows.append(SeriesWindow(series_id, start, end))
        return windows

    def buckets(self, position: SeriesRequest, match: SeriesMatch) -> int:
        """Return how many buckets of *position* the series of *match* can fill."""
        step = position.query.agg_interval.seconds
        if not match.is_summed:
            [window] = self.windows(position, match)
            return (window.end - window.start) // step
        first, last = self.rollup_spec(position, match).within(self.spans_of(match), self.known_until(match))
        return (last - first) // step


class SeriesData(NamedTuple):
    """The points of one series in an answer, ascending: *timestamps* in epoch seconds.

    *values* are numbers, or their texts as an answer has them, separated by commas.
    """

    timestamps: Sequence[int]
    values: Sequence[float] | str


class Incomplete(Exception):
    """A bucket inside the stored history cannot be summed, because a part of it is missing."""


@dataclass(frozen=True, slots=True)
class RollupSpec:
    """What to sum: buckets of *coarse* from *start* up to *end*, from *parts* series of *fine* buckets."""

    start: int
    end: int
    fine: AggInterval
    coarse: AggInterval
    parts: int

    def within(self, spans: Sequence[tuple[int, int]], known_until: int) -> tuple[int, int]:
        """Return the window whose buckets can be summed, on their grid; it may be empty.

        It lies within the stored span (oldest, newest timestamp) of every series; coarser buckets must have closed at
        *known_until*.
        """
        step = self.coarse.seconds
        if len(spans) < self.parts:
            return self.start, self.start
        newest = min(newest for _, newest in spans) + self.fine.seconds
        if self.coarse is not self.fine:
            newest = min(newest, known_until)
        first = max(floor(max(oldest for oldest, _ in spans) + step - 1, step, self.start), self.start)
        return first, max(first, min(floor(newest, step, self.start), self.end))


class Rollup:
    """Adds up points of several series, in any order."""

    def __init__(self, spec: RollupSpec) -> None:
        self._spec = spec
        buckets = (spec.end - spec.start) // spec.coarse.seconds
        self._counts = array("q", bytes(8 * buckets))
        self._sums = array("d", bytes(8 * buckets))

    def add(self, points: Iterable[tuple[int, float]]) -> None:
        """Add points of one series."""
        start, step, counts, sums = self._spec.start, self._spec.coarse.seconds, self._counts, self._sums
        for timestamp, value in points:
            bucket = (timestamp - start) // step
            counts[bucket] += 1
            sums[bucket] += value

    def result(self, spans: Sequence[tuple[int, int]], known_until: int) -> SeriesData:
        """Return the sums within `RollupSpec.within`. Raises Incomplete if a bucket there lacks one of its parts."""
        spec, timestamps, values = self._spec, array("q"), array("d")
        first, last = spec.within(spans, known_until)
        needed = spec.parts * (spec.coarse.seconds // spec.fine.seconds)
        for timestamp in range(first, last, spec.coarse.seconds):
            bucket = (timestamp - spec.start) // spec.coarse.seconds
            if self._counts[bucket] != needed:
                raise Incomplete(self._reason(timestamp, needed - self._counts[bucket], needed))
            timestamps.append(timestamp)
            values.append(self._sums[bucket])
        return SeriesData(timestamps, values)

    def _reason(self, timestamp: int, missing: int, needed: int) -> str:
        spec = self._spec
        return (
            f"The {spec.coarse} bucket {rfc3339(from_epoch(timestamp))} cannot be summed: {missing} of its {needed} "
            f"{spec.fine} values are missing in the history"
        )
