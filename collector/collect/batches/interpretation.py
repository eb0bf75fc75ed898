"""How answers must be read: where Radar's buckets start, and what an unknown normalization means.

Another grid       answer off the grid  →  may it be confirmed now? (pure)  →  second answer on it  →  grid in force
A normalization    the same buckets in two answers over windows of different length  →  absolute or relative

If no point is stored yet, the second answer on another grid is requested at once. Otherwise the first answer is only
recorded, because one wrong answer must not start a new series.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.batches.fetcher import Handling
from collector.errors import CollectorError
from collector.interval import grid_of
from collector.model import Batch, Slice, Window, spelling_free
from collector.radar.errors import OffGrid, RadarError
from collector.rules.finality import DEFAULT_SETTLE
from collector.rules.normalization import Verdict, compare, long_window, short_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from collector.collect.batches.fetcher import Fetcher
    from collector.interval import AggInterval, Grid
    from collector.model import Points
    from collector.store import LearnedGrid

log = logging.getLogger(__name__)

CONFIRMED_AFTER = timedelta(hours=1)
"""If points are stored, the second answer on another grid must be requested so much later than the first."""
_MIN_BUCKETS, _MIN_SPAN = 4, timedelta(days=1)


class GridMoved(CollectorError):
    """The buckets of the interval start elsewhere from now on, so that the slices must be planned again."""

    outcome = "off_grid"


def may_be_confirmed(known: LearnedGrid, other: Grid, asked_at: datetime, *, has_history: bool) -> bool:
    """Return whether a second answer may be requested now, after one on the grid *other*, requested at *asked_at*."""
    if not has_history:
        return True
    first = known.proposed_at if known.proposed == other else None
    return first is not None and asked_at - first >= CONFIRMED_AFTER


def confirming_window(grid: Grid, present: datetime) -> Window:
    """Return the newest closed buckets of *grid*: at least four, and at least a day, because Radar lags behind.

    Old buckets do not decide, because they may lie elsewhere, for example if days begin at a local midnight.
    """
    end = grid.floor(present)
    return Window(end - max(_MIN_BUCKETS * grid.step, _MIN_SPAN), end)


class GridLearner:
    """Learns the grid of each interval. *moved* is set when one has changed."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.moved = asyncio.Event()
        self._fetcher = fetcher
        self._proposed: set[AggInterval] | None = None
        self._lock = asyncio.Lock()

    async def learn(self, batch: Batch, error: OffGrid, profiles: Sequence[str], on_send: Callable[[], None]) -> bool:
        """Learn from an answer off the grid. Returns whether the grid of *batch* is no longer in force."""
        start = batch.slices[0].window.start
        other = grid_of(batch.agg_interval, start + error.offset)
        async with self._lock:
            known = (await self._fetcher.store.learned_grids())[batch.agg_interval]
            if not known.grid.holds(start):
                return True
            return await self._judge(batch, known, other, profiles, on_send)

    async def _judge(
        self, batch: Batch, known: LearnedGrid, other: Grid, profiles: Sequence[str], on_send: Callable[[], None]
    ) -> bool:
        store, interval, now = self._fetcher.store, batch.agg_interval, self._fetcher.clock()
        has_history = await store.has_history(interval)
        if may_be_confirmed(known, other, now, has_history=has_history):
            if await self._confirms(batch, other, profiles, on_send):
                await self._move(known.grid, other, has_history=has_history)
                return True
        elif known.proposed != other:
            fields = {"interval": interval.value, "buckets_start": str(other), "before": str(known.grid)}
            log.warning("grid", extra={"outcome": "proposed", **fields})
        await store.propose_grid(other, interval, now)
        self._proposed = None
        return False

    async def _confirms(self, batch: Batch, other: Grid, profiles: Sequence[str], on_send: Callable[[], None]) -> bool:
        """Request a few buckets on the grid *other*. Returns whether more than the first of them is answered."""
        window = confirming_window(other, await self._fetcher.clock_watch.present())
        request = Batch((Slice(batch.slices[0].series, window),))
        try:
            reply = await self._fetcher.fetch(request, profiles, on_send, Handling(history=False))
        except RadarError as error:
            reason = f"no second answer agrees: {error}"
            log.warning("grid", extra={"outcome": "refused", "interval": other.interval.value, "reason": reason})
            return False
        return any(t > window.start.timestamp() for points in reply.answer.series for t in points.timestamps)

    async def _move(self, before: Grid, grid: Grid, *, has_history: bool) -> None:
        now = self._fetcher.clock()
        if await self._fetcher.store.move_grid(grid, now):
            fields = {"interval": grid.interval.value, "buckets_start": str(grid), "before": str(before)}
            level = logging.WARNING if has_history else logging.INFO
            log.log(level, "grid", extra={"outcome": "moved" if has_history else "learned", **fields})
        self._proposed = None
        self.moved.set()

    def reload_limits(self) -> None:
        """Forget which other grids are proposed, because other replicas get answers, too."""
        self._proposed = None

    async def agree(self, interval: AggInterval) -> None:
        """Drop the proposed grid, because an answer is on the grid in force."""
        if self._proposed is None:
            known = await self._fetcher.store.learned_grids()
            self._proposed = {interval for interval, learned in known.items() if learned.proposed}
        if interval in self._proposed:
            self._proposed.discard(interval)
            await self._fetcher.store.propose_grid(None, interval, self._fetcher.clock())


_PROFILE = "(normalization)"


class NormalizationJudge:
    """The verdicts on unknown normalizations, from the store or by at most two requests for each."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._verdicts: dict[str, Verdict] | None = None
        self._lock = asyncio.Lock()

    async def recall(self) -> dict[str, Verdict]:
        """Read the recorded verdicts once and apply them. An undecided word is judged again later."""
        if self._verdicts is None:
            listed = await self._fetcher.store.normalizations()
            self._verdicts = {spelling_free(verdict.name): verdict for verdict in listed}
            for verdict in listed:
                self._apply(verdict)
        now = self._fetcher.clock()
        self._fetcher.judged_words -= {word for word, verdict in self._verdicts.items() if not verdict.holds(now)}
        return self._verdicts

    async def is_absolute(self, word: str, slice_: Slice, span: timedelta) -> bool:
        """Return whether values under *word* can be compared across answers.

        An unknown word is judged by requests for the series of *slice_*, on its grid, in windows of at most *span*.
        """
        async with self._lock:
            known = (await self.recall()).get(spelling_free(word))
            if known is None or not known.holds(self._fetcher.clock()):
                known = await self._judge(word, slice_, span)
                await self._fetcher.store.set_normalization(known)
                level = logging.INFO if known.is_absolute else logging.WARNING
                log.log(level, "normalization", extra={"outcome": known.verdict, "reason": known.sentence()})
                (await self.recall())[spelling_free(word)] = known
            self._apply(known)
            return known.is_absolute

    def _apply(self, known: Verdict) -> None:
        word = spelling_free(known.name)
        self._fetcher.judged_words.add(word)
        if known.is_absolute:
            self._fetcher.radar.absolute_words.add(word)

    async def _judge(self, word: str, slice_: Slice, span: timedelta) -> Verdict:
        now, series, step = self._fetcher.clock(), slice_.series, slice_.series.agg_interval.step
        undecided = Verdict(word, "undecided", now)
        final = await self._fetcher.clock_watch.present() - timedelta(seconds=DEFAULT_SETTLE) - step
        end = grid_of(series.agg_interval, slice_.window.start).floor(final)
        long = long_window(end, step, span)
        try:
            whole = await self._request(Slice(series, long))
            short = short_window(whole, series.agg_interval.seconds)
            if short is None:
                return undecided
            part = await self._request(Slice(series, short))
        except RadarError:
            return undecided
        verdict, buckets, differing = compare(whole, part)
        return Verdict(word, verdict, now, str(long), str(short), buckets, differing)

    async def _request(self, slice_: Slice) -> Points:
        """Send one request, on record and in the budget as any other. Its points are not stored."""
        batch, fetcher = Batch((slice_,)), self._fetcher
        async with fetcher.radar.slots:
            fetch_id = await fetcher.reserve(batch, [_PROFILE])
            try:
                reply = await fetcher.unless_stopped(fetcher.radar.request(batch))
            except RadarError as error:
                error.take_body()
                judged = await fetcher.judged(error, batch)
                await fetcher.record_failure(fetch_id, judged)
                raise judged from None
        await fetcher.store.save(fetch_id, batch, reply.answer, fetcher.clock(), reply.size, history=False)
        return reply.answer.series[0]
