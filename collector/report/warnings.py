"""Warnings of the status document: misspelt filters, clocks, units, grids, rejected bodies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from collector import __version__
from collector.datasets import dataset_of
from collector.interval import Grid
from collector.report.names import NameCheck
from collector.rules.clock_difference import sentence
from collector.store.series.generations import described, same_measure
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.datasets import FilterParameter
    from collector.interval import AggInterval
    from collector.model import Question
    from collector.profile import Profile
    from collector.store import Block, Deviation, KeptBody, LearnedGrid, ReadView, UnitChange

    Measure = tuple[str, str]


_MIN_COVERED = timedelta(days=2)
_CACHED_FOR = timedelta(days=1)


class SpellingCheck:
    """Finds text filters that match nothing. Radar answers a misspelt name with zeros, too.

    A finding is cached for a day. That a series has values is cached for ever.
    """

    def __init__(self) -> None:
        self.names = NameCheck()
        self._with_values: set[Question] = set()
        self._empty: dict[Question, tuple[datetime, timedelta]] = {}

    def warnings(self, store: ReadView, profiles: Sequence[Profile], now: datetime) -> dict[str, str]:
        """Return a sentence by label for each series with a text filter and no value other than zero.

        Answers must have covered two days of its buckets. Only series with a text filter are read.
        """
        labelled = [series for profile in profiles for series in profile.series if _text_filters(series.query)]
        unknown = list(dict.fromkeys(each.query for each in labelled if not self._is_cached(each.query, now)))
        if unknown:
            covered, with_values = _read_values(store, unknown)
            self._with_values |= with_values
            long = {query: length for query, length in covered.items() if length >= _MIN_COVERED}
            self._empty = {query: cached for query, cached in self._empty.items() if query not in unknown}
            self._empty |= {query: (now, length) for query, length in long.items()}
        return {
            series.label: _spelling_sentence(series.label, series.query, self._empty[series.query][1])
            for series in labelled
            if series.query in self._empty
        }

    def _is_cached(self, query: Question, now: datetime) -> bool:
        if query in self._with_values:
            return True
        cached = self._empty.get(query)
        return cached is not None and timedelta(0) <= now - cached[0] < _CACHED_FOR


def _read_values(store: ReadView, queries: Sequence[Question]) -> tuple[dict[Question, timedelta], set[Question]]:
    """Return the queries without a value other than zero, with the time that answers covered, and those with one."""
    with_points = set(store.newest_buckets(queries))  # of the same state of the store as what is covered
    covered = store.empty(queries)
    return covered, with_points - covered.keys()


def _text_filters(query: Question) -> list[FilterParameter]:
    """Return the filters of *query* that accept any text."""
    parameters = dataset_of(query).filters
    return [parameters[name] for name in query.filters if not parameters[name].values]


def _spelling_sentence(label: str, query: Question, covered: timedelta) -> str:
    words = " and ".join(
        f"{parameter.option} " + ", ".join(f'"{value}"' for value in query.filters[parameter.name])
        for parameter in _text_filters(query)
    )
    return f"{label}: Radar counted nothing in {covered.days} days for {words}; is it spelt as Radar spells it?"


def clock_seconds(difference: timedelta | None) -> int | None:
    """Return how many seconds our clock is ahead of Radar's, negative if behind; None if less than a minute."""
    return None if difference is None else round(difference.total_seconds())


def clock_warnings(difference: timedelta | None) -> list[str]:
    """Return one sentence if the clock differs, otherwise an empty list."""
    return [] if difference is None else [f"clock: {sentence(difference)}"]


def grid_documents(learned: Mapping[AggInterval, LearnedGrid]) -> list[dict[str, Any]]:
    """List the intervals whose buckets start elsewhere than usual, or did; times of day are UTC."""
    return [
        {
            "agg_interval": interval.value,
            "buckets_start": str(current.grid),
            "offset_seconds": current.grid.seconds,
            "since": current.since,
        }
        for interval, current in learned.items()
        if current.since is not None or current.grid != Grid(interval)
    ]


def grid_warnings(
    learned: Mapping[AggInterval, LearnedGrid], used: Iterable[AggInterval], former: Iterable[AggInterval]
) -> list[str]:
    """Return a sentence for each interval in use with history on a *former* grid, or with a proposed grid."""
    former, warnings = set(former), []
    for interval in sorted(set(used), key=lambda each: each.seconds):
        current = learned[interval]
        if current.before and current.since and interval in former:
            warnings.append(
                f"{interval}: buckets start at {current.grid} UTC since {_moment(current.since)}, before at "
                f"{current.before}: these are new series; earlier buckets stay where no new one overlaps them"
            )
        if current.proposed and current.proposed_at:
            warnings.append(
                f"{interval}: Radar answered with buckets that start at {current.proposed} UTC instead of "
                f"{current.grid} at {_moment(current.proposed_at)}; a second such answer at least an hour later begins "
                "new series"
            )
    return warnings


def _moment(moment: datetime) -> str:
    return rfc3339(moment.replace(microsecond=0))


def deviation_document(deviation: Deviation) -> dict[str, Any]:
    """Return the JSON document of a deviation."""
    return {
        "kind": deviation.kind,
        "first_seen": deviation.first_seen,
        "fetch": deviation.fetch_id,
        "example": deviation.example,
    }


def replay_warnings(bodies: Sequence[KeptBody]) -> list[str]:
    """Return a sentence on the rejected answers that this version has not tried to parse."""
    unread = sum(body.replayable and body.version != __version__ for body in bodies)
    if not unread:
        return []
    noun, them = ("1 refused answer was", "it") if unread == 1 else (f"{unread} refused answers were", "them")
    return [f"{noun} read by another version only: `collector replay` reads {them} again"]


class UnitWatch:
    """Finds changes of the unit in exported blocks of points."""

    def __init__(self) -> None:
        self._measures: dict[tuple[str, str], Measure] = {}
        self._reported: set[tuple[str, str, str, str]] = set()

    def change(self, block: Block) -> str | None:
        """Return a sentence if *block*, the next one, changes the unit of its label in a new way; None if not."""
        if not block.points:
            return None
        label, measure = (block.profile, block.label), (block.normalization, block.unit)
        before = self._measures.setdefault(label, measure)
        if same_measure(before, measure):
            return None
        self._measures[label] = measure
        old, new = described(before, measure), described(measure, before)
        if (*label, old, new) in self._reported:
            return None
        self._reported.add((*label, old, new))
        moment = rfc3339(from_epoch(block.points[0][0]))
        return f"{block.label}: the unit changes from {old} to {new} with the bucket {moment}"


def unit_warnings(profiles: Iterable[Profile], changes: Sequence[UnitChange]) -> list[str]:
    """Return a sentence for each change of a unit in *profiles*; equal changes within a profile share one.

    *changes* are those of the profiles' queries, as `Store.unit_changes` lists them.
    """
    warnings = []
    for profile in profiles:
        labels = {series.query: series.label for series in profile.series}
        equal_changes: dict[tuple[str, str, bool], list[UnitChange]] = {}
        for change in changes:
            if change.query in labels:
                equal_changes.setdefault((change.old, change.new, change.in_force), []).append(change)
        for equal in equal_changes.values():
            first = min(equal, key=lambda change: change.moment)
            name = labels[first.query] if len(equal) == 1 else f"{profile.name} ({len(equal)} of {len(labels)} series)"
            warnings.append(_unit_sentence(name, first))
    return warnings


def _unit_sentence(name: str, change: UnitChange) -> str:
    at = _moment(change.moment)
    if change.in_force:
        return f"{name}: the unit changed from {change.old} to {change.new} at {at}; earlier buckets keep {change.old}"
    return (
        f"{name}: Radar answered with the unit {change.new} instead of {change.old} at {at}; "
        f"a second such answer at least an hour later changes the unit"
    )
