"""The straight line: what is wanted by now → ask → save. Catch-up after downtime is the same call with a longer window.

decide (pure, in plan)                 do
live_window, history_window, cells  →  gather  →  Collected
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect import plan, snapshots
from collector.collect.missing import ASK_AGAIN_AFTER, missing, whole_cells
from collector.model import Slice
from collector.radar.errors import Refused
from collector.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.collect.gather import Gathered, Gatherer
    from collector.errors import CollectorError
    from collector.model import SeriesQuery, Window
    from collector.profile import Profile
    from collector.store import Saved, Store

    Windows = dict[SeriesQuery, list[Window]]


@dataclass(frozen=True, slots=True)
class Collected:
    """What one pass did: points, requests, and per profile why a part of it is missing (None where nothing is).

    *refused* are the profiles of which nothing else is missing than what Radar refuses to answer. *unsaved* are those
    of which the store, being away, did not take a part.
    """

    saved: Saved
    reasons: dict[str, str | None]
    stopped: bool
    requests: int = 0
    refused: frozenset[str] = frozenset()
    unsaved: Mapping[str, StoreUnavailable] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Tell whether all that was wanted is there."""
        return not self.stopped and not any(self.reasons.values())


async def collect(profiles: Sequence[Profile], now: datetime, store: Store, gatherer: Gatherer) -> Collected:
    """Bring the stored history of *profiles* up to *now*."""
    slices = await _live(snapshots.lasting(profiles), now, store)
    return await _gather(profiles, slices, gatherer, snapshots_at=now)


async def heal(profiles: Sequence[Profile], now: datetime, store: Store, gatherer: Gatherer) -> Collected:
    """Fill what is missing between `since`, or the first point, and the newest stored bucket."""
    slices = await _missing(snapshots.lasting(profiles), now, store, gatherer)
    return await _gather(profiles, slices, gatherer, background=True)


async def collect_and_heal(profiles: Sequence[Profile], now: datetime, store: Store, gatherer: Gatherer) -> Collected:
    """Do both in one pass, so that what a gap and the present have in common is asked for once."""
    lasting = snapshots.lasting(profiles)
    both = [*await _live(lasting, now, store), *await _missing(lasting, now, store, gatherer)]
    return await _gather(profiles, plan.joined(both), gatherer, snapshots_at=now)


async def _live(profiles: Sequence[Profile], now: datetime, store: Store) -> list[Slice]:
    """Decide what a fire reads. Profiles that share a series ask for it once, in the longer of their windows."""
    wanted: Windows = defaultdict(list)
    for profile in profiles:
        stored = await store.spans([series.query for series in profile.series])
        settled = await _settled(profile, stored, now, store)
        for series in profile.series:
            settling = series.query not in settled
            window = plan.live_window(profile, stored.get(series.query), now, settling=settling)
            wanted[series.query] += [window] if window else []
    return [Slice(query, window) for query, windows in wanted.items() for window in plan.merged(windows)]


async def _settled(
    profile: Profile, stored: dict[SeriesQuery, Window], now: datetime, store: Store
) -> set[SeriesQuery]:
    """The series whose oldest value that may still be revised was read again less than a day ago."""
    edge = profile.agg_interval.floor(now - profile.settle)
    oldest: dict[datetime, list[SeriesQuery]] = defaultdict(list)
    for query, window in stored.items():
        oldest[max(edge, window.start)].append(query)
    settled: set[SeriesQuery] = set()
    for moment, queries in oldest.items():
        asked = await store.asked_at(queries, moment)
        settled |= {query for query, asked_at in asked.items() if timedelta(0) <= now - asked_at < ASK_AGAIN_AFTER}
    return settled


async def _missing(profiles: Sequence[Profile], now: datetime, store: Store, gatherer: Gatherer) -> list[Slice]:
    """Decide what of the past to ask for; what is newer than the newest stored bucket is the next fire's."""
    holes: Windows = defaultdict(list)
    within: dict[SeriesQuery, Window] = {}
    for profile in profiles:
        stored = await store.spans([series.query for series in profile.series])
        for series in profile.series if profile.heal else ():
            known = stored.get(series.query)
            expected = profile.expected(known, known.end if known else now)
            if expected:
                within[series.query] = plan.hull([expected, within.get(series.query, expected)])
                holes[series.query] += await missing(profile, series.query, expected, store, now)
    return await whole_cells(holes, within, gatherer)


def named(profiles: Iterable[Profile]) -> dict[SeriesQuery, list[str]]:
    """The names of the profiles that each series belongs to."""
    names: dict[SeriesQuery, list[str]] = defaultdict(list)
    for profile in profiles:
        for series in profile.series:
            names[series.query].append(profile.name)
    return names


async def _gather(
    profiles: Sequence[Profile],
    slices: Sequence[Slice],
    gatherer: Gatherer,
    *,
    background: bool = False,
    snapshots_at: datetime | None = None,
) -> Collected:
    gathered = await gatherer.gather_all(slices, named(profiles), background=background)
    if snapshots_at:
        gathered += await snapshots.take(profiles, named(profiles), snapshots_at, gatherer)
    errors = {profile.name: _errors(profile, gathered) for profile in profiles}
    reasons = {name: str(found[0]) if found else None for name, found in errors.items()}
    refused = {name for name, found in errors.items() if found and all(isinstance(one, Refused) for one in found)}
    unsaved = {name: one for name, found in errors.items() for one in found if isinstance(one, StoreUnavailable)}
    return Collected(gathered.saved, reasons, gathered.stopped, gathered.requests, frozenset(refused), unsaved)


def _errors(profile: Profile, gathered: Gathered) -> list[CollectorError]:
    """Why series of *profile* are incomplete."""
    queries = {series.query for series in profile.series}
    return [one.error for one in gathered.failures if any(piece.series in queries for piece in one.slices)]
