"""One pass: what is wanted by now → ask → save. Catch-up after downtime is the same call with a longer window.

decide (refetch)                do
fire_slices, healing_slices  →  gather  →  Collected
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.collect import plan, snapshots
from collector.collect.refetch import fire_slices, healing_slices
from collector.radar.errors import Refused
from collector.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.collect.gather import Gathered, Gatherer
    from collector.errors import CollectorError
    from collector.model import SeriesQuery, Slice
    from collector.profile import Profile
    from collector.store import Saved, Store


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
    slices = await fire_slices(snapshots.lasting(profiles), now, store)
    return await _gather(profiles, slices, gatherer, snapshots_at=now)


async def heal(profiles: Sequence[Profile], now: datetime, store: Store, gatherer: Gatherer) -> Collected:
    """Fill the gaps between `since`, or the first point, and the newest bucket that answers spoke for."""
    slices = await healing_slices(snapshots.lasting(profiles), now, store, gatherer)
    return await _gather(profiles, slices, gatherer, background=True)


async def collect_and_heal(profiles: Sequence[Profile], now: datetime, store: Store, gatherer: Gatherer) -> Collected:
    """Do both in one pass, so that what a gap and the present have in common is asked for once."""
    lasting = snapshots.lasting(profiles)
    both = [*await fire_slices(lasting, now, store), *await healing_slices(lasting, now, store, gatherer)]
    return await _gather(profiles, plan.joined(both), gatherer, snapshots_at=now)


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
