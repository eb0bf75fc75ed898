"""Sees to the profiles that are due together: one pass whenever they are due, and again until it succeeds.

Every due moment ends as one fire on record: the newest of a pass as collected or failed, the older ones, which a pause
left behind, as coalesced, for one pass reads all that they would have read.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.collect import Collected, collect
from collector.collect.fetch import backoff
from collector.store import Fire, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.collect.gather import Gatherer
    from collector.profile import Profile
    from collector.store import Store

log = logging.getLogger(__name__)

_LOOK_AGAIN = timedelta(minutes=15)
"""How often Radar's data moves on."""
_LOOK_UNTIL = timedelta(hours=1)
"""How long after it should have been published a bucket is looked for; then it is the next fire's."""


@dataclass(frozen=True, slots=True)
class Health:
    """How one profile fares: *due* is its newest due moment, *success* when a pass last left nothing missing."""

    due: datetime | None = None
    success: datetime | None = None
    failures: int = 0
    reason: str | None = None


def fires_of(dues: Mapping[str, Sequence[datetime]], collected: Collected, now: datetime) -> list[Fire]:
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


class Attendant:
    """Runs the passes of one group of profiles, which share their agg_interval and publication delay."""

    def __init__(self, profiles: Sequence[Profile], store: Store, gatherer: Gatherer) -> None:
        self.health = {profile.name: Health() for profile in profiles}
        self._profiles = profiles
        self._store = store
        self._gatherer = gatherer
        self._fetcher = gatherer.fetcher
        self._due = asyncio.Event()
        self._awaited: dict[str, datetime] = {}

    async def notice(self) -> None:
        """Take note that something is due; what exactly is read off the record."""
        self._due.set()

    async def run(self) -> None:
        """Attend until told to stop."""
        failures = 0
        while not self._fetcher.stop.is_set():
            self._due.clear()
            try:
                complete = await self.attend(self._fetcher.clock())
            except StoreUnavailable as error:
                log.error("pass", extra={"outcome": "failed", "reason": str(error)})  # noqa: TRY400 - no traceback
                complete = False
            failures = 0 if complete else failures + 1
            await first_of(self._due, self._fetcher.stop, seconds=backoff(failures) if failures else self._seconds())

    def _seconds(self) -> float | None:
        """How long until a bucket that was not published yet should be."""
        if not self._awaited:
            return None
        return max((min(self._awaited.values()) - self._fetcher.clock()).total_seconds(), 0)

    async def attend(self, now: datetime) -> bool:
        """Collect what is due by *now*, or failed before; tell whether nothing is left to try again."""
        dues = {}
        for profile in self._profiles:
            last = await self._store.last_fire(profile.name, now)
            self._recall(profile, last)
            dues[profile.name] = profile.due_edges(last.due if last else None, now)
        todo = [p for p in self._profiles if dues[p.name] or self.health[p.name].failures or self._is_awaited(p, now)]
        if not todo:
            return True
        collected = await collect(todo, now, self._store, self._gatherer)
        if collected.stopped:
            return True
        finished = self._fetcher.clock()
        fires = fires_of({name: moments for name, moments in dues.items() if moments}, collected, finished)
        await self._store.record_fires(fires)
        self._fetcher.observer.fired(fires)
        self._note(fires, collected, finished)
        for profile in todo:
            await self._await_newest(profile, now)
        return collected.complete

    def _is_awaited(self, profile: Profile, now: datetime) -> bool:
        return profile.name in self._awaited and self._awaited[profile.name] <= now

    async def _await_newest(self, profile: Profile, now: datetime) -> None:
        """Look again when the newest closed bucket should be published, if that is well before the next due moment.

        Radar lags behind the clock: at midnight the day that has just ended is not there yet, and it should not be
        missing until the next midnight.
        """
        self._awaited.pop(profile.name, None)
        closed = profile.agg_interval.floor(now)
        stored = await self._store.spans([series.query for series in profile.series])
        if all(series.query in stored and stored[series.query].end >= closed for series in profile.series):
            return
        published = closed + await self._store.upstream_lag(profile.name) + profile.publication_delay
        look = max(published, now + _LOOK_AGAIN)
        if look + _LOOK_AGAIN <= profile.next_due(now) and look <= published + _LOOK_UNTIL:
            self._awaited[profile.name] = look

    def _recall(self, profile: Profile, last: Fire | None) -> None:
        """After a start, go on from the record: a fire that failed is tried again at once."""
        if last is None or self.health[profile.name].due is not None:
            return
        failed = last.outcome == "failed"
        success = None if failed else last.finished_at
        self.health[profile.name] = Health(last.due, success, int(failed), last.message)

    def _note(self, fires: Sequence[Fire], collected: Collected, now: datetime) -> None:
        for fire in fires:
            self.health[fire.profile] = replace(self.health[fire.profile], due=fire.due)
        for name, reason in collected.reasons.items():
            known = self.health[name]
            success, failures = (known.success, known.failures + 1) if reason else (now, 0)
            self.health[name] = replace(known, success=success, failures=failures, reason=reason)
        _log(fires, collected)


def _log(fires: Sequence[Fire], collected: Collected) -> None:
    """Say how a pass went; one that failed again without having asked anything has nothing new to say."""
    outcome, level = ("collected", logging.INFO) if collected.complete else ("failed", logging.WARNING)
    if not (collected.complete or collected.requests or fires):
        level = logging.DEBUG
    reason = next(filter(None, collected.reasons.values()), None)
    fields = {"outcome": outcome, "profiles": ",".join(collected.reasons), "fires": len(fires), "reason": reason}
    log.log(level, "pass", extra=fields | collected.saved.counts)


async def first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of *events* is set, or *seconds* are over."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
