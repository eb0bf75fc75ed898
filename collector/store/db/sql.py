"""Small helpers for SQL that both databases understand, and the locks of Postgres, which end with the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence


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
