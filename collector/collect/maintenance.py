"""Background work of the service: fill gaps, run backfill jobs, prune, and record the heartbeat.

Each loop ends with *stop*. It retries after StoreUnavailable. Any other error ends the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from collector import __version__
from collector.collect.backfill import BackfillRunner
from collector.collect.confirm import confirm
from collector.collect.one_pass import collect
from collector.collect.worker import first_of
from collector.retry import HEAL_INTERVAL, backoff, heal_backoff
from collector.store import (
    HISTORY,
    RETENTION,
    JobStatus,
    Pruned,
    ServiceHeartbeat,
    StoreError,
    StoreUnavailable,
    process_name,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.batches.fetcher import Observer
    from collector.settings import Settings
    from collector.store import BackfillJob, Fire, SaveResult, Store


log = logging.getLogger(__name__)

_PRUNE_EVERY = timedelta(days=1)
_OTHERS_AT_IT = timedelta(minutes=1)
_LOOK_FOR_JOBS = timedelta(seconds=5)
_OTHERS_DO_A_JOB = timedelta(seconds=1)
_ALL = "*"


async def keep_history(settings: Settings, batch_runner: BatchRunner) -> None:
    """Fill gaps at once and then every hour, behind the fires, and confirm what only one answer has told.

    Before that, drop daily what [retention] does not keep.

    What could not be had, or was another replica's to see to, is looked at sooner.
    """
    fetcher, names = batch_runner.fetcher, [profile.name for profile in settings.active]
    failures, pruned_at = 0, None

    async def work() -> timedelta:
        nonlocal failures, pruned_at
        now = fetcher.clock()
        if pruned_at is None or now - pruned_at >= _PRUNE_EVERY:
            await _prune(settings, fetcher.store, now)
            pruned_at = now
        if not names:
            return HEAL_INTERVAL
        async with claimed(fetcher.store, HISTORY, names, now) as mine:
            profiles = [profile for profile in settings.active if profile.name in mine]
            healed = await collect(profiles, now, fetcher.store, batch_runner, fires=False, gaps=True)
            if healed.complete:
                await confirm(profiles, fetcher.clock(), fetcher.store, batch_runner)
        if healed.saved.inserted:
            log.info("heal", extra={"outcome": "ok", **healed.saved.counts})
        failures = 0 if healed.complete else failures + 1
        if len(mine) < len(names):
            return _OTHERS_AT_IT
        return heal_backoff(failures)

    await _repeat("heal", work, fetcher.stop)


async def _prune(settings: Settings, store: Store, now: datetime) -> None:
    async with claimed(store, RETENTION, [_ALL], now) as mine:
        pruned = await store.prune(settings.retention, now) if mine else Pruned()
    if any(pruned.counts.values()):
        log.info("prune", extra={"outcome": "ok", **pruned.counts})


@asynccontextmanager
async def claimed(store: Store, kind: str, names: Sequence[str], now: datetime) -> AsyncIterator[tuple[str, ...]]:
    """Hold those duties that no other replica holds, and give their names."""
    found = await store.claim(kind, names, now, lambda free, _replicas: [duty.name for duty in free])
    try:
        yield found.mine
    finally:
        await store.release(kind, found.mine)


async def do_backfills(settings: Settings, batch_runner: BatchRunner, submitted: asyncio.Event) -> None:
    """Do the jobs on record one by one; the one that was under way when the process ended goes on first.

    Where several processes share the store, any of them may have been given a job, and all that know it take part.
    """
    fetcher = batch_runner.fetcher
    shares = fetcher.store.backend != "sqlite"
    backfill_runner = BackfillRunner(fetcher.store, batch_runner, shares=shares)
    given_up = set[int]()

    async def do(job: BackfillJob) -> bool:
        """Do a job; False if the rest of it is up to other replicas."""
        try:
            standing = await backfill_runner.run(job, settings.profiles)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - not even its failure can be put on record, and the service goes on
            given_up.add(job.id)
            standing = JobStatus("failed", job.standing.progress, f"{type(error).__name__}: {error}")
        if standing:
            level = logging.WARNING if standing.state == "failed" else logging.INFO
            log.log(level, "backfill", extra={"id": job.id, "outcome": standing.state, "reason": standing.message})
        return standing is not None

    async def work() -> timedelta | None:
        submitted.clear()
        others_at_it = False
        for job in await fetcher.store.open_backfills():
            if not fetcher.stop.is_set() and job.id not in given_up:
                others_at_it = not await do(job) or others_at_it
        return (_OTHERS_DO_A_JOB if others_at_it else _LOOK_FOR_JOBS) if shares else None

    await _repeat("backfill", work, fetcher.stop, submitted)


async def _repeat(event: str, work: Callable[[], Awaitable[timedelta | None]], *wake: asyncio.Event) -> None:
    """Do *work* now, and again as soon as it says or one of *wake* is set, the first of which ends it.

    After a failure of the store it is tried again within a minute.
    """
    failures = 0
    while not wake[0].is_set():
        pause = None
        try:
            pause = await work()
            failures = 0
        except StoreUnavailable as error:
            failures += 1
            log.error(event, extra={"outcome": "failed", "reason": str(error)})  # noqa: TRY400 - no traceback
        seconds = pause.total_seconds() if pause else None
        await first_of(*wake, seconds=backoff(failures) if failures else seconds)


_PAUSE = 30.0
"""Seconds between two writes at least: a write on SQLite keeps every other writer waiting."""
_FIRST_PAUSE = 5.0
"""Seconds between two looks for the first progress, so that it shows soon after the start."""
_WITHOUT_PROGRESS = timedelta(seconds=45)


class Heartbeat:
    """An observer that passes every event on to *observer* and remembers when something was completed."""

    def __init__(self, store: Store, clock: Callable[[], datetime], observer: Observer) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        self._name = process_name(socket.gethostname(), os.getpid())
        self._progress: datetime | None = None
        self._written: ServiceHeartbeat | None = None

    def asked(self, outcome: str, seconds: float) -> None:
        """Pass a request on; an answer is progress."""
        if outcome == "ok":
            self._progress = self._clock()
        self._observer.asked(outcome, seconds)

    def saved(self, profile: str, saved: SaveResult) -> None:
        """Pass the counts of an answer on."""
        self._progress = self._clock()
        self._observer.saved(profile, saved)

    def fired(self, fires: Sequence[Fire]) -> None:
        """Pass fires on; a collected one is progress."""
        if any(fire.outcome == "collected" for fire in fires):
            self._progress = self._clock()
        self._observer.fired(fires)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Write life signs while the context is open, and a last one at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._write()

    async def _run(self) -> None:
        while True:
            if self._is_due(self._clock()):
                await self._write()
            await asyncio.sleep(_PAUSE if self._progress else _FIRST_PAUSE)

    def _is_due(self, now: datetime) -> bool:
        last = self._written
        if last is None or last.progress_at != self._progress:
            return True
        return not timedelta(0) <= now - last.seen_at < _WITHOUT_PROGRESS

    async def _write(self) -> None:
        beat = ServiceHeartbeat(self._name, __version__, self._clock(), self._progress)
        try:
            await self._store.write_heartbeat(beat)
        except StoreError as error:
            log.debug("heartbeat", extra={"outcome": "failed", "reason": str(error)})
        else:
            self._written = beat
