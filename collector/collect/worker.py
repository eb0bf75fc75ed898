"""Runs one group of profiles that are due together: one pass when they are due, and again until it succeeds.

Every due moment gets exactly one fire on record. After a downtime, one pass reads everything: its newest fire is
collected or failed, and the older ones are coalesced. Replicas claim the profiles they run, so each fire belongs to one
replica. If a replica dies, the others take over its claims.

claim (store)  →  which are due? (pure)  →  collect  →  record fires and work items (store)
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.clock_difference import NAMED_FROM
from collector.collect.one_pass import PassResult, collect
from collector.collect.planning import packing
from collector.retry import FIRST_PAUSE, backoff
from collector.store import PROFILE, Fire, StoreUnavailable, WorkItem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.profile import Profile
    from collector.store import Claim, Store

log = logging.getLogger(__name__)

_LOOK_AGAIN = timedelta(minutes=15)
"""How often Radar's data moves on."""
_LOOK_UNTIL = timedelta(hours=1)
"""How long after it should have been published a bucket is looked for; then it is the next fire's."""
_LET_IT_TRY = timedelta(minutes=1)
"""So much later than the replica that means to try again the others do it, should it be gone."""
_OTHERS_AT_IT = 0.5
"""Seconds between two looks at whether another replica has done what is due, or is gone."""


@dataclass(frozen=True, slots=True)
class Health:
    """How one profile fares: *due* is its newest due moment, *success* when a pass last left nothing missing."""

    due: datetime | None = None
    success: datetime | None = None
    failures: int = 0
    reason: str | None = None


def fires_of(dues: Mapping[str, Sequence[datetime]], collected: PassResult, now: datetime) -> list[Fire]:
    """Write down what became of every due moment of every profile in one pass."""
    return [
        Fire(name, due, _outcome(collected.reasons[name], newest=due == moments[-1]), now, collected.reasons[name])
        for name, moments in dues.items()
        for due in moments
    ]


def _outcome(reason: str | None, *, newest: bool) -> str:
    if not newest:
        return "coalesced"
    return "failed" if reason else "collected"


class ProfileWorker:
    """Runs the passes of one group of profiles, which share their agg_interval and publication delay."""

    def __init__(self, profiles: Sequence[Profile], store: Store, batch_runner: BatchRunner) -> None:
        self.health = {profile.name: Health() for profile in profiles}
        self._profiles = {profile.name: profile for profile in profiles}
        self._store = store
        self._batch_runner = batch_runner
        self._fetcher = batch_runner.fetcher
        self._due = asyncio.Event()
        self._awaited: dict[str, datetime] = {}
        self._retries = set(self._profiles)
        self._others_at_it = False

    async def notice(self) -> None:
        """Take note that something is due; what exactly is read off the record."""
        self._due.set()

    async def run(self) -> None:
        """Attend until told to stop."""
        failures = 0
        while not self._fetcher.stop.is_set():
            self._due.clear()
            try:
                complete = await self.run_due()
            except StoreUnavailable as error:
                log.error("collect", extra={"outcome": "failed", "reason": str(error)})  # noqa: TRY400 - no traceback
                complete = False
            failures = 0 if complete else failures + 1
            await first_of(self._due, self._fetcher.stop, seconds=self._seconds(failures))

    def _seconds(self, failures: int) -> float | None:
        """How long until there is something to do, though nothing is due; None where there is nothing."""
        waits = [backoff(failures)] if failures else []
        waits += [_OTHERS_AT_IT] if self._others_at_it else []
        if self._awaited:
            waits.append(max((min(self._awaited.values()) - self._fetcher.clock()).total_seconds(), 0))
        return min(waits, default=None)

    async def run_due(self) -> bool:
        """Collect what is due, or failed before; tell whether nothing is left to try again.

        A pass may take long, so each claim goes by the present: what others did meanwhile is done.
        """
        self._batch_runner.reload_limits()
        complete, tried = True, set[str]()
        while dues := await self._claim(now := self._fetcher.clock(), tried):
            tried |= set(dues)
            complete = await self._pass(dues, now) and complete
        return complete

    async def _claim(self, now: datetime, tried: set[str]) -> dict[str, WorkItem]:
        """Claim a share of what is wanted and not *tried* yet, and see how all the profiles fare."""
        kind = next(iter(self._profiles.values())).request_kind
        positions = (await self._batch_runner.limits(kind)).shape.positions

        def choose(free: Sequence[WorkItem], replicas: int) -> list[str]:
            wanted = [self._profiles[duty.name] for duty in free if duty.name not in tried and self._wants(duty, now)]
            return [profile.name for profile in packing.fair_share(wanted, replicas, positions)]

        claimed = await self._store.claim(PROFILE, list(self._profiles), now, choose)
        self._learn(claimed, now)
        return {name: claimed.duties[name] for name in claimed.mine}

    def _wants(self, duty: WorkItem, now: datetime) -> bool:
        """Tell whether a profile is due, or to be tried or looked at once more."""
        retry = duty.failures > 0 and duty.name in self._retries
        again = self._awaited.get(duty.name), duty.again
        wanted = self._dues(duty, now) or retry or self._is_ahead(duty, now)
        return bool(wanted) or any(moment and moment <= now for moment in again)

    def _is_ahead(self, duty: WorkItem, now: datetime) -> bool:
        """Tell whether the newest due moment is accounted for only because the clock was ahead of it then."""
        if duty.success is None or duty.failures:
            return False
        profile = self._profiles[duty.name]
        newest = profile.due_edges(None, now)[0] + profile.publication_delay
        return not newest <= duty.success <= now + NAMED_FROM

    def _dues(self, duty: WorkItem, now: datetime) -> list[datetime]:
        return self._profiles[duty.name].due_edges(duty.due, now)

    def _learn(self, claimed: Claim, now: datetime) -> None:
        for duty in claimed.duties.values():
            self.health[duty.name] = Health(duty.due, duty.success, duty.failures, duty.reason)
        self._others_at_it = any(duty.held and self._wants(duty, now) for duty in claimed.duties.values())

    async def _pass(self, duties: Mapping[str, WorkItem], now: datetime) -> bool:
        """Collect what was claimed, and put on record what came of it."""
        profiles = [self._profiles[name] for name in duties]
        collected = await collect(profiles, now, self._store, self._batch_runner)
        if collected.stopped:
            return True
        seen_to = {name: duty for name, duty in duties.items() if name not in collected.unsaved}
        await self._record(seen_to, collected, now)
        for error in collected.unsaved.values():
            raise error  # what was due still is
        return collected.complete

    async def _record(self, duties: Mapping[str, WorkItem], collected: PassResult, now: datetime) -> None:
        finished = self._fetcher.clock()
        dues = {name: moments for name, duty in duties.items() if (moments := self._dues(duty, now))}
        fires = fires_of(dues, collected, finished)
        for name in duties:
            await self._await_newest(self._profiles[name], now)
        await self._await_pauses(collected.refused & duties.keys(), finished)
        done = [self._done(duty, collected, finished) for duty in duties.values()]
        await self._store.finish(fires, done)
        self._fetcher.observer.fired(fires)
        self._note(done, fires, collected)

    async def _await_pauses(self, refused: AbstractSet[str], now: datetime) -> None:
        """Try what Radar refuses again when its first pause ends: a wrong filter should not cost much."""
        pauses = await self._store.refusals(now) if refused else []
        for name in refused:
            queries = [series.query for series in self._profiles[name].series]
            ends = [one.again_at for one in pauses if any(one.is_of(query) for query in queries)]
            self._awaited[name] = min(ends, default=now + FIRST_PAUSE)

    def _done(self, duty: WorkItem, collected: PassResult, now: datetime) -> WorkItem:
        """How a duty stands after a pass."""
        reason, look = collected.reasons[duty.name], self._awaited.get(duty.name)
        again = now if reason and duty.name not in collected.refused else look
        success, failures = (duty.success, duty.failures + 1) if reason else (now, 0)
        return WorkItem(duty.name, duty.due, success, failures, reason, again + _LET_IT_TRY if again else None)

    async def _await_newest(self, profile: Profile, now: datetime) -> None:
        """Look again when the newest closed bucket should be published, if that is well before the next due moment.

        Radar lags behind the clock: at midnight the day that has just ended is not there yet, and it should not be
        missing until the next midnight. If our clock is ahead, the next bucket closes before that midnight.
        """
        self._awaited.pop(profile.name, None)
        ahead = await self._store.ahead()
        closed = profile.grid.floor(now - ahead)
        stored = await self._store.extents([series.query for series in profile.series])
        if all(series.query in stored and stored[series.query].end >= closed for series in profile.series):
            if not ahead:
                return
            closed += profile.agg_interval.step
        lag = await self._store.upstream_lag(profile.name)
        published = closed + ahead + lag + profile.publication_delay
        look = max(published, now + _LOOK_AGAIN)
        if look + _LOOK_AGAIN <= profile.next_due(now) and look <= published + _LOOK_UNTIL:
            self._awaited[profile.name] = look

    def _note(self, done: Sequence[WorkItem], fires: Sequence[Fire], collected: PassResult) -> None:
        newest = {fire.profile: fire.due for fire in fires}
        for duty in done:
            due = newest.get(duty.name, duty.due)
            self.health[duty.name] = Health(due, duty.success, duty.failures, duty.reason)
        retries = {duty.name for duty in done if duty.failures} - collected.refused
        self._retries = self._retries - {duty.name for duty in done} | retries
        _log(fires, collected)


def _log(fires: Sequence[Fire], collected: PassResult) -> None:
    """Say how a pass went; one that failed again without having asked anything has nothing new to say."""
    outcome, level = ("collected", logging.INFO) if collected.complete else ("failed", logging.WARNING)
    if not (collected.complete or collected.requests or fires):
        level = logging.DEBUG
    reason = next(filter(None, collected.reasons.values()), None)
    fields = {"outcome": outcome, "profiles": ",".join(collected.reasons), "fires": len(fires), "reason": reason}
    log.log(level, "collect", extra=fields | collected.saved.counts)


async def first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of *events* is set, or *seconds* are over."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
