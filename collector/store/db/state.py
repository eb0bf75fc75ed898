"""Small facts that must outlive the process, by key."""

from __future__ import annotations

import sqlalchemy as sa

from collector.store.db.schema import state
from collector.store.db.sql import upsert


def get(connection: sa.Connection, key: str) -> str | None:
    """Read a fact; None where it is not known."""
    found: str | None = connection.execute(sa.select(state.c.value).where(state.c.key == key)).scalar()
    return found


def listed(connection: sa.Connection) -> dict[str, str]:
    """Read all facts, by key."""
    return {row.key: row.value for row in connection.execute(sa.select(state).order_by(state.c.key))}


def put(connection: sa.Connection, key: str, value: str) -> None:
    """Write a fact over what it was before."""
    insert = upsert(connection, state).values(key=key, value=value)
    connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"value": value}))
