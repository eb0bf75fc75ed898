"""Which windows are missing or not final, so that a pass, healing, a backfill or a query requests them.

state of the series (store)  →  windows (pure, in `finality` and `planning`)  →  slices
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from collector.collect.batches.sentinel import told_until
from collector.collect.planning import packing
from collector.datasets import is_snapshot
from collector.interval import grid_of
from collector.model import Slice, Window
from collector.rules.finality import NARROWER, windows_to_reread
from collector.store import ExpectedWindow
from collector.timestamps import from_epoch
from collector.windows import hull, merge, split_evenly, subtract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Question
    from collector.profile import Profile
    from collector.rules.finality import GapRequest
    from collector.store import ReadView, SeriesState, Store

    Windows = dict[Question, list[Window]]

_YOUNG_AGAIN = timedelta(days=1)
"""A missing bucket that is not past settle is requested once in this time."""
_OLD_AGAIN = timedelta(hours=1)
"""A gap that an answer has covered, without proving that Radar lacks it, is not requested for this time."""
_COVERED = timedelta(days=7)
"""A gap that an answer has covered in this time, without proving that Radar lacks it, is requested alone."""
_QUERIED_AGAIN = timedelta(minutes=15)
"""Within this time, a query does not request a bucket again that Radar did not have."""
_NEAR = timedelta(days=2)
"""A window to read again that begins at most so much before `settle` is joined with the window of the fire."""


class FirePlan(NamedTuple):
    """The slices of a fire, and the series that may wait for a new bucket, see `sentinel.told_until`."""

    slices: list[Slice]
    told_until: dict[Question, float]


async def plan_fire(
    profiles: Sequence[Profile], now: datetime, store: Store, ahead: timedelta = timedelta(0)
) -> FirePlan:
    """Plan a fire: the newest buckets, and the buckets that are not final and due to be read again.

    A series of several profiles is requested once. *now* is *ahead* of Radar's present; later buckets are excluded.
    """
    await store.adopt(now)
    return await store.with_read_view(lambda view: _plan_fire(view, profiles, now, ahead))


def _plan_fire(view: ReadView, profiles: Sequence[Profile], now: datetime, ahead: timedelta) -> FirePlan:
    queries = {series.query for profile in profiles for series in profile.series}
    states, relative = view.series_states(queries), view.relative_queries(queries)
    wanted: Windows = defaultdict(list)
    ends: dict[Question, float] = {}
    for profile in profiles:
        ends |= told_until(profile, states, now)
        for series in profile.series:
            state = states.get(series.query)
            due = _windows_due(profile, series.query, state, now) if state and series.query not in relative else []
            wanted[series.query] += fire_windows(profile, state, due, now - ahead)
    return FirePlan([Slice(query, window) for query, windows in wanted.items() for window in merge(windows)], ends)


def settle_of(profile: Profile, state: SeriesState) -> int:
    """Return the longest `settle` of the profiles of a series, in seconds."""
    return max(state.settle or 0, int(profile.settle.total_seconds()))


def _windows_due(profile: Profile, query: Question, state: SeriesState, now: datetime) -> list[Window]:
    """Return the stored windows of a series that are not final and are due to be read again.

    Points from before `since` are read again, too, so that all stored points become final.
    """
    step = query.agg_interval.seconds
    windows = windows_to_reread(state.evidence, state.current, settle_of(profile, state), step, now.timestamp())
    return [Window(from_epoch(start), from_epoch(end)) for start, end in state.still_there(windows)]


def fire_windows(profile: Profile, state: SeriesState | None, due: Sequence[Window], now: datetime) -> list[Window]:
    """Join the window of the newest buckets with the *due* windows, unless they lie far apart.

    Windows begin and end at midnight, so that series that are a few buckets apart still share a request.
    """
    stored = Window(from_epoch(state.extent[0]), from_epoch(state.told_until)) if state else None
    window = packing.live_window(profile, stored, now)
    end = profile.grid.floor(now)
    settle = settle_of(profile, state) if state else 0
    near = end - timedelta(seconds=settle) - _NEAR
    start, separate = window.start if window else end, []
    for old in sorted(due, reverse=True):
        if old.end >= start or old.start >= near:
            start = min(start, old.start)
        else:
            separate.append(old)
    grid = profile.grid
    windows = [Window(grid.floor(packing.midnight(start)), end)] if start < end else []
    for old in separate:
        until = old.end if old.end == packing.midnight(old.end) else packing.midnight(old.end) + packing.DAY
        windows.append(Window(grid.floor(packing.midnight(old.start)), min(_ceiling(profile, until), end)))
    return windows


def _ceiling(profile: Profile, moment: datetime) -> datetime:
    floor = profile.grid.floor(moment)
    return floor if floor == moment else floor + profile.agg_interval.step


@dataclass(frozen=True, slots=True)
class WantedWindows:
    """The parts of gaps to request for one series, *within* the expected window.

    *wide* parts are widened to windows of the grid. *narrow* parts are requested exactly, in windows of at most so many
    seconds.
    """

    within: Window
    wide: list[Window] = field(default_factory=list)
    narrow: list[tuple[Window, int]] = field(default_factory=list)


async def healing_slices(
    profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner, ahead: timedelta = timedelta(0)
) -> list[Slice]:
    """Return the slices of gaps between `since`, or the first point, and the newest bucket that an answer has covered.

    The next fire requests newer buckets. *now* is *ahead* of Radar's present.
    """
    return await gap_slices(await healing_expected(profiles, now - ahead, store), now, store, batch_runner)


async def healing_expected(profiles: Sequence[Profile], present: datetime, store: Store) -> list[ExpectedWindow]:
    """Return the window that should be stored at Radar's *present*, for each series of the *profiles* that heal."""
    return await store.with_read_view(lambda view: _healing_expected(view, profiles, present))


def _healing_expected(view: ReadView, profiles: Sequence[Profile], present: datetime) -> list[ExpectedWindow]:
    states = view.series_states({s.query for profile in profiles for s in profile.series if profile.heal})
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
    """Return the slices of gaps in *expected* that are not proven and were not requested just now.

    With *explicit_since*, proven gaps are included, too, unless an answer has covered them since. A relative series has
    no gaps to fill, because its answers cannot be joined.
    """
    return await _slices(
        await store.with_read_view(lambda view: _wanted_windows(view, expected, now, explicit_since)), batch_runner
    )


def _wanted_windows(
    view: ReadView, expected: Sequence[ExpectedWindow], now: datetime, explicit_since: datetime | None
) -> dict[Question, WantedWindows]:
    relative = view.relative_queries({window.query for window in expected})
    expected = [window for window in expected if window.query not in relative]
    wanted_by_query: dict[Question, WantedWindows] = {}
    requests = view.gap_requests(expected, now, explicit=explicit_since is not None)
    for expected_window, parts in zip(expected, requests, strict=True):
        if not parts:
            continue
        known = wanted_by_query.get(expected_window.query)
        wanted = WantedWindows(hull([expected_window.window, known.within]) if known else expected_window.window)
        wanted_by_query[expected_window.query] = wanted
        if known:
            wanted.wide.extend(known.wide)
            wanted.narrow.extend(known.narrow)
        _add_parts(wanted, expected_window, parts, now, explicit_since or now - _OLD_AGAIN, view)
    return wanted_by_query


def _add_parts(  # noqa: PLR0913, PLR0917 - what the decision depends on
    wanted: WantedWindows,
    expected: ExpectedWindow,
    parts: Sequence[GapRequest],
    now: datetime,
    since: datetime,
    view: ReadView,
) -> None:
    """Add the *parts* of gaps that were not requested since *since*; young parts not within a day."""
    windows = [Window(from_epoch(part.start), from_epoch(part.end)) for part in parts]
    around = hull(windows)
    around = Window(max(around.start, expected.window.start), min(around.end, expected.window.end))
    lately, just_now, covered = (
        view.covered_windows(expected.query, around, moment) for moment in (now - _YOUNG_AGAIN, since, now - _COVERED)
    )
    young_from = grid_of(expected.query.agg_interval, expected.window.start).floor(now - expected.settle)
    for part, window in zip(parts, windows, strict=True):
        for gap in _not_covered(window, young_from, just_now, lately):
            unproven = not part.lacked and gap.end <= young_from and not subtract(gap, covered)
            if part.width is not None:
                wanted.narrow.append((gap, part.width))
            elif unproven:
                wanted.narrow.append(_exact_window(gap, expected))
            else:
                wanted.wide.append(gap)


async def query_slices(expected: ExpectedWindow, now: datetime, store: Store) -> list[Slice]:
    """Return the slices to request for one query: missing buckets that were not requested just now.

    Returns nothing for a snapshot or a relative series, because its answers cannot be joined.
    """
    if expected.window.start >= expected.window.end or is_snapshot(expected.query):
        return []
    return await store.with_read_view(lambda view: _query_slices(view, expected, now))


def _query_slices(view: ReadView, expected: ExpectedWindow, now: datetime) -> list[Slice]:
    query = expected.query
    if view.relative_queries([query]):
        return []
    gaps = [gap.window for gap in view.find_gaps([expected])[0]]
    recently_covered = view.covered_windows(query, expected.window, now - _QUERIED_AGAIN)
    return [Slice(query, part) for gap in gaps for part in subtract(gap, recently_covered)]


def _exact_window(gap: Window, expected: ExpectedWindow) -> tuple[Window, int]:
    """Return the window of a gap alone, with at least four buckets at the beginning of the expected: see NARROWER."""
    start = gap.start
    if start == expected.window.start:
        start = min(start, gap.end - NARROWER * expected.query.agg_interval.step)
    window = Window(start, gap.end)
    return window, int(window.duration.total_seconds())


def _not_covered(
    window: Window, young_from: datetime, just_now: Sequence[Window], lately: Sequence[Window]
) -> list[Window]:
    """Return *window* without covered parts: *just_now* for old buckets, *lately* for young ones."""
    border = min(max(young_from, window.start), window.end)
    old = subtract(Window(window.start, border), just_now) if window.start < border else []
    young = subtract(Window(border, window.end), lately) if border < window.end else []
    return [*old, *young]


async def _slices(requested: Mapping[Question, WantedWindows], batch_runner: BatchRunner) -> list[Slice]:
    """Widen the wide parts to windows of the grid, whose equal durations let them share requests."""
    kinds = {query.request_kind for query in requested}
    spans = {kind: (await batch_runner.limits(kind)).shape.span for kind in kinds}
    slices = []
    for query, wanted in requested.items():
        span, step = spans[query.request_kind], query.agg_interval.step
        windows = merge(packing.widen_to_grid(wanted.wide, wanted.within, span, step))
        for window, width in wanted.narrow:
            longest = max(timedelta(seconds=width) // step, 1) * step
            windows += split_evenly(window, longest, step)
        slices += [Slice(query, window) for window in windows]
    return slices


async def whole_cells(
    wanted: Mapping[Question, Sequence[Window]], within: Mapping[Question, Window], batch_runner: BatchRunner
) -> list[Slice]:
    """Widen windows to windows of the grid, inside *within*, whose equal durations let them share requests."""
    return await _slices(
        {query: WantedWindows(within[query], list(windows)) for query, windows in wanted.items()}, batch_runner
    )
