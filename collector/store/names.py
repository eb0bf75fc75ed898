"""Small helpers for SQL that both databases understand, and the locks of Postgres, which end with the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection


def as_table(names: Sequence[str]) -> sa.CTE:
    """Give a table with one column, *name*; there must be at least one."""
    rows = [(name,) for name in dict.fromkeys(names)]
    return sa.values(sa.column("name", sa.Text), name="given").data(rows).cte("names")


def upsert(connection: AsyncConnection, table: sa.Table) -> Any:
    """Begin an INSERT that may say what to do on conflict: both databases spell it alike."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
