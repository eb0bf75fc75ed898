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
from collector.collect.one_pass import collect, release_memory
from collector.collect.proof import prove
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
_OTHERS_HEAL_INTERVAL = timedelta(minutes=1)
_JOB_POLL_INTERVAL = timedelta(seconds=5)
_OTHERS_JOB_POLL_INTERVAL = timedelta(seconds=1)
_REGROUP_INTERVAL = timedelta(hours=1)
_DAYS_INTERVAL = timedelta(hours=1)
_STEP_PAUSE_SECONDS = 0.05
"""Between two steps, so that other writes come in between."""
_ALL = "*"


async def keep_history(settings: Settings, batch_runner: BatchRunner) -> None:
    """Fill gaps at once and then every hour, after the fires, and confirm values that only one answer has shown.

    Then compare groups with totals.
    Once a day, prune first what [retention] does not keep. After a failure, or if another replica holds a profile, run
    again sooner.
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
            await prove(profiles, fetcher.clock(), fetcher.store, batch_runner)
        await release_memory(healed, fetcher.store)
        if healed.saved.inserted:
            log.info("heal", extra={"outcome": "ok", **healed.saved.counts})
        failures = 0 if healed.complete else failures + 1
        if len(mine) < len(names):
            return _OTHERS_HEAL_INTERVAL
        return heal_backoff(failures)

    await _repeat("heal", work, fetcher.stop)


async def _prune(settings: Settings, store: Store, now: datetime) -> None:
    async with claimed(store, RETENTION, [_ALL], now) as mine:
        pruned = await store.prune(settings.retention, now) if mine else Pruned()
        if mine:
            await store.learn_revisions(now)
    if any(pruned.counts.values()):
        log.info("prune", extra={"outcome": "ok", **pruned.counts})


@asynccontextmanager
async def claimed(store: Store, kind: str, names: Sequence[str], now: datetime) -> AsyncIterator[tuple[str, ...]]:
    """Hold the work items that no other replica holds. Yields their names."""
    claim = await store.claim(kind, names, now, lambda free, _replicas: [item.name for item in free])
    try:
        yield claim.mine
    finally:
        await store.release(kind, claim.mine)


async def regroup_coverage(batch_runner: BatchRunner) -> None:
    """Bring the rows of previous versions into the form of this one, and fold what is final.

    Some rows at a time, beside all else. Look again every hour, because a replica of that version may write more, and
    because more becomes final.
    """
    fetcher, moved, folded = batch_runner.fetcher, 0, 0

    async def work() -> timedelta:
        nonlocal moved, folded
        while not fetcher.stop.is_set() and (number := await fetcher.store.regroup_coverage()):
            moved += number
            await asyncio.sleep(_STEP_PAUSE_SECONDS)
        while not fetcher.stop.is_set() and (number := await fetcher.store.rewrite_records()):
            moved += number
            await asyncio.sleep(_STEP_PAUSE_SECONDS)
        if moved:
            log.info("regroup", extra={"outcome": "ok", "rows": moved})
        moved = 0
        while not fetcher.stop.is_set() and (step := await fetcher.store.fold_coverage(fetcher.clock())) is not None:
            folded += step
            await asyncio.sleep(_STEP_PAUSE_SECONDS)
        if folded:
            log.info("fold", extra={"outcome": "ok", "answers": folded})
        folded = 0
        return _REGROUP_INTERVAL

    await _repeat("regroup", work, fetcher.stop)


async def build_days(batch_runner: BatchRunner) -> None:
    """Write the rows of days that are over and have none, some at a time, beside all else; look again every hour."""
    fetcher, written = batch_runner.fetcher, 0

    async def work() -> timedelta:
        nonlocal written
        more = True
        while more and not fetcher.stop.is_set():
            number, more = await fetcher.store.build_days(fetcher.clock())
            written += number
            await asyncio.sleep(_STEP_PAUSE_SECONDS)
        if written:
            log.info("days", extra={"outcome": "ok", "rows": written})
        written = 0
        return _DAYS_INTERVAL

    await _repeat("days", work, fetcher.stop)


async def do_backfills(settings: Settings, batch_runner: BatchRunner, submitted: asyncio.Event) -> None:
    """Run the recorded jobs one by one; an interrupted one is resumed first.

    If replicas share the store, each of them may submit a job, and all that know its profiles take part.
    """
    fetcher = batch_runner.fetcher
    shares = fetcher.store.backend != "sqlite"
    backfill_runner = BackfillRunner(fetcher.store, batch_runner, shares=shares)
    given_up = set[int]()

    async def do(job: BackfillJob) -> bool:
        """Run a job. Returns False if other replicas hold the rest of it."""
        try:
            standing = await backfill_runner.run(job, settings.profiles)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - its failure cannot be recorded either, and the service continues
            given_up.add(job.id)
            standing = JobStatus("failed", job.status.progress, f"{type(error).__name__}: {error}")
        if standing:
            level = logging.WARNING if standing.state == "failed" else logging.INFO
            log.log(level, "backfill", extra={"id": job.id, "outcome": standing.state, "reason": standing.message})
            await fetcher.store.release_memory()
        return standing is not None

    async def work() -> timedelta | None:
        submitted.clear()
        others_hold_job = False
        for job in await fetcher.store.open_backfills():
            if not fetcher.stop.is_set() and job.id not in given_up:
                others_hold_job = not await do(job) or others_hold_job
        return (_OTHERS_JOB_POLL_INTERVAL if others_hold_job else _JOB_POLL_INTERVAL) if shares else None

    await _repeat("backfill", work, fetcher.stop, submitted)


async def _repeat(event: str, work: Callable[[], Awaitable[timedelta | None]], *wake: asyncio.Event) -> None:
    """Run *work* repeatedly, after the delay it returns or when an event in *wake* is set. The first event stops it.

    If the store is unavailable, it is retried within a minute.
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


_WRITE_SECONDS = 30.0
"""The shortest interval of writes, because a write on SQLite blocks every other writer."""
_FIRST_WRITE_SECONDS = 5.0
"""The interval of checks for the first progress, so that it shows soon after the start."""
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
        """Write the heartbeat while the context is open, and once more at its end."""
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
            await asyncio.sleep(_WRITE_SECONDS if self._progress else _FIRST_WRITE_SECONDS)

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
