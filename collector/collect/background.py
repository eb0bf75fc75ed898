"""What the service does when nothing is due: fill gaps, do jobs, drop what is kept long enough.

Each is a loop until *stop*; a store that cannot be had now is tried again later, every other error ends the service.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.attend import first_of
from collector.collect.backfill import Backfiller
from collector.collect.collect import heal
from collector.collect.confirm import confirm
from collector.collect.fetch import backoff
from collector.store import HISTORY, RETENTION, Pruned, Standing, StoreUnavailable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from collector.collect.gather import Gatherer
    from collector.settings import Settings
    from collector.store import Backfill, Store

log = logging.getLogger(__name__)

_HEAL_EVERY = timedelta(hours=1)
_HEAL_AGAIN = timedelta(minutes=5)
_PRUNE_EVERY = timedelta(days=1)
_OTHERS_AT_IT = timedelta(minutes=1)
_LOOK_FOR_JOBS = timedelta(seconds=5)
_OTHERS_DO_A_JOB = timedelta(seconds=1)
_ALL = "*"


async def keep_history(settings: Settings, gatherer: Gatherer) -> None:
    """Fill gaps at once and then every hour, behind the fires, and confirm what only one answer has told.

    Before that, drop daily what [retention] does not keep.

    What could not be had, or was another replica's to see to, is looked at sooner.
    """
    fetcher, names = gatherer.fetcher, [profile.name for profile in settings.active]
    failures, pruned_at = 0, None

    async def work() -> timedelta:
        nonlocal failures, pruned_at
        now = fetcher.clock()
        if pruned_at is None or now - pruned_at >= _PRUNE_EVERY:
            await _prune(settings, fetcher.store, now)
            pruned_at = now
        if not names:
            return _HEAL_EVERY
        async with claimed(fetcher.store, HISTORY, names, now) as mine:
            profiles = [profile for profile in settings.active if profile.name in mine]
            healed = await heal(profiles, now, fetcher.store, gatherer)
            if healed.complete:
                await confirm(profiles, fetcher.clock(), fetcher.store, gatherer)
        if healed.saved.inserted:
            log.info("healed", extra=healed.saved.counts)
        failures = 0 if healed.complete else failures + 1
        if len(mine) < len(names):
            return _OTHERS_AT_IT
        return min(_HEAL_AGAIN * 2 ** (failures - 1), _HEAL_EVERY) if failures else _HEAL_EVERY

    await _repeat("history", work, fetcher.stop)


async def _prune(settings: Settings, store: Store, now: datetime) -> None:
    async with claimed(store, RETENTION, [_ALL], now) as mine:
        pruned = await store.prune(settings.retention, now) if mine else Pruned()
    if any(pruned.counts.values()):
        log.info("pruned", extra=pruned.counts)


@asynccontextmanager
async def claimed(store: Store, kind: str, names: Sequence[str], now: datetime) -> AsyncIterator[tuple[str, ...]]:
    """Hold those duties that no other replica holds, and give their names."""
    found = await store.claim(kind, names, now, lambda free, _replicas: [duty.name for duty in free])
    try:
        yield found.mine
    finally:
        await store.release(kind, found.mine)


async def do_backfills(settings: Settings, gatherer: Gatherer, submitted: asyncio.Event) -> None:
    """Do the jobs on record one by one; the one that was under way when the process ended goes on first.

    Where several processes share the store, any of them may have been given a job, and all that know it take part.
    """
    fetcher = gatherer.fetcher
    shares = fetcher.store.backend != "sqlite"
    backfiller = Backfiller(fetcher.store, gatherer, shares=shares)
    given_up = set[int]()

    async def do(job: Backfill) -> bool:
        """Do a job; False if the rest of it is up to other replicas."""
        try:
            standing = await backfiller.run(job, settings.profiles)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - not even its failure can be put on record, and the service goes on
            given_up.add(job.id)
            standing = Standing("failed", job.standing.progress, f"{type(error).__name__}: {error}")
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
