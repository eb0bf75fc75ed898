"""Replays: a kept body that was refused is read again, and fills buckets that are still absent.

read                                   decide (pure)                 write
series in force, stored points, the →  a filling for each series →  a fetch, points, date ranges, evidence, annotations
evidence, what retention keeps

An answer speaks for what it knew when it came: nothing stored is changed, and nothing later than its lastUpdated is
taken. It is known from the moment of the replay on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector import __version__
from collector.datasets import is_snapshot
from collector.model import is_absolute
from collector.rules.finality import DEFAULT_SETTLE, AnswerScope, fold
from collector.store.checksums import answered_range, checksum
from collector.store.db.records import insert_fetches
from collector.store.db.schema import bodies, fetches, unfolded_ranges
from collector.store.ledger.fetches import ReceivedAnswer
from collector.store.ledger.upstream import effective_last_updated
from collector.store.retention.prune import stored_cutoff
from collector.store.series import coverage, days, evidence, folds, grids, identity, proposals
from collector.store.series.coverage import AnsweredWindow
from collector.store.write import points
from collector.store.write.annotations import AnsweredAnnotations, add_new
from collector.store.write.diff import spoken_window
from collector.store.write.points import NewPoints
from collector.timestamps import rfc3339
from collector.windows import SeriesWindow, join_buckets, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Answer, Batch, Points, Question
    from collector.rules.finality import Evidence
    from collector.store.series.proposals import SeriesInForce

    _DateRange = tuple[datetime, datetime] | None


_ELSEWHERE = "buckets of this interval start elsewhere now than this question asked for"


class ReadBody(NamedTuple):
    """The kept body of a fetch, parsed again: the *answer* to *batch*."""

    fetch_id: int
    batch: Batch
    answer: Answer


class Replayed(NamedTuple):
    """The result of a replay: *filled* buckets, under the fetch *replayed_by*.

    *unchanged* buckets were stored with the same value, *ignored* with another one. *left_out* has a sentence for each
    part that was not used.
    """

    filled: int = 0
    unchanged: int = 0
    ignored: int = 0
    left_out: tuple[str, ...] = ()
    replayed_by: int | None = None


def rehearse(connection: sa.Connection, read: ReadBody, now: datetime) -> Replayed:
    """Return what `replay` would do."""
    prepared = _prepare(connection, read, now, lock=False)
    return prepared.result if prepared else Replayed()


def replay(connection: sa.Connection, read: ReadBody, now: datetime, replica_id: int) -> Replayed:
    """Add the absent points, and mark the body as replayed. Does nothing if it was replayed before or is not kept."""
    prepared = _prepare(connection, read, now, lock=True)
    if prepared is None:
        return Replayed()
    if prepared.result.left_out and not prepared.result.filled:
        return prepared.result
    fetch_id = _add_fetch(connection, prepared, now, replica_id)
    _write(connection, prepared, fetch_id, now)
    mark = sa.update(bodies).where(bodies.c.fetch_id == read.fetch_id)
    connection.execute(mark.values(replayed_by=fetch_id, version=__version__))
    return prepared.result._replace(replayed_by=fetch_id)


class _Prepared(NamedTuple):
    """All that is to be written: *arrival* is the answer with its original times, *request* its row in `fetches`."""

    arrival: ReceivedAnswer
    request: Any
    series_in_force: Mapping[Question, SeriesInForce]
    fillings: Mapping[Question, Filling]
    left_out: tuple[str, ...]

    @property
    def result(self) -> Replayed:
        fillings = self.fillings.values()
        filled = sum(filling.count for filling in fillings)
        unchanged = sum(filling.unchanged for filling in fillings)
        ignored = sum(filling.ignored for filling in fillings)
        return Replayed(filled, unchanged, ignored, self.left_out)


def _prepare(connection: sa.Connection, read: ReadBody, now: datetime, *, lock: bool) -> _Prepared | None:
    kept = sa.select(bodies.c.received_at, bodies.c.size, bodies.c.replayed_by, fetches).join_from(
        bodies, fetches, fetches.c.id == bodies.c.fetch_id
    )
    kept = kept.where(bodies.c.fetch_id == read.fetch_id)
    row = connection.execute(kept.with_for_update(of=bodies) if lock else kept).one_or_none()
    if row is None or row.replayed_by is not None:
        return None
    came = min(row.received_at, now)
    arrival = ReceivedAnswer(read.fetch_id, read.batch, read.answer, came, row.size, asked_at=min(row.started_at, came))
    arrival = effective_last_updated(connection, arrival)
    queries = list(dict.fromkeys(slice_.series for slice_ in read.batch.slices))
    known = proposals.series_in_force(connection, queries, lock=lock)
    measure = proposals.measure_named(arrival.answer.meta)
    stale = grids.of_stale(connection, [read.batch])
    reasons = {query: _ELSEWHERE if stale else why_left_out(query, known.get(query), measure) for query in queries}
    series_in_force = {query: known[query] for query, reason in reasons.items() if reason is None}
    left_out = tuple(dict.fromkeys(reason for reason in reasons.values() if reason))
    fillings = _fillings(connection, parts_of(arrival), series_in_force)
    return _Prepared(arrival, row, series_in_force, fillings, left_out)


def _fillings(
    connection: sa.Connection, parts: Sequence[Part], series_in_force: Mapping[Question, SeriesInForce]
) -> dict[Question, Filling]:
    """Compare *parts* with the stored points of any unit. Points that retention has deleted stay deleted."""
    windows: dict[Question, list[tuple[int, int]]] = defaultdict(list)
    for part in parts:
        if part.query in series_in_force:
            windows[part.query].append(part.spoken)
    spans = [
        SeriesWindow(i, *span)
        for q, spoken in windows.items()
        for i in series_in_force[q].ids
        for span in merge(spoken)
    ]
    stored = points.read(connection, spans) if spans else {}
    fillings: dict[Question, Filling] = defaultdict(Filling)
    for part in parts:
        if part.query in series_in_force:
            edge = stored_cutoff(connection, part.query.agg_interval)
            values = {t: known for i in series_in_force[part.query].ids for t, known in stored.get(i, {}).items()}
            fillings[part.query].add(part, values, edge.timestamp() if edge else None)
    return fillings


def _add_fetch(connection: sa.Connection, prepared: _Prepared, now: datetime, replica_id: int) -> int:
    arrival, request, result = prepared.arrival, prepared.request, prepared.result
    meta = arrival.answer.meta
    row = {
        **{name: getattr(request, name) for name in ("request", "profiles", "agg_interval")},
        "started_at": now,
        "finished_at": now,
        "outcome": "ok",
        "status": 200,
        "message": f"replay of fetch {arrival.fetch_id}",
        "replay_of": arrival.fetch_id,
        "positions": len(arrival.batch.slices),
        "windows": json.dumps([[rfc3339(window.start), rfc3339(window.end)] for window in arrival.batch.windows]),
        "last_updated": meta.last_updated,
        "normalization": meta.normalization,
        "unit": meta.unit,
        "confidence_level": meta.confidence_level,
        "bytes": arrival.size,
        "inserted": result.filled,
        "revised": 0,
        "unchanged": result.unchanged,
        "vanished": 0,
        "ignored": result.ignored,
        "replica_id": replica_id,
    }
    (fetch_id,) = insert_fetches(connection, [row])
    return fetch_id


def _write(connection: sa.Connection, prepared: _Prepared, fetch_id: int, now: datetime) -> None:
    arrival, measure = prepared.arrival, proposals.measure_named(prepared.arrival.answer.meta)
    ids = {query: in_force.id for query, in_force in prepared.series_in_force.items()}
    for query, in_force in prepared.series_in_force.items():
        if prepared.fillings[query].count:
            proposals.put_in_force(connection, in_force, measure, now)
    rows = [NewPoints(ids[query], fetch_id, filling.values) for query, filling in prepared.fillings.items()]
    points.insert(connection, [row for row in rows if row.points])
    identity.count_points(connection, {row.series_id: len(row.points) for row in rows})
    fine = {
        row.series_id: row.points for row, query in zip(rows, prepared.fillings, strict=True) if days.has_rows(query)
    }
    days.change_points(connection, fine)
    older = _overruled(connection, list(ids.values()), arrival.answer.meta.last_updated)
    windows = [
        _answered(ids[query], fetch_id, part, values, run, is_overruled=ids[query] in older)
        for query, filling in prepared.fillings.items()
        for part, values in filling.added
        for run in join_buckets(sorted(values), query.agg_interval.seconds)
    ]
    coverage.insert(connection, windows)
    _write_evidence(connection, prepared, ids)
    if ids:
        noted = AnsweredAnnotations(arrival.batch, arrival.answer.meta, arrival.time._replace(came_at=now))
        add_new(connection, noted)


def _overruled(connection: sa.Connection, ids: Sequence[int], last_updated: datetime) -> set[int]:
    """Those of the series about which an answer with the same or a later lastUpdated is on record."""
    ranges = unfolded_ranges.c
    newer = sa.select(ranges.series_id).join(fetches, fetches.c.id == ranges.fetch_id).distinct()
    newer = newer.where(ranges.series_id.in_(ids), fetches.c.last_updated >= last_updated)
    return {*connection.execute(newer).scalars(), *folds.updated_since(connection, ids, last_updated)}


def _answered(  # noqa: PLR0913 - two are keywords
    series_id: int, fetch_id: int, part: Part, values: Mapping[int, float], run: tuple[int, int], *, is_overruled: bool
) -> AnsweredWindow:
    """Return the window of a run of filled buckets."""
    start, end = run
    written = {timestamp: value for timestamp, value in sorted(values.items()) if start <= timestamp < end}
    date_range = part.date_range or (None, None)
    answered = answered_range(series_id, fetch_id, start, end, date_range)
    checked = checksum(answered, [*written], [*written.values()])
    return AnsweredWindow(series_id, fetch_id, start, end, date_range, checked, is_overruled)


def _write_evidence(connection: sa.Connection, prepared: _Prepared, ids: Mapping[Question, int]) -> None:
    """Write the evidence of the filled buckets as of the time of the answer; the evidence of other buckets stays."""
    settles = evidence.settles(connection, ids.values())
    before = evidence.read(connection, ids.values())
    asked_at = (prepared.arrival.asked_at or prepared.arrival.now).timestamp()
    told_at = min(asked_at, prepared.arrival.answer.meta.last_updated.timestamp())
    changes: dict[int, tuple[Sequence[Evidence], Sequence[Evidence]]] = {}
    for query, filling in prepared.fillings.items():
        i, step = ids[query], query.agg_interval.seconds
        rows: list[Evidence] = list(before.get(i, []))
        for part, values in filling.added:
            if values:
                scope = AnswerScope(*part.spoken, asked_at, told_at, step, settles.get(i, DEFAULT_SETTLE))
                others = subtract(part.spoken, join_buckets(sorted(values), step))
                rows = fold(rows, scope, first=False, inserted=values, overruled=others)
        changes[i] = before.get(i, []), rows
    evidence.write(connection, changes)


class Part(NamedTuple):
    """One slice of the answer: the *values* of its buckets, and the window it covers."""

    query: Question
    spoken: tuple[int, int]
    values: Mapping[int, float]
    date_range: _DateRange


@dataclass(slots=True)
class Filling:
    """What the parts of one series add: the new buckets of each part."""

    added: list[tuple[Part, dict[int, float]]] = field(default_factory=list)
    unchanged: int = 0
    ignored: int = 0

    @property
    def count(self) -> int:
        """How many new buckets there are."""
        return sum(len(values) for _, values in self.added)

    @property
    def values(self) -> dict[int, float]:
        """All new buckets, ascending."""
        return dict(sorted(pair for _, values in self.added for pair in values.items()))

    def add(self, part: Part, stored: Mapping[int, tuple[float, int]], kept: float | None) -> None:
        """Add what *part* has and *stored* has not, from *kept* on, in epoch seconds."""
        there = self.values
        new = {
            t: v for t, v in part.values.items() if t not in stored and t not in there and (kept is None or t >= kept)
        }
        same = sum(1 for t, v in part.values.items() if t in stored and stored[t][0] == v)
        self.added.append((part, new))
        self.unchanged += same
        self.ignored += sum(1 for t in part.values if t in stored) - same


def parts_of(arrival: ReceivedAnswer) -> list[Part]:
    """Split an answer into its slices, each without the buckets that the answer does not cover."""
    meta, slices = arrival.answer.meta, arrival.batch.slices
    parts = []
    for slice_, read, date_range in zip(slices, arrival.answer.series, meta.date_ranges, strict=True):
        spoken = spoken_window(slice_.window, date_range, meta.last_updated, slice_.series.agg_interval.step)
        parts.append(Part(slice_.series, spoken, dict(_within(read, spoken)), date_range))
    return parts


def _within(read: Points, spoken: tuple[int, int]) -> Iterable[tuple[int, float]]:
    start, end = spoken
    return ((t, v + 0.0) for t, v in zip(read.timestamps, read.values, strict=True) if start <= t < end)


def why_left_out(query: Question, series_in_force: SeriesInForce | None, measure: tuple[str, str]) -> str | None:
    """Return why nothing of a series is filled; None if it may be."""
    if series_in_force is None:
        return f"the store knows no series {query.filters_json} at {query.agg_interval} any more"
    if query.has_groups:
        return f"{series_in_force.label}: an answer by {query.dimension} is requested again instead"
    if is_snapshot(query):
        return f"{series_in_force.label}: a snapshot is made of all answers of one pass"
    normalization = measure[0] or series_in_force.measure[0]
    if normalization and not is_absolute(normalization):
        return f"{series_in_force.label}: {normalization} values hold within one answer only"
    if not series_in_force.takes(measure):
        return (
            f"{series_in_force.label}: the values are in {measure[1]!r} ({measure[0]}), the series is in another unit"
        )
    return None
