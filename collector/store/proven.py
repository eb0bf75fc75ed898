"""Buckets that Radar does not have, as two answers have proven, and where its history of a series begins."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.finality import DEFAULT_SETTLE, judge_gap, merge
from collector.model import from_epoch
from collector.store import edges, evidence
from collector.store.column_types import epoch
from collector.store.schema import points, series

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.edge import Edge

_EVER = (0, 2**40)


async def proven_absent(
    connection: AsyncConnection, ids: Collection[int], as_of: datetime | None = None
) -> dict[int, list[tuple[int, int]]]:
    """Find the ranges [start, end) that Radar is proven not to have, per series_id; as was known at *as_of*.

    What lies before the beginning of its own history is among them.
    """
    lacked = await evidence.read_absences(connection, dict.fromkeys(ids, _EVER))
    settles = await evidence.settles(connection, lacked)
    found = {}
    for series_id, absences in lacked.items():
        known = [one for one in absences if as_of is None or one.asked_at <= as_of.timestamp()]
        if known:
            hull = min(one.start for one in known), max(one.end for one in known)
            parts = judge_gap(hull, known, settles.get(series_id, DEFAULT_SETTLE))
            found[series_id] = [(start, end) for start, end, reason in parts if reason == "upstream"]
    for series_id, edge in (await _edges(connection, ids, as_of)).items():
        found[series_id] = merge([*found.get(series_id, []), edge.absent])
    return found


async def _edges(connection: AsyncConnection, ids: Collection[int], as_of: datetime | None) -> dict[int, Edge]:
    known = await edges.by_digest(connection)
    until = inf if as_of is None else as_of.timestamp()
    known = {digest: edge for digest, edge in known.items() if edge.is_accepted and edge.seen_at[1] <= until}
    if not known:
        return {}
    rows = await connection.execute(sa.select(series.c.id, series.c.digest).where(series.c.id.in_(ids)))
    return {row.id: known[row.digest] for row in rows if row.digest in known}


async def history_begins(connection: AsyncConnection, series_id: int) -> datetime | None:
    """Tell where Radar's own history of a series begins: its first stored bucket; None while that is not proven.

    It is proven if Radar is proven not to have the bucket before. Only what was asked for can be proven: how far back
    that reaches, `proven_absent` tells.
    """
    select = sa.select(sa.func.min(epoch(points.c.timestamp))).where(points.c.series_id == series_id)
    first = (await connection.execute(select)).scalar()
    ranges = (await proven_absent(connection, [series_id])).get(series_id, [])
    return from_epoch(first) if first is not None and any(a < first <= b for a, b in ranges) else None
