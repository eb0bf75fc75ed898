"""Delete old points and revisions, some at a time; or all rows of a question.

Fetches and fires stay on record: they are the ledger of the budget and of the profiles.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.errors import CollectorError
from collector.store import checksums
from collector.store.db import schema
from collector.store.db.column_types import epoch
from collector.store.db.schema import date_ranges, points, revisions, series, vanished
from collector.store.db.sql import LABELS, advisory_lock
from collector.store.ledger import bodies, replicas
from collector.store.series import coverage, days, evidence, folding, generations, proofs
from collector.store.series.identity import count_points
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.interval import AggInterval
    from collector.store.series.coverage import CoverageRow

_POINTS_AT_ONCE = 5_000
_REVISIONS_AT_ONCE = 50


class ReplacedRow(NamedTuple):
    """The columns of a row of `revisions` that give the order of a bucket's values."""

    timestamp: int
    fetch_id: int
    replaced_by: int
    replaced_at: datetime


class DeletedPoints(NamedTuple):
    """How many points and revisions were deleted, and of which fetches a window is no longer covered.

    *damaged* has a sentence for each answer whose values do not match their checksum.
    """

    points: int
    revisions: int
    fetch_ids: set[int]
    damaged: list[str]


def delete_points(connection: sa.Connection, interval: AggInterval, cutoff: datetime) -> DeletedPoints | None:
    """Delete the oldest points of all series of *interval* before *cutoff*, with all rows about their buckets.

    All at once, because they share rows of coverage; some buckets at a time. Returns None if there was nothing to
    delete. A wrong checksum stays wrong, so that the damage is not hidden.
    """
    coverage.lock(connection)
    ids = _lock(connection, series.c.agg_interval == interval.value)
    oldest = _oldest(connection, ids, cutoff)
    if oldest is None:
        return None
    width = max(_POINTS_AT_ONCE // len(ids), 1) * interval.step
    end = min(cutoff, oldest + width)
    seconds = int(end.timestamp())
    across = coverage.rows(connection, ids, lambda table: sa.and_(table.c.end > end, table.c.start < end))
    damaged = _begin_at(connection, across, seconds) + folding.begin_at(connection, ids, seconds)
    counts = Counter(connection.execute(_older(points, ids, end).returning(points.c.series_id)).scalars())
    number = connection.execute(_older(revisions, ids, end)).rowcount
    marks = connection.execute(_older(vanished, ids, end).returning(vanished.c.series_id, epoch(vanished.c.timestamp)))
    checksums.update_set_checksums(connection, gone=[checksums.mark(*mark) for mark in marks])
    connection.execute(_older(schema.remainders, ids, end))
    fetch_ids = coverage.delete_before(connection, ids, end) | folding.delete_before(connection, ids, end)
    days.delete_before(connection, ids, end)
    proofs.delete_before(connection, ids, end)
    _delete_evidence(connection, ids, end)
    count_points(connection, {series_id: -count for series_id, count in counts.items()})
    return DeletedPoints(counts.total(), number, fetch_ids, damaged)


def consider_again(connection: sa.Connection) -> None:
    """Let all fetches be considered when fetches are pruned the next time."""
    connection.execute(sa.delete(schema.state).where(schema.state.c.key == folding.CONSIDERED_KEY))


def delete_unused_sets(connection: sa.Connection, interval: AggInterval) -> int:
    """Delete the sets of series of *interval* that no answer is about any more. Returns their number."""
    coverage.lock(connection)
    return coverage.delete_unused_sets(connection, _lock(connection, series.c.agg_interval == interval.value))


def _older(table: sa.Table, ids: Sequence[int], end: datetime) -> sa.Delete:
    return sa.delete(table).where(table.c.series_id.in_(ids), table.c.timestamp < end)


def _oldest(connection: sa.Connection, ids: Sequence[int], cutoff: datetime) -> datetime | None:
    """Return the first bucket before *cutoff* that there are rows about; None if there are none."""
    if not ids:
        return None
    first = [
        sa.select(table.c.timestamp).where(table.c.series_id == series.c.id).order_by(table.c.timestamp).limit(1)
        for table in (points, revisions)
    ]
    select = sa.select(*(of_series.scalar_subquery() for of_series in first)).where(series.c.id.in_(ids))
    moments = [moment for row in connection.execute(select) for moment in row]
    moments.append(coverage.first_start(connection, ids))
    return min((moment for moment in moments if moment is not None and moment < cutoff), default=None)


def _begin_at(connection: sa.Connection, rows: Sequence[CoverageRow], start: int) -> list[str]:
    """Let rows begin at *start*, as if their fetches had written nothing before. Returns a sentence for each damage."""
    written = coverage.written(connection, rows)
    changes, damaged = [], []
    for row in rows:
        now = sum(row.checksum_of(series_id, written) for series_id in row.members)
        then = sum(row.checksum_of(series_id, written, start) for series_id in row.members)
        if now % checksums.CHECKSUMS != row.checksum:
            damaged.append(
                f"the values of fetch {row.fetch_id}, of {row.owners}, do not match their checksum:"
                " `collector db verify` tells more"
            )
        changes.append((row, start, then - now))
    coverage.update(connection, changes)
    return damaged


def _delete_evidence(connection: sa.Connection, ids: Sequence[int], cutoff: datetime) -> None:
    """Delete the evidence about buckets before *cutoff*."""
    edge = int(cutoff.timestamp())
    changes = {}
    for series_id, rows in evidence.read(connection, ids).items():
        before = [row for row in rows if row.start < edge]
        changes[series_id] = before, [row.within(edge, row.end) for row in before if row.end > edge]
    evidence.write(connection, changes)
    ended = sa.and_(schema.absences.c.series_id.in_(ids), schema.absences.c.end <= cutoff)
    connection.execute(sa.delete(schema.absences).where(ended))


def _lock(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[int]:
    """Wait for transactions that save to these series; they wait for this one, too. Returns their ids."""
    select = sa.select(series.c.id).where(which).order_by(series.c.id).with_for_update()
    return list(connection.execute(select).scalars())


class OldRevision(NamedTuple):
    """The place of a revision in the order in which revisions become old."""

    replaced_at: datetime
    series_id: int
    timestamp: datetime
    replaced_by: int


def old_revisions(connection: sa.Connection, cutoff: datetime, after: OldRevision | None) -> list[OldRevision]:
    """Read some revisions that were replaced before *cutoff*, the oldest first, behind *after*.

    Almost all of them are deleted then, so that they are read once.
    """
    place = [revisions.c[name] for name in OldRevision._fields]
    older = sa.select(*place).where(revisions.c.replaced_at < cutoff)
    if after:
        borders = [sa.literal(value, column.type) for value, column in zip(after, place, strict=True)]
        older = older.where(revisions.c.replaced_at >= after.replaced_at, sa.tuple_(*place) > sa.tuple_(*borders))
    return [OldRevision(*row) for row in connection.execute(older.order_by(*place).limit(_REVISIONS_AT_ONCE))]


def delete_revisions(connection: sa.Connection, old: Sequence[OldRevision], cutoff: datetime) -> int:
    """Delete the values of the buckets of *old* that were replaced before *cutoff*. Returns their number."""
    coverage.lock(connection)
    buckets: dict[int, set[datetime]] = defaultdict(set)
    for revision in old:
        buckets[revision.series_id].add(revision.timestamp)
    number = 0
    for series_id in _lock(connection, series.c.id.in_(list(buckets))):
        columns = (epoch(revisions.c.timestamp).label("t"), *(revisions.c[name] for name in ReplacedRow._fields[1:]))
        same = sa.select(*columns).where(
            revisions.c.series_id == series_id, revisions.c.timestamp.in_(buckets[series_id])
        )
        rows = [ReplacedRow(*row) for row in connection.execute(same.order_by(revisions.c.timestamp))]
        by_bucket = groupby(rows, key=lambda row: row.timestamp)
        outdated = [row for _, group in by_bucket for row in outdated_revisions(list(group), cutoff)]
        if outdated:
            _delete(connection, series_id, outdated)
        number += len(outdated)
    return number


def outdated_revisions(replaced: Sequence[ReplacedRow], cutoff: datetime) -> list[ReplacedRow]:
    """Choose the earlier values of one bucket that were replaced before *cutoff*.

    A value is deleted only together with the value that it replaced, whatever the clocks showed, because the chain of
    values would have a hole otherwise.
    """
    old = {row.fetch_id: row for row in replaced if row.replaced_at < cutoff}
    kept = [row for row in replaced if row.fetch_id not in old]
    while kept:
        row = old.pop(kept.pop().replaced_by, None)
        kept += [row] if row else []
    return list(old.values())


def _delete(connection: sa.Connection, series_id: int, rows: Iterable[ReplacedRow]) -> None:
    keys = {(row.fetch_id, row.timestamp) for row in rows}
    folding.forget_values(connection, series_id, keys)
    fetch_ids = sorted({fetch_id for fetch_id, _ in keys})
    covered = coverage.rows(connection, [series_id], lambda table: table.c.fetch_id.in_(fetch_ids))
    before = coverage.written(connection, covered, series_id)
    after = {
        (i, fetch_id): [(t, value) for t, value in values if (fetch_id, t) not in keys]
        for (i, fetch_id), values in before.items()
    }
    coverage.update(
        connection,
        ((row, row.start, row.checksum_of(series_id, after) - row.checksum_of(series_id, before)) for row in covered),
    )
    same: list[Any] = [revisions.c.series_id == series_id, revisions.c.timestamp == sa.bindparam("t")]
    delete = sa.delete(revisions).where(*same, revisions.c.replaced_by == sa.bindparam("r"))
    connection.execute(delete, [{"t": from_epoch(row.timestamp), "r": row.replaced_by} for row in rows])


_OF_SERIES = (
    schema.points,
    schema.series_days,
    schema.stale_days,
    schema.revisions,
    schema.vanished,
    schema.remainders,
    schema.groups,
    schema.finality,
    schema.absences,
    schema.snapshots,
    schema.snapshot_points,
    schema.profile_series,
    schema.series,
)
_series, _labels = schema.series, schema.profile_series


class SeriesWanted(CollectorError):
    """A profile still wants the series."""


class SeriesUnknown(CollectorError):
    """There is no such series."""


class SeriesDeletion(NamedTuple):
    """The rows that were deleted, or would be, by table; the *ids* of the series and their last *label*."""

    label: str
    ids: tuple[int, ...]
    rows: Mapping[str, int]


def delete_series(
    connection: sa.Connection, series_id: int, wanted: Mapping[str, str], replica_id: int, *, dry_run: bool
) -> SeriesDeletion:
    """Delete the question of *series_id* with all its series, or with *dry_run* count the rows.

    *wanted* maps the digest of each question of the configured profiles to its label. Raises SeriesUnknown if there is
    no such series, and SeriesWanted if a configured profile, or one of another replica, uses it.
    """
    advisory_lock(connection, LABELS)
    this = sa.select(_series.c.digest, _series.c.label).where(_series.c.id == series_id)
    row = connection.execute(this).one_or_none()
    if row is None:
        raise SeriesUnknown(f"there is no series {series_id}: `collector series` lists them")
    digest = generations.question(row.digest)
    same = generations.question_of(_series.c.digest) == digest
    own = sa.select(schema.groups.c.question).where(schema.groups.c.series_id == series_id)
    question = connection.execute(own).scalar() or digest
    if question == digest:  # with a question go its groups
        groups_of = sa.select(schema.groups.c.series_id).where(schema.groups.c.question == digest)
        same = sa.or_(same, _series.c.id.in_(groups_of))
    if dry_run:
        ids = list(connection.execute(sa.select(_series.c.id).where(same).order_by(_series.c.id)).scalars())
    else:
        coverage.lock(connection)
        ids = _lock(connection, same)
    label = wanted.get(question) or _label_of_others(connection, ids, replica_id)
    if label:
        raise SeriesWanted(f"series {series_id} is not deleted, because a profile still wants it as {label!r}")
    answered = sa.select(sa.func.count()).select_from(date_ranges).where(date_ranges.c.series_id.in_(ids))
    rows = {"date_ranges": int(connection.execute(answered).scalar_one())}
    if not dry_run:
        folding.delete_series(connection, ids)
        coverage.delete_series(connection, ids)
    for table in _OF_SERIES:
        column = table.c.id if table is _series else table.c.series_id
        rows[table.name] = _rows(connection, table, column.in_(ids), dry_run=dry_run)
    rows["proofs"] = _rows(connection, schema.proofs, proofs.of_series(ids), dry_run=dry_run)
    if number := bodies.delete_of_series(connection, digest, dry_run=dry_run):
        rows["bodies"] = number
    if not dry_run:
        _delete_traces(connection, digest, ids)
    return SeriesDeletion(row.label, tuple(ids), rows)


def _label_of_others(connection: sa.Connection, ids: Sequence[int], replica_id: int) -> str | None:
    """Return the label under which a profile of another replica uses one of the series; None if none does."""
    others = replicas.profiles_of_others(connection, replica_id)
    used = sa.and_(_labels.c.series_id.in_(ids), _labels.c.active, _labels.c.profile.in_(sorted(others)))
    return connection.execute(sa.select(_labels.c.label).where(used).limit(1)).scalar()


def _rows(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool], *, dry_run: bool) -> int:
    if dry_run:
        counted = sa.select(sa.func.count()).select_from(table).where(which)
        return int(connection.execute(counted).scalar_one())
    return connection.execute(sa.delete(table).where(which)).rowcount


def _delete_traces(connection: sa.Connection, digest: str, ids: Collection[int]) -> None:
    """Delete rows that name the series but are no history: its edge, refusals, windows of jobs, set checksums.

    Fetches that only this series needed are considered again.
    """
    pauses, windows = schema.refusals, schema.backfill_windows
    consider_again(connection)
    evidence.delete_edge(connection, digest)
    connection.execute(sa.delete(pauses).where(pauses.c.digest.startswith(digest)))
    connection.execute(sa.delete(windows).where(windows.c.series == digest))
    parts = [checksums.mark(series_id, 0)[0] for series_id in ids]
    connection.execute(sa.delete(schema.set_checksums).where(schema.set_checksums.c.part.in_(parts)))
