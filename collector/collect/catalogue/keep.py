"""What of the catalogue is due: each list daily, and every hour the details of two entries, at most 48 a day.

One replica at a time does it, by claims. A failure is recorded and retried after a pause; it never stops the service.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.batches.fetcher import ShuttingDown
from collector.collect.catalogue.refresh import Refreshed, refresh_entry, refresh_list
from collector.collect.worker import first_of
from collector.datasets.catalogue import LISTS
from collector.radar.errors import (
    Misdirected,
    NotFound,
    RadarError,
    RateLimited,
    Refused,
    Unauthorized,
    Untrusted,
)
from collector.retry import backoff
from collector.store import CATALOGUE, CatalogueChanges, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.batches.fetcher import Fetcher
    from collector.store import WorkItem

log = logging.getLogger(__name__)

DETAILS = "details"
ITEMS = (*LISTS, DETAILS)
LIST_INTERVAL = timedelta(days=1)
DETAILS_INTERVAL = timedelta(hours=1)
DETAILS_AT_ONCE = 2
"""Two an hour are 48 a day."""
_CONFIRM_INTERVAL = timedelta(hours=1)
_LOOK_AGAIN = timedelta(minutes=10)
_FIRST_RETRY = timedelta(minutes=5)
_LONGEST_RETRY = timedelta(hours=6)
_MAX_DOUBLINGS = 10
_START_SECONDS = 2.0
"""The first fires of a service come first."""


def due_at(item: WorkItem) -> datetime | None:
    """Return when an item is due; None: at once."""
    if item.again is not None:
        return item.again
    interval = DETAILS_INTERVAL if item.name == DETAILS else LIST_INTERVAL
    return item.success + interval if item.success else None


def is_due(item: WorkItem, now: datetime) -> bool:
    """Return whether an item is due at *now*. A success in the future was written by a wrong clock."""
    due = due_at(item)
    return due is None or due <= now or due > now + LIST_INTERVAL


def retry_at(error: RadarError, failures: int, now: datetime) -> datetime:
    """Return when an item that has failed *failures* times in a row is tried again."""
    if isinstance(error, RateLimited):
        return max(error.not_before, now + _FIRST_RETRY)
    if isinstance(error, Misdirected):
        return now + LIST_INTERVAL  # there is no such path, and that will hardly change within hours
    if isinstance(error, Unauthorized):
        return now + DETAILS_INTERVAL
    return now + min(_FIRST_RETRY * (1 << min(failures - 1, _MAX_DOUBLINGS)), _LONGEST_RETRY)


async def keep_catalogue(batch_runner: BatchRunner) -> None:
    """Refresh what is due, until the service stops. The passes of the profiles come first."""
    fetcher, failures = batch_runner.fetcher, 0
    await first_of(fetcher.stop, seconds=_START_SECONDS)
    while not fetcher.stop.is_set():
        await batch_runner.wait_for_foreground()
        pause = _LOOK_AGAIN.total_seconds()
        try:
            await refresh_due(fetcher)
            failures = 0
        except ShuttingDown:
            return
        except StoreUnavailable as error:
            failures += 1
            pause = backoff(failures)
            log.error("catalogue", extra={"outcome": "failed", "reason": str(error)})  # noqa: TRY400 - no traceback
        except Exception:  # a list is no reason to stop collecting series
            log.exception("catalogue", extra={"outcome": "failed"})
        await first_of(fetcher.stop, seconds=pause)


async def refresh_due(fetcher: Fetcher) -> list[str]:
    """Refresh what is due and what no other replica does. Returns a sentence for each failure.

    Raises ShuttingDown if the service stops, StoreError if the store cannot be used.
    """
    problems = []
    for name in ITEMS:
        now = fetcher.clock()

        def choose(free: Sequence[WorkItem], _replicas: int, now: datetime = now) -> list[str]:
            return [item.name for item in free if is_due(item, now)]

        claim = await fetcher.store.claim(CATALOGUE, [name], now, choose)
        if claim.mine:
            problem = await _refresh_item(fetcher, claim.work_items[name])
            problems += [problem] if problem else []
    return problems


async def _refresh_item(fetcher: Fetcher, item: WorkItem) -> str | None:
    """Refresh one claimed item and release it. Returns a sentence if it failed."""
    failure: tuple[str, datetime] | None = None
    try:
        if item.name == DETAILS:
            await _refresh_details(fetcher)
        else:
            refreshed = await refresh_list(fetcher, LISTS[item.name])
            report(item.name, refreshed)
            if refreshed.is_doubted and refreshed.note:
                failure = (refreshed.note, fetcher.clock() + _CONFIRM_INTERVAL)
    except ShuttingDown:
        await fetcher.store.release(CATALOGUE, [item.name])
        raise
    except RadarError as error:
        failure = (str(error), retry_at(error, item.failures + 1, fetcher.clock()))
        log.warning("catalogue", extra={"list": item.name, "outcome": "failed", "reason": str(error)})
    await fetcher.store.finish_catalogue_item(item.name, fetcher.clock(), failure)
    return f"{item.name}: {failure[0]}" if failure else None


async def _refresh_details(fetcher: Fetcher) -> None:
    """Request the details of the next entries. One that cannot be read must not keep the others from their turn."""
    store = fetcher.store
    for list_name, slug in await store.next_details(DETAILS_AT_ONCE):
        try:
            await refresh_entry(fetcher, LISTS[list_name], slug)
        except (Untrusted, Refused, Misdirected) as error:
            await store.save_absence(list_name, slug, fetcher.clock(), error.outcome)
            if isinstance(error, Misdirected):
                raise


async def refresh_now(fetcher: Fetcher, list_name: str, slug: str | None = None) -> Refreshed:
    """Read a list now, or only the details of one entry, because a person asks for it.

    Raises NotFound for an entry that Radar does not know, and other RadarErrors if there is no answer.
    """
    known = LISTS[list_name]
    if slug is not None:
        if not await refresh_entry(fetcher, known, slug):
            raise NotFound(f"Radar has no {known.noun} {slug}")
        return Refreshed(1, CatalogueChanges(), 1)
    claim = await fetcher.store.claim(CATALOGUE, [list_name], fetcher.clock(), lambda free, _: [i.name for i in free])
    try:
        refreshed = await refresh_list(fetcher, known)
    except BaseException:
        await fetcher.store.release(CATALOGUE, claim.mine)
        raise
    report(list_name, refreshed)
    if claim.mine:
        await fetcher.store.finish_catalogue_item(list_name, fetcher.clock(), None)
    return refreshed


def report(list_name: str, refreshed: Refreshed) -> None:
    """Log the result of a reading."""
    fields = {"entries": refreshed.entries, "pages": refreshed.pages, **refreshed.changes.counts}
    outcome = {"outcome": "partial", "reason": refreshed.note} if refreshed.note else {"outcome": "ok"}
    log.log(
        logging.WARNING if refreshed.note else logging.INFO,
        "catalogue",
        extra={"list": list_name, **outcome, **fields},
    )
