"""Helpers for SQL that both databases understand: upsert, locks, the server's clock.

Locks of Postgres end with the transaction. The server's clock counts wherever several machines share a store, because
their own clocks may differ by minutes.

Small facts that must outlive the process, by key.
"""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import state
from collector.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.store.db.database import Database


def values_table(names: Sequence[str]) -> sa.CTE:
    """Return a table with one column, *name*; there must be at least one name."""
    rows = [(name,) for name in dict.fromkeys(names)]
    return sa.values(sa.column("name", sa.Text), name="given").data(rows).cte("names")


class _Rows(sa.types.UserDefinedType[Any]):
    """Rows of integers, as they are written into a statement."""

    cache_ok = True

    def literal_processor(self, dialect: sa.Dialect) -> Callable[[Any], str]:  # noqa: ARG002 - as declared
        return str


def integers_table(name: str, columns: Sequence[str], rows: Iterable[Sequence[int]]) -> sa.CTE:
    """Return a table of integers; there must be at least one row.

    The rows are written into the statement when it is executed, because binding thousands of them costs more than most
    searches. So the statement is compiled only once, for all rows.
    """
    written = ", ".join(f"({', '.join(str(int(number)) for number in row)})" for row in rows)
    casts = ", ".join(f"CAST(column{number} AS bigint) AS {column}" for number, column in enumerate(columns, 1))
    values = sa.bindparam("rows", written, type_=_Rows(), unique=True, literal_execute=True)
    text = sa.text(f"SELECT {casts} FROM (VALUES :rows) AS given").bindparams(values)  # noqa: S608 - our own names
    return text.columns(*(sa.column(column, sa.BigInteger) for column in columns)).cte(name)


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT for which `on_conflict_…` is available, which both databases spell alike."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # only here, because its import takes a command on SQLite 20 ms

    return postgresql.insert(table)


_ROWS_AT_ONCE = 5_000
"""A transaction that is silent for long counts as frozen."""


def execute_many(connection: sa.Connection, by_backend: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute a statement for many *rows*, straight by the driver: SQLAlchemy's parameters cost more than the work.

    *by_backend* has the statement for each database: SQLite gets the values of a row, Postgres an array of
    each column.
    """
    backend = connection.dialect.name
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[first : first + _ROWS_AT_ONCE]
        parameters: Any = list(part) if backend == "sqlite" else tuple(map(list, zip(*part, strict=True)))
        connection.exec_driver_sql(by_backend[backend], parameters)


def read_tuples(connection: sa.Connection, text: str, parameters: tuple[Any, ...]) -> list[Any]:
    """Execute a SELECT and return rows as the driver has them: SQLAlchemy's rows cost as much as reading them."""
    with closing(connection.exec_driver_sql(text, parameters)) as result:
        return list(result.cursor.fetchall()) if result.cursor else []


def about_windows(
    connection: sa.Connection, by_backend: Mapping[str, str], windows: Sequence[tuple[int, int, int]]
) -> tuple[str, tuple[Any, ...]]:
    """Return text and parameters of a SELECT about *windows* (series_id, start, end), with at least one of them.

    *by_backend* has the statement for each database. On SQLite `{rows}` stands for the values of all windows. On
    Postgres the parameters are an array of each column, and the first start and the last end, so that no partition
    beyond them is planned for.
    """
    backend = connection.dialect.name
    if backend == "sqlite":
        rows = ", ".join(["(?, ?, ?)"] * len(windows))
        return by_backend[backend].replace("{rows}", rows), tuple(chain.from_iterable(windows))
    ids, starts, ends = (list(column) for column in zip(*windows, strict=True))
    return by_backend[backend], (ids, starts, ends, min(starts), max(ends))


_OURS = 0x52444354 << 16
MIGRATION, LABELS, BUDGET, ANNOTATIONS, BODIES, GRIDS, COVERAGE, PROOFS = range(_OURS, _OURS + 8)
CATALOGUE = _OURS + 14
_LIMIT = sa.text("SELECT set_config('lock_timeout', :limit, true)")


def advisory_lock(connection: sa.Connection, number: int, *, shared: bool = False) -> None:
    """Hold the lock *number* until this transaction ends; wait until no other one holds it.

    Several transactions may hold it *shared*. SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        connection.execute(sa.text(f"SELECT {function}(:number)"), {"number": number})


def lock_for_migration(connection: sa.Connection) -> None:
    """Wait for another's migration however long it takes: it may move all points, and ends if its process freezes."""
    if connection.dialect.name == "postgresql":
        limit = connection.execute(sa.text("SELECT current_setting('lock_timeout')")).scalar_one()
        connection.execute(_LIMIT, {"limit": "0"})
        advisory_lock(connection, MIGRATION)
        connection.execute(_LIMIT, {"limit": limit})


_VAGUE = 1.0
"""The longest time of an answer, in seconds, that still gives an exact time."""


class ServerClock:
    """The database's clock, read now and then and counted on from there.

    It is counted by the time since the machine was started, which cannot be set and which runs on while the machine
    sleeps. The error is half the time that an answer takes, which is shorter than a request to Radar. On SQLite it is
    the machine's own clock.
    """

    def __init__(self) -> None:
        self._anchor: tuple[float, datetime] | None = None

    def __call__(self) -> datetime:
        """Return the present, in UTC."""
        if self._anchor is None:
            return utc_now()
        since, moment = self._anchor
        return moment + timedelta(seconds=_elapsed() - since)

    async def follow(self, database: Database) -> None:
        """Read the database's time, unless it is SQLite; an answer that took long counts only as the first one."""
        if database.location.path:
            return
        before, moment, after = await database.read_in_thread(_ask)
        if self._anchor is None or after - before < _VAGUE:
            self._anchor = ((before + after) / 2, moment.astimezone(UTC))


def _ask(connection: sa.Connection) -> tuple[float, datetime, float]:
    """Return the database's time between the moments before and after the question."""
    before = _elapsed()
    moment: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return before, moment, _elapsed()


def _elapsed() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_STATE = DriverSelect(sa.select(state.c.value).where(state.c.key == sa.bindparam("k")))


def get_state(connection: sa.Connection, key: str) -> str | None:
    """Return the value of *key* in the table `state`; None if it is absent."""
    return next((value for (value,) in _STATE.rows(connection, {"k": key})), None)


def list_state(connection: sa.Connection) -> dict[str, str]:
    """Read all facts, by key."""
    return {row.key: row.value for row in connection.execute(sa.select(state).order_by(state.c.key))}


def put_state(connection: sa.Connection, key: str, value: str) -> None:
    """Write a fact over what it was before."""
    insert = upsert(connection, state).values(key=key, value=value)
    connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"value": value}))
