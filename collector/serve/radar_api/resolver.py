"""Which stored series can answer a request, and the error if none can. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from collector.contract.errors import ApiError, ErrorCode, bad_request, quote
from collector.datasets import adds_up_over_time, adds_up_over_values, why_not_over_time
from collector.model import AggInterval, Normalization, spelling_free
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.model import Question
    from collector.store import Change, StoredSeries

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
