"""One state of the history, as it is now or as it was known at a moment.

*as_of* is the moment, or None for now. The statements are in `as_of_selects`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from functools import cached_property, lru_cache
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.interval import AggInterval
from collector.model import Annotation, Question
from collector.rules.clock_difference import radar_lag
from collector.store.ledger import upstream
from collector.store.read import as_of_selects as selects
from collector.store.read.group_series import read_group_series, read_vanished
from collector.store.read.groups_as_filters import as_asked, as_filter, with_groups
from collector.store.read.points import driver_rows, first_of_each, merged, read_run, seen_parameters, select_points
from collector.store.series import folds, generations, grids, snapshots
from collector.store.series.evidence import proven_absent
from collector.store.series.generations import Generation, described, generation, in_force, same_measure
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow, subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from collector.store.read.group_series import GroupSeries
    from collector.store.read.points import Run
    from collector.store.series.folds import LateFetches
    from collector.store.series.grids import LearnedGrid
    from collector.store.series.snapshots import Snapshot

    EpochWindow = tuple[int, int]
    SeriesWindows = Iterable[tuple[int, int, int]]

_ROWS_AT_ONCE = 5_000
_QUESTION = slice(2, 7)
"""The place of a question in a row of `series`."""
_AT_ONCE = _ROWS_AT_ONCE * AggInterval.FIFTEEN_MINUTES.seconds
"""Seconds of history that are read without a cursor, which on Postgres costs three times the reading."""


class Change(NamedTuple):
    """The unit of a query's values changes from *old* to *new* with the bucket at *timestamp*, in epoch seconds."""

    old: str
    new: str
    timestamp: int


class StoredSeries(NamedTuple):
    """The current series of a question. *labels* has active ones first, *normalization* is "" before an answer.

    *generations* are those in force, the newest first, if the question has had several units: see `AsOfReader.within`.
    *change* is where the unit changes within the requested range; no answer can have such a range. *elsewhere* are the
    generations of former grids.
    """

    id: int
    query: Question
    normalization: str
    unit: str
    labels: tuple[str, ...]
    generations: tuple[Generation, ...] = ()
    change: Change | None = None
    elsewhere: tuple[Generation, ...] = ()

    @property
    def answered(self) -> bool:
        """Return whether Radar has ever answered for it."""
        return bool(self.normalization)


class AsOfReader:
    """Reads from one state of the store. *as_of* is the moment whose knowledge counts; None: now."""

    def __init__(self, connection: sa.Connection, as_of: datetime | None) -> None:
        self._connection = connection
        self._as_of = as_of
        self._then = {} if as_of is None else {"as_of": as_of}
        self._taken: dict[int, Snapshot] = {}
        self._alike: dict[int, list[int]] = {}
        self._groups: set[int] = set()
        self._answers: dict[int, Any] = {}

    def at(self, as_of: datetime | None) -> AsOfReader:
        """Return a reader of the same state of the store for what was known at *as_of*."""
        return AsOfReader(self._connection, as_of)

    @cached_property
    def grids(self) -> Mapping[AggInterval, LearnedGrid]:
        """What is known now of the grid of every interval."""
        return grids.learned(self._connection)

    def series(
        self, dataset: str, queries: Iterable[Question] | None = None, dimension: str = ""
    ) -> list[StoredSeries]:
        """List the series of *dataset*, of each query the one that is in force, by id.

        Labels point to it now; at an earlier moment it may have been another one. With *queries* only theirs are read,
        and nothing of former grids. With *dimension* the sums of its groups are listed, too.
        """
        labels: dict[int, list[str]] = defaultdict(list)
        rows: dict[int, Any] = {}
        parameters: dict[str, Any] = {"dataset": dataset, "dimension": dimension}
        if queries is not None:
            parameters["digests"] = [query.digest for query in with_groups(queries)]
        for row in selects.series(chosen=queries is not None).rows(self._connection, parameters):
            rows[row.id] = row
            self._groups |= {row.id} if row.group else set()
            labels[row.id] += [row.label] if row.label is not None else []
        rivals: dict[str, list[Any]] = defaultdict(list)
        for row in rows.values():
            rivals[generations.question(row.digest)].append(row)
        by_query: dict[Question, StoredSeries] = {}
        for same in sorted(rivals.values(), key=lambda same: bool(same[0].group)):  # a group comes after its filter
            query = as_filter(as_asked(_query(*same[0][_QUESTION]), generations.question(same[0].digest)))
            if query is not None and query not in by_query:
                by_query[query] = self._stored_series(same, labels)._replace(query=query)
        return sorted(by_query.values(), key=lambda stored: stored.id)

    def _stored_series(self, same: Sequence[Any], labels: Mapping[int, Sequence[str]]) -> StoredSeries:
        """Return the current series of a question, and remember which ones differ only in the spelling of the unit."""
        generations_ = [generation(row, labelled=bool(labels[row.id])) for row in same]
        if len(generations_) > 1:
            generations_ = in_force(generations_, self._as_of)
        elsewhere = tuple(generation_ for generation_ in generations_ if generation_.former_offset is not None)
        generations_ = [
            generation_ for generation_ in generations_ if generation_.former_offset is None
        ] or generations_
        for generation_ in generations_:
            alike = [other.id for other in generations_ if same_measure(generation_.measure, other.measure)]
            if len(alike) > 1 and alike[0] == generation_.id:
                self._alike[generation_.id] = alike
        first = generations_[0]
        units_differ = any(not same_measure(first.measure, generation_.measure) for generation_ in generations_)
        units = tuple(generations_) if units_differ else ()
        all_labels = tuple(label for row in same for label in labels[row.id])
        query = _query(*same[0][_QUESTION])
        return StoredSeries(first.id, query, *first.measure, all_labels, units, elsewhere=elsewhere)

    def within(self, kept: StoredSeries, start: int, end: int) -> StoredSeries:
        """Return *kept* with the unit of its buckets from *start* up to, not including, *end*; epoch seconds.

        Its *change* is the first change of the unit in that range, if there is any.
        """
        spans = self._spans([generation_.id for generation_ in kept.generations])
        known = [generation_ for generation_ in kept.generations if generation_.id in spans]
        overlapping = [
            generation_ for generation_ in known if spans[generation_.id][0] < end and spans[generation_.id][1] >= start
        ]
        if any(not same_measure(overlapping[0].measure, generation_.measure) for generation_ in overlapping):
            overlapping, change = self._measures(overlapping, start, end)
            if change:
                return kept._replace(generations=(), change=change)
        measure = (overlapping or kept.generations)[0].measure
        newest = next(stored for stored in kept.generations if same_measure(stored.measure, measure))
        return kept._replace(id=newest.id, normalization=newest.normalization, unit=newest.unit, generations=())

    def on_former_grid(self, kept: StoredSeries, start: int, end: int) -> Generation | None:
        """Return the generation on the former grid of a range in epoch seconds; nothing else is stored there."""
        current = [kept.id, *(generation_.id for generation_ in kept.generations)]
        spans = self._spans([*current, *(generation_.id for generation_ in kept.elsewhere)])
        step = kept.query.agg_interval.seconds
        stored = {i for i, (oldest, newest) in spans.items() if oldest < end and newest + step > start}
        former = {generation_.id for generation_ in kept.elsewhere}
        if any(i in stored for i in current if i not in former):
            return None
        return next((generation_ for generation_ in kept.elsewhere if generation_.id in stored), None)

    def _measures(self, same: Sequence[Generation], start: int, end: int) -> tuple[list[Generation], Change | None]:
        """Find the first generation whose values count in a range, and where the unit changes for the first time."""
        streams = [self._blocks(SeriesWindow(generation_.id, start, end)) for generation_ in same]
        first: Generation | None = None
        for number, rows in merged(streams):
            generation_ = same[number]
            if first is None:
                first = generation_
            elif not same_measure(first.measure, generation_.measure):
                change = Change(
                    described(first.measure, generation_.measure),
                    described(generation_.measure, first.measure),
                    rows[0][0],
                )
                return [first], change
        return [first] if first else [], None

    def snapshots(self, ids: Collection[int]) -> dict[int, Snapshot]:
        """Return the newest snapshot of each series as of the moment; absent if there is none.

        Afterwards `points` reads these snapshots.
        """
        self._taken |= snapshots.newest(self._connection, ids, self._as_of)
        return {series_id: self._taken[series_id] for series_id in ids if series_id in self._taken}

    def groups(self, series_id: int, start: int, end: int) -> GroupSeries:
        """Return the groups whose sum is a series, with what is known of them from *start* up to *end*."""
        return read_group_series(self._connection, self._same(series_id), (start, end), self._as_of)

    def extents(self, ids: Collection[int]) -> dict[int, tuple[int, int]]:
        """Find the oldest and newest known timestamp of each series; absent for none."""
        spans = self._spans([other for series_id in ids for other in self._same(series_id)])
        parts = {series_id: [spans[other] for other in self._same(series_id) if other in spans] for series_id in ids}
        return {
            series_id: (min(a for a, _ in each), max(b for _, b in each)) for series_id, each in parts.items() if each
        }

    def _spans(self, ids: Collection[int]) -> dict[int, tuple[int, int]]:
        rows = self._connection.execute(selects.extents(self._as_of, self._late(ids)), {"ids": list(ids)})
        return {series_id: (oldest, newest) for series_id, oldest, newest in rows if oldest is not None}

    def _late(self, ids: Collection[int]) -> LateFetches | None:
        return None if self._as_of is None else folds.late_fetches(self._connection, ids, self._as_of)

    def _same(self, series_id: int) -> Sequence[int]:
        """The series whose units differ in spelling alone, the newest first."""
        return self._alike.get(series_id, (series_id,))

    def last_updated(self, ids: Collection[int]) -> dict[int, datetime]:
        """Find the lastUpdated of the answer that reached furthest, the newest of such, per series; absent for none."""
        furthest = self._furthest([other for series_id in ids for other in self._same(series_id)])
        parts = {
            series_id: [furthest[other].last_updated for other in self._same(series_id) if other in furthest]
            for series_id in ids
        }
        return {series_id: max(moments) for series_id, moments in parts.items() if moments}

    def _furthest(self, ids: Collection[int]) -> dict[int, Any]:
        """Read the answer that reached furthest, the newest of such, per series; absent for none."""
        unread = [series_id for series_id in ids if series_id not in self._answers]
        if unread:
            self._answers |= dict.fromkeys(unread) | self._read_furthest(unread)
        answers = {series_id: self._answers[series_id] for series_id in ids}
        return {series_id: row for series_id, row in answers.items() if row and row.last_updated is not None}

    def _read_furthest(self, ids: Sequence[int]) -> dict[int, Any]:
        furthest: dict[int, Any] = {}
        select = selects.furthest_answers(then=self._as_of is not None)
        for row in select.rows(self._connection, {"ids": ids, **self._then}):
            before = furthest.get(row.series_id)
            if before is None or (before.end, before.fetch_id) < (row.end, row.fetch_id):
                furthest[row.series_id] = row
        if self._as_of is not None:  # now, an answer that is not folded reaches at least as far
            for folded in folds.furthest(self._connection, ids, self._as_of):
                before = furthest.get(folded.series_id)
                reach = (before.end or 0, before.fetch_id or 0) if before else (0, 0)
                if reach < (folded.end, folded.fetch_id):
                    furthest[folded.series_id] = folded
        return furthest

    def published(self, ids: Collection[int], now: float) -> dict[int, float]:
        """Return until when Radar has published each series at *now*, as far as its answers show; epoch seconds.

        lastUpdated is behind Radar's present by the lag of the newest answer. A series without an answer counts as
        published up to that present.
        """
        ahead = upstream.read_clock_difference(self._connection).ahead if self._as_of is None else timedelta(0)
        now -= ahead.total_seconds()
        published_until = dict.fromkeys(ids, now)
        for series_id, row in self._furthest(ids).items():
            if row.finished_at is not None:
                behind = max(radar_lag(row.finished_at - row.last_updated, ahead).total_seconds(), 0.0)
                published_until[series_id] = min(now, max(row.last_updated.timestamp(), now - behind))
        for series_id in self._taken.keys() & published_until.keys():
            snapshot = self._taken[series_id]
            behind = max(radar_lag(snapshot.asked_at - snapshot.last_updated, ahead).total_seconds(), 0.0)
            published_until[series_id] = min(now, max(snapshot.last_updated.timestamp(), now - behind))
        return published_until

    def proven_absent(self, ids: Collection[int]) -> dict[int, list[tuple[int, int]]]:
        """Find the ranges [start, end), in epoch seconds, that Radar is proven not to have; absent for none."""
        return proven_absent(self._connection, ids, self._as_of)

    def is_answered(self, windows: Sequence[SeriesWindow]) -> bool:
        """Return whether an answer on any of the buckets is on record."""
        return bool(self._levels(windows))

    def confidence_level(self, windows: Sequence[SeriesWindow]) -> int | None:
        """Find the lowest confidence level that the newest answer on any of the buckets had; None for unknown."""
        distinct_levels = self._levels(windows)
        if len(distinct_levels) <= 1:
            return next(iter(distinct_levels), None)
        window_series = {other: window.series_id for window in windows for other in self._same(window.series_id)}
        every = tuple(window._replace(series_id=other) for window in windows for other in self._same(window.series_id))
        rows = [
            *map(tuple, self._connection.execute(selects.confidence(every, self._as_of))),
            *self._folded_levels(every),
        ]
        rows.sort(key=itemgetter(0), reverse=True)
        return lowest_level(windows, [ConfidenceRange(window_series[series_id], *rest) for _, series_id, *rest in rows])

    def _folded_levels(self, windows: Iterable[SeriesWindow]) -> list[tuple[Any, ...]]:
        """Read of the folded answers what `confidence` selects of the others."""
        ids_by_window: dict[EpochWindow, list[int]] = defaultdict(list)
        for series_id, start, end in windows:
            ids_by_window[start, end].append(series_id)
        return [
            (answer.fetch_id, series_id, answer.start, answer.end, answer.level)
            for (start, end), ids in ids_by_window.items()
            for series_id, answer in folds.overlapping(self._connection, ids, from_epoch(start), from_epoch(end))
            if not answer.overruled and folds.is_known(answer, self._as_of)
        ]

    def _levels(self, windows: Sequence[SeriesWindow]) -> set[int | None]:
        """Read the confidence levels of all answers on any of the buckets; None for unknown."""
        ids_by_window: dict[tuple[int, int], list[int]] = defaultdict(list)
        for window in windows:
            ids_by_window[window.start, window.end] += self._same(window.series_id)
        select, levels = selects.confidence_levels(then=self._as_of is not None), set[int | None]()
        for edges, ids in ids_by_window.items():
            parameters = {"ids": ids, **selects.parameters(*edges), **self._then}
            levels |= {level for (level,) in select.rows(self._connection, parameters)}
            levels |= folds.levels(self._connection, ids, from_epoch(edges[0]), from_epoch(edges[1]), self._as_of)
        return levels

    def unit_names(self, unit: str) -> tuple[str, ...]:
        """Return the names of *unit* in the newest answer, even if *as_of* is an earlier moment."""
        return generations.read_unit_names(self._connection, unit)

    def annotations(self, dataset: str, windows: Iterable[tuple[int, int]]) -> list[Annotation]:
        """List the annotations that concern any of *windows* (start, end), by start date, without the withdrawn."""
        select, rows = selects.remarks(then=self._as_of is not None), dict[int, Any]()
        for edges in dict.fromkeys(windows):
            parameters = {"dataset": dataset, **selects.parameters(*edges), **self._then}
            rows |= {row.id: row for row in select.rows(self._connection, parameters)}
        return [_annotation(row) for row in sorted(rows.values(), key=attrgetter("start_date", "id"))]

    def run(self, window: SeriesWindow, step: int) -> Run | None:
        """Read the points of a window as text; None if `points` must be used, see `read_run`."""
        is_plain = self._as_of is None and window.series_id not in self._taken and window.series_id not in self._alike
        if not is_plain or self._vanished(window):
            return None
        return read_run(self._connection, window.series_id, from_epoch(window.start), from_epoch(window.end), step)

    def points(self, window: SeriesWindow) -> Iterator[Sequence[tuple[int, float]]]:
        """Yield blocks of (timestamp, value), ascending, in constant memory.

        A value has no place in the answer if `series` found a group, and a later answer left nothing for it there.
        """
        same = self._same(window.series_id)
        if len(same) == 1:
            return self._blocks(window)
        return (rows for _, rows in merged([self._blocks(window._replace(series_id=series_id)) for series_id in same]))

    def _blocks(self, window: SeriesWindow) -> Iterator[Sequence[tuple[int, float]]]:
        within = from_epoch(window.start), from_epoch(window.end)
        taken = self._taken.get(window.series_id)
        seen = {} if taken else seen_parameters(self._connection, [window.series_id], self._as_of)
        select, bounds = select_points(window.series_id, *within, seen, taken.asked_at if taken else None)
        if window.end - window.start <= _AT_ONCE:
            rows = driver_rows(self._connection.execute(select, bounds))
            blocks: Iterator[Sequence[Any]] = iter([rows] if rows else [])
        else:
            result = self._connection.execute(select.execution_options(yield_per=_ROWS_AT_ONCE), bounds)
            blocks = result.partitions()
        counted = blocks if self._as_of is None or taken else _firsts(blocks)
        gone = frozenset() if taken else self._vanished(window)
        return _without(counted, gone) if gone else counted

    def _vanished(self, window: SeriesWindow) -> frozenset[int]:
        """Return the buckets of a group that have vanished; of another series they count."""
        if window.series_id not in self._groups:
            return frozenset()
        span = window.start, window.end
        return read_vanished(self._connection, [window.series_id], span, self._as_of).get(window.series_id, frozenset())


def _without(blocks: Iterable[Sequence[Any]], gone: frozenset[int]) -> Iterator[Sequence[tuple[int, float]]]:
    for block in blocks:
        if kept := [point for point in block if point[0] not in gone]:
            yield kept


def _firsts(blocks: Iterable[Sequence[Any]]) -> Iterator[Sequence[tuple[int, float]]]:
    newest: int | None = None
    for block in blocks:
        yield first_of_each(block, newest)
        newest = block[-1][0]


@lru_cache(maxsize=8192)
def _query(dataset: str, agg_interval: str, filters: str, dimension: str, group: str) -> Question:
    listed = {name: tuple(values) for name, values in json.loads(filters).items()}
    return Question(AggInterval(agg_interval), listed, dataset, dimension, group)


def _annotation(row: Any) -> Annotation:
    return Annotation(
        start_date=row.start_date,
        end_date=row.end_date,
        data_source=row.data_source,
        event_type=row.event_type,
        description=row.description,
        linked_url=row.linked_url,
        is_instantaneous=bool(row.is_instantaneous),
        tags=tuple(json.loads(row.tags)),
    )


class ConfidenceRange(NamedTuple):
    """An answer on the buckets from *start* up to *end* of a series, and its confidence level."""

    series_id: int
    start: int
    end: int
    level: int | None


def lowest_level(windows: SeriesWindows, spoken: Sequence[ConfidenceRange]) -> int | None:
    """Return the lowest level in force on *windows* (series_id, start, end); *spoken* has the newest answer first.

    Only the newest answer about a bucket counts, because a level rises when Radar's data has been repaired.
    """
    levels = set()
    for series_id, start, end in windows:
        open_ranges = [(start, end)]
        for answer in spoken:
            if answer.series_id != series_id or not open_ranges:
                continue
            rest = [part for open_range in open_ranges for part in subtract(open_range, [(answer.start, answer.end)])]
            if rest != open_ranges:
                levels.add(answer.level)
            open_ranges = rest
    return min((level for level in levels if level is not None), default=None)
