"""Gaps: expected buckets that are not stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.datasets import is_snapshot
from collector.profile import on_grids
from collector.store import ExpectedWindow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import Window
    from collector.profile import LabelledSeries, Profile
    from collector.store import GapWindow, ProfileStatus, Reader, ReadView


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive absent buckets of a series; *reason*: `missing`, or `upstream` if Radar is proven to lack them."""

    profile: str
    series: str
    start: datetime
    end: datetime
    buckets: int
    reason: str


async def find_gaps(store: Reader, profiles: Sequence[Profile], now: datetime) -> list[Gap]:
    """Return the gaps of *profiles*, profile by profile, from one consistent state of the store."""

    def work(view: ReadView) -> list[Gap]:
        placed = on_grids(profiles, view.grids())
        return gaps_of_profiles(view, placed, view.status_rows(placed), now)

    return await store.with_read_view(work)


def gaps_of_profiles(
    store: ReadView, profiles: Sequence[Profile], rows: Sequence[ProfileStatus], now: datetime
) -> list[Gap]:
    """Return the gaps of all series of *profiles* up to what Radar has published at *now*, by profile, ascending.

    *rows* is the status of the same profiles. A series that is complete by its count is skipped. A series with values
    that are relative to one answer has no gaps, because a second answer could not be joined to the first.
    """
    queries = [series.query for profile in profiles for series in profile.series]
    stored, whole = store.extents(queries), store.complete_extents(queries)
    relative = store.relative_queries(queries)
    asked, expected = [], []
    for profile, row in zip(profiles, rows, strict=True):
        published = now - row.ahead - profile.publication_delay - row.behind
        for series in profile.series:
            if is_snapshot(series.query):  # a snapshot has no gaps
                continue
            within = profile.expected(stored.get(series.query), published)
            if within and series.query not in relative and not _is_inside(within, whole.get(series.query)):
                asked.append((profile, series))
                expected.append(ExpectedWindow(series.query, within, profile.settle))
    found = store.find_gaps(expected)
    return [
        _gap(profile, series, hole) for (profile, series), holes in zip(asked, found, strict=True) for hole in holes
    ]


def _gap(profile: Profile, series: LabelledSeries, hole: GapWindow) -> Gap:
    buckets = hole.window.duration // profile.agg_interval.step
    return Gap(profile.name, series.label, hole.window.start, hole.window.end, buckets, hole.reason)


def _is_inside(within: Window, whole: Window | None) -> bool:
    return whole is not None and whole.start <= within.start and within.end <= whole.end
