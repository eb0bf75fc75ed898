"""Watches how far our clock is ahead of Radar's: known from earlier runs, corrected by replies, put on record."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.rules.clock_difference import NAMED_FROM, ClockDifference, sentence

if TYPE_CHECKING:
    from datetime import datetime

    from collector.rules.clock_difference import ClockSample
    from collector.store import Store

log = logging.getLogger(__name__)


class ClockWatch:
    """What replies have shown of the difference, and what *store* has on record of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: ClockDifference | None = None
        self._recorded = ClockDifference()
        self._told: timedelta | None = None
        self._lock = asyncio.Lock()

    async def ahead(self, now: datetime) -> timedelta:
        """Return how far our clock is ahead of Radar's at *now*; zero if it is not, or by less than a minute.

        What replies have shown from after *now* on is forgotten: without it nothing would be asked, and corrected.
        """
        self._found = found = (await self._recall()).at(now)
        return found.ahead

    async def note(self, sample: ClockSample | None) -> None:
        """Take in what a reply shows, put on record what that changes, and log a change of more than a minute."""
        if sample is None:
            return
        self._found = found = (await self._recall()).after(sample)
        if not found.is_news(self._recorded):
            return
        self._recorded = found
        await self._store.set_clock_difference(found)
        if abs((found.named or timedelta(0)) - (self._told or timedelta(0))) > NAMED_FROM:
            self._told = found.named
            _log(found.named)

    async def _recall(self) -> ClockDifference:
        """Begin with what is on record."""
        async with self._lock:
            if self._found is None:
                self._found = self._recorded = await self._store.clock_difference()
                self._told = self._found.named
            return self._found


def _log(named: timedelta | None) -> None:
    if named is None:
        log.info("clock", extra={"outcome": "ok", "difference_seconds": 0})
    else:
        seconds = round(named.total_seconds())
        log.warning("clock", extra={"outcome": "differs", "difference_seconds": seconds, "reason": sentence(named)})
