"""The first question at each interval, and what has to be right for every other one: the clock, and the grids."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.fetcher import ShuttingDown
from collector.collect.probe import questions
from collector.collect.probe.ask import PROFILE, ProbeEnded
from collector.collect.probe.questions import series_request
from collector.collect.probe.seen import SIX_HOURS, first_span, shortfall, start_of_search
from collector.errors import CollectorError
from collector.interval import AggInterval, Grid
from collector.radar.errors import Misdirected, OffGrid

if TYPE_CHECKING:
    from datetime import datetime

    from collector.collect.batch_runner import BatchRunner
    from collector.collect.probe.ask import Asker
    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.seen import Seen

_WORTH_CORRECTING = timedelta(minutes=1)


class FirstAnswers:
    """Asks them; *grids* are where buckets start, *now* is the present as far as Radar takes questions."""

    def __init__(self, batch_runner: BatchRunner, asker: Asker, seen: Seen) -> None:
        self.grids = {interval: Grid(interval) for interval in AggInterval}
        self._batch_runner = batch_runner
        self._asker = asker
        self._seen = seen
        self._ahead = timedelta(0)

    @property
    def now(self) -> datetime:
        """The present, less how far our clock is ahead of Radar's."""
        return self._batch_runner.fetcher.clock() - self._ahead

    async def look_at_intervals(self) -> None:
        """Ask for a little at each interval; ProbeEnded if the address is wrong."""
        self.grids = await self._batch_runner.fetcher.store.grids()
        self._ahead = await self._batch_runner.fetcher.ahead()
        for agg_interval in AggInterval:
            exchange = await self._first_of(agg_interval)
            if exchange is None:
                return
            self._seen.first = self._seen.first or exchange
            if not exchange.is_data:
                exchange = await self._ask_for_less(agg_interval, exchange) or exchange
            elif isinstance(exchange.error, OffGrid):
                exchange = await self._learn_grid(exchange, exchange.error) or exchange
            self._seen.by_interval[agg_interval] = exchange
            if shortfall(exchange, None) is None:
                duration = exchange.request.batch.duration
                self._seen.spans[agg_interval] = start_of_search(agg_interval, duration)
        if all(isinstance(one.error, Misdirected) for one in self._seen.by_interval.values()):
            raise ProbeEnded("no such path at this address: check base_url under [radar]")

    async def _first_of(self, agg_interval: AggInterval) -> Exchange | None:
        """Ask for a little; with the clock put right if Radar says that it is wrong, and refuses."""
        name, span = f"first answer at {agg_interval}", first_span(agg_interval)
        exchange = await self._asker.ask_firmly(
            series_request(name, questions.recent(self.grids[agg_interval], span, self.now))
        )
        ahead = exchange.clock_difference if exchange else None
        if exchange is None or exchange.is_data or ahead is None or ahead - self._ahead < _WORTH_CORRECTING:
            return exchange
        before, self._ahead = self._ahead, ahead
        batch = questions.recent(self.grids[agg_interval], span, self.now)
        corrected = await self._asker.ask_firmly(series_request(f"{name}, up to Radar's present", batch))
        if corrected and not corrected.is_data:
            self._ahead = before  # that was not why
        return corrected

    async def _learn_grid(self, exchange: Exchange, error: OffGrid) -> Exchange | None:
        """Let the collector learn where buckets start, which takes it a request, and ask again there if it did."""
        batch, fetcher = exchange.request.batch, self._batch_runner.fetcher
        try:
            moved = await self._batch_runner.grids.learn(batch, error, [PROFILE], self._asker.count_one_more)
        except (CollectorError, ShuttingDown) as end:
            raise ProbeEnded(str(end)) from None
        if not moved:
            return None
        self.grids = await fetcher.store.grids()
        grid = self.grids[batch.agg_interval]
        request = questions.recent(grid, first_span(batch.agg_interval), self.now)
        return await self._asker.ask(
            series_request(f"first answer at {batch.agg_interval}, where its buckets start", request)
        )

    async def _ask_for_less(self, agg_interval: AggInterval, exchange: Exchange) -> Exchange | None:
        """Ask for a quarter of what failed, if it did not fail for its address, and if buckets are short enough."""
        span = max(SIX_HOURS, first_span(agg_interval) // 4 // agg_interval.step * agg_interval.step)
        if isinstance(exchange.error, Misdirected) or span < agg_interval.step:
            return None
        request = series_request(f"less at {agg_interval}", questions.recent(self.grids[agg_interval], span, self.now))
        return await self._asker.ask(request)
