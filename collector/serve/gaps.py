"""What should be there minus what is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from collector.model import SeriesQuery, Window
    from collector.profile import Profile
    from collector.store import ProfileStatus, Reader


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of absent buckets of one series: `missing`, or `upstream` where Radar has none although they are final."""

    profile: str
    series: str
    start: datetime
    end: datetime
    buckets: int
    reason: str


async def all_gaps(store: Reader, profiles: Iterable[Profile], now: datetime) -> list[Gap]:
    """Find the gaps of *profiles*, one after the other, in one state of the store."""

    async def work(state: Reader) -> list[Gap]:
        return [gap for profile in profiles for gap in await gaps_of(state, profile, now)]

    return await store.look(work)


def is_whole(profile: Profile, row: ProfileStatus, whole: Mapping[SeriesQuery, Window], now: datetime) -> bool:
    """Tell whether *profile* has no gap, from what is known of all profiles already."""
    for series in profile.series:
        if series.query not in whole:
            return False
        stored = whole[series.query]
        within = profile.expected(stored, now - profile.publication_delay - row.behind)
        if within and not (stored.start <= within.start and within.end <= stored.end):
            return False
    return True


async def gaps_of(store: Reader, profile: Profile, now: datetime) -> list[Gap]:
    """Find the gaps of every series of *profile* up to what Radar has published by *now*, ascending."""
    stored = await store.spans([series.query for series in profile.series])
    behind = await store.upstream_lag(profile.name)
    gaps = []
    for series in profile.series:
        within = profile.expected(stored.get(series.query), now - profile.publication_delay - behind)
        for hole in await store.holes(series.query, within, profile.settle) if within else ():
            buckets = hole.window.duration // profile.agg_interval.step
            gaps.append(Gap(profile.name, series.label, hole.window.start, hole.window.end, buckets, hole.reason))
    return gaps
