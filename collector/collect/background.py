"""What the service does when nothing is due: fill gaps, do jobs, drop what is kept long enough.

Each is a loop until *stop*; a store that cannot be had now is tried again later, every other error ends the service.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.attend import first_of
from collector.collect.backfill import Backfiller
from collector.collect.collect import heal
from collector.collect.fetch import backoff
from collector.store import StoreUnavailable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from collector.collect.gather import Gatherer
    from collector.settings import Settings

log = logging.getLogger(__name__)

_HEAL_EVERY = timedelta(hours=1)
_HEAL_AGAIN = timedelta(minutes=5)
_PRUNE_EVERY = timedelta(days=1)


async def keep_history(settings: Settings, gatherer: Gatherer) -> None:
    """Fill gaps at once and then every hour, behind the fires; drop daily what [retention] does not keep, before that.

    What could not be had is asked for again sooner.
    """
    fetcher = gatherer.fetcher
    failures, pruned_at = 0, None

    async def work() -> timedelta:
        nonlocal failures, pruned_at
        now = fetcher.clock()
        if pruned_at is None or now - pruned_at >= _PRUNE_EVERY:
            pruned = await fetcher.store.prune(settings.retention, now)
            pruned_at = now
            if any(pruned.counts.values()):
                log.info("pruned", extra=pruned.counts)
        healed = await heal(settings.profiles, now, fetcher.store, gatherer)
        if healed.saved.inserted:
            log.info("healed", extra=healed.saved.counts)
        failures = 0 if healed.complete else failures + 1
        return min(_HEAL_AGAIN * 2 ** (failures - 1), _HEAL_EVERY) if failures else _HEAL_EVERY

    await _repeat("history", work, fetcher.stop)


async def do_backfills(settings: Settings, gatherer: Gatherer, submitted: asyncio.Event) -> None:
    """Do the jobs on record one by one; the one that was under way when the process ended goes on first."""
    fetcher = gatherer.fetcher
    backfiller = Backfiller(fetcher.store, gatherer)

    async def work() -> None:
        submitted.clear()
        while (job := await fetcher.store.next_backfill()) and not fetcher.stop.is_set():
            standing = await backfiller.run(job, settings.profiles)
            level = logging.WARNING if standing.state == "failed" else logging.INFO
            log.log(level, "backfill", extra={"id": job.id, "outcome": standing.state, "reason": standing.message})

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
