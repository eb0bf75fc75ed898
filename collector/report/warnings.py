"""Sentences of the status document on what an operator should look at: misspelt filters, clocks, units, bodies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from collector import __version__
from collector.datasets import dataset_of
from collector.interval import Grid
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


_ENOUGH = timedelta(days=2)
_AGAIN = timedelta(days=1)


class SpellingCheck:
    """Finds text filters that match nothing. Radar answers a misspelt name with zeros, too.

    It caches its findings for a day, and the series that have values for ever.
    """

    def __init__(self) -> None:
        self._right: set[Question] = set()
        self._found: dict[Question, tuple[datetime, timedelta]] = {}

    def warnings(self, store: ReadView, profiles: Sequence[Profile], now: datetime) -> dict[str, str]:
        """Return a sentence by label for each series with a text filter and no value other than zero.

        Answers must have covered two days of its buckets. Only series with a text filter are read.
        """
        labelled = [one for profile in profiles for one in profile.series if _text_filters(one.query)]
        unknown = list(dict.fromkeys(one.query for one in labelled if not self._knows(one.query, now)))
        if unknown:
            covered, with_values = _look(store, unknown)
            self._right |= with_values
            long = {query: length for query, length in covered.items() if length >= _ENOUGH}
            self._found = {q: seen for q, seen in self._found.items() if q not in unknown}
            self._found |= {query: (now, length) for query, length in long.items()}
        return {
            one.label: _spelling_sentence(one.label, one.query, self._found[one.query][1])
            for one in labelled
            if one.query in self._found
        }

    def _knows(self, query: Question, now: datetime) -> bool:
        if query in self._right:
            return True
        seen = self._found.get(query)
        return seen is not None and timedelta(0) <= now - seen[0] < _AGAIN


def _look(store: ReadView, queries: Sequence[Question]) -> tuple[dict[Question, timedelta], set[Question]]:
    """Return the queries without a value other than zero, with the time that answers covered, and those with one."""
    with_points = set(store.newest_buckets(queries))  # of the same state of the store as what is covered
    covered = store.empty(queries)
    return covered, with_points - covered.keys()


def _text_filters(query: Question) -> list[FilterParameter]:
    """Return the filters of *query* that accept any text."""
    known = dataset_of(query).filters
    return [known[name] for name in query.filters if not known[name].values]


def _spelling_sentence(label: str, query: Question, covered: timedelta) -> str:
    words = " and ".join(
        f"{parameter.option} " + ", ".join(f'"{value}"' for value in query.filters[parameter.name])
        for parameter in _text_filters(query)
    )
    return f"{label}: Radar counted nothing in {covered.days} days for {words}; is it spelt as Radar spells it?"


def clock_seconds(named: timedelta | None) -> int | None:
    """Return how many seconds our clock is ahead of Radar's, negative if behind; None if less than a minute."""
    return None if named is None else round(named.total_seconds())


def clock_warnings(named: timedelta | None) -> list[str]:
    """Return a sentence on a clock that differs, if it does."""
    return [] if named is None else [f"clock: {sentence(named)}"]


def grid_documents(learned: Mapping[AggInterval, LearnedGrid]) -> list[dict[str, Any]]:
    """List the intervals whose buckets start elsewhere than usual, or did; times of day are UTC."""
    return [
        {
            "agg_interval": interval.value,
            "buckets_start": str(one.grid),
            "offset_seconds": one.grid.seconds,
            "since": one.since,
        }
        for interval, one in learned.items()
        if one.since is not None or one.grid != Grid(interval)
    ]


def grid_warnings(
    learned: Mapping[AggInterval, LearnedGrid], used: Iterable[AggInterval], former: Iterable[AggInterval]
) -> list[str]:
    """Return a sentence for each interval in use with history on a *former* grid, or with a proposed grid."""
    former, warnings = set(former), []
    for interval in sorted(set(used), key=lambda one: one.seconds):
        one = learned[interval]
        if one.before and one.since and interval in former:
            warnings.append(
                f"{interval}: buckets start at {one.grid} UTC since {_moment(one.since)}, before at {one.before}: "
                "these are new series; earlier buckets stay where no new one overlaps them"
            )
        if one.proposed and one.proposed_at:
            warnings.append(
                f"{interval}: Radar answered with buckets that start at {one.proposed} UTC instead of {one.grid} at "
                f"{_moment(one.proposed_at)}; a second such answer at least an hour later begins new series"
            )
    return warnings


def _moment(moment: datetime) -> str:
    return rfc3339(moment.replace(microsecond=0))


def deviation_document(one: Deviation) -> dict[str, Any]:
    """Return the JSON document of a deviation."""
    return {"kind": one.kind, "first_seen": one.first_seen, "fetch": one.fetch_id, "example": one.example}


def replay_warnings(bodies: Sequence[KeptBody]) -> list[str]:
    """Return a sentence on the refused answers that this version has not tried to read."""
    unread = sum(one.replayable and one.version != __version__ for one in bodies)
    if not unread:
        return []
    noun, them = ("1 refused answer was", "it") if unread == 1 else (f"{unread} refused answers were", "them")
    return [f"{noun} read by another version only: `collector replay` reads {them} again"]


class UnitWatch:
    """Finds changes of the unit in exported blocks of points."""

    def __init__(self) -> None:
        self._measures: dict[tuple[str, str], Measure] = {}
        self._said: set[tuple[str, str, str, str]] = set()

    def seen(self, block: Block) -> str | None:
        """Return a sentence if the next block changes the unit of its label in a new way; else None."""
        if not block.points:
            return None
        label, measure = (block.profile, block.label), (block.normalization, block.unit)
        before = self._measures.setdefault(label, measure)
        if same_measure(before, measure):
            return None
        self._measures[label] = measure
        old, new = described(before, measure), described(measure, before)
        if (*label, old, new) in self._said:
            return None
        self._said.add((*label, old, new))
        moment = rfc3339(from_epoch(block.points[0][0]))
        return f"{block.label}: the unit changes from {old} to {new} with the bucket {moment}"


def unit_warnings(profiles: Iterable[Profile], changes: Sequence[UnitChange]) -> list[str]:
    """Return a sentence for each change of a unit in *profiles*; equal changes within a profile share one.

    *changes* are those of the profiles' queries, as `Store.unit_changes` lists them.
    """
    warnings = []
    for profile in profiles:
        labels = {series.query: series.label for series in profile.series}
        alike: dict[tuple[str, str, bool], list[UnitChange]] = {}
        for change in changes:
            if change.query in labels:
                alike.setdefault((change.old, change.new, change.in_force), []).append(change)
        for same in alike.values():
            first = min(same, key=lambda change: change.moment)
            of = labels[first.query] if len(same) == 1 else f"{profile.name} ({len(same)} of {len(labels)} series)"
            warnings.append(_unit_sentence(of, first, first.moment))
    return warnings


def _unit_sentence(of: str, change: UnitChange, moment: datetime) -> str:
    at = rfc3339(moment.replace(microsecond=0))
    if change.in_force:
        return f"{of}: the unit changed from {change.old} to {change.new} at {at}; earlier buckets keep {change.old}"
    return (
        f"{of}: Radar answered with the unit {change.new} instead of {change.old} at {at}; "
        f"a second such answer at least an hour later changes the unit"
    )
