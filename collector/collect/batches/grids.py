"""Learns where Radar's buckets start: an answer on another grid is confirmed by a second one, asked for on that grid.

answer off the grid  →  may it be confirmed now? (pure)  →  ask on the other grid  →  it comes into force

Where nothing is stored yet, the second answer is asked for at once. Where there is history, a first answer is only
noted: one wrong answer must not begin a new series.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.batches.fetcher import Handling
from collector.errors import CollectorError
from collector.interval import grid_of
from collector.model import Batch, Slice, Window
from collector.radar.errors import OffGrid, RadarError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from collector.collect.batches.fetcher import Fetcher
    from collector.interval import AggInterval, Grid
    from collector.model import Answer
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
