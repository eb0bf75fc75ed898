"""The window that a fire requests, and the grid of windows that gaps are widened to. Pure functions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.interval import DEFAULT_ORIGIN
from collector.model import Window
from collector.windows import split_on_grid

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from collector.interval import AggInterval, Grid
    from collector.profile import Profile

DAY = timedelta(days=1)


def closed_until(grid: Grid | AggInterval, now: datetime) -> datetime:
    """End of the newest closed bucket."""
    return grid.floor(now)


def midnight(moment: datetime) -> datetime:
    """The beginning of the day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def live_window(profile: Profile, stored: Window | None, now: datetime) -> Window | None:
    """The newest buckets of one series: from the newest *stored* one, less lookback, to the newest closed one.

    *stored* reaches from the oldest stored bucket to the newest one that an answer has spoken for. The start is rounded
    down to a day, so that series which are a few buckets apart still share a window. None if there is nothing to read.
    """
    end = closed_until(profile.grid, now)
    newest = stored.end - profile.agg_interval.step if stored else end
    start = min(newest, end) - profile.lookback
    if profile.since:
        start = max(start, profile.since)
    start = profile.grid.floor(midnight(start))
    return Window(start, end) if start < end else None


def grid_windows(window: Window, span: timedelta, step: timedelta) -> list[Window]:
    """Cut *window* at the borders of the grid of *span*, which are starts of buckets of width *step*."""
    return split_on_grid(window, span, DEFAULT_ORIGIN + (window.start - DEFAULT_ORIGIN) % step)


def cells(holes: Iterable[Window], within: Window, span: timedelta, step: timedelta) -> list[Window]:
    """The grid windows of *within* that hold a part of a hole, each once: asking whole cells keeps durations equal."""
    return sorted({cell for hole in holes for cell in grid_windows(within, span, step) if cell.overlaps(hole)})
