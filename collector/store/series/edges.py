"""Where Radar's own history of each question begins, as far as that was found out: kept in the table `state`."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.rules.edge import dump, load
from collector.rules.finality import DEFAULT_SETTLE, judge_gap
from collector.store.db import state
from collector.store.db.column_types import epoch
from collector.store.db.schema import points, series
from collector.store.db.schema import state as state_table
from collector.store.series import evidence
from collector.timestamps import from_epoch
from collector.windows import merge

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from collector.model import Question
    from collector.rules.edge import Edge


_PREFIX = "edge:"
_ALL = sa.select(state_table.c.key, state_table.c.value).where(state_table.c.key.startswith(_PREFIX))


def by_digest(connection: sa.Connection) -> dict[str, Edge]:
    """Read all edges by the digest of their question, accepted or not."""
    rows = connection.execute(_ALL)
    found = {key.removeprefix(_PREFIX): load(text) for key, text in rows}
    return {digest: edge for digest, edge in found.items() if edge}


def read(connection: sa.Connection, queries: Collection[Question]) -> dict[Question, Edge]:
    """Read the edges of *queries*, accepted or not; absent where none is known."""
    known = by_digest(connection)
    return {query: known[query.digest] for query in queries if query.digest in known} if known else {}


def write(connection: sa.Connection, edges: Mapping[Question, Edge | None]) -> None:
    """Remember edges, or forget them (None)."""
    for query, edge in sorted(edges.items(), key=lambda item: item[0].digest):
        if edge:
            state.put(connection, _PREFIX + query.digest, dump(edge))
        else:
            forget(connection, query.digest)


def forget(connection: sa.Connection, digest: str) -> None:
    """Forget the edge of a question; nothing where there is none."""
    connection.execute(sa.delete(state_table).where(state_table.c.key == _PREFIX + digest))


_EVER = (0, 2**40)


def proven_absent(
    connection: sa.Connection, ids: Collection[int], as_of: datetime | None = None
) -> dict[int, list[tuple[int, int]]]:
    """Find the ranges [start, end) that Radar is proven not to have, per series_id; as was known at *as_of*.

    What lies before the beginning of its own history is among them.
    """
    lacked = evidence.read_absences(connection, dict.fromkeys(ids, _EVER))
    settles = evidence.settles(connection, lacked)
    found = {}
    for series_id, absences in lacked.items():
        known = [one for one in absences if as_of is None or one.asked_at <= as_of.timestamp()]
        if known:
            hull = min(one.start for one in known), max(one.end for one in known)
            parts = judge_gap(hull, known, settles.get(series_id, DEFAULT_SETTLE))
            found[series_id] = [(start, end) for start, end, reason in parts if reason == "upstream"]
    for series_id, edge in _edges(connection, ids, as_of).items():
        found[series_id] = merge([*found.get(series_id, []), edge.absent])
    return found


def _edges(connection: sa.Connection, ids: Collection[int], as_of: datetime | None) -> dict[int, Edge]:
    known = by_digest(connection)
    until = inf if as_of is None else as_of.timestamp()
    known = {digest: edge for digest, edge in known.items() if edge.is_accepted and edge.seen_at[1] <= until}
    if not known:
        return {}
    rows = connection.execute(sa.select(series.c.id, series.c.digest).where(series.c.id.in_(ids)))
    return {row.id: known[row.digest] for row in rows if row.digest in known}


def history_begins(connection: sa.Connection, series_id: int) -> datetime | None:
    """Tell where Radar's own history of a series begins: its first stored bucket; None while that is not proven.

    It is proven if Radar is proven not to have the bucket before. Only what was asked for can be proven: how far back
    that reaches, `proven_absent` tells.
    """
    select = sa.select(sa.func.min(epoch(points.c.timestamp))).where(points.c.series_id == series_id)
    first = connection.execute(select).scalar()
    ranges = proven_absent(connection, [series_id]).get(series_id, [])
    return from_epoch(first) if first is not None and any(a < first <= b for a, b in ranges) else None
