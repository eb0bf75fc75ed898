"""Buckets that Radar does not have, as two answers have shown, and where its history of a series begins."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.model import from_epoch
from collector.store.column_types import epoch
from collector.store.schema import absences, points

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

APART = timedelta(days=2)
"""Two answers that lack a bucket prove that Radar has none if they were requested so far apart."""


class Absence(NamedTuple):
    """An answer to a request at *asked_at* lacked the buckets from *start* up to *end*, in epoch seconds."""

    start: int
    end: int
    asked_at: datetime


def proven(lacked: Iterable[Absence]) -> list[tuple[int, int]]:
    """Find the ranges that two answers lacked that are two days apart; ascending, joined where they touch."""
    rows = sorted(lacked)
    edges = sorted({edge for row in rows for edge in row[:2]})
    found: list[tuple[int, int]] = []
    under: list[Absence] = []
    taken = 0
    for start, end in pairwise(edges):
        while taken < len(rows) and rows[taken].start <= start:
            under.append(rows[taken])
            taken += 1
        under = [row for row in under if row.end > start]
        asked = [row.asked_at for row in under]
        if not asked or max(asked) - min(asked) < APART:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


async def proven_absent(
    connection: AsyncConnection, ids: Collection[int], as_of: datetime | None = None
) -> dict[int, list[tuple[int, int]]]:
    """Find the ranges [start, end) that Radar is proven not to have, per series_id; as was known at *as_of*."""
    table = absences.c
    select = sa.select(table.series_id, epoch(table.start), epoch(table.end), table.asked_at)
    select = select.where(table.series_id.in_(list(ids)))
    if as_of is not None:
        select = select.where(table.asked_at <= as_of)
    lacked: dict[int, list[Absence]] = defaultdict(list)
    for series_id, start, end, asked_at in await connection.execute(select):
        lacked[series_id].append(Absence(start, end, asked_at))
    return {series_id: proven(found) for series_id, found in lacked.items()}


async def history_begins(connection: AsyncConnection, series_id: int) -> datetime | None:
    """Tell where Radar's own history of a series begins: its first stored bucket; None while that is not proven.

    It is proven if Radar is proven not to have the bucket before. Only what was asked for can be proven: how far back
    that reaches, `proven_absent` tells.
    """
    select = sa.select(sa.func.min(epoch(points.c.timestamp))).where(points.c.series_id == series_id)
    first = (await connection.execute(select)).scalar()
    ranges = (await proven_absent(connection, [series_id])).get(series_id, [])
    return from_epoch(first) if first is not None and any(a < first <= b for a, b in ranges) else None
