"""Fills gaps for one query to the local API, from Radar, while the caller waits.

expected slices  →  without stored, unpublished and just requested buckets  →  within bounds?  →  fetch and save
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from collector.collect.planning import packing
from collector.collect.refetch import query_slices
from collector.interval import grid_of
from collector.model import Window
from collector.radar.errors import RateLimited, TooCostly, Unavailable
from collector.store import ExpectedWindow
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import TracebackType

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Question, Slice
    from collector.settings import Settings
    from collector.store import Budget, Store

log = logging.getLogger(__name__)

_MAX_REQUESTS = 12
_MAX_BUCKETS = 150_000
_DRAIN_SECONDS = 6.0
"""How long queries may take to end when the service stops. A request may take less."""


class Fallback:
    """Fills gaps for queries, once for all simultaneous queries of a series, with at most half of the request budget.

    An async context manager; its end cancels running queries.
    """

    def __init__(self, store: Store, batch_runner: BatchRunner, settings: Settings) -> None:
        self._store = store
        self._batch_runner = batch_runner
        self._settle = settings.collection.settle
        self._delay = settings.collection.publication_delay
        self._limit = settings.radar.requests_per_5min
        self._locks: WeakValueDictionary[Question, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def fill(self, wanted: Sequence[Slice]) -> None:
        """Request the missing buckets of *wanted* from Radar. The work continues if the caller is cancelled.

        Raises RateLimited if the profiles need the budget, TooCostly if too much is missing, and any RadarError.
        """
        task = asyncio.create_task(self._fill(wanted))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, because the caller may have been cancelled

    async def _fill(self, wanted: Sequence[Slice]) -> None:
        queries = sorted({slice_.series for slice_ in wanted}, key=lambda query: query.key)
        async with AsyncExitStack() as held:
            for query in queries:
                await held.enter_async_context(self._locks.setdefault(query, asyncio.Lock()))
            slices = [slice_ for part in wanted for slice_ in await self._missing(part)]
            if slices:
                await self._check(slices)
                await self._request(slices)

    async def _missing(self, wanted: Slice) -> list[Slice]:
        """Return the gaps of *wanted* that Radar may fill, up to the published buckets."""
        agg_interval, now = wanted.series.agg_interval, self._batch_runner.fetcher.clock()
        published = grid_of(agg_interval, wanted.window.start).floor(
            await self._batch_runner.fetcher.clock_watch.present() - self._delay
        )
        within = Window(wanted.window.start, min(wanted.window.end, published))
        return await query_slices(ExpectedWindow(wanted.series, within, self._settle), now, self._store)

    async def _check(self, slices: Sequence[Slice]) -> None:
        agg_interval = slices[0].series.agg_interval
        buckets = sum(slice_.window.duration // agg_interval.step for slice_ in slices)
        if buckets > _MAX_BUCKETS or len(slices) > _MAX_BUCKETS // 100:
            raise TooCostly("more is lacking than is asked for one question")
        limits = await self._batch_runner.limits(slices[0].series.request_kind)
        if len(packing.pack(slices, limits.shape)) > _MAX_REQUESTS:
            raise TooCostly("more is lacking than is asked for one question")
        await self._batch_runner.fetcher.raise_if_throttled()
        now = self._batch_runner.fetcher.clock()
        check_budget(await self._store.budget(now, self._limit), now)

    async def _request(self, slices: Sequence[Slice]) -> None:
        names = {slice_.series: () for slice_ in slices}
        result = await self._batch_runner.run(slices, names, most_requests=_MAX_REQUESTS)
        log.info("fallback", extra={"requests": result.requests, **result.saved.counts})
        if result.stopped:
            raise Unavailable("the service is stopping")
        if result.failures:
            raise result.failures[0].error


def check_budget(budget: Budget, now: datetime) -> None:
    """Raises RateLimited if requests are blocked, or half of the budget is used. The rest is for the profiles."""
    if budget.blocked_until and budget.blocked_until > now:
        raise RateLimited(f"Radar answers again at {rfc3339(budget.blocked_until)}", not_before=budget.blocked_until)
    if budget.used >= max(1, budget.limit // 2):
        until = now + timedelta(seconds=60)
        raise RateLimited("the requests that are left are for the profiles", not_before=until)
