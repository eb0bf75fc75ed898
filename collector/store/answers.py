"""What the newest answers said of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.schema import fetch_profiles, fetches

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class NewestAnswer:
    """When the newest answer for a profile came, its lastUpdated and its confidence level."""

    finished_at: datetime
    last_updated: datetime
    confidence_level: int | None


async def newest_answer(connection: AsyncConnection, profile: str) -> NewestAnswer | None:
    """Find the newest answer for *profile*; None before the first."""
    linked = sa.and_(fetch_profiles.c.fetch_id == fetches.c.id, fetch_profiles.c.profile == profile)
    told = sa.select(fetches.c.finished_at, fetches.c.last_updated, fetches.c.confidence_level)
    told = told.join(fetch_profiles, linked).where(fetches.c.outcome == "ok")
    row = (await connection.execute(told.order_by(fetch_profiles.c.fetch_id.desc()).limit(1))).one_or_none()
    return NewestAnswer(*row) if row else None
