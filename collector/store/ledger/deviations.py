"""Kinds of deviation in answers: each once, with the first fetch that had it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.model import rfc3339, utc
from collector.store.db.schema import bodies, fetches, state
from collector.store.db.sql import upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


_PREFIX = "deviation:"


class Deviation(NamedTuple):
    """What answers have otherwise than usual, the fetch that had it first, and one whose body is kept, if any."""

    kind: str
    first_seen: datetime
    fetch_id: int
    example: int | None = None


def note(connection: sa.Connection, kinds: Sequence[str], fetch_id: int, now: datetime) -> list[str]:
    """Put kinds on record that are not yet, and say so with the fetch. Returns these; repeating it changes nothing."""
    value = json.dumps({"first_seen": rfc3339(now), "fetch": fetch_id})
    new = []
    for kind in kinds:
        insert = upsert(connection, state).values(key=_PREFIX + kind, value=value)
        added = insert.on_conflict_do_nothing().returning(state.c.key)
        new += [kind] if connection.execute(added).first() else []
    if new:
        text = f"reader: {'; '.join(new)}"
        connection.execute(sa.update(fetches).where(fetches.c.id == fetch_id).values(message=text))
    return new


def set_example(connection: sa.Connection, kinds: Sequence[str], fetch_id: int) -> None:
    """Note that the kept body of a fetch is the example of these kinds; one that is not on record is left out."""
    keys = [_PREFIX + kind for kind in kinds]
    found = connection.execute(sa.select(state.c.key, state.c.value).where(state.c.key.in_(keys)))
    for row in found.all():
        value = json.dumps(json.loads(row.value) | {"example": fetch_id})
        connection.execute(sa.update(state).where(state.c.key == row.key).values(value=value))


def without_example(connection: sa.Connection, kinds: Sequence[str]) -> list[str]:
    """Those of *kinds* of which no body is kept."""
    shown = {one.kind for one in listed(connection) if one.example is not None}
    return [kind for kind in kinds if kind not in shown]


def listed(connection: sa.Connection) -> list[Deviation]:
    """List the kinds on record, the oldest first."""
    select = sa.select(state.c.key, state.c.value).where(state.c.key.startswith(_PREFIX, autoescape=True))
    documents = {row.key: json.loads(row.value) for row in connection.execute(select)}
    examples = [document["example"] for document in documents.values() if "example" in document]
    is_kept = sa.select(bodies.c.fetch_id).where(bodies.c.fetch_id.in_(examples))
    kept = set(connection.execute(is_kept).scalars())
    found = [
        Deviation(
            key.removeprefix(_PREFIX),
            utc(document["first_seen"]),
            document["fetch"],
            document["example"] if document.get("example") in kept else None,
        )
        for key, document in documents.items()
    ]
    return sorted(found, key=lambda one: (one.first_seen, one.kind))
