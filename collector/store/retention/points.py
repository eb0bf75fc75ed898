"""Delete old points and revisions, a few of one series at a time; or all that is stored of a question.

Requests and fires stay on record: they are the ledger of the budget and of the profiles.
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
from collector.store.series import edges, evidence, generations
from collector.store.series.identity import count_points
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.store.checksums import CheckedRange

    Named = Sequence[datetime | None]

_POINTS_AT_ONCE = 5_000
_REVISIONS_AT_ONCE = 1_000


class Replaced(NamedTuple):
    """A row of revisions, as far as the order of a bucket's values needs it."""

    timestamp: int
    fetch_id: int
    replaced_by: int
    replaced_at: datetime


def delete_points(connection: sa.Connection, series_id: int, edge: datetime) -> tuple[int, int] | None:
    """Delete the oldest points of a series before *edge*, with all that is known of their buckets.

    Gives how many points and revisions went; None where there was nothing left to delete.
    """
    _lock(connection, series_id)
    if not _anything(connection, series_id, edge):
        return None
    cut = _cut(connection, series_id, edge)
    at = int(cut.timestamp())
    across = sa.and_(date_ranges.c.end > cut, date_ranges.c.start < cut)
    amend(connection, series_id, across, lambda _, timestamp: timestamp >= at, at)
    gone = [
        connection.execute(sa.delete(table).where(table.c.series_id == series_id, column < cut)).rowcount
        for table, column in ((points, points.c.timestamp), (revisions, revisions.c.timestamp))
    ]
    marks = sa.delete(vanished).where(vanished.c.series_id == series_id, vanished.c.timestamp < cut)
    unmarked = connection.execute(marks.returning(epoch(vanished.c.timestamp)))
    checksums.seal(connection, gone=[checksums.mark(series_id, timestamp) for (timestamp,) in unmarked])
    ended = sa.and_(date_ranges.c.series_id == series_id, date_ranges.c.end <= cut)
    connection.execute(sa.delete(date_ranges).where(ended))
    evidence.forget_before(connection, series_id, cut)
    count_points(connection, {series_id: -gone[0]})
    return gone[0], gone[1]


def _lock(connection: sa.Connection, series_id: int) -> None:
    """Wait for whoever saves to this series, as they will wait for us."""
    connection.execute(sa.select(series.c.id).where(series.c.id == series_id).with_for_update())


def _anything(connection: sa.Connection, series_id: int, edge: datetime) -> bool:
    for table, column in (
        (points, points.c.timestamp),
        (revisions, revisions.c.timestamp),
        (date_ranges, date_ranges.c.start),
    ):
        older = sa.select(table.c.series_id).where(table.c.series_id == series_id, column < edge).limit(1)
        if connection.execute(older).first() is not None:
            return True
    return False


def _cut(connection: sa.Connection, series_id: int, edge: datetime) -> datetime:
    """Before which bucket to delete in one go."""
    cuts = [edge]
    for table, column in ((points, points.c.timestamp), (date_ranges, date_ranges.c.end)):
        rows = sa.select(column).where(table.c.series_id == series_id, column < edge).order_by(column)
        cuts += connection.execute(rows.offset(_POINTS_AT_ONCE).limit(1)).scalars().all()
    return min(cuts)


def delete_revisions(connection: sa.Connection, series_id: int, moment: datetime, after: int) -> tuple[int, int] | None:
    """Delete values of a series that were replaced before *moment*, of a few buckets later than *after*.

    Gives how many went, and the last bucket that was looked at; None where there was none.
    """
    _lock(connection, series_id)
    columns = (epoch(revisions.c.timestamp).label("t"), *(revisions.c[name] for name in Replaced._fields[1:]))
    later = sa.select(*columns).where(revisions.c.series_id == series_id, revisions.c.timestamp > from_epoch(after))
    found = connection.execute(later.order_by(revisions.c.timestamp).limit(_REVISIONS_AT_ONCE))
    rows = [Replaced(*row) for row in found]
    if not rows:
        return None
    if len(rows) == _REVISIONS_AT_ONCE and rows[0].timestamp != rows[-1].timestamp:
        rows = [row for row in rows if row.timestamp != rows[-1].timestamp]  # its others may come with the next ones
    gone = [r for _, group in groupby(rows, key=lambda row: row.timestamp) for r in outdated(list(group), moment)]
    if gone:
        _delete(connection, series_id, gone)
    return len(gone), rows[-1].timestamp


def outdated(replaced: Sequence[Replaced], moment: datetime) -> list[Replaced]:
    """Choose of the values that one bucket had before those that were replaced before *moment*.

    A value that replaced another goes only with it, whatever the clocks said, for else it would be missing.
    """
    old = {row.fetch_id: row for row in replaced if row.replaced_at < moment}
    kept = [row for row in replaced if row.fetch_id not in old]
    while kept:
        row = old.pop(kept.pop().replaced_by, None)
        kept += [row] if row else []
    return list(old.values())


def _delete(connection: sa.Connection, series_id: int, gone: Iterable[Replaced]) -> None:
    keys = {(row.fetch_id, row.timestamp) for row in gone}
    fetch_ids = sorted({fetch_id for fetch_id, _ in keys})
    concerned = date_ranges.c.fetch_id.in_(fetch_ids)
    amend(connection, series_id, concerned, lambda fetch_id, timestamp: (fetch_id, timestamp) not in keys)
    same: list[Any] = [revisions.c.series_id == series_id, revisions.c.timestamp == sa.bindparam("t")]
    delete = sa.delete(revisions).where(*same, revisions.c.replaced_by == sa.bindparam("r"))
    connection.execute(delete, [{"t": from_epoch(row.timestamp), "r": row.replaced_by} for row in gone])


def amend(
    connection: sa.Connection,
    series_id: int,
    which: sa.ColumnElement[bool],
    stays: Callable[[int, int], bool],
    kept_from: int | None = None,
) -> None:
    """Write the date ranges of a series *which* are chosen as if only what *stays* had been written there.

    To be called before anything is deleted. *stays* is asked for (fetch_id, timestamp); *kept_from*, in epoch seconds,
    is where a range begins that began before. StoreCorrupt where a checksum does not agree now: damage is not to be
    signed.
    """
    ranges = _ranges(connection, series_id, which)
    if not ranges:
        return
    written = _written(connection, series_id, ranges)
    rows = []
    for answered, named, kept in ranges:
        values = [(t, v) for t, v in written[answered.fetch_id] if answered.start <= t < answered.end]
        if checksum(answered, *_columns(values)) != kept:
            brought = f"what fetch {answered.fetch_id} brought is not what it was"
            raise StoreCorrupt(
                f"nothing is deleted of series {series_id}, for {brought}: `collector db verify` says more"
            )
        start = max(answered.start, kept_from or answered.start)
        amended = answered_range(series_id, answered.fetch_id, start, answered.end, named)
        left = [(t, v) for t, v in values if stays(answered.fetch_id, t)]
        row = {"e": from_epoch(answered.end), "f": answered.fetch_id, "a": from_epoch(start)}
        rows.append({**row, "c": checksum(amended, *_columns(left))})
    table = date_ranges.c
    same = (table.series_id == series_id, table.end == sa.bindparam("e"), table.fetch_id == sa.bindparam("f"))
    update = sa.update(date_ranges).where(*same)
    connection.execute(update.values(start=sa.bindparam("a"), checksum=sa.bindparam("c")), rows)


def _ranges(
    connection: sa.Connection, series_id: int, which: sa.ColumnElement[bool]
) -> list[tuple[CheckedRange, Named, int]]:
    table = date_ranges.c
    columns = (table.fetch_id, epoch(table.start).label("a"), epoch(table.end).label("b"))
    select = sa.select(*columns, table.start_time, table.end_time, table.checksum)
    found = connection.execute(select.where(table.series_id == series_id, which))
    return [(answered_range(series_id, f, a, b, named), named, kept) for f, a, b, *named, kept in found]


def _written(
    connection: sa.Connection, series_id: int, ranges: Sequence[tuple[CheckedRange, Named, int]]
) -> dict[int, list[tuple[int, float]]]:
    """What the fetches of *ranges* wrote where these lie: (timestamp, value), ascending, by fetch_id."""
    wanted = {answered.fetch_id for answered, *_ in ranges}
    first = from_epoch(min(answered.start for answered, *_ in ranges))
    last = from_epoch(max(answered.end for answered, *_ in ranges))
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for table in (points, revisions):
        columns = (table.c.fetch_id, epoch(table.c.timestamp), table.c.value)
        inside = (table.c.series_id == series_id, table.c.timestamp >= first, table.c.timestamp < last)
        for fetch_id, timestamp, value in connection.execute(sa.select(*columns).where(*inside)):
            if fetch_id in wanted:
                found[fetch_id].append((timestamp, value))
    for values in found.values():
        values.sort()
    return found


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
    """What was deleted, or would be: rows by table, of the series with these *ids*, called *label* last."""

    label: str
    ids: tuple[int, ...]
    rows: Mapping[str, int]


def forget(
    connection: sa.Connection, series_id: int, wanted: Mapping[str, str], replica_id: int, *, dry_run: bool
) -> SeriesDeletion:
    """Delete the question of *series_id*, or with *dry_run* count what would be; SeriesUnknown if there is none.

    *wanted* maps the digest of what the configured profiles ask for to a label. SeriesWanted if that is among it, or if
    a profile of another replica has it in use.
    """
    advisory_lock(connection, LABELS)
    found = sa.select(_series.c.digest, _series.c.label).where(_series.c.id == series_id)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise SeriesUnknown(f"there is no series {series_id}: `collector series` lists them")
    asked = generations.question(row.digest)
    same = sa.select(_series.c.id).where(generations.question_of(_series.c.digest) == asked).order_by(_series.c.id)
    ids = [*connection.execute(same).scalars()]
    label = wanted.get(asked) or _label_of_others(connection, ids, replica_id)
    if label:
        raise SeriesWanted(f"series {series_id} is not deleted, because a profile still wants it as {label!r}")
    rows = {}
    for table in _OF_SERIES:
        column = table.c.id if table is _series else table.c.series_id
        rows[table.name] = _rows(connection, table, column.in_(ids), dry_run=dry_run)
    if number := bodies.forget_series(connection, asked, dry_run=dry_run):
        rows["bodies"] = number
    if not dry_run:
        _delete_traces(connection, asked, ids)
    return SeriesDeletion(row.label, tuple(ids), rows)


def _label_of_others(connection: sa.Connection, ids: Sequence[int], replica_id: int) -> str | None:
    """Find a label under which a profile of another replica has one of the series in use."""
    others = replicas.profiles_of_others(connection, replica_id)
    used = sa.and_(_labels.c.series_id.in_(ids), _labels.c.active, _labels.c.profile.in_(sorted(others)))
    return connection.execute(sa.select(_labels.c.label).where(used).limit(1)).scalar()


def _rows(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool], *, dry_run: bool) -> int:
    if dry_run:
        counted = sa.select(sa.func.count()).select_from(table).where(which)
        return int(connection.execute(counted).scalar_one())
    return connection.execute(sa.delete(table).where(which)).rowcount


def _delete_traces(connection: sa.Connection, digest: str, ids: Collection[int]) -> None:
    """Delete what names the series without being history: its edge, pauses, windows of jobs, seals."""
    pauses, windows = schema.refusals, schema.backfill_windows
    edges.forget(connection, digest)
    connection.execute(sa.delete(pauses).where(pauses.c.digest.startswith(digest)))
    connection.execute(sa.delete(windows).where(windows.c.series == digest))
    parts = [checksums.mark(series_id, 0)[0] for series_id in ids]
    connection.execute(sa.delete(schema.seals).where(schema.seals.c.part.in_(parts)))
