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
from collector.model import Window, rfc3339
from collector.radar.errors import RateLimited, TooCostly, Unavailable
from collector.store import ExpectedWindow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import TracebackType

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Question, Slice
    from collector.settings import Settings
    from collector.store import Budget, Store

log = logging.getLogger(__name__)

_MOST_REQUESTS = 12
_MOST_BUCKETS = 150_000
_DRAIN = 6.0
"""Seconds that questions under way are given to end when the service stops; a request is given fewer."""


class Fallback:
    """Fills what is lacking, once for all who ask for it at the same time, from at most half of the request budget.

    A context: what is under way at its end is ended with it.
    """

    def __init__(self, store: Store, batch_runner: BatchRunner, settings: Settings) -> None:
        self._store = store
        self._batch_runner = batch_runner
        self._settle = settings.collection.settle
        self._delay = settings.collection.publication_delay
        self._limit = settings.radar.requests_per_5min
        self._one_by_one: WeakValueDictionary[Question, asyncio.Lock] = WeakValueDictionary()
        self._under_way: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_DRAIN)
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def fill(self, wanted: Sequence[Slice]) -> None:
        """Ask Radar for what of *wanted* is lacking; it goes on when the caller is gone, for a request is on record.

        RateLimited where others need the budget, TooCostly for too much at once, any other RadarError as it came.
        """
        task = asyncio.create_task(self._fill(wanted))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has heard of it, unless they are gone

    async def _fill(self, wanted: Sequence[Slice]) -> None:
        queries = sorted({piece.series for piece in wanted}, key=lambda query: query.key)
        async with AsyncExitStack() as held:
            for query in queries:
                await held.enter_async_context(self._one_by_one.setdefault(query, asyncio.Lock()))
            slices = [piece for one in wanted for piece in await self._lacking(one)]
            if slices:
                await self._check(slices)
                await self._ask(slices)

    async def _lacking(self, wanted: Slice) -> list[Slice]:
        """The gaps that Radar may fill, up to what it has published."""
        agg_interval, now = wanted.series.agg_interval, self._batch_runner.fetcher.clock()
        published = grid_of(agg_interval, wanted.window.start).floor(
            await self._batch_runner.fetcher.clock_watch.present() - self._delay
        )
        within = Window(wanted.window.start, min(wanted.window.end, published))
        return await query_slices(ExpectedWindow(wanted.series, within, self._settle), now, self._store)

    async def _check(self, slices: Sequence[Slice]) -> None:
        agg_interval = slices[0].series.agg_interval
        buckets = sum(piece.window.duration // agg_interval.step for piece in slices)
        if buckets > _MOST_BUCKETS or len(slices) > _MOST_BUCKETS // 100:
            raise TooCostly("more is lacking than is asked for one question")
        limits = await self._batch_runner.limits(slices[0].series.request_kind)
        if len(packing.pack(slices, limits.shape)) > _MOST_REQUESTS:
            raise TooCostly("more is lacking than is asked for one question")
        await self._batch_runner.fetcher.raise_if_throttled()
        now = self._batch_runner.fetcher.clock()
        check_budget(await self._store.budget(now, self._limit), now)

    async def _ask(self, slices: Sequence[Slice]) -> None:
        names = {piece.series: () for piece in slices}
        result = await self._batch_runner.run(slices, names, most_requests=_MOST_REQUESTS)
        log.info("fallback", extra={"requests": result.requests, **result.saved.counts})
        if result.stopped:
            raise Unavailable("the service is stopping")
        if result.failures:
            raise result.failures[0].error


def check_budget(budget: Budget, now: datetime) -> None:
    """RateLimited where Radar must not be asked, or where half of the budget is used: the rest is for the profiles."""
    if budget.blocked_until and budget.blocked_until > now:
        raise RateLimited(f"Radar answers again at {rfc3339(budget.blocked_until)}", not_before=budget.blocked_until)
    if budget.used >= max(1, budget.limit // 2):
        until = now + timedelta(seconds=60)
        raise RateLimited("the requests that are left are for the profiles", not_before=until)
