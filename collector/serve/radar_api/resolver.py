"""Which stored series can answer a request, how far each of them reaches, and the error if none can. Pure decisions.

Coarser buckets are summed from finer ones, and an OR of values from the series of each value: exactly, or not at all.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

from collector.contract.errors import ApiError, ErrorCode, bad_request, quote
from collector.contract.request_parser import floor
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
_NEAREST = 3
_FINE_FIRST = tuple(AggInterval)


@dataclass(frozen=True, slots=True)
class SeriesMatch:
    """A way to answer one position: *parts* are series of one interval whose values add up to the requested ones."""

    parts: tuple[StoredSeries, ...]

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

    def is_summed(self, agg_interval: AggInterval) -> bool:
        """Return whether an answer at *agg_interval* must be added up."""
        return len(self.parts) > 1 or self.agg_interval is not agg_interval


class SeriesIndex:
    """The stored series by their query."""

    def __init__(self, kept: Sequence[StoredSeries]) -> None:
        self._kept = {one.query: one for one in kept}
        self._changed = any(one.generations for one in kept)

    def matches(self, query: Question) -> list[SeriesMatch]:
        """Return the ways to answer *query*, the most direct first; an empty list without history for it.

        A series of the same filters at the same interval; else one at a finer interval, of counts; else the series of
        each value of an OR, of counts, at the same interval or a finer one. What may be added up, `additivity` says.
        """
        fitting = [interval for interval in reversed(_FINE_FIRST) if interval.seconds <= query.agg_interval.seconds]
        same = [SeriesMatch((kept,)) for interval in fitting if (kept := self._answered(_at(query, interval)))]
        several = any(len(values) > 1 for values in query.filters.values())
        split = [match for interval in fitting for match in self._split(_at(query, interval))] if several else []
        return [match for match in same + split if not match.is_summed(query.agg_interval) or _adds_up(match, query)]

    def get(self, query: Question) -> StoredSeries | None:
        """Return the series of exactly this query, if there is one."""
        return self._kept.get(query)

    def changed(self, query: Question) -> list[StoredSeries]:
        """Return the series that could answer *query* and whose unit has changed; usually none."""
        if not self._changed:
            return []
        touched = {kept.query: kept for one in self._fitting(query) if (kept := self._kept.get(one))}
        return [kept for kept in touched.values() if kept.generations]

    def with_series(self, others: Sequence[StoredSeries]) -> SeriesIndex:
        """Return the index with *others* instead of the series of the same queries."""
        return SeriesIndex([*({**self._kept, **{one.query: one for one in others}}).values()])

    def _fitting(self, query: Question) -> Iterator[Question]:
        for interval in (one for one in _FINE_FIRST if one.seconds <= query.agg_interval.seconds):
            yield _at(query, interval)
            for name, listed in query.filters.items():
                yield from (
                    replace(_at(query, interval), filters={**query.filters, name: (value,)}) for value in listed
                )

    def _answered(self, query: Question) -> StoredSeries | None:
        kept = self._kept.get(query)
        return kept if kept and kept.answered and not kept.change else None

    def _split(self, query: Question) -> Iterator[SeriesMatch]:
        for name, listed in query.filters.items():
            values = sorted(set(listed))
            if len(values) == 1 or not adds_up_over_values(query, name):
                continue
            parts = [self._answered(replace(query, filters={**query.filters, name: (v,)})) for v in values]
            found = tuple(part for part in parts if part)
            if len(found) == len(parts) and len({spelling_free(part.unit) for part in found}) == 1:
                yield SeriesMatch(found)

    def rejection(self, query: Question) -> ApiError:
        """Return the most exact error for a *query* that nothing answers."""
        for fitting in self._fitting(query):
            if (kept := self._kept.get(fitting)) and kept.change:
                return _unit_change_error(kept, kept.change)
        same = [kept for interval in _FINE_FIRST if (kept := self._kept.get(_at(query, interval)))]
        answered = [kept for kept in same if kept.answered]
        coarser = [interval for interval in _FINE_FIRST if interval.seconds > query.agg_interval.seconds]
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
        if same:
            return ApiError(NO_HISTORY, f"Nothing has been collected yet for {_described(same[0])}")
        asked = _filters(query.filters) if query.filters else "a series without filters"
        return ApiError(NO_HISTORY, f"There is no history for {asked}; {self._neighbours(query)}")

    def _neighbours(self, query: Question) -> str:
        wanted = _pairs(query)
        near = sorted(
            (kept for kept in self._kept.values() if kept.labels),
            key=lambda kept: (-_likeness(wanted, _pairs(kept.query)), -_spelling(query, kept.query), kept.labels),
        )
        if not near:
            return "no profile has been collected"
        return "the nearest profiles are " + ", ".join(map(_described, near[:_NEAREST]))


def _unit_change_error(kept: StoredSeries, change: Change) -> ApiError:
    """Refuse a range whose values have two units."""
    moment = rfc3339(from_epoch(change.timestamp))
    return bad_request(
        f"The unit of {_described(kept)} changes from {change.old} to {change.new} at {moment}: ask for a range that "
        f"ends before this moment, or for one that starts then"
    )


def _at(query: Question, agg_interval: AggInterval) -> Question:
    return query if query.agg_interval is agg_interval else replace(query, agg_interval=agg_interval)


def _adds_up(match: SeriesMatch, query: Question) -> bool:
    """Return whether the values of *match* are counts that add up to the answer."""
    if match.agg_interval is not query.agg_interval and not adds_up_over_time(query):
        return False
    return all(part.normalization == Normalization.RAW_VALUES for part in match.parts)


def _pairs(query: Question) -> frozenset[tuple[str, str]]:
    """What likeness is measured by: each filter's name, and each value in lower case."""
    values = {(name, value.lower()) for name, listed in query.filters.items() for value in listed}
    return frozenset(values | {(name, "") for name in query.filters})


def _likeness(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> float:
    return len(one & other) / (len(one | other) or 1)


def _spelling(one: Question, other: Question) -> float:
    return SequenceMatcher(None, _filters(one.filters), _filters(other.filters)).ratio()


def _described(kept: StoredSeries) -> str:
    label = kept.labels[0] if kept.labels else f"series {kept.id}"
    return f"{quote(label)} ({kept.query.agg_interval}, {_filters(kept.query.filters)})"


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

    def closed_until(self, match: SeriesMatch) -> int:
        """Return until when all series of *match* are known, in epoch seconds."""
        return int(min(self.last_updated[i] for i in match.ids).timestamp())

    def rollup_spec(self, one: SeriesRequest, match: SeriesMatch) -> RollupSpec:
        """Return what has to be added up."""
        return RollupSpec(one.start, one.end, match.agg_interval, one.query.agg_interval, len(match.parts))

    def windows(self, one: SeriesRequest, match: SeriesMatch) -> list[SeriesWindow]:
        """Return the window of each series of *match* in which there can be points for *one*."""
        found = []
        for series_id in match.ids:
            oldest, newest = self.spans.get(series_id, (one.end, one.start))
            start = max(one.start, oldest)
            found.append(SeriesWindow(series_id, start, max(start, min(one.end, newest + match.agg_interval.seconds))))
        return found

    def buckets(self, one: SeriesRequest, match: SeriesMatch) -> int:
        """Return how many buckets of *one* the series of *match* can fill."""
        step = one.query.agg_interval.seconds
        if not match.is_summed(one.query.agg_interval):
            [window] = self.windows(one, match)
            return (window.end - window.start) // step
        first, last = self.rollup_spec(one, match).within(self.spans_of(match), self.closed_until(match))
        return (last - first) // step


class SeriesData(NamedTuple):
    """The points of one series in an answer, ascending: *timestamps* in epoch seconds."""

    timestamps: array[int]
    values: array[float]


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

    def within(self, spans: Iterable[tuple[int, int]], closed: int) -> tuple[int, int]:
        """Return the window whose buckets can be summed, on their grid; it may be empty.

        It lies wholly within the stored span (oldest, newest timestamp) of every series; coarser buckets must have
        closed at *closed*, up to which the data is known.
        """
        listed, step = list(spans), self.coarse.seconds
        if len(listed) < self.parts:
            return self.start, self.start
        newest = min(newest for _, newest in listed) + self.fine.seconds
        if self.coarse is not self.fine:
            newest = min(newest, closed)
        first = max(floor(max(oldest for oldest, _ in listed) + step - 1, step, self.start), self.start)
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
            at = (timestamp - start) // step
            counts[at] += 1
            sums[at] += value

    def result(self, spans: Iterable[tuple[int, int]], closed: int) -> SeriesData:
        """Return the sums within `RollupSpec.within`. Raises Incomplete if a bucket there lacks one of its parts."""
        spec, data = self._spec, SeriesData(array("q"), array("d"))
        first, last = spec.within(spans, closed)
        needed = spec.parts * (spec.coarse.seconds // spec.fine.seconds)
        for moment in range(first, last, spec.coarse.seconds):
            at = (moment - spec.start) // spec.coarse.seconds
            if self._counts[at] != needed:
                raise Incomplete(self._reason(moment, needed - self._counts[at], needed))
            data.timestamps.append(moment)
            data.values.append(self._sums[at])
        return data

    def _reason(self, moment: int, missing: int, needed: int) -> str:
        spec = self._spec
        return (
            f"The {spec.coarse} bucket {rfc3339(from_epoch(moment))} cannot be summed: {missing} of its {needed} "
            f"{spec.fine} values are missing in the history"
        )
