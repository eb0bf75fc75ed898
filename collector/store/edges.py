"""Where Radar's own history of each question begins, as far as that was found out: kept in the table `state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.edge import dump, load
from collector.store import facts
from collector.store.schema import state

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.edge import Edge
    from collector.model import SeriesQuery

_PREFIX = "edge:"
_ALL = sa.select(state.c.key, state.c.value).where(state.c.key.startswith(_PREFIX))


async def by_digest(connection: AsyncConnection) -> dict[str, Edge]:
    """Read all edges by the digest of their question, accepted or not."""
    rows = await connection.execute(_ALL)
    found = {key.removeprefix(_PREFIX): load(text) for key, text in rows}
    return {digest: edge for digest, edge in found.items() if edge}


async def read(connection: AsyncConnection, queries: Collection[SeriesQuery]) -> dict[SeriesQuery, Edge]:
    """Read the edges of *queries*, accepted or not; absent where none is known."""
    known = await by_digest(connection)
    return {query: known[query.digest] for query in queries if query.digest in known} if known else {}


async def write(connection: AsyncConnection, edges: Mapping[SeriesQuery, Edge | None]) -> None:
    """Remember edges, or forget them (None)."""
    for query, edge in sorted(edges.items(), key=lambda item: item[0].digest):
        if edge:
            await facts.put(connection, _PREFIX + query.digest, dump(edge))
        else:
            await forget(connection, query.digest)


async def forget(connection: AsyncConnection, digest: str) -> None:
    """Forget the edge of a question; nothing where there is none."""
    await connection.execute(sa.delete(state).where(state.c.key == _PREFIX + digest))
