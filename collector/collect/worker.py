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

from collector.collect.one_pass import PassResult, collect, release_memory
from collector.collect.planning import packing
from collector.retry import FIRST_PAUSE, backoff
from collector.rules.clock_difference import NAMED_FROM
from collector.store import PROFILE, Fire, StoreUnavailable, WorkItem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.profile import Profile
    from collector.store import Claim, ReadView, Store

log = logging.getLogger(__name__)

_RECHECK_INTERVAL = timedelta(minutes=15)
"""How often Radar publishes data."""
_RECHECK_UNTIL = timedelta(hours=1)
"""How long after its expected publication a bucket is requested again. Later, the next fire requests it."""
_TAKEOVER_DELAY = timedelta(minutes=1)
"""Extra delay before another replica retries, in case the first one has died."""
_OTHERS_POLL_SECONDS = 0.5
"""The interval of checks whether another replica has finished or died."""


@dataclass(frozen=True, slots=True)
class Health:
    """The state of one profile: *due* is its newest due moment, *success* the end of its last complete pass."""

    due: datetime | None = None
    success: datetime | None = None
    failures: int = 0
    reason: str | None = None


def fires_of(dues: Mapping[str, Sequence[datetime]], collected: PassResult, now: datetime) -> list[Fire]:
    """Return a fire with its outcome for every due moment of every profile of one pass."""
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
        self._recheck_at: dict[str, datetime] = {}
        self._lacking: frozenset[str] = frozenset()
        self._retries = set(self._profiles)
        self._others_hold_due = False

    async def notice(self) -> None:
        """Wake the worker; it reads from the store which fires are due."""
        self._due.set()

    async def run(self) -> None:
        """Run passes when profiles are due, until the service stops."""
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
        """Return the seconds until a retry or a recheck is due; None if there is none."""
        waits = [backoff(failures)] if failures else []
        waits += [_OTHERS_POLL_SECONDS] if self._others_hold_due else []
        if self._recheck_at:
            waits.append(max((min(self._recheck_at.values()) - self._fetcher.clock()).total_seconds(), 0))
        return min(waits, default=None)

    async def run_due(self) -> bool:
        """Collect the profiles that are due or failed before. Returns whether no retry is left.

        A pass may take long, so each claim uses the present time, and skips what other replicas did meanwhile.
        """
        self._batch_runner.reload_limits()
        complete, tried = True, set[str]()
        while dues := await self._claim(now := self._fetcher.clock(), tried):
            tried |= set(dues)
            complete = await self._pass(dues, now) and complete
        return complete

    async def _claim(self, now: datetime, tried: set[str]) -> dict[str, WorkItem]:
        """Claim a share of the profiles that are due and not *tried* yet, and update the health of all."""
        kind = next(iter(self._profiles.values())).request_kind
        positions = (await self._batch_runner.limits(kind)).shape.positions
        self._lacking = await self._collected_too_early(now)

        def choose(free: Sequence[WorkItem], replicas: int) -> list[str]:
            wanted = [self._profiles[item.name] for item in free if item.name not in tried and self._is_due(item, now)]
            return [profile.name for profile in packing.fair_share(wanted, replicas, positions)]

        claimed = await self._store.claim(PROFILE, list(self._profiles), now, choose)
        self._update_health(claimed, now)
        return {name: claimed.work_items[name] for name in claimed.mine}

    def _is_due(self, item: WorkItem, now: datetime) -> bool:
        """Return whether a profile is due, or a retry or recheck of it is."""
        retry = item.failures > 0 and item.name in self._retries
        again = self._recheck_at.get(item.name), item.again
        wanted = self._dues(item, now) or retry or self._was_too_early(item, now)
        return bool(wanted) or any(moment and moment <= now for moment in again)

    def _was_too_early(self, item: WorkItem, now: datetime) -> bool:
        """Return whether the newest fire was recorded too early.

        The clock was ahead then, or its due moment has moved since, and the bucket is still lacking.
        """
        if item.success is None or item.failures:
            return False
        profile = self._profiles[item.name]
        due = profile.due(now)
        since = due if item.name in self._lacking else profile.counts_from(due)
        return not since <= item.success <= now + NAMED_FROM

    async def _collected_too_early(self, now: datetime) -> frozenset[str]:
        """Find the profiles whose due moment has moved since their pass, which did not bring the newest bucket."""
        early = [
            profile
            for profile in self._profiles.values()
            if (success := self.health[profile.name].success)
            and profile.counts_from(due := profile.due(now)) <= success < due
        ]
        if not early:
            return frozenset()
        edges = {profile.name: profile.due_edges(None, now)[0] for profile in early}
        return await self._store.with_read_view(lambda view: lacking(view, early, edges))

    def _dues(self, item: WorkItem, now: datetime) -> list[datetime]:
        return self._profiles[item.name].due_edges(item.due, now)

    def _update_health(self, claimed: Claim, now: datetime) -> None:
        for item in claimed.work_items.values():
            self.health[item.name] = Health(item.due, item.success, item.failures, item.reason)
        self._others_hold_due = any(item.held and self._is_due(item, now) for item in claimed.work_items.values())

    async def _pass(self, items: Mapping[str, WorkItem], now: datetime) -> bool:
        """Collect the claimed profiles, and record the outcome."""
        profiles = [self._profiles[name] for name in items]
        collected = await collect(profiles, now, self._store, self._batch_runner)
        await release_memory(collected, self._store)
        if collected.stopped:
            return True
        saved = {name: item for name, item in items.items() if name not in collected.unsaved}
        await self._record(saved, collected, now)
        for error in collected.unsaved.values():
            raise error  # these profiles are still due
        return collected.complete

    async def _record(self, items: Mapping[str, WorkItem], collected: PassResult, now: datetime) -> None:
        finished = self._fetcher.clock()
        dues = {name: moments for name, item in items.items() if (moments := self._dues(item, now))}
        fires = fires_of(dues, collected, finished)
        await self._schedule_rechecks([self._profiles[name] for name in items], now)
        await self._schedule_retry(collected.refused & items.keys(), finished)
        done = [self._after_pass(item, collected, finished) for item in items.values()]
        await self._store.finish(fires, done)
        self._fetcher.observer.fired(fires)
        self._remember_outcome(done, fires, collected)

    async def _schedule_retry(self, refused: AbstractSet[str], now: datetime) -> None:
        """Retry a refused profile when its first pause ends, because a wrong filter should cost few requests."""
        pauses = await self._store.refusals(now) if refused else []
        for name in refused:
            queries = [series.query for series in self._profiles[name].series]
            ends = [pause.again_at for pause in pauses if any(pause.is_of(query) for query in queries)]
            self._recheck_at[name] = min(ends, default=now + FIRST_PAUSE)

    def _after_pass(self, item: WorkItem, collected: PassResult, now: datetime) -> WorkItem:
        """Return the work item as it is after a pass."""
        reason, look = collected.reasons[item.name], self._recheck_at.get(item.name)
        again = now if reason and item.name not in collected.refused else look
        success, failures = (item.success, item.failures + 1) if reason else (now, 0)
        return WorkItem(item.name, item.due, success, failures, reason, again + _TAKEOVER_DELAY if again else None)

    async def _schedule_rechecks(self, profiles: Sequence[Profile], now: datetime) -> None:
        """Schedule the rechecks of *profiles*, from one state of the store."""
        for profile in profiles:
            self._recheck_at.pop(profile.name, None)
        if later := [profile for profile in profiles if profile.next_due(now) >= now + 2 * _RECHECK_INTERVAL]:
            self._recheck_at |= await self._store.with_read_view(lambda view: rechecks(view, later, now))

    def _remember_outcome(self, done: Sequence[WorkItem], fires: Sequence[Fire], collected: PassResult) -> None:
        newest = {fire.profile: fire.due for fire in fires}
        for item in done:
            due = newest.get(item.name, item.due)
            self.health[item.name] = Health(due, item.success, item.failures, item.reason)
        retries = {item.name for item in done if item.failures} - collected.refused
        self._retries = self._retries - {item.name for item in done} | retries
        _log(fires, collected)


def rechecks(view: ReadView, profiles: Sequence[Profile], now: datetime) -> dict[str, datetime]:
    """Return when to look again for the newest closed bucket of each profile, if its next fire is much later.

    Radar lags behind the clock: at midnight, the day that has just ended is not published yet, and it should not be
    missing until the next midnight. If our clock is ahead, the next bucket closes before that midnight.
    """
    ahead = view.ahead()
    closed = {profile.name: profile.grid.floor(now - ahead) for profile in profiles}
    complete = closed.keys() - lacking(view, profiles, closed)
    for profile in profiles:
        if profile.name in complete and ahead:
            closed[profile.name] += profile.agg_interval.step
        elif profile.name in complete:
            del closed[profile.name]
    lags, learned, recheck_at = view.upstream_lags([*closed]), view.publication_times(), {}
    for profile in profiles:
        if profile.name in closed:
            known = learned.get(profile.agg_interval)
            lag = timedelta(seconds=known.published_after) if known and known.published_after else lags[profile.name]
            delay = max(lag + profile.publication_delay, profile.due_delay)
            published = closed[profile.name] + ahead + delay
            look = max(published, now + _RECHECK_INTERVAL)
            if look + _RECHECK_INTERVAL <= profile.next_due(now) and look <= published + _RECHECK_UNTIL:
                recheck_at[profile.name] = look
    return recheck_at


def lacking(view: ReadView, profiles: Sequence[Profile], edges: Mapping[str, datetime]) -> frozenset[str]:
    """Return the names of *profiles* of which a series lacks the bucket that ended at the profile's edge in *edges*."""
    extents = view.extents([series.query for profile in profiles for series in profile.series])
    return frozenset(
        profile.name
        for profile in profiles
        if any(s.query not in extents or extents[s.query].end < edges[profile.name] for s in profile.series)
    )


def _log(fires: Sequence[Fire], collected: PassResult) -> None:
    """Log the outcome of a pass; at level debug if it failed again without any request."""
    outcome, level = ("collected", logging.INFO) if collected.complete else ("failed", logging.WARNING)
    if not (collected.complete or collected.requests or fires):
        level = logging.DEBUG
    reason = next(filter(None, collected.reasons.values()), None)
    fields = {"outcome": outcome, "profiles": ",".join(collected.reasons), "fires": len(fires), "reason": reason}
    log.log(level, "collect", extra=fields | collected.saved.counts)


async def first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of *events* is set, or *seconds* have passed."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
