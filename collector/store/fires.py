"""Fires: every due moment of every profile, with the one outcome it had."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.schema import fires
from collector.store.series import upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Fire:
    """What became of a due moment of a profile: `collected`, `failed`, `coalesced` or `skipped`, and why."""

    profile: str
    due: datetime
    outcome: str
    finished_at: datetime
    message: str | None = None


async def record(connection: AsyncConnection, outcomes: Sequence[Fire]) -> None:
    """Write outcomes down; the first one of a due moment stands."""
    if outcomes:
        insert = upsert(connection, fires).on_conflict_do_nothing()
        await connection.execute(insert, [asdict(fire) for fire in outcomes])


async def last(connection: AsyncConnection, profile: str) -> Fire | None:
    """Find the newest due moment of *profile* on record."""
    newest = sa.select(fires).where(fires.c.profile == profile).order_by(fires.c.due.desc()).limit(1)
    row = (await connection.execute(newest)).one_or_none()
    return Fire(*row) if row else None
