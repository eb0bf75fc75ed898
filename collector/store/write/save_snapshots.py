"""Saves snapshots: the fetches of one pass end as they come, and its snapshots are written when all are there."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.model import Answer, Batch, Slice
from collector.store import checksums
from collector.store.db.column_types import epoch
from collector.store.db.schema import (
    absences,
    date_ranges,
    fetches,
    finality,
    points,
    revisions,
    vanished,
)
from collector.store.db.schema import series as series_table
from collector.store.db.schema import snapshots as table
from collector.store.ledger import fetches as ledger
from collector.store.ledger.fetches import ReceivedAnswer, SaveResult
from collector.store.ledger.upstream import effective_last_updated
from collector.store.series import coverage, folding, proposals, snapshots
from collector.store.series.snapshots import Snapshot, checksum
from collector.store.write.annotations import AnsweredAnnotations
from collector.store.write.annotations import save as save_annotations

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.model import Meta, Points, Question, Window

_DAY = timedelta(days=1)
_ROWS_AT_ONCE = 5_000
_OF_HISTORY = (points, revisions, finality, absences)
_INSERT = {
    "sqlite": "INSERT INTO snapshot_points (series_id, asked_at, timestamp, value) VALUES (?, ?, ?, ?)",
    "postgresql": """
INSERT INTO snapshot_points (series_id, asked_at, timestamp, value)
SELECT %s, %s, to_timestamp(new.seconds), new.value FROM unnest(%s::bigint[], %s::float8[]) AS new(seconds, value)""",
}


class Taken(NamedTuple):
    """All answers of one pass about one series, joined: the buckets of *window*, *points* ascending.

    *meta* is that of the newest answer, *last_updated* the earliest of all; *fetches* counts the points by fetch.
    """

    query: Question
    asked_at: datetime
    window: Window
    meta: Meta
    last_updated: datetime
    points: Points
    fetches: Mapping[int, int]


def note(connection: sa.Connection, arrivals: Sequence[ReceivedAnswer]) -> list[SaveResult]:
    """End the fetches of answers whose points are not history.

    The parts of a snapshot are written when all are there; other answers only confirm what is stored.
    """
    done, asked_at = ledger.recorded(connection, [arrival.fetch_id for arrival in arrivals])
    new = [
        effective_last_updated(connection, arrival)._replace(asked_at=asked_at[arrival.fetch_id])
        for arrival in arrivals
        if arrival.fetch_id not in done
    ]
    ledger.succeed(connection, [(arrival, SaveResult()) for arrival in new])
    for arrival in new:
        save_annotations(connection, [AnsweredAnnotations(arrival.batch, arrival.answer.meta, arrival.time)])
    return [done.get(arrival.fetch_id, SaveResult()) for arrival in arrivals]


def save(connection: sa.Connection, pass_of: Sequence[Taken], now: datetime) -> SaveResult:
    """Write the complete snapshots of one pass; of each UTC day only the newest one is kept.

    Points that the series had as history, in a store of an earlier version, are deleted, because each is of another
    moment. Repeating it changes nothing.
    """
    by_measure: dict[tuple[str, str], list[Taken]] = defaultdict(list)
    for snapshot in pass_of:
        by_measure[snapshot.meta.normalization, snapshot.meta.unit].append(snapshot)
    by_series: dict[Question, SaveResult] = {}
    brought = Counter[int]()
    for alike in by_measure.values():
        ids = proposals.resolve(
            connection, [snapshot.query for snapshot in alike], [_arrival(snapshot, now) for snapshot in alike]
        )
        _delete_history(connection, ids.values())
        for snapshot in alike:
            if _write(connection, ids[snapshot.query], snapshot):
                by_series[snapshot.query] = SaveResult(inserted=len(snapshot.points.timestamps))
                brought.update(snapshot.fetches)
    _count(connection, brought)
    return SaveResult(sum(saved.inserted for saved in by_series.values()), by_series=by_series)


def _arrival(taken: Taken, now: datetime) -> ReceivedAnswer:
    """A snapshot as if one answer had brought it, for the choice of its series."""
    batch = Batch((Slice(taken.query, taken.window),))
    return ReceivedAnswer(next(iter(taken.fetches), 0), batch, Answer(taken.meta, (taken.points,)), now, size=0)


def _write(connection: sa.Connection, series_id: int, taken: Taken) -> bool:
    """Write one snapshot; False if a later one of the same day is stored."""
    day = taken.asked_at.replace(hour=0, minute=0, second=0, microsecond=0)
    same_day = sa.and_(table.c.series_id == series_id, table.c.asked_at >= day, table.c.asked_at < day + _DAY)
    moments = connection.execute(sa.select(table.c.asked_at).where(same_day)).scalars().all()
    if any(moment > taken.asked_at for moment in moments):
        return False
    if moments:
        snapshots.delete(connection, series_id, moments)
    edges = taken.window.start, taken.window.end
    count = len(taken.points.timestamps)
    row = Snapshot(series_id, taken.asked_at, *edges, taken.last_updated, count)
    values = {name: getattr(row, name) for name in Snapshot._fields}
    sealed = checksum(row, taken.points.timestamps, taken.points.values)
    connection.execute(sa.insert(table).values(**values, checksum=sealed))
    for parameters in _parameters(connection, row, taken.points):
        connection.exec_driver_sql(_INSERT[connection.dialect.name], parameters)
    _count_newest(connection, series_id)
    return True


def _count_newest(connection: sa.Connection, series_id: int) -> None:
    """Set the number of a series' points to that of its newest snapshot."""
    newest = sa.select(table.c.points).where(table.c.series_id == series_id).order_by(table.c.asked_at.desc()).limit(1)
    counted = sa.func.coalesce(newest.scalar_subquery(), 0)
    connection.execute(sa.update(series_table).where(series_table.c.id == series_id).values(points=counted))


def _parameters(connection: sa.Connection, row: Snapshot, series_points: Points) -> Iterator[Any]:
    """Yield the parameters of the insert statement, in parts; each database has its own form."""
    for first in range(0, len(series_points.timestamps), _ROWS_AT_ONCE):
        timestamps = series_points.timestamps[first : first + _ROWS_AT_ONCE]
        values = series_points.values[first : first + _ROWS_AT_ONCE]
        if connection.dialect.name == "sqlite":
            moment = row.asked_at.timestamp()
            yield [(row.series_id, moment, *point) for point in zip(timestamps, values, strict=True)]
        else:
            yield row.series_id, row.asked_at, list(timestamps), list(values)


def _delete_history(connection: sa.Connection, ids: Collection[int]) -> None:
    """Delete what a store of an earlier version holds of these series, in any unit, as if it were history."""
    has = [
        sa.exists().where(history_table.c.series_id == series_table.c.id).correlate(series_table)
        for history_table in (*_OF_HISTORY, date_ranges)
    ]
    same = series_table.alias()
    digests = sa.select(same.c.digest).where(same.c.id.in_(ids))
    select = sa.select(series_table.c.id).where(series_table.c.digest.in_(digests), sa.or_(*has))
    for series_id in connection.execute(select).scalars().all():
        folding.delete_series(connection, [series_id])
        coverage.delete_series(connection, [series_id])
        for history_table in _OF_HISTORY:
            connection.execute(sa.delete(history_table).where(history_table.c.series_id == series_id))
        marks = sa.delete(vanished).where(vanished.c.series_id == series_id).returning(epoch(vanished.c.timestamp))
        gone = [checksums.mark(series_id, timestamp) for (timestamp,) in connection.execute(marks)]
        checksums.update_set_checksums(connection, gone=gone)
        _count_newest(connection, series_id)


def _count(connection: sa.Connection, brought: Mapping[int, int]) -> None:
    """Record the number of points of each fetch."""
    rows = [{"f": fetch_id, "n": number} for fetch_id, number in sorted(brought.items())]
    if rows:
        update = sa.update(fetches).where(fetches.c.id == sa.bindparam("f")).values(inserted=sa.bindparam("n"))
        connection.execute(update, rows)
