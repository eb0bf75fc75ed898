"""Helpers for SQL that both databases understand: upsert, locks, the server's clock.

Locks of Postgres end with the transaction. The server's clock counts wherever several machines share a store, because
their own clocks may differ by minutes.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from collector.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.store.db.database import Database


def values_table(names: Sequence[str]) -> sa.CTE:
    """Give a table with one column, *name*; there must be at least one."""
    rows = [(name,) for name in dict.fromkeys(names)]
    return sa.values(sa.column("name", sa.Text), name="given").data(rows).cte("names")


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Begin an INSERT that may say what to do on conflict: both databases spell it alike."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


_OURS = 0x52444354 << 16
MIGRATION, LABELS, BUDGET, ANNOTATIONS, BODIES, GRIDS = range(_OURS, _OURS + 6)
_LIMIT = sa.text("SELECT set_config('lock_timeout', :limit, true)")


def advisory_lock(connection: sa.Connection, number: int) -> None:
    """Wait until no other transaction holds the lock *number*, and hold it until this one ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def advisory_lock_shared(connection: sa.Connection, number: int) -> None:
    """Keep others from taking the lock *number* by `lock` until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock_shared(:number)"), {"number": number})


def lock_for_migration(connection: sa.Connection) -> None:
    """Wait for another's migration however long it takes: it may move all points, and ends if its process freezes."""
    if connection.dialect.name == "postgresql":
        limit = connection.execute(sa.text("SELECT current_setting('lock_timeout')")).scalar_one()
        connection.execute(_LIMIT, {"limit": "0"})
        advisory_lock(connection, MIGRATION)
        connection.execute(_LIMIT, {"limit": limit})


_VAGUE = 1.0
"""Seconds that an answer may take and still tell the time well."""


class ServerClock:
    """Gives the present as the database tells it: read now and then, and counted on from there.

    It is counted by the time since the machine was started, which nobody sets and which runs on while it sleeps. The
    error is half the time that an answer takes, which a request to Radar takes longer than. On SQLite it is the
    machine's own clock.
    """

    def __init__(self) -> None:
        self._anchor: tuple[float, datetime] | None = None

    def __call__(self) -> datetime:
        """Tell the present, in UTC."""
        if self._anchor is None:
            return utc_now()
        since, moment = self._anchor
        return moment + timedelta(seconds=_elapsed() - since)

    async def follow(self, database: Database) -> None:
        """Ask the database for the time, unless it is SQLite; an answer that took long counts only as the first."""
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
