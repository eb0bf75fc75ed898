"""One pass: decide which slices are missing, ask Radar for them, save the answers. Start reading at `run_pass`.

decide  refetch.py: fire_slices, healing_slices     which windows are missing or not final
ask     batches/batch_runner.py                     few requests; each answer is saved in one transaction
save    store/write/save.py

Catching up after a downtime is the same call with longer windows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from collector.clock_difference import NAMED_FROM
from collector.collect import snapshots
from collector.collect.batches.edges import attend_beginnings
from collector.collect.batches.pending_slices import BatchResult
from collector.collect.planning import packing
from collector.collect.refetch import fire_slices, healing_expected, healing_slices
from collector.interval import AggInterval
from collector.model import Slice
from collector.profile import on_grids
from collector.radar.errors import Refused
from collector.store import StoreUnavailable
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.errors import CollectorError
    from collector.model import Question
    from collector.profile import Profile
    from collector.store import SaveResult, Store

_MOST_ROUNDS = 3
"""The first request may show that our clock is wrong; the second round asks by Radar's."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """What one pass did: points, requests, and per profile why a part of it is missing (None where nothing is).

    *moved*: buckets start elsewhere than was known, so that the pass is to be planned anew. *refused* are the profiles
    of which nothing else is missing than what Radar refuses to answer. *unsaved* are those of which the store, being
    away, did not take a part.
    """

    saved: SaveResult
    reasons: dict[str, str | None]
    stopped: bool
    requests: int = 0
    moved: bool = False
    refused: frozenset[str] = frozenset()
    unsaved: Mapping[str, StoreUnavailable] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Tell whether all that was wanted is there."""
        return not self.stopped and not any(self.reasons.values())

    def followed_by(self, later: PassResult) -> PassResult:
        """Add a *later* pass, whose word on its profiles counts."""
        again = later.reasons.keys()
        unsaved = {name: one for name, one in self.unsaved.items() if name not in again}
        return replace(
            later,
            saved=self.saved + later.saved,
            reasons=self.reasons | later.reasons,
            requests=self.requests + later.requests,
            refused=(self.refused - again) | later.refused,
            unsaved=unsaved | dict(later.unsaved),
        )


async def collect(profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner) -> PassResult:
    """Bring the stored history of *profiles* up to *now*."""

    async def once(profiles: Sequence[Profile]) -> PassResult:
        lasting = snapshots.lasting(profiles)
        return await _run_batches(
            profiles, lambda ahead: fire_slices(lasting, now, store, ahead), batch_runner, snapshots_at=now
        )

    return await _on_their_grids(profiles, store, once)


async def heal(profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner) -> PassResult:
    """Fill the gaps between `since`, or the first point, and the newest bucket that answers spoke for."""

    async def once(profiles: Sequence[Profile]) -> PassResult:
        lasting = snapshots.lasting(profiles)
        found = await _run_batches(
            profiles,
            lambda ahead: healing_slices(lasting, now, store, batch_runner, ahead),
            batch_runner,
            background=True,
        )
        return await _attend(lasting, found, now, batch_runner)

    return await _on_their_grids(profiles, store, once)


async def collect_and_heal(
    profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner
) -> PassResult:
    """Do both in one pass, so that what a gap and the present have in common is asked for once."""

    async def once(profiles: Sequence[Profile]) -> PassResult:
        lasting = snapshots.lasting(profiles)

        async def both(ahead: timedelta) -> list[Slice]:
            slices = await fire_slices(lasting, now, store, ahead)
            return packing.joined([*slices, *await healing_slices(lasting, now, store, batch_runner, ahead)])

        return await _attend(
            lasting, await _run_batches(profiles, both, batch_runner, snapshots_at=now), now, batch_runner
        )

    return await _on_their_grids(profiles, store, once)


async def _attend(
    lasting: Sequence[Profile], collected: PassResult, now: datetime, batch_runner: BatchRunner
) -> PassResult:
    """Find where the history of profiles begins, unless the pass was cut short: then nothing can be learned now."""
    if collected.stopped or collected.unsaved or collected.moved:
        return collected
    present = now - await batch_runner.fetcher.store.ahead()
    expected = await healing_expected(lasting, present, batch_runner.fetcher.store)
    attended = await attend_beginnings(expected, named(lasting), batch_runner)
    saved, requests = collected.saved + attended.saved, collected.requests + attended.requests
    return replace(collected, saved=saved, requests=requests)


async def _on_their_grids(
    profiles: Sequence[Profile], store: Store, once: Callable[[Sequence[Profile]], Awaitable[PassResult]]
) -> PassResult:
    """Do a pass, and plan it anew where the grid of an interval has moved meanwhile."""
    placed = on_grids(profiles, await store.grids())
    collected = await once(placed)
    for _ in AggInterval:
        moved = [one for one in on_grids(placed, await store.grids()) if one not in placed] if collected.moved else []
        if collected.stopped or not moved:
            break
        placed = on_grids(placed, await store.grids())
        collected = collected.followed_by(await once(moved))
    return collected


def named(profiles: Iterable[Profile]) -> dict[Question, list[str]]:
    """The names of the profiles that each series belongs to."""
    names: dict[Question, list[str]] = defaultdict(list)
    for profile in profiles:
        for series in profile.series:
            names[series.query].append(profile.name)
    return names


async def _run_batches(
    profiles: Sequence[Profile],
    decide: Callable[[timedelta], Awaitable[Sequence[Slice]]],
    batch_runner: BatchRunner,
    *,
    background: bool = False,
    snapshots_at: datetime | None = None,
) -> PassResult:
    """Ask for what *decide* says, told how far our clock is ahead, and for what is left if that turns out otherwise."""
    result, fetcher = BatchResult(), batch_runner.fetcher
    began = fetcher.clock()
    for again in range(_MOST_ROUNDS):
        before = await fetcher.ahead()
        slices = await decide(before)
        if again:
            slices = await _unanswered(slices, began, fetcher.store)
        found = await batch_runner.run(slices, named(profiles), background=background)
        if snapshots_at:
            found += await snapshots.take(profiles, named(profiles), snapshots_at, batch_runner)
        result = replace(result + found, failures=found.failures)
        if result.stopped or result.moved or abs(await fetcher.ahead() - before) <= NAMED_FROM:
            break
    return _collected(profiles, result)


async def _unanswered(slices: Sequence[Slice], since: datetime, store: Store) -> list[Slice]:
    """Leave out of *slices* what answers have covered from *since* on."""
    return [
        Slice(piece.series, part)
        for piece in slices
        for part in subtract(piece.window, await store.covered_windows(piece.series, piece.window, since))
    ]


def _collected(profiles: Sequence[Profile], result: BatchResult) -> PassResult:
    errors = {profile.name: _errors(profile, result) for profile in profiles}
    reasons = {name: str(found[0]) if found else None for name, found in errors.items()}
    refused = {name for name, found in errors.items() if found and all(isinstance(one, Refused) for one in found)}
    unsaved = {name: one for name, found in errors.items() for one in found if isinstance(one, StoreUnavailable)}
    return PassResult(result.saved, reasons, result.stopped, result.requests, result.moved, frozenset(refused), unsaved)


def _errors(profile: Profile, result: BatchResult) -> list[CollectorError]:
    """Why series of *profile* are incomplete."""
    queries = {series.query for series in profile.series}
    return [one.error for one in result.failures if any(piece.series in queries for piece in one.slices)]
