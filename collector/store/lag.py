"""How far lastUpdated usually lies behind the clock, and what one that runs ahead of it counts as."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.schema import fetches

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.fetches import Arrival

_ANSWERS = 25
_UNKNOWN_LAG = timedelta(hours=1)
_NEWEST = (
    sa.select(fetches.c.finished_at, fetches.c.last_updated)
    .where(fetches.c.outcome == "ok", fetches.c.finished_at.is_not(None), fetches.c.last_updated.is_not(None))
    .order_by(fetches.c.finished_at.desc())
    .limit(_ANSWERS)
)


async def usual_lag(connection: AsyncConnection) -> timedelta:
    """The median of how far lastUpdated lay behind the clock in the newest answers; an hour if there is none."""
    lags = [row.finished_at - row.last_updated for row in await connection.execute(_NEWEST)]
    return max(median(lags), timedelta(0)) if lags else _UNKNOWN_LAG


async def effective_last_updated(connection: AsyncConnection, arrival: Arrival) -> Arrival:
    """Let a lastUpdated ahead of the moment at which the answer came count as that moment less the usual lag."""
    meta = arrival.answer.meta
    if meta.last_updated <= arrival.now:
        return arrival
    meta = replace(meta, last_updated=arrival.now - await usual_lag(connection))
    return replace(arrival, answer=replace(arrival.answer, meta=meta))
