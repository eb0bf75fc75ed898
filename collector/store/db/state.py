"""Small facts that must outlive the process, by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.db.schema import state
from collector.store.db.sql import upsert

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


async def get(connection: AsyncConnection, key: str) -> str | None:
    """Read a fact; None where it is not known."""
    found: str | None = (await connection.execute(sa.select(state.c.value).where(state.c.key == key))).scalar()
    return found


async def listed(connection: AsyncConnection) -> dict[str, str]:
    """Read all facts, by key."""
    return {row.key: row.value for row in await connection.execute(sa.select(state).order_by(state.c.key))}


async def put(connection: AsyncConnection, key: str, value: str) -> None:
    """Write a fact over what it was before."""
    insert = upsert(connection, state).values(key=key, value=value)
    await connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_={"value": value}))
