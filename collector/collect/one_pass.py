"""One pass: decide which slices are missing, ask Radar for them, save the answers. Start reading at `collect`.

decide  refetch.py: plan_fire, healing_slices       which windows are missing or not final
ask     batches/batch_runner.py                     few requests; each answer is saved in one transaction
save    store/write/save.py

Catching up after a downtime is the same call with longer windows.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from collector.collect import snapshots
from collector.collect.batches.beginnings import check_beginnings
from collector.collect.batches.pending_slices import BatchResult
from collector.collect.batches.sentinel import Sentinel
from collector.collect.planning import packing
from collector.collect.refetch import FirePlan, healing_expected, healing_slices, plan_fire
from collector.interval import AggInterval
from collector.model import Slice
from collector.radar.errors import Forbidden, Refused
from collector.rules.clock_difference import NAMED_FROM
from collector.store import StoreUnavailable
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.errors import CollectorError
    from collector.model import Question
    from collector.profile import Profile
    from collector.store import SaveResult, Store

_MANY_VALUES = 50_000
"""After a pass that saved so many, as after a downtime, the memory that it needed is given back."""
_MAX_ROUNDS = 3
"""The first answer may show that our clock is wrong. The second round then uses Radar's clock."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """The outcome of one pass: points, requests, and for each profile the reason why a part is missing, or None.

    *moved*: buckets start elsewhere than was known. *refused* are the profiles that lack only what Radar refuses.
    *unsaved* are those for which the store was unavailable.
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
        """Whether nothing is missing."""
        return not self.stopped and not any(self.reasons.values())

    def followed_by(self, later: PassResult) -> PassResult:
        """Add a *later* pass, which replaces the outcome of its profiles."""
        again = later.reasons.keys()
        unsaved = {name: error for name, error in self.unsaved.items() if name not in again}
        return replace(
            later,
            saved=self.saved + later.saved,
            reasons=self.reasons | later.reasons,
            requests=self.requests + later.requests,
            refused=(self.refused - again) | later.refused,
            unsaved=unsaved | dict(later.unsaved),
        )


async def collect(  # noqa: PLR0913 - all but four are keywords
    profiles: Sequence[Profile],
    now: datetime,
    store: Store,
    batch_runner: BatchRunner,
    *,
    fires: bool = True,
    gaps: bool = False,
    replans: int = len(AggInterval),
) -> PassResult:
    """Bring the stored history of *profiles* up to *now*. *fires*: the newest buckets. *gaps*: older missing ones.

    A pass for gaps alone runs in the background. If *batch_runner* `waits`, series are left out until Radar has
    published a bucket that they lack, because another pass follows. If an answer shows that buckets start elsewhere
    than was known, the affected profiles are planned again, at most *replans* times.
    """
    placed, fetcher, result = await store.placed(profiles), batch_runner.fetcher, BatchResult()
    lasting, names, started_at = snapshots.lasting(placed), named(placed), fetcher.clock()
    for number in range(_MAX_ROUNDS):
        # decide
        ahead = await fetcher.clock_watch.ahead()
        slices, told_until = await plan_fire(lasting, now, store, ahead) if fires else FirePlan([], {})
        if gaps:
            slices += await healing_slices(lasting, now, store, batch_runner, ahead)
        if fires:
            slices = packing.joined(slices)
        if number:
            slices = await _not_answered_since(started_at, slices, store)
        # ask, and save each answer
        sentinel = Sentinel(told_until if batch_runner.waits else {})
        outcome = await batch_runner.run(slices, names, background=not fires, sentinel=sentinel)
        await _learn_publication(sentinel, ahead, store)
        if fires and len(lasting) < len(placed):
            outcome += await snapshots.take(placed, names, now, batch_runner)
        result = replace(result + outcome, failures=outcome.failures)
        if result.stopped or result.moved or abs(await fetcher.clock_watch.ahead() - ahead) <= NAMED_FROM:
            break
    if gaps and not result.stopped and not result.moved and not result.store_failed:
        expected = await healing_expected(lasting, now - await store.ahead(), store)
        result += await check_beginnings(expected, named(lasting), batch_runner)
    collected = _by_profile(placed, result)
    if not result.moved or result.stopped or not replans:
        return collected
    moved = [profile for profile in await store.placed(placed) if profile not in placed]
    if not moved:
        return collected
    again = collect(moved, now, store, batch_runner, fires=fires, gaps=gaps, replans=replans - 1)
    return collected.followed_by(await again)


async def release_memory(collected: PassResult, store: Store) -> None:
    """Give back the memory that a pass needed, if it saved many values."""
    if collected.saved.values >= _MANY_VALUES:
        await store.release_memory()


async def _learn_publication(sentinel: Sentinel, ahead: timedelta, store: Store) -> None:
    """Record how far lastUpdated was behind Radar's present, which is *ahead* earlier than our clock's."""
    samples = {interval: (at - ahead, last_updated) for interval, (at, last_updated) in sentinel.answers.items()}
    if samples:
        with contextlib.suppress(StoreUnavailable):  # the next pass learns it
            await store.learn_publication(samples)


def named(profiles: Iterable[Profile]) -> dict[Question, list[str]]:
    """Return the names of the profiles of each series."""
    names: dict[Question, list[str]] = defaultdict(list)
    for profile in profiles:
        for series in profile.series:
            names[series.query].append(profile.name)
    return names


async def _not_answered_since(since: datetime, slices: Sequence[Slice], store: Store) -> list[Slice]:
    """Return the parts of *slices* that no answer has covered from *since* on."""
    return [
        Slice(slice_.series, window)
        for slice_ in slices
        for window in subtract(slice_.window, await store.covered_windows(slice_.series, slice_.window, since))
    ]


def _by_profile(profiles: Sequence[Profile], result: BatchResult) -> PassResult:
    """Sort the failures of *result* by profile."""
    errors: dict[str, list[CollectorError]] = {}
    for profile in profiles:
        queries = {series.query for series in profile.series}
        failures = (failure for failure in result.failures if any(s.series in queries for s in failure.slices))
        errors[profile.name] = [failure.error for failure in failures]
    reasons = {name: str(failed[0]) if failed else None for name, failed in errors.items()}
    refused = {
        name for name, failed in errors.items() if failed and all(isinstance(e, Refused | Forbidden) for e in failed)
    }
    unsaved = {name: e for name, failed in errors.items() for e in failed if isinstance(e, StoreUnavailable)}
    return PassResult(result.saved, reasons, result.stopped, result.requests, result.moved, frozenset(refused), unsaved)
