"""Buckets that Radar does not have, as two answers have proven, and where its history of a series begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.finality import DEFAULT_SETTLE, judge_gap
from collector.model import from_epoch
from collector.store import evidence
from collector.store.column_types import epoch
from collector.store.schema import points

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_EVER = (0, 2**40)


async def proven_absent(
    connection: AsyncConnection, ids: Collection[int], as_of: datetime | None = None
) -> dict[int, list[tuple[int, int]]]:
    """Find the ranges [start, end) that Radar is proven not to have, per series_id; as was known at *as_of*."""
    lacked = await evidence.read_absences(connection, dict.fromkeys(ids, _EVER))
    settles = await evidence.settles(connection, lacked)
    found = {}
    for series_id, absences in lacked.items():
        known = [one for one in absences if as_of is None or one.asked_at <= as_of.timestamp()]
        if known:
            hull = min(one.start for one in known), max(one.end for one in known)
            parts = judge_gap(hull, known, settles.get(series_id, DEFAULT_SETTLE))
            found[series_id] = [(start, end) for start, end, reason in parts if reason == "upstream"]
    return found


async def history_begins(connection: AsyncConnection, series_id: int) -> datetime | None:
    """Tell where Radar's own history of a series begins: its first stored bucket; None while that is not proven.

    It is proven if Radar is proven not to have the bucket before. Only what was asked for can be proven: how far back
    that reaches, `proven_absent` tells.
    """
    select = sa.select(sa.func.min(epoch(points.c.timestamp))).where(points.c.series_id == series_id)
    first = (await connection.execute(select)).scalar()
    ranges = (await proven_absent(connection, [series_id])).get(series_id, [])
    return from_epoch(first) if first is not None and any(a < first <= b for a, b in ranges) else None
