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
from itertools import chain
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.rules.finality import DEFAULT_SETTLE, doubted
from collector.store.checksums import answered_range, checksum
from collector.store.db.schema import fetches as fetches_table
from collector.store.db.schema import points as points_table
from collector.store.db.schema import revisions
from collector.store.ledger import fetches
from collector.store.ledger.upstream import effective_last_updated
from collector.store.series import coverage, days, evidence, generations, grids, identity, proofs, proposals
from collector.store.series.coverage import AnsweredWindow
from collector.store.write import grouped, points, save_snapshots
from collector.store.write.annotations import AnsweredAnnotations
from collector.store.write.annotations import save as save_annotations
from collector.store.write.comparison import Change, compare
from collector.store.write.diff import written
from collector.store.write.points import NewPoints
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from collector.model import Batch, Question, Window
    from collector.rules.edge import Edge
    from collector.rules.finality import Evidence
    from collector.store.ledger.fetches import ReceivedAnswer, SaveResult
    from collector.store.write.changed_days import ChangedDays
    from collector.store.write.grouped import GroupsSaved

    EvidenceRows = Mapping[int, tuple[Sequence[Evidence], Sequence[Evidence]]]


_BUCKETS_AT_ONCE = 30_000
"""So many buckets in the answers that are saved at once: beyond it, memory grows and nothing gets faster."""


def save(connection: sa.Connection, arrivals: Sequence[ReceivedAnswer]) -> list[SaveResult]:
    """Save answers and end their fetches; for a fetch that is saved already, return the earlier result."""
    stale = grids.of_stale(connection, [arrival.batch for arrival in arrivals])
    if stale:  # requested before another grid came into force: those buckets do not belong to the series
        return _save_apart(connection, arrivals, stale)
    done, asked_at = fetches.recorded(connection, [arrival.fetch_id for arrival in arrivals])
    todo = [
        _with_words(
            connection, effective_last_updated(connection, arrival)._replace(asked_at=asked_at[arrival.fetch_id])
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
        meta = meta._replace(normalization=before[0])
    word = meta.normalization
    absolute = not word or word in generations.absolute_words(connection, [word])
    return arrival._replace(answer=arrival.answer._replace(meta=meta), absolute=absolute)


def _measure(arrival: ReceivedAnswer) -> tuple[object, ...]:
    meta = arrival.answer.meta
    return arrival.batch.slices[0].series.dataset, meta.normalization, meta.unit, meta.last_updated


def _save_new(connection: sa.Connection, arrivals: Sequence[ReceivedAnswer]) -> list[SaveResult]:
    queries = list(dict.fromkeys(slice_.series for arrival in arrivals for slice_ in arrival.batch.slices))
    ids = proposals.resolve(connection, queries, arrivals)
    begins = evidence.read_edges(connection, queries)
    known = {ids[query]: edge for query, edge in begins.items() if edge.is_accepted}
    changes, rows, changed = compare(connection, arrivals, ids, known)
    by_id = {ids[query]: query for query in queries}
    moved: dict[Question, Edge | None] = {}
    for change in changes:
        asked_at = (change.arrival.asked_at or change.arrival.now).timestamp()
        moved |= {by_id[i]: known[i].moves_to(first, asked_at) for i, first in change.moved_on.items()}
    evidence.write_edges(connection, moved)
    _write(connection, changes)
    _write_days(connection, changed)
    of_groups = [grouped.save(connection, change.arrival, ids, change.scopes) for change in changes]
    evidence.write(connection, _with_changed_groups(connection, rows, changes, of_groups))
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


def _with_changed_groups(
    connection: sa.Connection, rows: EvidenceRows, changes: Sequence[Change], saved: Sequence[GroupsSaved]
) -> EvidenceRows:
    """Return the evidence after groups have changed, also where their sum has not."""
    changed = [
        (change.arrival, i, buckets)
        for change, each in zip(changes, saved, strict=True)
        for i, buckets in each.changed.items()
        if buckets
    ]
    if not changed:
        return rows
    settles, doubtful = evidence.settles(connection, {i for _, i, _ in changed}), dict(rows)
    for arrival, i, buckets in changed:
        (before, after), step = doubtful[i], arrival.batch.agg_interval.seconds
        asked_at = (arrival.asked_at or arrival.now).timestamp()
        doubtful[i] = before, doubted(after, buckets, step, settles.get(i, DEFAULT_SETTLE), asked_at)
    return doubtful


def _write(connection: sa.Connection, changes: Sequence[Change]) -> None:
    added: Counter[int] = Counter()
    new = []
    for change in changes:
        for series_id, difference in change.differences.items():
            if difference.inserted:
                added[series_id] += len(difference.inserted)
                new.append(NewPoints(series_id, change.arrival.fetch_id, difference.inserted))
    # in the order of the key, so that the pages of its index are filled
    points.insert(connection, sorted(new, key=lambda block: (block.series_id, next(iter(block.points)))))
    for change in changes:
        fetch_id, now, each = change.arrival.fetch_id, change.arrival.now, change.differences.items()
        if revised := [(i, *replaced) for i, d in each for replaced in d.revised]:
            points.revise(connection, revised, fetch_id, now)
        if vanished := [(i, t) for i, d in each for t in d.vanished]:
            points.set_vanished(connection, vanished, fetch_id, now)
        if returned := [(i, t) for i, d in each for t in d.returned]:
            points.clear_vanished(connection, returned)
    identity.count_points(connection, added)


def _write_days(connection: sa.Connection, changed: ChangedDays) -> None:
    if changed.rows:
        days.write(connection, changed.rows)
    if changed.stale:
        days.make_stale(connection, changed.stale, changed.kept)


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
    days.make_all_stale(connection, series_id)
