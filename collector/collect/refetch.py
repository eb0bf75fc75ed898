"""Which windows are missing or not final, so that a pass, healing, a backfill or a query requests them.

state of the series (store)  →  windows (pure, in `finality` and `planning`)  →  slices
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.planning import packing
from collector.datasets import is_snapshot
from collector.finality import NARROWER, windows_to_reread
from collector.interval import grid_of
from collector.model import Slice, Window, from_epoch
from collector.store import ExpectedWindow
from collector.windows import hull, merge, split_evenly, subtract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.finality import GapRequest
    from collector.model import Question
    from collector.profile import Profile
    from collector.store import SeriesState, Store

    Windows = dict[Question, list[Window]]

_YOUNG_AGAIN = timedelta(days=1)
"""A bucket that is absent and not past settle is asked for once in this time."""
_OLD_AGAIN = timedelta(hours=1)
"""So long nothing is asked for a gap that an answer has just covered without proving anything."""
_COVERED = timedelta(days=7)
"""A gap that an answer has covered in this time, without proving anything, is asked for alone."""
_QUERIED_AGAIN = timedelta(minutes=15)
"""Radar had no such bucket: a query for it within this time is no reason to ask again."""
_NEAR = timedelta(days=2)
"""What is to be read again and begins at most so much before `settle` shares the window of the fire."""


async def fire_slices(
    profiles: Sequence[Profile], now: datetime, store: Store, ahead: timedelta = timedelta(0)
) -> list[Slice]:
    """Decide what a fire reads: the newest buckets, and all whose values are not final and are due to be read again.

    Profiles that share a series ask for it once. *now* is *ahead* of Radar's present, after which nothing is asked for.
    """
    await store.adopt(now)
    queries = {series.query for profile in profiles for series in profile.series}
    states, relative = await store.series_states(queries), await store.relative_queries(queries)
    wanted: Windows = defaultdict(list)
    for profile in profiles:
        for series in profile.series:
            state = states.get(series.query)
            due = _windows_due(profile, series.query, state, now) if state and series.query not in relative else []
            wanted[series.query] += fire_windows(profile, state, due, now - ahead)
    return [Slice(query, window) for query, windows in wanted.items() for window in merge(windows)]


def settle_of(profile: Profile, state: SeriesState) -> int:
    """The longest `settle` of the profiles that want a series, in seconds."""
    return max(state.settle or 0, int(profile.settle.total_seconds()))


def _windows_due(profile: Profile, query: Question, state: SeriesState, now: datetime) -> list[Window]:
    """The stored windows of a series whose values are not final and that are due.

    What a backfill has brought from before `since` is read again, too: all that is stored becomes final, as long as
    Radar has it.
    """
    step = query.agg_interval.seconds
    found = windows_to_reread(state.evidence, state.current, settle_of(profile, state), step, now.timestamp())
    return [Window(from_epoch(start), from_epoch(end)) for start, end in state.still_there(found)]


def fire_windows(profile: Profile, state: SeriesState | None, due: Sequence[Window], now: datetime) -> list[Window]:
    """Join the newest buckets and what is *due*: one longer window instead of several, unless they lie far apart.

    Borders are midnights, so that series which are a few buckets apart still share a request.
    """
    stored = Window(from_epoch(state.extent[0]), from_epoch(state.told_until)) if state else None
    window = packing.live_window(profile, stored, now)
    end = profile.grid.floor(now)
    settle = settle_of(profile, state) if state else 0
    near = end - timedelta(seconds=settle) - _NEAR
    start, apart = window.start if window else end, []
    for one in sorted(due, reverse=True):
        if one.end >= start or one.start >= near:
            start = min(start, one.start)
        else:
            apart.append(one)
    grid = profile.grid
    windows = [Window(grid.floor(packing.midnight(start)), end)] if start < end else []
    for one in apart:
        until = one.end if one.end == packing.midnight(one.end) else packing.midnight(one.end) + packing.DAY
        windows.append(Window(grid.floor(packing.midnight(one.start)), min(_ceiling(profile, until), end)))
    return windows


def _ceiling(profile: Profile, moment: datetime) -> datetime:
    floor = profile.grid.floor(moment)
    return floor if floor == moment else floor + profile.agg_interval.step


@dataclass(frozen=True, slots=True)
class WantedWindows:
    """What is asked for of one series: parts of gaps, *within* the window that is expected.

    *wide* parts are asked for in windows of the grid, *narrow* ones in exact windows of at most so many seconds.
    """

    within: Window
    wide: list[Window] = field(default_factory=list)
    narrow: list[tuple[Window, int]] = field(default_factory=list)


async def healing_slices(
    profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner, ahead: timedelta = timedelta(0)
) -> list[Slice]:
    """Decide what of the past to ask for: gaps between `since`, or the first point, and what answers spoke for.

    What is newer is the next fire's. *now* is *ahead* of Radar's present.
    """
    return await gap_slices(await healing_expected(profiles, now - ahead, store), now, store, batch_runner)


async def healing_expected(profiles: Sequence[Profile], present: datetime, store: Store) -> list[ExpectedWindow]:
    """List what the store should have at Radar's *present* of each series of those *profiles* that heal."""
    states = await store.series_states({s.query for profile in profiles for s in profile.series if profile.heal})
    expected = []
    for profile in profiles:
        for series in profile.series if profile.heal else ():
            state = states.get(series.query)
            stored = Window(from_epoch(state.extent[0]), from_epoch(state.extent[1])) if state else None
            window = profile.expected(stored, from_epoch(state.told_until) if state else present)
            expected += [ExpectedWindow(series.query, window, profile.settle)] if window else []
    return expected


async def gap_slices(
    expected: Sequence[ExpectedWindow],
    now: datetime,
    store: Store,
    batch_runner: BatchRunner,
    *,
    explicit_since: datetime | None = None,
) -> list[Slice]:
    """Decide what of the gaps in *expected* to ask for: what is not proven and was not asked for just now.

    With *explicit_since* proven gaps are asked for, too, unless an answer has covered them from that moment on. A
    series whose values are relative to one answer has no gaps to fill: a second answer would not join the first.
    """
    relative = await store.relative_queries({one.query for one in expected})
    expected = [one for one in expected if one.query not in relative]
    explicit = explicit_since is not None
    found: dict[Question, WantedWindows] = {}
    requests = await store.gap_requests(expected, now, explicit=explicit)
    for one, parts in zip(expected, requests, strict=True):
        if not parts:
            continue
        known = found.get(one.query)
        wanted = WantedWindows(hull([one.window, known.within]) if known else one.window)
        found[one.query] = wanted
        if known:
            wanted.wide.extend(known.wide)
            wanted.narrow.extend(known.narrow)
        await _add_parts(wanted, one, parts, now, explicit_since or now - _OLD_AGAIN, store)
    return await _slices(found, batch_runner)


async def _add_parts(  # noqa: PLR0913, PLR0917 - what the decision depends on
    wanted: WantedWindows,
    one: ExpectedWindow,
    parts: Sequence[GapRequest],
    now: datetime,
    since: datetime,
    store: Store,
) -> None:
    """Add *parts* of gaps that were not asked for just now: from *since* on, young ones within a day."""
    lately = await store.covered_windows(one.query, one.window, now - _YOUNG_AGAIN)
    just_now = await store.covered_windows(one.query, one.window, since)
    covered = await store.covered_windows(one.query, one.window, now - _COVERED)
    young_from = grid_of(one.query.agg_interval, one.window.start).floor(now - one.settle)
    for part in parts:
        window = Window(from_epoch(part.start), from_epoch(part.end))
        for piece in _not_asked(window, young_from, just_now, lately):
            silent = not part.lacked and piece.end <= young_from and not subtract(piece, covered)
            if part.width is not None:
                wanted.narrow.append((piece, part.width))
            elif silent:
                wanted.narrow.append(_alone(piece, one))
            else:
                wanted.wide.append(piece)


async def query_slices(expected: ExpectedWindow, now: datetime, store: Store) -> list[Slice]:
    """Decide what Radar is asked for so that one query is answered: all that is absent and was not asked for just now.

    There is nothing to ask for of a snapshot, or of values relative to one answer: a second answer would not join them.
    """
    query, window = expected.query, expected.window
    if window.start >= window.end or is_snapshot(query) or await store.relative_queries([query]):
        return []
    gaps = [hole.window for hole in (await store.find_gaps([expected]))[0]]
    asked = await store.covered_windows(query, window, now - _QUERIED_AGAIN)
    return [Slice(query, part) for gap in gaps for part in subtract(gap, asked)]


def _alone(gap: Window, expected: ExpectedWindow) -> tuple[Window, int]:
    """Ask for nothing but a gap, and at the begin of what is expected for four buckets at least: see NARROWER."""
    start = gap.start
    if start == expected.window.start:
        start = min(start, gap.end - NARROWER * expected.query.agg_interval.step)
    window = Window(start, gap.end)
    return window, int(window.duration.total_seconds())


def _not_asked(
    window: Window, young_from: datetime, just_now: Sequence[Window], lately: Sequence[Window]
) -> list[Window]:
    """Leave out what an answer has covered: of the past *just_now*, of young buckets *lately*."""
    border = min(max(young_from, window.start), window.end)
    old = subtract(Window(window.start, border), just_now) if window.start < border else []
    young = subtract(Window(border, window.end), lately) if border < window.end else []
    return [*old, *young]


async def _slices(found: Mapping[Question, WantedWindows], batch_runner: BatchRunner) -> list[Slice]:
    """Widen what may be wide to windows of the grid, so that many have one duration and share requests."""
    slices = []
    for query, wanted in found.items():
        span, step = (await batch_runner.limits(query.request_kind)).shape.span, query.agg_interval.step
        windows = merge(packing.widen_to_grid(wanted.wide, wanted.within, span, step))
        for window, width in wanted.narrow:
            longest = max(timedelta(seconds=width) // step, 1) * step
            windows += split_evenly(window, longest, step)
        slices += [Slice(query, window) for window in windows]
    return slices


async def whole_cells(
    wanted: Mapping[Question, Sequence[Window]], within: Mapping[Question, Window], batch_runner: BatchRunner
) -> list[Slice]:
    """Widen windows to those of the grid, inside *within*, so that many have one duration and share requests."""
    return await _slices(
        {query: WantedWindows(within[query], list(windows)) for query, windows in wanted.items()}, batch_runner
    )
