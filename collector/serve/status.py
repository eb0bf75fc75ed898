"""How things stand, in one document: profiles, store, request budget, replicas. Read from the store alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from collector.serve import snapshots
from collector.serve.gaps import gaps_of
from collector.serve.health import owed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.profile import Profile
    from collector.store import Fire, ProfileStatus, Reader, Replica


async def status(store: Reader, profiles: Sequence[Profile], limit: int, now: datetime) -> dict[str, Any]:
    """Give the document of `collector status --format json`; moments are aware datetimes."""
    return await store.look(lambda state: _document(state, profiles, limit, now))


async def _document(store: Reader, profiles: Sequence[Profile], limit: int, now: datetime) -> dict[str, Any]:
    documents, rows = [], await store.status_rows(profiles)
    missing = Counter[str]()
    for gap in await gaps_of(store, profiles, rows, now):
        missing[gap.profile] += gap.buckets if gap.reason == "missing" else 0
    relative = await store.relative([series.query for profile in profiles for series in profile.series])
    fires = await store.last_fires([profile.name for profile in profiles])
    for profile, row in zip(profiles, rows, strict=True):
        gaps = missing[profile.name]
        if profile.takes_snapshots:
            word, taken = await snapshots.state(store, profile, row, now)
            documents.append(_profile(profile, taken, gaps, word, now))
            continue
        failed = row.failures > 0 or await _is_failed(store, profile, fires.get(profile.name))
        word = state(profile, row, gaps, now, failed=failed)
        if word in ("fresh", "gaps") and any(series.query in relative for series in profile.series):
            word = "relative"  # each answer stands alone: no history can be made of it
        documents.append(_profile(profile, row, gaps, word, now))
    info, budget, radar = await store.info(), await store.budget(now, limit), await store.upstream(now)
    return {
        "profiles": documents,
        "store": {
            "backend": info.backend,
            "revision": info.revision,
            "points": info.points,
            "bytes": info.bytes,
        },
        "budget": {
            "limit": budget.limit,
            "used": budget.used,
            "window_seconds": budget.window_seconds,
            "blocked_until": budget.blocked_until,
        },
        "upstream": {"state": radar.state, "reason": radar.words, "asked_again_at": radar.asked_again_at},
        "replicas": [_replica(replica) for replica in await store.list_replicas()],
    }


def _replica(replica: Replica) -> dict[str, Any]:
    return {
        "name": replica.name,
        "version": replica.version,
        "profiles": list(replica.profiles),
        "started_at": replica.started_at,
        "working_on": list(replica.working_on),
    }


def _profile(profile: Profile, row: ProfileStatus, gaps: int, word: str, now: datetime) -> dict[str, Any]:
    return {
        "name": row.name,
        "agg_interval": row.agg_interval,
        "series": row.series,
        "points": row.points,
        "first_point": row.first_point,
        "last_point": row.last_point,
        "last_success": row.last_success,
        "lag_seconds": lag_seconds(profile, row.last_point, now),
        "gaps": gaps,
        "failures": row.failures,
        "next_fire": profile.next_due(now),
        "state": word,
    }


def lag_seconds(profile: Profile, last_point: datetime | None, now: datetime) -> float | None:
    """Seconds since the newest stored bucket of the laggard among a profile's series ended; None with no point."""
    return None if last_point is None else (now - last_point - profile.agg_interval.step).total_seconds()


def state(profile: Profile, row: ProfileStatus, gaps: int, now: datetime, *, failed: bool) -> str:
    """One word: `new` before the first answer, `failing`, `late` when a due moment went by, `gaps`, or `fresh`."""
    due = owed(profile.due_edges(None, now)[0] + profile.publication_delay, profile.agg_interval.step, now)
    if failed:
        return "failing"
    if row.last_success is None:
        return "new"
    if row.last_success < due:
        return "late"
    return "gaps" if gaps else "fresh"


async def _is_failed(store: Reader, profile: Profile, fire: Fire | None) -> bool:
    """Tell whether the last fire failed and what it missed has not come since: the fire itself stays on record."""
    if fire is None or fire.outcome != "failed":
        return False
    queries = [series.query for series in profile.series]
    asked = await store.asked_at(queries, fire.due - profile.agg_interval.step)
    return any(query not in asked or asked[query] <= fire.finished_at for query in queries)
