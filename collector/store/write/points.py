"""Points by the thousand: tuples of integers and floats straight to the driver, timestamps in epoch seconds."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from itertools import chain, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store import checksums
from collector.store.db import sql
from collector.store.series import folds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.store.write.diff import StoredValue
    from collector.windows import SeriesWindow

Stored = dict[int, dict[int, "StoredValue"]]
"""series_id → timestamp → (value, fetch_id)."""


class NewPoints(NamedTuple):
    """New points of one series, value by timestamp, and the fetch that brought them."""

    series_id: int
    fetch_id: int
    points: Mapping[int, float]


_READ = {
    "sqlite": """
WITH span(series_id, a, b) AS (VALUES {rows})
SELECT {columns} FROM span CROSS JOIN {table} t
  ON t.series_id = span.series_id AND t.timestamp >= span.a AND t.timestamp < span.b""",
    "postgresql": """
SELECT {columns} FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS span(series_id, a, b)
CROSS JOIN LATERAL (
  SELECT * FROM {table} p
  WHERE p.series_id = span.series_id AND p.timestamp >= to_timestamp(span.a) AND p.timestamp < to_timestamp(span.b)
    AND p.timestamp >= to_timestamp(%s) AND p.timestamp < to_timestamp(%s)
) t""",
}
_TIMESTAMP = {"sqlite": "t.timestamp", "postgresql": "date_part('epoch', t.timestamp)::bigint"}


def read(connection: sa.Connection, spans: Sequence[SeriesWindow]) -> Stored:
    """Read the stored points of *spans*, which do not overlap: one range of the primary key each."""
    stored: Stored = defaultdict(dict)
    for first in range(0, len(spans), _SPANS_AT_ONCE):
        part = spans[first : first + _SPANS_AT_ONCE]
        for series_id, timestamp, value, fetch_id in _tuples(connection, "points", part, "t.value, t.fetch_id"):
            stored[series_id][timestamp] = (value, fetch_id)
    return stored


def read_values(connection: sa.Connection, spans: Sequence[SeriesWindow]) -> dict[int, list[tuple[int, int, float]]]:
    """Read the stored points of *spans*, ascending, without their fetches: rows (series_id, timestamp, value)."""
    rows: list[tuple[int, int, float]] = []
    for first in range(0, len(spans), _SPANS_AT_ONCE):
        rows += _tuples(connection, "points", spans[first : first + _SPANS_AT_ONCE], "t.value")
    rows.sort()
    values: dict[int, list[tuple[int, int, float]]] = {}
    first = 0
    while first < len(rows):
        series_id = rows[first][0]
        last = bisect_right(rows, series_id, first, key=_SERIES_ID)
        values[series_id] = rows[first:last]
        first = last
    return values


def read_vanished(connection: sa.Connection, spans: Sequence[SeriesWindow]) -> dict[int, set[int]]:
    """Return the timestamps of the stored points in *spans* that are marked as vanished, by series_id."""
    timestamps_by_series: dict[int, set[int]] = defaultdict(set)
    for first in range(0, len(spans), _VANISHED_SPANS_AT_ONCE):
        part = spans[first : first + _VANISHED_SPANS_AT_ONCE]
        for series_id, timestamp, _ in _tuples(connection, "vanished", part, "t.fetch_id"):
            timestamps_by_series[series_id].add(timestamp)
    return timestamps_by_series


_SERIES_ID = itemgetter(0)


def _tuples(connection: sa.Connection, table: str, spans: Sequence[SeriesWindow], columns: str) -> list[Any]:
    """Read (series_id, timestamp, *columns*) of the rows of *table* in *spans*."""
    text = {
        backend: select.format(columns=f"t.series_id, {_TIMESTAMP[backend]}, {columns}", table=table, rows="{rows}")
        for backend, select in _READ.items()
    }
    return sql.read_tuples(connection, *sql.about_windows(connection, text, spans))


_SPANS_AT_ONCE = 10
_VANISHED_SPANS_AT_ONCE = 5_000
"""Three parameters each, of which SQLite accepts 32,766 in a statement. Hardly any bucket is marked as vanished."""
_COLUMNS = 4
_NUMBERS_A_STATEMENT = 200 * _COLUMNS
"""200 rows of an INSERT on SQLite: a third faster than one each, and below the 999 parameters of its old versions."""


def insert(connection: sa.Connection, blocks: Iterable[NewPoints]) -> None:
    """Insert new points."""
    if connection.dialect.name != "sqlite":
        _copy(connection, [_binary(block) for block in blocks if block.points])
        return
    numbers: list[float] = []  # the columns of one row after another
    for block in blocks:
        columns = repeat(block.series_id), block.points, block.points.values(), repeat(block.fetch_id)
        numbers += chain.from_iterable(zip(*columns))  # noqa: B905 - two of them never end
    whole, many = len(numbers) - len(numbers) % _NUMBERS_A_STATEMENT, _NUMBERS_A_STATEMENT
    for first, last, size in ((0, whole, many), (whole, len(numbers), _COLUMNS)):
        rows = [tuple(numbers[i : i + size]) for i in range(first, last, size)]
        if rows:
            values = ", ".join(["(?, ?, ?, ?)"] * (size // _COLUMNS))
            insert = f"INSERT INTO points VALUES {values}"  # noqa: S608 - nothing but question marks
            connection.exec_driver_sql(insert, rows)


_COPY = "COPY points (series_id, timestamp, value, fetch_id) FROM STDIN (FORMAT BINARY)"
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_SERIES, _POINT, _FETCH = struct.Struct(">hiq"), struct.Struct(">iqid"), struct.Struct(">iq")
_POSTGRES_EPOCH = 946_684_800


def _binary(block: NewPoints) -> bytes:
    """Write rows in COPY's binary format: the count of fields, then each field's length and bytes.

    What all rows of a block have in common is packed once and put between the points.
    """
    begin, end, pack = _SERIES.pack(4, 8, block.series_id), _FETCH.pack(8, block.fetch_id), _POINT.pack
    rows = [pack(8, (timestamp - _POSTGRES_EPOCH) * 1_000_000, 8, value) for timestamp, value in block.points.items()]
    return begin + (end + begin).join(rows) + end


def _copy(connection: sa.Connection, parts: Sequence[bytes]) -> None:
    if not parts:
        return
    import psycopg

    raw: Any = connection.connection.driver_connection
    try:
        with raw.cursor() as cursor, cursor.copy(_COPY) as stream:
            stream.write(b"".join((_HEADER, *parts, _TRAILER)))
    except psycopg.Error as error:
        if raw.closed:
            connection.invalidate(error)
        raise sa.exc.DBAPIError(_COPY, None, error, connection_invalidated=raw.closed) from error


_REVISE = {
    "sqlite": "UPDATE points SET value = ?, fetch_id = ? WHERE series_id = ? AND timestamp = ?",
    "postgresql": """
UPDATE points AS p SET value = new.value, fetch_id = new.fetch_id
FROM unnest(%s::float8[], %s::bigint[], %s::bigint[], %s::bigint[]) AS new(value, fetch_id, series_id, seconds)
WHERE p.series_id = new.series_id AND p.timestamp = to_timestamp(new.seconds)""",
}
_MARK = {
    "sqlite": "INSERT INTO vanished (series_id, timestamp, fetch_id, seen_at) VALUES (?, ?, ?, ?)",
    "postgresql": """
INSERT INTO vanished (series_id, timestamp, fetch_id, seen_at)
SELECT new.series_id, to_timestamp(new.seconds), new.fetch_id, new.seen_at
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[])
  AS new(series_id, seconds, fetch_id, seen_at)""",
}
_UNMARK = {
    "sqlite": "DELETE FROM vanished WHERE series_id = ? AND timestamp = ?",
    "postgresql": """
DELETE FROM vanished AS v USING unnest(%s::bigint[], %s::bigint[]) AS old(series_id, seconds)
WHERE v.series_id = old.series_id AND v.timestamp = to_timestamp(old.seconds)""",
}
_KEEP = {
    "sqlite": """
INSERT INTO revisions (series_id, timestamp, value, fetch_id, replaced_by, replaced_at, seen_at)
VALUES (?, ?, ?, ?, ?, ?, COALESCE((SELECT finished_at FROM fetches WHERE id = ?), ?))""",
    "postgresql": """
INSERT INTO revisions (series_id, timestamp, value, fetch_id, replaced_by, replaced_at, seen_at)
SELECT old.series_id, to_timestamp(old.seconds), old.value, old.fetch_id, old.replaced_by, old.replaced_at,
  COALESCE(f.finished_at, to_timestamp(old.began))
FROM unnest(%s::bigint[], %s::bigint[], %s::float8[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[],
  %s::float8[]) AS old(series_id, seconds, value, fetch_id, replaced_by, replaced_at, brought_by, began)
LEFT JOIN fetches f ON f.id = old.brought_by""",
}


def revise(
    connection: sa.Connection, rows: Sequence[tuple[int, int, StoredValue, float]], fetch_id: int, now: datetime
) -> None:
    """Write new values of (series_id, timestamp, old, new), and the old ones as revisions.

    If the fetch of an old value is neither on record nor folded, the value counts as seen since its bucket began.
    """
    moment = _moment(connection, now)
    folded = folds.seen_at(connection, [(i, t, old[1]) for i, t, old, _ in rows])
    seen = [folded[i, old[1]].timestamp() if (i, old[1]) in folded else float(t) for i, t, old, _ in rows]
    keep = [(i, t, *old, fetch_id, moment, old[1], at) for (i, t, old, _), at in zip(rows, seen, strict=True)]
    sql.execute_many(connection, _KEEP, keep)
    sql.execute_many(connection, _REVISE, [(new, fetch_id, i, t) for i, t, _, new in rows])


def set_vanished(connection: sa.Connection, keys: Sequence[tuple[int, int]], fetch_id: int, now: datetime) -> None:
    """Mark points (series_id, timestamp) that an answer no longer has."""
    moment = _moment(connection, now)
    sql.execute_many(connection, _MARK, [(i, t, fetch_id, moment) for i, t in keys])
    checksums.update_set_checksums(connection, came=[checksums.mark(*key) for key in keys])


def clear_vanished(connection: sa.Connection, keys: Sequence[tuple[int, int]]) -> None:
    """Take the mark off points (series_id, timestamp) that came back."""
    sql.execute_many(connection, _UNMARK, keys)
    checksums.update_set_checksums(connection, gone=[checksums.mark(*key) for key in keys])


def _moment(connection: sa.Connection, now: datetime) -> float | datetime:
    return now.timestamp() if connection.dialect.name == "sqlite" else now
