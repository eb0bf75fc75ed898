"""What is missing of a series: buckets that should be there, are not, and are worth asking for."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect import plan
from collector.model import Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from collector.collect.gather import Gatherer
    from collector.model import SeriesQuery, Window
    from collector.profile import Profile
    from collector.store import Store

ASK_AGAIN_AFTER = timedelta(days=1)
"""Radar said that it has no such bucket, or the same value as before: while it may change, it is asked daily."""


async def missing(profile: Profile, query: SeriesQuery, within: Window, store: Store, now: datetime) -> list[Window]:
    """Find the holes of a series in *within* that Radar may still fill and was not asked for within a day.

    A series whose values are relative to one answer has no holes to fill: a second answer would not join the first.
    """
    if await store.relative([query]):
        return []
    holes = [hole.window for hole in await store.holes(query, within, profile.settle) if hole.reason == "missing"]
    if not holes:
        return []
    asked = await store.answered(query, within, now - ASK_AGAIN_AFTER)
    return [part for hole in holes for part in plan.without(hole, asked)]


async def whole_cells(
    holes: Mapping[SeriesQuery, Iterable[Window]], within: Mapping[SeriesQuery, Window], gatherer: Gatherer
) -> list[Slice]:
    """Widen holes to the windows of the grid, inside *within*, so that many have one duration and share requests."""
    widened: dict[SeriesQuery, list[Window]] = defaultdict(list)
    for query, windows in holes.items():
        span = (await gatherer.limits(query.agg_interval)).shape.span
        widened[query] += plan.cells(windows, within[query], span)
    return [Slice(query, window) for query, windows in widened.items() for window in plan.merged(windows)]
