"""The plan of the probe. It sends the important requests first, until no request is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.batches.fetcher import ShuttingDown
from collector.collect.planning import packing
from collector.collect.planning.packing import LONGEST_QUERY
from collector.collect.planning.request_limits import FIRST_POSITIONS, Rejection, RequestLimits, Size, climb_pause
from collector.collect.probe.exchange import (
    COMMA_FILTER,
    FILTERED,
    PROFILE,
    Asker,
    ProbeEnded,
    batch_of_days,
    closed_batch,
    long_url_batch,
    recent_batch,
    request_within_bucket,
    series_request,
    sibling_requests,
    single_encoded,
    staggered_batch,
)
from collector.collect.probe.observations import (
    MOST_SERIES,
    SIX_HOURS,
    AgeSearch,
    Seen,
    ages_having_data,
    first_span,
    shortfall,
    start_of_search,
    unevenness,
)
from collector.collect.probe.report import ProbeReport
from collector.errors import CollectorError
from collector.interval import AggInterval, Grid
from collector.radar.errors import Coarsened, Misdirected, OffGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.probe.exchange import Exchange
    from collector.collect.probe.observations import Span


_MOST_WINDOWS = 16
"""Days of different age in one request.

They are enough to narrow the range down in two requests, and few enough to bisect if one is rejected."""
_SERIES_TRIES = 8
_AGE_TRIES = 8


def _ignore(_exchange: Exchange) -> None:
    """Ignore an exchange."""


class Prober:
    """Sends the requests of one probe. Calls *on_exchange* with each completed exchange."""

    def __init__(self, batch_runner: BatchRunner, on_exchange: Callable[[Exchange], None] = _ignore) -> None:
        self.seen = Seen()
        self._batch_runner = batch_runner
        self._clock = batch_runner.fetcher.clock
        self._asker = Asker(batch_runner.fetcher, on_exchange)
        self._first = FirstAnswers(batch_runner, self._asker, self.seen)

    async def probe(self) -> ProbeReport:
        """Send the requests, store the limits, and return the report, with the reason if the probe ended early."""
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
        """Return a day, or the longest accepted span if it is shorter, but at least one bucket."""
        return max(min(packing.DAY, self.seen.spans[agg_interval].accepted), agg_interval.step)

    async def _look_at_filters(self, base: AggInterval) -> None:
        """Request an unfiltered and a filtered series together, and a name with a comma in both encodings."""
        span = self.seen.spans[base].accepted
        both = recent_batch(self._grids[base], span, self._now, {}, FILTERED)
        self.seen.empties = await self._asker.ask_firmly(series_request("empty filter position", both))
        batch = recent_batch(self._grids[base], span, self._now, COMMA_FILTER)
        self.seen.comma_twice = await self._asker.ask_firmly(series_request("comma encoded twice", batch))
        self.seen.comma_once = await self._asker.ask(single_encoded(batch))

    async def _count_series(self, base: AggInterval, tries: int) -> None:
        """Search for the largest number of series in one request. All windows are recent."""
        span, seen = self._a_day(base), self.seen
        if seen.positions.accepted == 0:
            seen.positions = seen.positions.after(1, accepted=True)
        while tries and (count := seen.positions.next):
            batch = staggered_batch(self._grids[base], span, count, self._now)
            exchange = await self._asker.ask(series_request(f"{count} series", batch))
            if exchange is None:
                return
            tries -= 1
            short = shortfall(exchange, None) or unevenness(exchange)
            seen.positions = seen.positions.after(count, accepted=short is None)
            seen.positions_refusal = short or seen.positions_refusal

    async def _try_shorter_and_more(self, base: AggInterval) -> None:
        """Request four times as many series for a shorter time.

        The answer shows whether the number of series or the number of values is limited.
        """
        seen, span = self.seen, max(SIX_HOURS, base.step)
        if seen.positions.refused and span < seen.spans[base].accepted:
            count = min(4 * seen.positions.accepted, MOST_SERIES)
            batch = staggered_batch(self._grids[base], span, count, self._now)
            seen.shorter_and_more = await self._asker.ask(series_request(f"{count} series of 6 hours", batch))

    async def _look_for_oldest(self, tries: int) -> None:
        """Search for the oldest day with values, with many days in a request. Zeros count as no values."""
        seen = self.seen
        interval = AggInterval.ONE_DAY if AggInterval.ONE_DAY in seen.spans else seen.base
        if interval is None or seen.oldest is None:
            return
        seen.ages_grid = self._grids[interval]
        if seen.ages == AgeSearch(0):
            seen.ages = AgeSearch(max((packing.midnight(self._now) - seen.oldest).days, 0))
        most = min(_MOST_WINDOWS, seen.positions.accepted)
        while tries and (ages := seen.ages.next(most)):
            batch = batch_of_days(self._grids[interval], ages, self._a_day(interval), self._now)
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
        for request in sibling_requests(self._now):
            if exchange := await self._asker.ask(request):
                self.seen.siblings.append(exchange)

    async def _measure_span(self, agg_interval: AggInterval, tries: int) -> None:
        """Search for the longest window, but not into days that are rejected for their age."""
        seen, ages = self.seen, self.seen.ages
        while tries:
            span = seen.spans[agg_interval]
            top = span.search.top
            if ages.meets_refusals:
                top = min(top, max(timedelta(days=ages.with_data) // span.unit, span.search.accepted))
            size = replace(span.search, top=top).next
            if size is None:
                return
            batch = closed_batch(self._grids[agg_interval], span.unit * size, self._now)
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
        """Send the less important requests: a long URL, and windows that begin inside a bucket."""
        seen = self.seen
        if long := long_url_batch(self._grids[base], self._a_day(base), self._now, seen.positions.accepted):
            seen.long_url = await self._asker.ask(series_request("a long URL", long))
        for agg_interval in (AggInterval.ONE_WEEK, AggInterval.ONE_DAY):
            request = request_within_bucket(self._grids[agg_interval], self._now)
            if agg_interval in seen.spans and (exchange := await self._asker.ask(request)):
                seen.unaligned[agg_interval] = exchange
        await self._count_series(base, self._asker.left)
        await self._look_for_oldest(self._asker.left)


_WORTH_CORRECTING = timedelta(minutes=1)
_TRIES_OF_LESS = 2


class FirstAnswers:
    """Sends the first request of each interval.

    *grids* are where buckets start. *now* is the present by Radar's clock, if that is behind ours.
    """

    def __init__(self, batch_runner: BatchRunner, asker: Asker, seen: Seen) -> None:
        self.grids = {interval: Grid(interval) for interval in AggInterval}
        self._batch_runner = batch_runner
        self._asker = asker
        self._seen = seen
        self._ahead = timedelta(0)

    @property
    def now(self) -> datetime:
        """The present, minus the time by which the local clock is ahead of Radar's."""
        return self._batch_runner.fetcher.clock() - self._ahead

    async def look_at_intervals(self) -> None:
        """Send a small request at each interval. Raises ProbeEnded if the address is wrong."""
        self.grids = await self._batch_runner.fetcher.store.grids()
        self._ahead = await self._batch_runner.fetcher.clock_watch.ahead()
        for agg_interval in AggInterval:
            exchange = await self._first_of(agg_interval)
            if exchange is None:
                return
            self._seen.first = self._seen.first or exchange
            if not exchange.is_data or isinstance(exchange.error, Coarsened):
                exchange = await self._ask_for_less(agg_interval, exchange)
            elif isinstance(exchange.error, OffGrid):
                exchange = await self._learn_grid(exchange, exchange.error) or exchange
            self._seen.by_interval[agg_interval] = exchange
            if shortfall(exchange, None) is None:
                duration = exchange.request.batch.duration
                self._seen.spans[agg_interval] = start_of_search(agg_interval, duration)
        if all(isinstance(exchange.error, Misdirected) for exchange in self._seen.by_interval.values()):
            raise ProbeEnded("no such path at this address: check base_url under [radar]")

    async def _first_of(self, agg_interval: AggInterval) -> Exchange | None:
        """Send a small request. If Radar rejects it and its clock is behind, send it again by Radar's clock."""
        name, span = f"first answer at {agg_interval}", first_span(agg_interval)
        exchange = await self._asker.ask_firmly(
            series_request(name, recent_batch(self.grids[agg_interval], span, self.now))
        )
        ahead = exchange.clock_difference if exchange else None
        if exchange is None or exchange.is_data or ahead is None or ahead - self._ahead < _WORTH_CORRECTING:
            return exchange
        before, self._ahead = self._ahead, ahead
        batch = recent_batch(self.grids[agg_interval], span, self.now)
        corrected = await self._asker.ask_firmly(series_request(f"{name}, up to Radar's present", batch))
        if corrected and not corrected.is_data:
            self._ahead = before  # the clock was not the cause
        return corrected

    async def _learn_grid(self, exchange: Exchange, error: OffGrid) -> Exchange | None:
        """Learn where buckets start, by another request, then send the first request on that grid.

        Returns None if no other grid was learned.
        """
        batch, fetcher = exchange.request.batch, self._batch_runner.fetcher
        try:
            moved = await self._batch_runner.grids.learn(batch, error, [PROFILE], self._asker.count_one_more)
        except (CollectorError, ShuttingDown) as end:
            raise ProbeEnded(str(end)) from None
        if not moved:
            return None
        self.grids = await fetcher.store.grids()
        grid = self.grids[batch.agg_interval]
        request = recent_batch(grid, first_span(batch.agg_interval), self.now)
        return await self._asker.ask(
            series_request(f"first answer at {batch.agg_interval}, where its buckets start", request)
        )

    async def _ask_for_less(self, agg_interval: AggInterval, exchange: Exchange) -> Exchange:
        """Request a quarter of the failed window, then a quarter of that. Returns the last exchange.

        No window is shorter than six hours or a bucket. If the address is wrong, nothing is sent.
        """
        span, shortest = first_span(agg_interval), max(SIX_HOURS, agg_interval.step)
        coarsened = isinstance(exchange.error, Coarsened)
        for _ in range(_TRIES_OF_LESS):
            smaller = max(shortest, span // 4 // agg_interval.step * agg_interval.step)
            if isinstance(exchange.error, Misdirected) or smaller >= span:
                break
            span = smaller
            batch = recent_batch(self.grids[agg_interval], span, self.now)
            next_exchange = await self._asker.ask(series_request(f"less at {agg_interval}", batch))
            if next_exchange is None:
                break
            exchange = next_exchange
            if exchange.answer or (exchange.is_data and not coarsened):
                break
        return exchange


async def remember(batch_runner: BatchRunner, seen: Seen) -> None:
    """Store the measured limits. Limits that were not measured keep their defaults."""
    for agg_interval, span in seen.spans.items():
        rejected = _rejected(span, seen, agg_interval.step)
        positions = seen.positions.accepted if seen.positions.refused is not None else FIRST_POSITIONS
        size, gaps = Size(span.accepted, positions, LONGEST_QUERY), _takes_gaps(seen)
        now = batch_runner.fetcher.clock()
        learned = RequestLimits(
            agg_interval,
            (size,) if span.accepted and (rejected or not gaps) else (),
            rejected,
            longest=LONGEST_QUERY,
            gaps=gaps,
            again_at=now + climb_pause(0) if rejected or not gaps else None,
        )
        await batch_runner.learn(learned)


def _rejected(span: Span, seen: Seen, step: timedelta) -> tuple[Rejection, ...]:
    """Return the rejected sizes: a span for one series, and a number of series for one bucket."""
    sizes = [] if span.search.refused is None else [Size(span.unit * span.search.refused, 1)]
    sizes += [] if seen.positions.refused is None else [Size(step, seen.positions.refused)]
    return tuple(Rejection(size, "probe") for size in sizes)


def _takes_gaps(seen: Seen) -> bool:
    """Return whether empty filter positions may be sent. True if that is unknown, because two series are rejected."""
    if seen.empties is None or seen.positions.refused == 2:  # noqa: PLR2004 - even two series are refused
        return True
    return seen.empties.is_data
