"""How far back snapshots reach: what the profiles want that have a series in use, in every process."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import rfc3339, utc
from collector.profile import Reach
from collector.store import facts
from collector.store.schema import profile_series

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.profile import Profile

_RANGE = "snapshot_range:{}"


async def declare_reaches(connection: AsyncConnection, profiles: Sequence[Profile]) -> None:
    """Remember how far back each of *profiles* that takes snapshots wants them to reach."""
    for profile in profiles:
        if profile.takes_snapshots:
            reach = profile.reach
            since = rfc3339(reach.since) if reach.since else None
            text = json.dumps({"since": since, "lookback": reach.lookback.total_seconds()})
            await facts.put(connection, _RANGE.format(profile.name), text)


async def reaches(connection: AsyncConnection, ids: Collection[int]) -> dict[int, list[Reach]]:
    """Find by series how far back the profiles that have it in use want it to reach."""
    labels = profile_series.c
    select = sa.select(labels.profile, labels.series_id).where(labels.series_id.in_(ids), labels.active)
    found: dict[int, list[Reach]] = {}
    known: dict[str, Reach | None] = {}
    for profile, series_id in (await connection.execute(select)).all():
        if profile not in known:
            text = await facts.get(connection, _RANGE.format(profile))
            known[profile] = _reach(json.loads(text)) if text else None
        reach = known[profile]
        found.setdefault(series_id, []).extend([reach] if reach else [])
    return found


def _reach(document: dict[str, Any]) -> Reach:
    since = document["since"]
    return Reach(utc(since) if since else None, timedelta(seconds=document["lookback"]))
