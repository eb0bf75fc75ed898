"""Kinds of deviation in answers: each once, with the first fetch that had it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.model import rfc3339, utc
from collector.store.schema import fetches, state
from collector.store.series import upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_PREFIX = "deviation:"


class Deviation(NamedTuple):
    """What answers have otherwise than usual, and the fetch that had it first."""

    kind: str
    first_seen: datetime
    fetch_id: int


async def note(connection: AsyncConnection, kinds: Sequence[str], fetch_id: int, now: datetime) -> list[str]:
    """Put kinds on record that are not yet, and say so with the fetch. Returns these; repeating it changes nothing."""
    value = json.dumps({"first_seen": rfc3339(now), "fetch": fetch_id})
    new = []
    for kind in kinds:
        insert = upsert(connection, state).values(key=_PREFIX + kind, value=value)
        added = insert.on_conflict_do_nothing().returning(state.c.key)
        new += [kind] if (await connection.execute(added)).first() else []
    if new:
        text = f"reader: {'; '.join(new)}"
        await connection.execute(sa.update(fetches).where(fetches.c.id == fetch_id).values(message=text))
    return new


async def listed(connection: AsyncConnection) -> list[Deviation]:
    """List the kinds on record, the oldest first."""
    select = sa.select(state.c.key, state.c.value).where(state.c.key.startswith(_PREFIX, autoescape=True))
    found = [
        Deviation(row.key.removeprefix(_PREFIX), utc(document["first_seen"]), document["fetch"])
        for row in await connection.execute(select)
        for document in [json.loads(row.value)]
    ]
    return sorted(found, key=lambda one: (one.first_seen, one.kind))
