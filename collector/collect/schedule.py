"""Decides only when: APScheduler fires at every bucket edge, plus the publication delay and a small fixed jitter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from collector.interval import AggInterval, Grid


class BucketEdges(BaseTrigger):  # type: ignore[misc] # untyped
    """Fires *delay* after each bucket edge; a pure function of (previous, now), so it cannot drift."""

    def __init__(self, grid: Grid | AggInterval, delay: timedelta) -> None:
        self.grid = grid
        self.delay = delay

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """APScheduler's question; both moments are aware."""
        reference = max(previous_fire_time, now) if previous_fire_time else now
        edge = self.grid.floor(reference.astimezone(UTC) - self.delay)
        return edge + self.grid.step + self.delay


class Schedule:
    """Calls *due* of each group at its bucket edges while it is open.

    `coalesce` and no misfire grace: a late wake-up is one call, and never none.
    """

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone=UTC)

    def add(self, grid: Grid | AggInterval, delay: timedelta, due: Callable[[], Awaitable[None]]) -> None:
        """Call *due* at every bucket edge plus *delay*."""
        self._scheduler.add_job(due, BucketEdges(grid, delay), misfire_grace_time=None, coalesce=True)

    def __enter__(self) -> Self:
        self._scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._scheduler.shutdown(wait=False)
