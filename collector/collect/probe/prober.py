"""The plan of the probe: what is asked, the important first, as long as requests are left."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect import plan
from collector.collect.probe import questions
from collector.collect.probe.ask import Asker, ProbeEnded
from collector.collect.probe.first_answers import FirstAnswers
from collector.collect.probe.memory import remember
from collector.collect.probe.questions import COMMA_NAME, FILTERED, series_request
from collector.collect.probe.report import ProbeReport
from collector.collect.probe.searches import AgeSearch
from collector.collect.probe.seen import (
    MOST_SERIES,
    SIX_HOURS,
    Seen,
    ages_having_data,
    shortfall,
    unevenness,
)
from collector.interval import AggInterval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from collector.collect.batch_runner import BatchRunner
    from collector.collect.probe.exchange import Exchange
    from collector.interval import Grid

_MOST_WINDOWS = 16
"""Days of different age in one request: enough to come near in two of them, few enough to halve when one is refused."""
_SERIES_TRIES = 8
_AGE_TRIES = 8


def _ignore(_exchange: Exchange) -> None:
    """Hear nothing."""


class Prober:
    """Asks everything once; *on_exchange* is called with each request that has ended."""

    def __init__(self, batch_runner: BatchRunner, on_exchange: Callable[[Exchange], None] = _ignore) -> None:
        self.seen = Seen()
        self._batch_runner = batch_runner
        self._clock = batch_runner.fetcher.clock
        self._asker = Asker(batch_runner.fetcher, on_exchange)
        self._first = FirstAnswers(batch_runner, self._asker, self.seen)

    async def probe(self) -> ProbeReport:
        """Ask as much as is allowed, remember the limits, and report; what ends it early is part of the report."""
        started_at = self._clock()
        try:
            await self._ask_all()
        except ProbeEnded as end:
            self.seen.ended = str(end)
            for exchange in self._asker.exchanges:
                self.seen.by_interval.setdefault(exchange.request.batch.agg_interval, exchange)
        self.seen.now = self._now
        if self.seen.base:
            await remember(self._batch_runner, self.seen)
        asker = self._asker
        return ProbeReport(
            started_at, self._clock(), self.seen, tuple(asker.exchanges), tuple(asker.skipped), asker.others
        )

    async def _ask_all(self) -> None:
        await self._first.look_at_intervals()
        if self.seen.base:
            await self._look_at_filters(self.seen.base)
            await self._count_series(self.seen.base, _SERIES_TRIES)
            await self._try_shorter_and_more(self.seen.base)
            await self._look_for_oldest(2)
        await self._look_at_siblings()
        for agg_interval in self.seen.spans:
            await self._measure_span(agg_interval, 1)
        if self.seen.base:
            await self._measure_span(self.seen.base, self._asker.left)
            await self._look_for_oldest(_AGE_TRIES)
        for agg_interval in self.seen.spans:
            await self._measure_span(agg_interval, self._asker.left)
        if self.seen.base:
            await self._look_at_rest(self.seen.base)

    @property
    def _now(self) -> datetime:
        return self._first.now

    @property
    def _grids(self) -> Mapping[AggInterval, Grid]:
        return self._first.grids

    def _a_day(self, agg_interval: AggInterval) -> timedelta:
        """A window of a day, of less if a day is too much, of a bucket if that is longer."""
        return max(min(plan.DAY, self.seen.spans[agg_interval].accepted), agg_interval.step)

    async def _look_at_filters(self, base: AggInterval) -> None:
        """Ask for a filtered series behind an unfiltered one, and for a name that holds a comma in both encodings."""
        span = self.seen.spans[base].accepted
        both = questions.recent(self._grids[base], span, self._now, {}, FILTERED)
        self.seen.empties = await self._asker.ask_firmly(series_request("empty filter position", both))
        named = questions.recent(self._grids[base], span, self._now, {"caOwner": (COMMA_NAME,)})
        self.seen.comma_twice = await self._asker.ask_firmly(series_request("comma encoded twice", named))
        self.seen.comma_once = await self._asker.ask(questions.single_encoded(named))

    async def _count_series(self, base: AggInterval, tries: int) -> None:
        """Search how many series fit into a request, whose windows are all recent."""
        span, seen = self._a_day(base), self.seen
        if seen.positions.accepted == 0:
            seen.positions = seen.positions.after(1, accepted=True)
        while tries and (count := seen.positions.next):
            batch = questions.staggered(self._grids[base], span, count, self._now)
            exchange = await self._asker.ask(series_request(f"{count} series", batch))
            if exchange is None:
                return
            tries -= 1
            short = shortfall(exchange, None) or unevenness(exchange)
            seen.positions = seen.positions.after(count, accepted=short is None)
            seen.positions_refusal = short or seen.positions_refusal

    async def _try_shorter_and_more(self, base: AggInterval) -> None:
        """Ask four times the series over a quarter of the time, to tell a limit of series from one of values."""
        seen, span = self.seen, max(SIX_HOURS, base.step)
        if seen.positions.refused and span < seen.spans[base].accepted:
            count = min(4 * seen.positions.accepted, MOST_SERIES)
            batch = questions.staggered(self._grids[base], span, count, self._now)
            seen.shorter_and_more = await self._asker.ask(series_request(f"{count} series of 6 hours", batch))

    async def _look_for_oldest(self, tries: int) -> None:
        """Search the oldest day that has values, many days a request; zeros before the first value are none."""
        seen = self.seen
        interval = AggInterval.ONE_DAY if AggInterval.ONE_DAY in seen.spans else seen.base
        if interval is None or seen.oldest is None:
            return
        seen.ages_grid = self._grids[interval]
        if seen.ages == AgeSearch(0):
            seen.ages = AgeSearch(max((plan.midnight(self._now) - seen.oldest).days, 0))
        most = min(_MOST_WINDOWS, seen.positions.accepted)
        while tries and (ages := seen.ages.next(most)):
            batch = questions.days_of_age(self._grids[interval], ages, self._a_day(interval), self._now)
            name = f"day of age {ages[0]}" if len(ages) == 1 else f"{len(ages)} days of age {ages[0]} to {ages[-1]}"
            exchange = await self._asker.ask(series_request(name, batch))
            if exchange is None:
                return
            tries -= 1
            if (short := shortfall(exchange, None)) is not None:
                seen.ages, seen.ages_refusal = seen.ages.rejected(ages), short
            else:
                having = ages_having_data(exchange, ages, lambda value: value == 0)
                seen.ages = seen.ages.answered(ages, having)

    async def _look_at_siblings(self) -> None:
        for request in questions.siblings(self._now):
            if exchange := await self._asker.ask(request):
                self.seen.siblings.append(exchange)

    async def _measure_span(self, agg_interval: AggInterval, tries: int) -> None:
        """Search how long a window may be, no further back than days that are refused for their age."""
        seen, ages = self.seen, self.seen.ages
        while tries:
            span = seen.spans[agg_interval]
            top = span.search.top
            if ages.meets_refusals:
                top = min(top, max(timedelta(days=ages.with_data) // span.unit, span.search.accepted))
            size = replace(span.search, top=top).next
            if size is None:
                return
            batch = questions.closed(self._grids[agg_interval], span.unit * size, self._now)
            exchange = await self._asker.ask(series_request(f"{span.words(size)} at {agg_interval}", batch))
            if exchange is None:
                return
            tries -= 1
            short = shortfall(exchange, seen.oldest)
            if short is None and exchange.points:
                seen.longest[agg_interval] = exchange
            search = span.search.after(size, accepted=short is None)
            seen.spans[agg_interval] = replace(span, search=search, refusal=short or span.refusal)

    async def _look_at_rest(self, base: AggInterval) -> None:
        """Ask what is good to know: how long a URL may be, and where buckets begin."""
        seen = self.seen
        if long := questions.long_url(self._grids[base], self._a_day(base), self._now, seen.positions.accepted):
            seen.long_url = await self._asker.ask(series_request("a long URL", long))
        for agg_interval in (AggInterval.ONE_WEEK, AggInterval.ONE_DAY):
            request = questions.from_within_a_bucket(self._grids[agg_interval], self._now)
            if agg_interval in seen.spans and (exchange := await self._asker.ask(request)):
                seen.unaligned[agg_interval] = exchange
        await self._count_series(base, self._asker.left)
        await self._look_for_oldest(self._asker.left)
