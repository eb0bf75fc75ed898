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
from collector.finality import DEFAULT_SETTLE
from collector.interval import grid_of
from collector.model import Batch, Slice, Window, spelling_free
from collector.normalization import Verdict, compare, long_window, short_window
from collector.radar.errors import OffGrid, RadarError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from collector.collect.batches.fetcher import Fetcher
    from collector.interval import AggInterval, Grid
    from collector.model import Answer, Points
    from collector.store import LearnedGrid

log = logging.getLogger(__name__)

CONFIRMED_AFTER = timedelta(hours=1)
"""How much later than the first answer on another grid the second one must be requested, if there is history."""
_BUCKETS, _PUBLISHED = 4, timedelta(days=1)


class GridMoved(CollectorError):
    """The buckets of the interval start elsewhere from now on: what was to be asked is to be planned anew."""

    outcome = "off_grid"


def may_be_confirmed(known: LearnedGrid, other: Grid, asked_at: datetime, *, has_history: bool) -> bool:
    """Tell whether an answer on the grid *other*, requested at *asked_at*, lets a second one decide."""
    if not has_history:
        return True
    first = known.proposed_at if known.proposed == other else None
    return first is not None and asked_at - first >= CONFIRMED_AFTER


def confirming_window(grid: Grid, present: datetime) -> Window:
    """Give the newest closed buckets of *grid*: four at least, and a day, for Radar lags behind.

    The present decides, because a part of the past may lie elsewhere, as where days begin at a local midnight.
    """
    end = grid.floor(present)
    return Window(end - max(_BUCKETS * grid.step, _PUBLISHED), end)


class GridLearner:
    """What this process knows of the grids; *moved* is set when one has changed since it was cleared."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.moved = asyncio.Event()
        self._fetcher = fetcher
        self._doubted: set[AggInterval] | None = None
        self._one_by_one = asyncio.Lock()

    async def learn(self, batch: Batch, error: OffGrid, profiles: Sequence[str], sending: Callable[[], None]) -> bool:
        """Learn from an answer off the grid. Tell whether another grid is in force than *batch* was asked on."""
        start = batch.slices[0].window.start
        other = grid_of(batch.agg_interval, start + error.offset)
        async with self._one_by_one:
            known = (await self._fetcher.store.learned_grids())[batch.agg_interval]
            if not known.grid.holds(start):
                return True
            return await self._judge(batch, known, other, profiles, sending)

    async def _judge(
        self, batch: Batch, known: LearnedGrid, other: Grid, profiles: Sequence[str], sending: Callable[[], None]
    ) -> bool:
        store, interval, now = self._fetcher.store, batch.agg_interval, self._fetcher.clock()
        has_history = await store.has_history(interval)
        if may_be_confirmed(known, other, now, has_history=has_history):
            if await self._confirms(batch, other, profiles, sending):
                await self._move(known.grid, other, has_history=has_history)
                return True
        elif known.proposed != other:
            fields = {"interval": interval.value, "buckets_start": str(other), "before": str(known.grid)}
            log.warning("grid", extra={"outcome": "proposed", **fields})
        await store.propose_grid(other, interval, now)
        self._doubted = None
        return False

    async def _confirms(self, batch: Batch, other: Grid, profiles: Sequence[str], sending: Callable[[], None]) -> bool:
        """Ask for a few buckets on the grid *other*; tell whether the answer has them there, and not only the first."""
        window, found = confirming_window(other, await self._fetcher.present()), False

        def keep(_fetch_id: int, _batch: Batch, answer: Answer) -> None:
            nonlocal found
            found = any(t > window.start.timestamp() for points in answer.series for t in points.timestamps)

        try:
            asked = Batch((Slice(batch.slices[0].series, window),))
            await self._fetcher.fetch(asked, profiles, sending, Handling(keep=keep, history=False))
        except RadarError as error:
            reason = f"no second answer agrees: {error}"
            log.warning("grid", extra={"outcome": "refused", "interval": other.interval.value, "reason": reason})
            return False
        return found

    async def _move(self, before: Grid, grid: Grid, *, has_history: bool) -> None:
        now = self._fetcher.clock()
        if await self._fetcher.store.move_grid(grid, now):
            fields = {"interval": grid.interval.value, "buckets_start": str(grid), "before": str(before)}
            level = logging.WARNING if has_history else logging.INFO
            log.log(level, "grid", extra={"outcome": "moved" if has_history else "learned", **fields})
        self._doubted = None
        self.moved.set()

    def reload_limits(self) -> None:
        """Look up anew which grids are in doubt: other replicas meet answers, too."""
        self._doubted = None

    async def agree(self, interval: AggInterval) -> None:
        """Take note that an answer is on the grid in force: what another one had was wrong."""
        if self._doubted is None:
            known = await self._fetcher.store.learned_grids()
            self._doubted = {interval for interval, one in known.items() if one.proposed}
        if interval in self._doubted:
            self._doubted.discard(interval)
            await self._fetcher.store.propose_grid(None, interval, self._fetcher.clock())


def moved_to(interval: AggInterval) -> GridMoved:
    """Say that what was to be asked is planned anew."""
    return GridMoved(f"the buckets of {interval} start elsewhere than was known; asked again there")


_NAME = "(normalization)"


class NormalizationJudge:
    """The verdicts on unknown words, from the store or by at most two requests a word."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._verdicts: dict[str, Verdict] | None = None
        self._lock = asyncio.Lock()

    async def recall(self) -> dict[str, Verdict]:
        """Read what is on record, once, and take answers accordingly; what is undecided is judged anew later."""
        if self._verdicts is None:
            listed = await self._fetcher.store.normalizations()
            self._verdicts = {spelling_free(one.name): one for one in listed}
            for one in listed:
                self._apply(one)
        now = self._fetcher.clock()
        self._fetcher.judged -= {word for word, one in self._verdicts.items() if not one.holds(now)}
        return self._verdicts

    async def is_absolute(self, word: str, piece: Slice, span: timedelta) -> bool:
        """Return whether values under *word* compare across answers.

        It asks for the series of *piece*, on its grid, in windows of *span* at most.
        """
        async with self._lock:
            known = (await self.recall()).get(spelling_free(word))
            if known is None or not known.holds(self._fetcher.clock()):
                known = await self._judge(word, piece, span)
                await self._fetcher.store.set_normalization(known)
                level = logging.INFO if known.is_absolute else logging.WARNING
                log.log(level, "normalization", extra={"outcome": known.verdict, "reason": known.sentence()})
                (await self.recall())[spelling_free(word)] = known
            self._apply(known)
            return known.is_absolute

    def _apply(self, known: Verdict) -> None:
        word = spelling_free(known.name)
        self._fetcher.judged.add(word)
        if known.is_absolute:
            self._fetcher.radar.absolute_words.add(word)

    async def _judge(self, word: str, piece: Slice, span: timedelta) -> Verdict:
        now, series, step = self._fetcher.clock(), piece.series, piece.series.agg_interval.step
        undecided = Verdict(word, "undecided", now)
        final = await self._fetcher.present() - timedelta(seconds=DEFAULT_SETTLE) - step
        end = grid_of(series.agg_interval, piece.window.start).floor(final)
        long = long_window(end, step, span)
        try:
            whole = await self._ask(Slice(series, long))
            short = short_window(whole, series.agg_interval.seconds)
            if short is None:
                return undecided
            part = await self._ask(Slice(series, short))
        except RadarError:
            return undecided
        verdict, buckets, differing = compare(whole, part)
        return Verdict(word, verdict, now, str(long), str(short), buckets, differing)

    async def _ask(self, piece: Slice) -> Points:
        """Send one request, recorded and paced like any other; its points are not stored."""
        batch, fetcher = Batch((piece,)), self._fetcher
        async with fetcher.radar.slots:
            fetch_id = await fetcher.turn(batch, [_NAME])
            try:
                reply = await fetcher.unless_stopped(fetcher.radar.request(batch))
            except RadarError as error:
                error.take_body()
                await fetcher.end(fetch_id, error)
                raise
        await fetcher.store.save(fetch_id, batch, reply.answer, fetcher.clock(), reply.size, history=False)
        return reply.answer.series[0]
