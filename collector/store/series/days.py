"""One row for each series and UTC day: how many points it has, their sum, minimum, maximum and checksum.

Only intervals finer than a day have rows, and only points in force count, also those that are marked as vanished.

A row that exists equals the points of its day. A save writes the rows of whole days that are over, and no rows of the
day that still gets points. Whatever changes other points makes their days stale in the same transaction: the row is
deleted. `build` writes rows from the points, a few days at a time.

Each day before `days_until` (a key in `state`) that has points has a row, or a mark in `stale_days`. `build` moves
`days_until` on. So a read needs points of stale days, and of days from `days_until` on, only.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from contextlib import closing, suppress
from functools import lru_cache
from itertools import groupby
from math import fsum
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.store.db import sql
from collector.store.db.column_types import epoch
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import points, series, series_days, stale_days, state
from collector.store.db.sql import GRIDS, advisory_lock, upsert
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question

    Key = tuple[int, int]

DAY = 86_400
UNTIL_KEY, NEWEST_KEY = "days_until", "days_newest"
_FINE = [interval.value for interval in AggInterval if interval.seconds < DAY]
_LATE = 3 * 3600
"""So long after its end, in seconds, a day counts as over: by then its last bucket has usually come."""
_BUILT_AT_ONCE, _PASSED_AT_ONCE = 60, 10
_IDS_AT_ONCE = 900
_ROWS_AT_ONCE = 5_000


class DayRow(NamedTuple):
    """The points of a series in the day that begins at *day*, in epoch seconds.

    *sum* is the exact sum, rounded once, so that it depends on no order. *checksum* is CRC-32 of all timestamps, then
    all values, ascending.
    """

    series_id: int
    day: int
    points: int
    sum: float
    minimum: float
    maximum: float
    checksum: int

    @property
    def key(self) -> Key:
        """The series and the day."""
        return self.series_id, self.day


def of_points(series_id: int, timestamps: Sequence[int], values: Sequence[float]) -> Iterator[DayRow]:
    """Yield the row of each day that has some of these points, which ascend. A value of -0.0 counts as 0.0."""
    if 0.0 in values:
        values = [value + 0.0 for value in values]
    first, count = 0, len(timestamps)
    packed = memoryview(struct.pack(f"<{count}d", *values))
    while first < count:
        day = timestamps[first] // DAY * DAY
        last = bisect_left(timestamps, day + DAY, first)
        part = values[first:last]
        checksum = zlib.crc32(packed[8 * first : 8 * last], _checksum_of_times(timestamps[first:last]))
        yield DayRow(series_id, day, last - first, _sum(part), min(part), max(part), checksum)
        first = last


def _checksum_of_times(timestamps: Sequence[int]) -> int:
    return _checksum_of_range(timestamps) if isinstance(timestamps, range) else _pack_times(timestamps)


def _pack_times(timestamps: Sequence[int]) -> int:
    return zlib.crc32(struct.pack(f"<{len(timestamps)}q", *timestamps))


_checksum_of_range = lru_cache(maxsize=1_000)(_pack_times)
"""A day without a hole has the same times in every series."""


def _sum(values: Sequence[float]) -> float:
    try:
        return fsum(values)
    except OverflowError:
        return sum(values)


def days_of(start: int, end: int) -> range:
    """Return the days that begin and end in [start, end), in epoch seconds."""
    return range(-(-start // DAY) * DAY, end // DAY * DAY, DAY)


def has_rows(query: Question) -> bool:
    """Return whether there are rows of days of a question's series."""
    return query.agg_interval.seconds < DAY


def is_over(day: int, now: datetime) -> bool:
    """Return whether a day has ended at *now*."""
    return day + DAY <= now.timestamp()


_READ = {
    "sqlite": "SELECT * FROM series_days WHERE series_id IN ({ids}) AND day >= ? AND day < ?",
    "postgresql": """
SELECT series_id, date_part('epoch', day)::bigint, points, sum, minimum, maximum, checksum FROM series_days
WHERE series_id = ANY(%s::bigint[]) AND day >= to_timestamp(%s) AND day < to_timestamp(%s)""",
}


def read(connection: sa.Connection, ids: Collection[int], start: int, end: int) -> dict[Key, DayRow]:
    """Read the rows of the days that have a part of [start, end), in epoch seconds, by (series_id, day)."""
    rows: dict[Key, DayRow] = {}
    for some in _some(sorted(ids)):
        backend = connection.dialect.name
        text = _READ[backend].format(ids=", ".join("?" * len(some))) if backend == "sqlite" else _READ[backend]
        parameters: tuple[Any, ...] = (*some,) if backend == "sqlite" else (some,)
        found = sql.read_tuples(connection, text, (*parameters, start // DAY * DAY, end))
        rows |= {(row[0], row[1]): DayRow(*row) for row in found}
    return rows


def _some(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[first : first + _IDS_AT_ONCE] for first in range(0, len(ids), _IDS_AT_ONCE))


_SUMS = {
    "sqlite": """
WITH days(series_id, a, b) AS (VALUES {rows})
SELECT series_id, a,
  (SELECT count(*) FROM points p WHERE p.series_id = days.series_id AND p.timestamp >= a AND p.timestamp < b),
  (SELECT sum(value) FROM points p WHERE p.series_id = days.series_id AND p.timestamp >= a AND p.timestamp < b)
FROM days""",
    "postgresql": """
SELECT days.series_id, a, number, total FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS days(series_id, a, b)
CROSS JOIN LATERAL (
  SELECT count(*), sum(value) FROM points p
  WHERE p.series_id = days.series_id AND p.timestamp >= to_timestamp(a) AND p.timestamp < to_timestamp(b)
    AND p.timestamp >= to_timestamp(%s) AND p.timestamp < to_timestamp(%s)
) AS sums(number, total)""",
}
"""A range of the primary key for each day: to group the points of all days would sort them."""


def sums_of_points(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, tuple[int, float | None]]:
    """Return how many points days have, and their sum (None without points), by (series_id, day).

    A row may be wrong if something else has changed the points. The sum is not rounded as that of a row is.
    """
    sums: dict[Key, tuple[int, float | None]] = {}
    ordered = sorted(keys)
    for first in range(0, len(ordered), _ROWS_AT_ONCE):
        spans = [(series_id, day, day + DAY) for series_id, day in ordered[first : first + _ROWS_AT_ONCE]]
        rows = sql.read_tuples(connection, *sql.about_windows(connection, _SUMS, spans))
        sums |= {(row[0], row[1]): (row[2], row[3]) for row in rows}
    return sums


_WRITE = {
    "sqlite": "INSERT OR REPLACE INTO series_days VALUES (?, ?, ?, ?, ?, ?, ?)",
    "postgresql": """
INSERT INTO series_days (series_id, day, points, sum, minimum, maximum, checksum)
SELECT new.series_id, to_timestamp(new.day), new.points, new.sum, new.minimum, new.maximum, new.checksum
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::float8[], %s::float8[], %s::bigint[])
  AS new(series_id, day, points, sum, minimum, maximum, checksum)
ON CONFLICT (series_id, day) DO UPDATE SET points = excluded.points, sum = excluded.sum, minimum = excluded.minimum,
  maximum = excluded.maximum, checksum = excluded.checksum""",
}


def write(connection: sa.Connection, rows: Sequence[DayRow]) -> None:
    """Write rows, also over what they were before. The series must be locked."""
    sql.execute_many(connection, _WRITE, rows)
    newest = max((row.day for row in rows), default=0)
    if newest > int(sql.get_state(connection, NEWEST_KEY) or 0):
        sql.put_state(connection, NEWEST_KEY, str(newest))


_OPEN = DriverSelect(
    sa.select(state.c.key, state.c.value).where(sa.or_(*(state.c.key == key for key in (UNTIL_KEY, NEWEST_KEY))))
)


def open_from(connection: sa.Connection) -> int:
    """Return the day from which on no day has a row, or needs one. Read it when the series are locked."""
    known = {key: int(value) for key, value in _OPEN.rows(connection, {})}
    return max(known.get(UNTIL_KEY, 0), known[NEWEST_KEY] + DAY if NEWEST_KEY in known else 0)


def until(connection: sa.Connection) -> int | None:
    """Return the first day, in epoch seconds, that no row need exist of; None while that is so of all days."""
    text = sql.get_state(connection, UNTIL_KEY)
    return int(text) if text else None


_SAME = (series_days.c.series_id == sa.bindparam("i"), series_days.c.day == sa.bindparam("d"))
_DELETE = sa.delete(series_days).where(*_SAME)


def make_stale(connection: sa.Connection, keys: Iterable[Key], kept: Collection[Key]) -> None:
    """Delete the rows of days whose points change, those among *kept*. The series must be locked."""
    before, days = until(connection), sorted(set(keys))
    rows = [{"i": series_id, "d": from_epoch(day)} for series_id, day in days if (series_id, day) in kept]
    marks = [{"series_id": i, "day": from_epoch(day)} for i, day in days if before is not None and day < before]
    if rows:
        connection.execute(_DELETE, rows)
    if marks:
        connection.execute(upsert(connection, stale_days).on_conflict_do_nothing(), marks)


def change_points(connection: sa.Connection, timestamps: Mapping[int, Collection[int]]) -> None:
    """Make the days stale in which points change at some *timestamps* by series_id. The series must be locked."""
    keys = {(series_id, t // DAY * DAY) for series_id, changed in timestamps.items() for t in changed}
    if keys:
        first, last = min(day for _, day in keys), max(day for _, day in keys)
        make_stale(connection, keys, read(connection, {i for i, _ in keys}, first, last + DAY))


def make_all_stale(connection: sa.Connection, series_id: int) -> None:
    """Delete all rows of a series, most of whose points change."""
    days = connection.execute(sa.select(epoch(series_days.c.day)).where(series_days.c.series_id == series_id))
    keys = [(series_id, day) for day in days.scalars()]
    make_stale(connection, keys, keys)


def delete_before(connection: sa.Connection, ids: Collection[int], end: datetime) -> None:
    """Delete what is about days of which retention deletes points: all those before *end*. The series are locked."""
    last = int(end.timestamp()) // DAY * DAY
    for table in (series_days, stale_days):
        connection.execute(sa.delete(table).where(table.c.series_id.in_(ids), table.c.day < from_epoch(last)))
    if last < end.timestamp():
        cut = sa.select(series_days.c.series_id).where(
            series_days.c.series_id.in_(ids), series_days.c.day == from_epoch(last)
        )
        keys = [(series_id, last) for series_id in connection.execute(cut).scalars()]
        make_stale(connection, keys, keys)


class Step(NamedTuple):
    """The number of days of series that a step of `build` has taken, and whether there may be *more* to do."""

    days: int
    more: bool


def build(connection: sa.Connection, now: datetime) -> Step:
    """Write the rows of some stale days; if there are none, find out which of the next days are."""
    next_ones = sa.select(stale_days.c.series_id, epoch(stale_days.c.day)).order_by(*stale_days.primary_key)
    keys = [(row[0], row[1]) for row in connection.execute(next_ones.limit(_BUILT_AT_ONCE))]
    return Step(_build(connection, keys), more=True) if keys else Step(0, _pass(connection, now))


def _build(connection: sa.Connection, keys: Sequence[Key]) -> int:
    ids = sorted({series_id for series_id, _ in keys})
    known = sa.select(series.c.id).where(series.c.id.in_(ids)).order_by(series.c.id).with_for_update()
    connection.execute(known).all()
    write(connection, _rows_of_points(connection, keys))
    mark = sa.delete(stale_days).where(
        stale_days.c.series_id == sa.bindparam("i"), stale_days.c.day == sa.bindparam("d")
    )
    connection.execute(mark, [{"i": series_id, "d": from_epoch(day)} for series_id, day in keys])
    return len(keys)


def _rows_of_points(connection: sa.Connection, keys: Iterable[Key]) -> list[DayRow]:
    rows: list[DayRow] = []
    for day, same in groupby(sorted(keys, key=_day), key=_day):
        of_day = sa.select(points.c.series_id, epoch(points.c.timestamp), points.c.value).where(
            points.c.series_id.in_([series_id for series_id, _ in same]),
            points.c.timestamp >= from_epoch(day),
            points.c.timestamp < from_epoch(day + DAY),
        )
        rows += _rows(connection.execute(of_day.order_by(points.c.series_id, points.c.timestamp)))
    return rows


def _day(key: Key) -> int:
    return key[1]


def _rows(stored: Iterable[Any]) -> Iterator[DayRow]:
    """Yield the rows of points (series_id, timestamp, value), which are ordered so.

    A day with something that is no number, as in a damaged record, gets no row.
    """
    for _, same in groupby(stored, key=_series_and_day):
        part = list(same)
        with suppress(struct.error, TypeError):
            yield from of_points(part[0][0], [row[1] for row in part], [row[2] for row in part])


def _series_and_day(row: Any) -> tuple[int, int | None]:
    return row[0], row[1] // DAY if isinstance(row[1], int) else None


def _pass(connection: sa.Connection, now: datetime) -> bool:
    """Move `days_until` on by some days that are over, and make those stale that have points and no row.

    Nothing is saved meanwhile, because a save that has not seen the move would mark no day. Returns False if no day has
    passed.
    """
    limit = (int(now.timestamp()) - _LATE) // DAY * DAY
    before = until(connection)
    if before is not None and before >= limit:
        return False
    advisory_lock(connection, GRIDS)
    before = until(connection)
    start = _first_day(connection, limit) if before is None else before
    end = min(limit, start + _PASSED_AT_ONCE * DAY)
    for day in range(start, end, DAY):
        _mark_missing(connection, day)
    sql.put_state(connection, UNTIL_KEY, str(end))
    return True


def _first_day(connection: sa.Connection, limit: int) -> int:
    first = sa.select(points.c.timestamp).where(points.c.series_id == series.c.id).order_by(points.c.timestamp).limit(1)
    firsts = sa.select(first.scalar_subquery()).where(series.c.agg_interval.in_(_FINE))
    oldest = min((moment for moment in connection.execute(firsts).scalars() if moment is not None), default=None)
    return limit if oldest is None else min(int(oldest.timestamp()) // DAY * DAY, limit)


def _mark_missing(connection: sa.Connection, day: int) -> None:
    inside = (points.c.timestamp >= from_epoch(day), points.c.timestamp < from_epoch(day + DAY))
    stored = sa.exists().where(points.c.series_id == series.c.id, *inside).correlate(series)
    row = sa.exists().where(series_days.c.series_id == series.c.id, series_days.c.day == from_epoch(day))
    lacking = sa.select(sa.literal(from_epoch(day), stale_days.c.day.type), series.c.id).where(
        series.c.agg_interval.in_(_FINE), stored, ~row.correlate(series)
    )
    marks = upsert(connection, stale_days).from_select(["day", "series_id"], lacking)
    connection.execute(marks.on_conflict_do_nothing())


def findings(connection: sa.Connection) -> Iterator[str]:
    """Yield a sentence for each row that does not agree with the points, and for each one that is missing."""
    before = until(connection) or 0
    labels = {row.id: row.label for row in connection.execute(sa.select(series.c.id, series.c.label))}
    fine = sa.select(series.c.id).where(series.c.agg_interval.in_(_FINE)).order_by(series.c.id)
    for series_id in list(connection.execute(fine).scalars()):
        rows = _rows_of_series(connection, series_id)
        stale = sa.select(epoch(stale_days.c.day)).where(stale_days.c.series_id == series_id)
        marked = set(connection.execute(stale).scalars())
        for now in _days_of_points(connection, series_id):
            row = rows.pop(now.day, None)
            due = row is None and now.day < before and now.day not in marked
            if due or (row is not None and row != now):
                said = "is missing" if row is None else "does not agree with the points"
                yield f"{labels[series_id]}: the sum of {rfc3339(from_epoch(now.day))} {said}"
        for day in sorted(rows):
            yield f"{labels[series_id]}: the sum of {rfc3339(from_epoch(day))} has no points"
    alone = sa.select(sa.func.count()).where(series_days.c.series_id.not_in(fine.order_by(None)))
    if number := connection.execute(alone).scalar_one():
        yield f"sums of days of a series that does not exist, or has no finer interval: {number}"


def _rows_of_series(connection: sa.Connection, series_id: int) -> dict[int, DayRow]:
    columns = [epoch(column) if column is series_days.c.day else column for column in series_days.c]
    rows = connection.execute(sa.select(*columns).where(series_days.c.series_id == series_id))
    return {row[1]: DayRow(*row) for row in rows}


def _days_of_points(connection: sa.Connection, series_id: int) -> Iterator[DayRow]:
    select = sa.select(points.c.series_id, epoch(points.c.timestamp), points.c.value)
    select = select.where(points.c.series_id == series_id).order_by(points.c.timestamp)
    with closing(connection.execute(select.execution_options(yield_per=_ROWS_AT_ONCE))) as result:
        yield from _rows(result)
