"""How a profile that takes snapshots fares."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.serve.health import owed

if TYPE_CHECKING:
    from datetime import datetime

    from collector.profile import Profile
    from collector.store import PassRecord, ProfileStatus, Reader

_DAY = timedelta(days=1)


async def state(store: Reader, profile: Profile, row: ProfileStatus, now: datetime) -> tuple[str, ProfileStatus]:
    """Give the state of *profile* in one word, and its *row* with when the snapshot was asked for as last success."""
    taken = await store.snapshots([series.query for series in profile.series])
    complete = all(series.query in taken for series in profile.series)
    asked_at = min(one.asked_at for one in taken.values()) if complete else None
    return word(profile, asked_at, await store.snapshot_record(profile.name), now), replace(row, last_success=asked_at)


def word(profile: Profile, asked_at: datetime | None, record: PassRecord, now: datetime) -> str:
    """One word: `failing` if the last pass failed, `new` before the first one, `late` after a missed one, `snapshot`.

    *asked_at* is when the oldest of its series' newest snapshots was asked for; None while one has none.
    """
    if record.failures:
        return "failing"
    if asked_at is None:
        return "new"
    due = owed(profile.due_edges(None, now)[0] + profile.publication_delay, profile.agg_interval.step, now)
    return "late" if asked_at + (_DAY if record.daily else timedelta(0)) < due else "snapshot"
