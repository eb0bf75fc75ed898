"""Delete old points and revisions, some of one series at a time; or all rows of a question.

Fetches and fires stay on record: they are the ledger of the budget and of the profiles.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.errors import CollectorError
from collector.store import checksums
from collector.store.checksums import answered_range, checksum
from collector.store.db import schema
from collector.store.db.column_types import epoch
from collector.store.db.schema import date_ranges, points, revisions, series, vanished
from collector.store.db.sql import LABELS, advisory_lock
from collector.store.errors import StoreCorrupt
from collector.store.ledger import bodies, replicas
from collector.store.series import evidence, generations
from collector.store.series.identity import count_points
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.store.checksums import CheckedRange

    StartAndEnd = Sequence[datetime | None]

_POINTS_AT_ONCE = 5_000
_REVISIONS_AT_ONCE = 1_000


class ReplacedRow(NamedTuple):
    """The columns of a row of `revisions` that give the order of a bucket's values."""

    timestamp: int
    fetch_id: int
    replaced_by: int
    replaced_at: datetime


def delete_points(connection: sa.Connection, series_id: int, cutoff: datetime) -> tuple[int, int] | None:
    """Delete the oldest points of a series before *cutoff*, some at a time, with all rows about their buckets.

    Returns the numbers of points and revisions; None if there was nothing to delete.
    """
    _lock(connection, series_id)
    if not _has_older(connection, series_id, cutoff):
        return None
    end = _end_of_step(connection, series_id, cutoff)
    seconds = int(end.timestamp())
    across = sa.and_(date_ranges.c.end > end, date_ranges.c.start < end)
    recompute_checksums(connection, series_id, across, lambda _, timestamp: timestamp >= seconds, seconds)
    deleted = [
        connection.execute(sa.delete(table).where(table.c.series_id == series_id, column < end)).rowcount
        for table, column in ((points, points.c.timestamp), (revisions, revisions.c.timestamp))
    ]
    marks = sa.delete(vanished).where(vanished.c.series_id == series_id, vanished.c.timestamp < end)
    timestamps = connection.execute(marks.returning(epoch(vanished.c.timestamp))).scalars()
    checksums.update_set_checksums(connection, gone=[checksums.mark(series_id, timestamp) for timestamp in timestamps])
    ended = sa.and_(date_ranges.c.series_id == series_id, date_ranges.c.end <= end)
    connection.execute(sa.delete(date_ranges).where(ended))
    _delete_evidence(connection, series_id, end)
    count_points(connection, {series_id: -deleted[0]})
    return deleted[0], deleted[1]


def _lock(connection: sa.Connection, series_id: int) -> None:
    """Wait for transactions that save to this series; they wait for this one, too."""
    connection.execute(sa.select(series.c.id).where(series.c.id == series_id).with_for_update())


def _has_older(connection: sa.Connection, series_id: int, cutoff: datetime) -> bool:
    for table, column in (
        (points, points.c.timestamp),
        (revisions, revisions.c.timestamp),
        (date_ranges, date_ranges.c.start),
    ):
        older = sa.select(table.c.series_id).where(table.c.series_id == series_id, column < cutoff).limit(1)
        if connection.execute(older).first() is not None:
            return True
    return False


def _end_of_step(connection: sa.Connection, series_id: int, cutoff: datetime) -> datetime:
    """Return the bucket before which one transaction deletes."""
    ends = [cutoff]
    for table, column in ((points, points.c.timestamp), (date_ranges, date_ranges.c.end)):
        rows = sa.select(column).where(table.c.series_id == series_id, column < cutoff).order_by(column)
        ends += connection.execute(rows.offset(_POINTS_AT_ONCE).limit(1)).scalars().all()
    return min(ends)


def _delete_evidence(connection: sa.Connection, series_id: int, cutoff: datetime) -> None:
    """Delete the evidence about buckets before *cutoff*."""
    edge = int(cutoff.timestamp())
    before = [row for row in evidence.read(connection, [series_id])[series_id] if row.start < edge]
    after = [row.within(edge, row.end) for row in before if row.end > edge]
    evidence.write(connection, {series_id: (before, after)})
    ended = sa.and_(schema.absences.c.series_id == series_id, schema.absences.c.end <= cutoff)
    connection.execute(sa.delete(schema.absences).where(ended))


def delete_revisions(connection: sa.Connection, series_id: int, cutoff: datetime, after: int) -> tuple[int, int] | None:
    """Delete values of a series that were replaced before *cutoff*, of some buckets later than *after*.

    Returns their number and the last bucket that was considered; None if there was none.
    """
    _lock(connection, series_id)
    columns = (epoch(revisions.c.timestamp).label("t"), *(revisions.c[name] for name in ReplacedRow._fields[1:]))
    later = sa.select(*columns).where(revisions.c.series_id == series_id, revisions.c.timestamp > from_epoch(after))
    result = connection.execute(later.order_by(revisions.c.timestamp).limit(_REVISIONS_AT_ONCE))
    rows = [ReplacedRow(*row) for row in result]
    if not rows:
        return None
    if len(rows) == _REVISIONS_AT_ONCE and rows[0].timestamp != rows[-1].timestamp:
        rows = [row for row in rows if row.timestamp != rows[-1].timestamp]  # because the limit may cut its values
    by_bucket = groupby(rows, key=lambda row: row.timestamp)
    old = [row for _, group in by_bucket for row in outdated_revisions(list(group), cutoff)]
    if old:
        _delete(connection, series_id, old)
    return len(old), rows[-1].timestamp


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
    fetch_ids = sorted({fetch_id for fetch_id, _ in keys})
    concerned = date_ranges.c.fetch_id.in_(fetch_ids)
    recompute_checksums(connection, series_id, concerned, lambda fetch_id, timestamp: (fetch_id, timestamp) not in keys)
    same: list[Any] = [revisions.c.series_id == series_id, revisions.c.timestamp == sa.bindparam("t")]
    delete = sa.delete(revisions).where(*same, revisions.c.replaced_by == sa.bindparam("r"))
    connection.execute(delete, [{"t": from_epoch(row.timestamp), "r": row.replaced_by} for row in rows])


def recompute_checksums(
    connection: sa.Connection,
    series_id: int,
    which: sa.ColumnElement[bool],
    stays: Callable[[int, int], bool],
    cutoff: int | None = None,
) -> None:
    """Write the date ranges *which* of a series as if their fetches had written only what *stays*.

    Call it before anything is deleted. *stays* gets (fetch_id, timestamp). A range that begins before *cutoff*, in
    epoch seconds, begins there afterwards. Raises StoreCorrupt if a checksum does not agree now, because a new one
    would hide the damage.
    """
    ranges = _ranges(connection, series_id, which)
    if not ranges:
        return
    written = _written(connection, series_id, ranges)
    rows = []
    for checked, start_and_end, stored_checksum in ranges:
        values = [(t, v) for t, v in written[checked.fetch_id] if checked.start <= t < checked.end]
        if checksum(checked, *_columns(values)) != stored_checksum:
            raise StoreCorrupt(
                f"nothing is deleted of series {series_id}, because the values of fetch {checked.fetch_id} do not match"
                " their checksum: `collector db verify` tells more"
            )
        start = max(checked.start, cutoff or checked.start)
        shortened = answered_range(series_id, checked.fetch_id, start, checked.end, start_and_end)
        left = [(t, v) for t, v in values if stays(checked.fetch_id, t)]
        row = {"e": from_epoch(checked.end), "f": checked.fetch_id, "a": from_epoch(start)}
        rows.append({**row, "c": checksum(shortened, *_columns(left))})
    table = date_ranges.c
    same = (table.series_id == series_id, table.end == sa.bindparam("e"), table.fetch_id == sa.bindparam("f"))
    update = sa.update(date_ranges).where(*same)
    connection.execute(update.values(start=sa.bindparam("a"), checksum=sa.bindparam("c")), rows)


def _ranges(
    connection: sa.Connection, series_id: int, which: sa.ColumnElement[bool]
) -> list[tuple[CheckedRange, StartAndEnd, int]]:
    table = date_ranges.c
    columns = (table.fetch_id, epoch(table.start).label("a"), epoch(table.end).label("b"))
    select = sa.select(*columns, table.start_time, table.end_time, table.checksum)
    rows = connection.execute(select.where(table.series_id == series_id, which))
    return [
        (answered_range(series_id, f, a, b, start_and_end), start_and_end, kept)
        for f, a, b, *start_and_end, kept in rows
    ]


def _written(
    connection: sa.Connection, series_id: int, ranges: Sequence[tuple[CheckedRange, StartAndEnd, int]]
) -> dict[int, list[tuple[int, float]]]:
    """Return what the fetches of *ranges* wrote between these: (timestamp, value), ascending, by fetch_id."""
    fetch_ids = {checked.fetch_id for checked, *_ in ranges}
    first = from_epoch(min(checked.start for checked, *_ in ranges))
    last = from_epoch(max(checked.end for checked, *_ in ranges))
    written: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for table in (points, revisions):
        columns = (table.c.fetch_id, epoch(table.c.timestamp), table.c.value)
        inside = (table.c.series_id == series_id, table.c.timestamp >= first, table.c.timestamp < last)
        for fetch_id, timestamp, value in connection.execute(sa.select(*columns).where(*inside)):
            if fetch_id in fetch_ids:
                written[fetch_id].append((timestamp, value))
    for values in written.values():
        values.sort()
    return written


def _columns(pairs: Sequence[tuple[int, Any]]) -> tuple[list[int], list[Any]]:
    return [timestamp for timestamp, _ in pairs], [value for _, value in pairs]


_OF_SERIES = (
    schema.points,
    schema.revisions,
    schema.vanished,
    schema.date_ranges,
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


@dataclass(frozen=True, slots=True)
class SeriesDeletion:
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
    same = sa.select(_series.c.id).where(generations.question_of(_series.c.digest) == digest).order_by(_series.c.id)
    ids = [*connection.execute(same).scalars()]
    label = wanted.get(digest) or _label_of_others(connection, ids, replica_id)
    if label:
        raise SeriesWanted(f"series {series_id} is not deleted, because a profile still wants it as {label!r}")
    rows = {}
    for table in _OF_SERIES:
        column = table.c.id if table is _series else table.c.series_id
        rows[table.name] = _rows(connection, table, column.in_(ids), dry_run=dry_run)
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
    """Delete rows that name the series but are no history: its edge, refusals, windows of jobs, set checksums."""
    pauses, windows = schema.refusals, schema.backfill_windows
    evidence.delete_edge(connection, digest)
    connection.execute(sa.delete(pauses).where(pauses.c.digest.startswith(digest)))
    connection.execute(sa.delete(windows).where(windows.c.series == digest))
    parts = [checksums.mark(series_id, 0)[0] for series_id in ids]
    connection.execute(sa.delete(schema.set_checksums).where(schema.set_checksums.c.part.in_(parts)))
