"""Save answers: read what is stored in their windows, decide what changes, write only that.

read                             decide (pure)                  write
series, newer ranges, points, →  a change for each answer,  →  points, revisions, marks, ranges, annotations, fetches,
evidence                         evidence for its values        evidence, absences

Answers that wait at the same time are saved together, because a statement costs more than its work.

An answer is true for its lastUpdated. If a newer answer overrules it for a bucket, it changes nothing there; it may
only add buckets that no answer has brought so far. Its other values are counted as ignored. Values that are relative to
one whole answer (`MIN_MAX` and the like) never form one history: only the latest answer's points stay in force.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.rules.finality import DEFAULT_SETTLE, Absence
from collector.store.checksums import answered_range, checksum
from collector.store.db.schema import fetches as fetches_table
from collector.store.db.schema import points as points_table
from collector.store.db.schema import revisions
from collector.store.ledger import fetches
from collector.store.ledger.fetches import DAY, AnswerTime, SaveResult, overrules
from collector.store.ledger.upstream import effective_last_updated
from collector.store.series import coverage, evidence, generations, grids, identity, proofs, proposals
from collector.store.series.coverage import AnsweredWindow
from collector.store.write import grouped, points, save_snapshots
from collector.store.write.annotations import AnsweredAnnotations
from collector.store.write.annotations import save as save_annotations
from collector.store.write.diff import AnswerPart, Difference, diff, spoken_window, written
from collector.store.write.grouped import Scope
from collector.store.write.points import NewPoints
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow, merge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from collector.model import Batch, Points, Question, Slice, Window
    from collector.rules.edge import Edge
    from collector.rules.finality import Evidence
    from collector.store.ledger.fetches import ReceivedAnswer
    from collector.store.write.diff import StoredValue
    from collector.store.write.points import Stored
    from collector.windows import EpochWindow

    Ranges = Mapping[int, list[tuple[int, int]]]
    Newer = dict[int, list[tuple[tuple[int, int], AnswerTime]]]

_BUCKETS_AT_ONCE = 30_000
"""So many buckets in the answers that are saved at once: beyond it, memory grows and nothing gets faster."""

# Statements of every answer are built once: building one costs several times its execution.
_last_updated: sa.BindParameter[Any] = sa.bindparam("last_updated")
_later = sa.and_(fetches_table.c.last_updated > _last_updated, fetches_table.c.finished_at >= sa.bindparam("since"))
_alike = sa.and_(fetches_table.c.last_updated == _last_updated, fetches_table.c.id > sa.bindparam("fetch_id"))
_NEWER = sa.union_all(*(select.where(which) for which in (_later, _alike) for select in coverage.OF_FETCHES))
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
            yield from ((series_id, revision.timestamp) for revision in difference.revised)
            yield from ((series_id, timestamp) for timestamp in (*difference.vanished, *difference.returned))

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


def save(connection: sa.Connection, arrivals: Sequence[ReceivedAnswer]) -> list[SaveResult]:
    """Save answers and end their fetches; for a fetch that is saved already, return the earlier result."""
    stale = grids.of_stale(connection, [arrival.batch for arrival in arrivals])
    if stale:  # requested before another grid came into force: those buckets do not belong to the series
        return _save_apart(connection, arrivals, stale)
    done, asked_at = fetches.recorded(connection, [arrival.fetch_id for arrival in arrivals])
    todo = [
        _with_words(
            connection, replace(effective_last_updated(connection, arrival), asked_at=asked_at[arrival.fetch_id])
        )
        for arrival in arrivals
        if arrival.fetch_id not in done
    ]
    for group in _groups(todo):
        results = _save_new(connection, group)
        done |= {arrival.fetch_id: result for arrival, result in zip(group, results, strict=True)}
    return [done[arrival.fetch_id] for arrival in arrivals]


def _save_apart(
    connection: sa.Connection, arrivals: Sequence[ReceivedAnswer], stale: Collection[Batch]
) -> list[SaveResult]:
    """Save answers one by one: of those to *stale* batches, only the outcome and the annotations."""
    results = []
    for arrival in arrivals:
        saving = save_snapshots.note if arrival.batch in stale else save
        results += saving(connection, [arrival])
    return results


def _groups(arrivals: Iterable[ReceivedAnswer]) -> list[list[ReceivedAnswer]]:
    """Cut *arrivals* into runs that can be saved at once: of one lastUpdated and measure, and no bucket twice."""
    groups: list[list[ReceivedAnswer]] = []
    windows: dict[Question, list[Window]] = defaultdict(list)
    buckets = 0
    for arrival in arrivals:
        slices = arrival.batch.slices
        buckets += arrival.batch.buckets
        apart = any(slice_.window.overlaps(other) for slice_ in slices for other in windows.get(slice_.series, ()))
        apart = apart or buckets > _BUCKETS_AT_ONCE or not arrival.absolute
        if not groups or apart or _measure(arrival) != _measure(groups[-1][0]):
            groups.append([])
            windows.clear()
            buckets = arrival.batch.buckets
        groups[-1].append(arrival)
        for slice_ in slices:
            windows[slice_.series].append(slice_.window)
    return groups


def _with_words(connection: sa.Connection, arrival: ReceivedAnswer) -> ReceivedAnswer:
    """Fill in the normalization that an answer about one slice does not name, and whether its values compare."""
    meta, slices = arrival.answer.meta, arrival.batch.slices
    if not meta.normalization and len(slices) == 1:
        before = proposals.measure_of(connection, slices[0].series)
        meta = replace(meta, normalization=before[0])
    word = meta.normalization
    absolute = not word or word in generations.absolute_words(connection, [word])
    return replace(arrival, answer=replace(arrival.answer, meta=meta), absolute=absolute)


def _measure(arrival: ReceivedAnswer) -> tuple[object, ...]:
    meta = arrival.answer.meta
    return arrival.batch.slices[0].series.dataset, meta.normalization, meta.unit, meta.last_updated


def _save_new(connection: sa.Connection, arrivals: Sequence[ReceivedAnswer]) -> list[SaveResult]:
    queries = list(dict.fromkeys(slice_.series for arrival in arrivals for slice_ in arrival.batch.slices))
    ids = proposals.resolve(connection, queries, arrivals)
    begins = evidence.read_edges(connection, queries)
    known = {ids[query]: edge for query, edge in begins.items() if edge.is_accepted}
    changes, rows = _compare(connection, arrivals, ids, known)
    by_id = {ids[query]: query for query in queries}
    moved: dict[Question, Edge | None] = {}
    for change in changes:
        asked_at = (change.arrival.asked_at or change.arrival.now).timestamp()
        moved |= {by_id[i]: known[i].moves_to(first, asked_at) for i, first in change.moved_on.items()}
    evidence.write_edges(connection, moved)
    _write(connection, changes)
    of_groups = [grouped.save(connection, change.arrival, ids, change.scopes) for change in changes]
    evidence.write(connection, rows)
    for change in changes:
        evidence.add_absences(connection, change.arrival.fetch_id, change.absences)
    for change in changes:
        if not change.arrival.absolute:
            _supersede(connection, change, ids)
    windows = chain.from_iterable(_answered(change, ids) for change in changes)
    coverage.insert(connection, chain(windows, *(saved.windows for saved in of_groups)))
    saved = [change.count(ids, groups.counts) for change, groups in zip(changes, of_groups, strict=True)]
    fetches.succeed(connection, [*zip(arrivals, saved, strict=True)])
    # What all answers share comes last, and is not held for long.
    save_annotations(connection, [AnsweredAnnotations(a.batch, a.answer.meta, a.time) for a in arrivals])
    proofs.reopen(connection, chain.from_iterable(change.changed_buckets() for change in changes))
    return saved


def _compare(
    connection: sa.Connection,
    arrivals: Sequence[ReceivedAnswer],
    ids: Mapping[Question, int],
    known_edges: Mapping[int, Edge],
) -> tuple[list[Change], dict[int, tuple[Sequence[Evidence], Sequence[Evidence]]]]:
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
    values = points.read_values(connection, spans)
    missed = points.read_vanished(connection, spans) if values else {}
    equal = {i for i, rows in values.items() if i not in missed and rows == _rows_of(answers, i)}
    differing = [span for span in spans if span.series_id in values and span.series_id not in equal]
    stored = _Stored(points.read(connection, differing) if differing else {}, missed, equal)
    newer = _newer_ranges(connection, list(windows), arrivals) if values or before else {}
    after = {series_id: list(rows) for series_id, rows in before.items()}
    changes = [answer.compared(stored, newer, settles, after) for answer in answers]
    return changes, {series_id: (before.get(series_id, []), rows) for series_id, rows in after.items()}


def _rows_of(answers: Sequence[_Answered], series_id: int) -> list[tuple[int, int, float]]:
    """Return what *answers* have of a series, as `points.read_values` returns it."""
    parts = [part for answer in answers for part in answer.points.get(series_id, ())]
    rows = [row for part in parts for row in zip(repeat(series_id), part.timestamps, part.values)]
    return rows if len(parts) == 1 else sorted(rows)


class _Stored(NamedTuple):
    """The stored *points* in the windows of some answers, and which of these are marked as vanished.

    Of the series that are *equal* to the answers, no points are read.
    """

    points: Stored
    vanished: Mapping[int, Iterable[int]]
    equal: Collection[int]


class _Answered:
    """One received answer: its windows and points by series_id; *known_edges* are the accepted edges."""

    def __init__(self, arrival: ReceivedAnswer, ids: Mapping[Question, int], known_edges: Mapping[int, Edge]) -> None:
        self.arrival = arrival
        self._edges = known_edges
        self._moved_on: dict[int, int] = {}
        self.windows: dict[int, list[EpochWindow]] = defaultdict(list)
        self.points: dict[int, list[Points]] = defaultdict(list)
        self.parts: dict[int, list[AnswerPart]] = defaultdict(list)
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
            is_equal = i in stored.equal
            known = self._equal_points(i) if is_equal else _inside_spans(stored.points.get(i, {}), spans)
            rivals = () if self.arrival.force else newer.get(i, ())
            blocking = [window for window, time in rivals if overrules(time, self.arrival.time)]
            overruled |= {i} if any(start < b and a < end for a, b in blocking for start, end in spans) else set()
            settle = settles.get(i, DEFAULT_SETTLE)
            trimmed = [part.trimmed(known) for part in self.parts[i]]
            cut_off += [slice_ for part in trimmed for slice_ in part.cut_off]
            parts = self._without_moved(i, trimmed, known)
            scopes[i] = Scope([part.spoken for part in parts], blocking)
            if is_equal:
                differences[i] = Difference(unchanged=len(known))
            else:
                gone = {t for t in stored.vanished.get(i, ()) if _within(t, spans)}
                differences[i] = diff(known, self._values(i), gone, blocking, [part.spoken for part in parts])
            absences[i] = []
            for part in parts:
                rows[i] = part.fold(rows.get(i, []), differences[i], known, blocking, settle)
                absences[i] += part.absences(known, settle)
        return Change(self.arrival, differences, absences, frozenset(overruled), cut_off, self._moved_on, scopes)

    def _equal_points(self, series_id: int) -> Mapping[int, StoredValue]:
        """Return the points of a series as stored ones, by which fetch is not known."""
        return dict.fromkeys(chain.from_iterable(part.timestamps for part in self.points[series_id]), (0.0, 0))

    def _values(self, series_id: int) -> dict[int, float]:
        """Return the values by timestamp; -0.0 becomes 0.0, because SQLite stores no negative zero."""
        values: dict[int, float] = {}
        for part in self.points[series_id]:
            signless = [value + 0.0 for value in part.values] if 0.0 in part.values else part.values
            values.update(zip(part.timestamps, signless, strict=True))
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
        "since": min(arrival.time.asked_at for arrival in arrivals) - DAY,
        "fetch_id": min(arrival.fetch_id for arrival in arrivals),
        "ids": ids,
    }
    ranges: Newer = defaultdict(list)
    for series_id, start, end, *times in connection.execute(_NEWER, parameters):
        ranges[series_id].append(((start, end), AnswerTime(*times)))
    return ranges


def _write(connection: sa.Connection, changes: Sequence[Change]) -> None:
    added: Counter[int] = Counter()
    new = []
    for change in changes:
        for series_id, difference in sorted(change.differences.items()):
            added[series_id] += len(difference.inserted)
            new.append(NewPoints(series_id, change.arrival.fetch_id, difference.inserted))
    points.insert(connection, new)
    for change in changes:
        fetch_id, now, each = change.arrival.fetch_id, change.arrival.now, change.differences.items()
        if revised := [(i, *replaced) for i, d in each for replaced in d.revised]:
            points.revise(connection, revised, fetch_id, now)
        if vanished := [(i, t) for i, d in each for t in d.vanished]:
            points.set_vanished(connection, vanished, fetch_id, now)
        if returned := [(i, t) for i, d in each for t in d.returned]:
            points.clear_vanished(connection, returned)
    identity.count_points(connection, added)


def _answered(change: Change, ids: Mapping[Question, int]) -> Iterable[AnsweredWindow]:
    """Return the windows that the answer covers, with the checksums of the values that it wrote."""
    arrival = change.arrival
    slices = zip(arrival.batch.slices, arrival.answer.meta.date_ranges, strict=True)
    windows = {}
    for slice_, date_range in slices:
        series_id, times = ids[slice_.series], date_range or (None, None)
        start, end = int(slice_.window.start.timestamp()), int(slice_.window.end.timestamp())
        answered = answered_range(series_id, arrival.fetch_id, start, end, times)
        checked = checksum(answered, *written(change.differences[series_id], start, end))
        is_overruled = series_id in change.overruled
        windows[series_id, end] = AnsweredWindow(series_id, arrival.fetch_id, start, end, times, checked, is_overruled)
    return windows.values()


_MOVED = ("series_id", "timestamp", "replaced_by", "value", "fetch_id", "seen_at", "replaced_at")


def _supersede(connection: sa.Connection, change: Change, ids: Mapping[Question, int]) -> None:
    """Move all other values of a relative series into the revisions, because they hold within one answer only.

    They are outside of the window of the answer's one slice, or the answer no longer has them. If the fetch of an old
    value is no longer on record, the value counts as seen since its bucket began.
    """
    (slice_,) = change.arrival.batch.slices
    series_id, table = ids[slice_.series], points_table.c
    vanished = [from_epoch(timestamp) for timestamp in change.differences[series_id].vanished]
    outside = sa.or_(table.timestamp < slice_.window.start, table.timestamp >= slice_.window.end)
    others = sa.and_(table.series_id == series_id, sa.or_(outside, table.timestamp.in_(vanished)))
    seen_at = sa.select(fetches_table.c.finished_at).where(fetches_table.c.id == table.fetch_id).scalar_subquery()
    replaced_at = sa.literal(change.arrival.now, revisions.c.replaced_at.type)
    kept = table.series_id, table.timestamp, sa.literal(change.arrival.fetch_id), table.value, table.fetch_id
    moved = sa.select(*kept, sa.func.coalesce(seen_at, table.timestamp), replaced_at).where(others)
    connection.execute(sa.insert(revisions).from_select(_MOVED, moved))
    deleted = connection.execute(sa.delete(points_table).where(others)).rowcount
    identity.count_points(connection, {series_id: -deleted})
