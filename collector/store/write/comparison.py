"""What answers change: read what is stored in their windows, and compare.

A day whose row equals that of the answer is not read, see `days`. The fetches of points are read only for a series of
which a stored point is another one in the answer, or is absent from it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.rules.finality import DEFAULT_SETTLE, Absence
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import fetches as fetches_table
from collector.store.ledger.fetches import DAY as ONE_DAY
from collector.store.ledger.fetches import AnswerTime, SaveResult, overrules
from collector.store.series import coverage, days, evidence
from collector.store.series.days import DAY, DayRow
from collector.store.write import points
from collector.store.write.changed_days import AnsweredDays, ChangedDays, add_changes, answered_days, unchanged_days
from collector.store.write.diff import AnswerPart, Difference, ascending, diff, spoken_window
from collector.store.write.grouped import Scope
from collector.windows import SeriesWindow, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from collector.model import Points, Question, Slice, Window
    from collector.rules.edge import Edge
    from collector.rules.finality import Evidence
    from collector.store.ledger.fetches import ReceivedAnswer
    from collector.store.series.days import Key
    from collector.store.write.diff import StoredValue
    from collector.store.write.points import Stored
    from collector.windows import EpochWindow

    Newer = dict[int, list[tuple[tuple[int, int], AnswerTime]]]

# Statements of every answer are built once: building one costs several times its execution.
_last_updated: sa.BindParameter[Any] = sa.bindparam("last_updated")
_later = sa.and_(fetches_table.c.last_updated > _last_updated, fetches_table.c.finished_at >= sa.bindparam("since"))
_alike = sa.and_(fetches_table.c.last_updated == _last_updated, fetches_table.c.id > sa.bindparam("fetch_id"))
_NEWER = DriverSelect(
    sa.union_all(*(select.where(which) for which in (_later, _alike) for select in coverage.OF_FETCHES))
)
"""Ranges after the first request of equal lastUpdated are found by its id."""


@dataclass(frozen=True, slots=True)
class Change:
    """The changes of one answer: a difference for each series_id, and the evidence for values and gaps.

    *overruled* are the series_ids for which a newer answer had come. *cut_off* are the slices that the answer seems to
    have left out. *moved_on* has the first bucket that Radar still has of series whose history begins later than
    before. *scopes* has for each series_id where the answer counts.
    """

    arrival: ReceivedAnswer
    differences: Mapping[int, Difference]
    absences: Mapping[int, Sequence[Absence]] = field(default_factory=dict)
    overruled: frozenset[int] = frozenset()
    cut_off: Sequence[Slice] = ()
    moved_on: Mapping[int, int] = field(default_factory=dict)
    scopes: Mapping[int, Scope] = field(default_factory=dict)

    def changed_buckets(self) -> Iterator[tuple[int, int]]:
        """Yield the (series_id, timestamp) of each stored value that is another one now, or is gone or back."""
        for series_id, difference in self.differences.items():
            yield from ((series_id, timestamp) for timestamp in difference.changed)

    def count(self, ids: Mapping[Question, int], of_groups: Mapping[int, SaveResult]) -> SaveResult:
        """Count what changed, in all and of each series; of a series with groups what changed in these."""
        by_series = {}
        for query in dict.fromkeys(slice_.series for slice_ in self.arrival.batch.slices):
            difference = self.differences[ids[query]]
            if ids[query] in of_groups:
                by_series[query] = of_groups[ids[query]]
                continue
            new, revised, vanished = len(difference.inserted), len(difference.revised), len(difference.vanished)
            by_series[query] = SaveResult(new, revised, difference.unchanged, vanished, difference.ignored)
        return replace(sum(by_series.values(), SaveResult()), by_series=by_series, cut_off=self.cut_off)


class Comparison(NamedTuple):
    """The changes of some answers, the evidence by series_id before and after them, and the rows of days to change."""

    changes: list[Change]
    evidence: Mapping[int, tuple[Sequence[Evidence], Sequence[Evidence]]]
    days: ChangedDays


def compare(
    connection: sa.Connection,
    arrivals: Sequence[ReceivedAnswer],
    ids: Mapping[Question, int],
    known_edges: Mapping[int, Edge],
) -> Comparison:
    """Compare answers about series, whose *ids* are by question, with what is stored in their windows."""
    answers = [_Answered(arrival, ids, known_edges) for arrival in arrivals]
    windows: dict[int, list[EpochWindow]] = defaultdict(list)
    for answer in answers:
        for series_id, series_windows in answer.windows.items():
            windows[series_id] += series_windows
    spans = [
        SeriesWindow(i, start, end) for i, series_windows in windows.items() for start, end in merge(series_windows)
    ]
    hull = min(span.start for span in spans), max(span.end for span in spans)
    settles, before = evidence.settles(connection, windows), evidence.read(connection, windows, hull)
    has_days = hull[0] // DAY * DAY < days.open_from(connection) or any(days.days_of(*span[1:]) for span in spans)
    for answer in answers if has_days else ():
        answer.sum_days()
    kept = days.read(connection, {i for answer in answers for i in answer.days}, *hull)
    stored = _read_stored(connection, answers, spans, kept)
    newer = _newer_ranges(connection, list(windows), arrivals) if stored.ids or before else {}
    after = {series_id: list(rows) for series_id, rows in before.items()}
    changes = [answer.compared(stored, newer, settles, after) for answer in answers]
    folded = {series_id: (before.get(series_id, []), rows) for series_id, rows in after.items()}
    return Comparison(changes, folded, _changed_days(answers, changes, stored, kept))


def _read_stored(
    connection: sa.Connection, answers: Sequence[_Answered], spans: Sequence[SeriesWindow], kept: Mapping[Key, DayRow]
) -> _Stored:
    """Read what is stored in *spans*, but not the points of days whose row in *kept* equals the answer."""
    with_rows = {series_id for series_id, _ in kept}
    same = {i: unchanged_days((d for a in answers for d in a.days.get(i, ())), kept) for i in with_rows}
    sums = days.sums_of_points(connection, {(i, day) for i, unchanged in same.items() for day in unchanged})
    for i, unchanged in same.items():
        unchanged.intersection_update(
            [day for day in unchanged if sums.get((i, day)) == (kept[i, day].points, kept[i, day].sum)]
        )
    rest = [
        SeriesWindow(span.series_id, *part)
        for span in spans
        for part in subtract((span.start, span.end), [(day, day + DAY) for day in same.get(span.series_id, ())])
    ]
    values = points.read_values(connection, rest) if rest else {}
    ids = values.keys() | {i for i, unchanged in same.items() if unchanged}
    vanished = points.read_vanished(connection, [span for span in spans if span.series_id in ids]) if ids else {}
    unread, until = {span.series_id for span in rest}, dict[int, float]()
    for i in ids - vanished.keys():
        known, answered = values.get(i, []), _rows_of(answers, i, same.get(i, ())) if i in unread else []
        if known == answered:
            until[i] = inf
        elif known == answered[: len(known)]:
            first_new, whole = answered[len(known)][1], same.get(i, ())
            # A stored point may come again, because windows of an answer may overlap.
            if all(t < first_new for t in (*whole, *(t for _, t, _ in known[-1:]))):
                until[i] = first_new - 1
    differing = [part for part in rest if part.series_id not in until and part.series_id in values]
    before = points.read(connection, differing) if differing else defaultdict(dict)
    for i in ids - until.keys():
        if same.get(i):
            before[i] |= {t: (value, 0) for _, t, value in _rows_of(answers, i) if t // DAY * DAY in same[i]}
    return _Stored(before, vanished, until, ids)


def _rows_of(
    answers: Sequence[_Answered], series_id: int, without: Collection[int] = ()
) -> list[tuple[int, int, float]]:
    """Return what *answers* have of a series, as `points.read_values` returns it, *without* some days."""
    parts = [part for answer in answers for part in answer.points.get(series_id, ())]
    rows = [row for part in parts for row in zip(repeat(series_id), part.timestamps, part.values)]
    if without:
        rows = [row for row in rows if row[1] // DAY * DAY not in without]
    return rows if len(parts) == 1 else sorted(rows)


def _changed_days(
    answers: Sequence[_Answered], changes: Sequence[Change], stored: _Stored, kept: Mapping[Key, DayRow]
) -> ChangedDays:
    changed, now = ChangedDays(kept), min(answer.arrival.now for answer in answers)
    for i in sorted({i for answer in answers for i in answer.days}):
        answered = [day for answer in answers for day in answer.days.get(i, ())]
        differences = [change.differences[i] for change in changes if i in change.differences]
        add_changes(changed, i, answered, differences, _points_before(answers, i, stored), now)
    return changed


class _Stored(NamedTuple):
    """The stored *points* in the windows of some answers, and which of these are marked as vanished.

    *ids* are the series that have any. Of most of them no points are here: those that the answers repeat and continue.
    Their points are, up to the timestamp *until* of the series, those of the answers; behind it, none is stored.
    """

    points: Stored
    vanished: Mapping[int, Iterable[int]]
    until: Mapping[int, float]
    ids: Collection[int]


def _points_before(answers: Sequence[_Answered], series_id: int, stored: _Stored) -> Mapping[int, StoredValue]:
    """Return the stored points of a series in the windows of *answers*; none if the answers bring nothing new."""
    until = stored.until.get(series_id)
    if until is None:
        return stored.points.get(series_id, {})
    rows = _rows_of(answers, series_id) if until < inf else []
    return {timestamp: (value, 0) for _, timestamp, value in rows if timestamp <= until}


class _Answered:
    """One received answer: its windows and points by series_id; *known_edges* are the accepted edges."""

    def __init__(self, arrival: ReceivedAnswer, ids: Mapping[Question, int], known_edges: Mapping[int, Edge]) -> None:
        self.arrival = arrival
        self._edges = known_edges
        self._moved_on: dict[int, int] = {}
        self.windows: dict[int, list[EpochWindow]] = defaultdict(list)
        self.points: dict[int, list[Points]] = defaultdict(list)
        self.parts: dict[int, list[AnswerPart]] = defaultdict(list)
        self.days: dict[int, list[AnsweredDays]] = defaultdict(list)
        asked_at = (arrival.asked_at or arrival.now).timestamp()
        meta = arrival.answer.meta
        told_at = min(asked_at, meta.last_updated.timestamp())
        for slice_, series_points, date_range in zip(
            arrival.batch.slices, arrival.answer.series, meta.date_ranges, strict=True
        ):
            window = int(slice_.window.start.timestamp()), int(slice_.window.end.timestamp())
            self.windows[ids[slice_.series]].append(window)
            self.points[ids[slice_.series]].append(_inside(series_points, slice_.window))
            spoken = spoken_window(slice_.window, date_range, meta.last_updated, slice_.series.agg_interval.step)
            self.parts[ids[slice_.series]].append(
                AnswerPart(slice_, series_points.timestamps, spoken, asked_at, told_at)
            )

    def sum_days(self) -> None:
        """Fill in what the answer has of the days of each series that has rows of days."""
        for i, parts in self.parts.items():
            if days.has_rows(parts[0].slice_.series):
                pairs = zip(self.points[i], self.windows[i], strict=True)
                self.days[i] = [answered_days(i, *pair) for pair in pairs]

    def compared(
        self,
        stored: _Stored,
        newer: Newer,
        settles: Mapping[int, int],
        rows: dict[int, list[Evidence]],
    ) -> Change:
        """Compare with what is *stored* there; *rows* is the evidence by series_id, to which the answer's is added."""
        differences: dict[int, Difference] = {}
        absences: dict[int, list[Absence]] = {}
        overruled, cut_off, scopes = set(), [], {}
        for i in self.points:
            spans = merge(self.windows[i])
            until = stored.until.get(i)
            known = _inside_spans(stored.points.get(i, {}), spans) if until is None else {}
            there = known if until is None else self._timestamps(i, until)
            rivals = () if self.arrival.force else newer.get(i, ())
            blocking = [window for window, time in rivals if overrules(time, self.arrival.time)]
            overruled |= {i} if any(start < b and a < end for a, b in blocking for start, end in spans) else set()
            settle = settles.get(i, DEFAULT_SETTLE)
            trimmed = [part.trimmed(there) for part in self.parts[i]]
            cut_off += [slice_ for part in trimmed for slice_ in part.cut_off]
            parts = self._without_moved(i, trimmed, there)
            scopes[i] = Scope([part.spoken for part in parts], blocking)
            if until is not None:
                differences[i] = Difference(ascending(self._values(i, until)), unchanged=len(there))
            else:
                gone = {t for t in stored.vanished.get(i, ()) if _within(t, spans)}
                differences[i] = diff(known, self._values(i), gone, blocking, [part.spoken for part in parts])
            absences[i] = []
            for part in parts:
                rows[i] = part.fold(rows.get(i, []), differences[i], there, blocking, settle)
                absences[i] += part.absences(there, settle)
        return Change(self.arrival, differences, absences, frozenset(overruled), cut_off, self._moved_on, scopes)

    def _timestamps(self, series_id: int, until: float) -> Collection[int]:
        """Return the timestamps of the points of a series, up to *until*."""
        parts = [part.timestamps[: bisect_right(part.timestamps, until)] for part in self.points[series_id]]
        return parts[0] if len(parts) == 1 and isinstance(parts[0], range) else set(chain.from_iterable(parts))

    def _values(self, series_id: int, behind: float = -inf) -> dict[int, float]:
        """Return the values *behind* a timestamp; -0.0 becomes 0.0, because SQLite stores no negative zero."""
        values: dict[int, float] = {}
        for part in self.points[series_id]:
            first = bisect_right(part.timestamps, behind)
            brought = part.values[first:] if first else part.values
            signless = [value + 0.0 for value in brought] if 0.0 in brought else brought
            values.update(zip(part.timestamps[first:], signless, strict=True))
        return values

    def _without_moved(self, series_id: int, parts: Sequence[AnswerPart], stored: Iterable[int]) -> list[AnswerPart]:
        """Leave out buckets that Radar no longer has because its history begins later than before; note the edge."""
        edge = self._edges.get(series_id)
        if edge is None:
            return [*parts]
        kept = [part.moved_on(edge.begins, stored) for part in parts]
        if kept != parts:
            self._moved_on[series_id] = max(part.spoken[0] for part in kept)
        return kept


def _within(timestamp: int, spans: Iterable[tuple[int, int]]) -> bool:
    return any(start <= timestamp < end for start, end in spans)


def _inside_spans(known: Mapping[int, StoredValue], spans: Sequence[tuple[int, int]]) -> Mapping[int, StoredValue]:
    if len(spans) == 1:
        start, end = spans[0]
        return {t: value for t, value in known.items() if start <= t < end}
    return {t: value for t, value in known.items() if _within(t, spans)}


def _inside(series_points: Points, window: Window) -> Points:
    """Return *series_points*. Raises ValueError if one is outside of *window*."""
    timestamps, start, end = series_points.timestamps, window.start.timestamp(), window.end.timestamp()
    if timestamps and not (start <= timestamps[0] and timestamps[-1] < end):
        raise ValueError(f"a point outside of {window}")
    return series_points


def _newer_ranges(connection: sa.Connection, ids: Sequence[int], arrivals: Sequence[ReceivedAnswer]) -> Newer:
    """The ranges of answers that may overrule one of *arrivals*, of one lastUpdated; hardly ever any."""
    parameters = {
        "last_updated": arrivals[0].answer.meta.last_updated,
        "since": min(arrival.time.asked_at for arrival in arrivals) - ONE_DAY,
        "fetch_id": min(arrival.fetch_id for arrival in arrivals),
        "ids": ids,
    }
    ranges: Newer = defaultdict(list)
    for series_id, start, end, *times in _NEWER.rows(connection, parameters):
        ranges[series_id].append(((start, end), AnswerTime(*times)))
    return ranges
