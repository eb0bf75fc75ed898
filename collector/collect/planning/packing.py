"""Which windows, packed into which batches, and which share of them one replica takes. Pure functions.

A request carries many slices of equal duration, so the cost of history is the number of batches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.interval import DEFAULT_ORIGIN
from collector.model import Batch, Slice, Window
from collector.radar.request import query_string
from collector.windows import merge, split_evenly, split_on_grid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.planning.request_limits import RequestLimits
    from collector.model import Question, RequestKind
    from collector.profile import Profile

LONGEST_QUERY = 8_130
"""Bytes of a query string that servers accept after a path (the usual limit is 8 KiB for the request line)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a request may be: *span* of a window, number of *positions*, *length* of the query string in bytes.

    *gaps*: positions may be empty.
    """

    span: timedelta
    positions: int
    gaps: bool = True
    length: int = LONGEST_QUERY


def pack(slices: Iterable[Slice], shape: Shape) -> list[Batch]:
    """Cut *slices* to *shape* and pack them into few batches, newest windows first.

    In a batch, slices are ordered by window, then by filter keys, so that few positions stay empty.
    """
    groups: dict[object, list[Slice]] = defaultdict(list)
    for slice_ in _split(slices, shape.span):
        keys = () if shape.gaps else tuple(sorted(slice_.series.filters))
        groups[slice_.series.request_kind, slice_.series.parameters, slice_.window.duration, keys].append(slice_)
    batches: list[Batch] = []
    for group in groups.values():
        group.sort(key=lambda slice_: (-slice_.window.start.timestamp(), *slice_.series.key))
        packed = 0
        while packed < len(group):
            batch = _longest_that_fits(group[packed : packed + shape.positions], shape.length)
            packed += len(batch.slices)
            batches.append(batch)
    return sorted(batches, key=lambda batch: batch.slices[0].window.end, reverse=True)


def pack_separately(
    slices: Iterable[Slice], shape: Shape, quarantined: Collection[Question], relative: Collection[Question]
) -> list[Batch]:
    """Pack *slices*. Those of *quarantined* series get a batch each; *relative* series only one, for the newest window.

    Answers of a relative series cannot be joined, and an older answer would replace the newest.
    """
    together: list[Slice] = []
    separate: list[Slice] = []
    relatives: list[Slice] = []
    for slice_ in slices:
        query = slice_.series
        (relatives if query in relative else separate if query in quarantined else together).append(slice_)
    single = replace(shape, positions=1)
    newest = {batch.slices[0].series: batch for batch in reversed(pack(relatives, single))}
    return [*pack(together, shape), *pack(separate, single), *newest.values()]


def _split(slices: Iterable[Slice], span: timedelta) -> Iterator[Slice]:
    """Split windows longer than *span* evenly. All windows of such a series are merged first."""
    for series, windows in _windows_by_series(slices).items():
        parts: Iterable[Window] = dict.fromkeys(windows) if len(windows) > 1 else windows
        if any(window.duration > span for window in windows):
            step = series.agg_interval.step
            parts = [part for window in merge(windows) for part in split_evenly(window, span, step)]
        yield from (Slice(series, part) for part in parts)


def _windows_by_series(slices: Iterable[Slice]) -> dict[Question, list[Window]]:
    windows: dict[Question, list[Window]] = defaultdict(list)
    for slice_ in slices:
        windows[slice_.series].append(slice_.window)
    return windows


def until(slices: Iterable[Slice], present: datetime) -> list[Slice]:
    """Return *slices* without the buckets that are not closed at *present*."""
    closed = []
    for slice_ in slices:
        step, window = slice_.series.agg_interval.step, slice_.window
        end = window.end - max(-((present - window.end) // step), 0) * step
        if window.start < end:
            closed.append(slice_ if end == window.end else slice_._replace(window=Window(window.start, end)))
    return closed


def joined(slices: Iterable[Slice]) -> list[Slice]:
    """Merge the windows of each series that overlap or touch."""
    return [
        Slice(series, window) for series, windows in _windows_by_series(slices).items() for window in merge(windows)
    ]


_LEAST_LENGTH = len("&dateStart=2025-01-01T00:00:00Z&dateEnd=2025-01-01T00:00:00Z")
"""A slice needs at least so many bytes of the query string."""


def _longest_that_fits(slices: Sequence[Slice], most: int) -> Batch:
    """Return a batch of the first *slices* whose query string has at most so many bytes."""
    count = max(min(len(slices), most // _LEAST_LENGTH), 1)
    while count > 1 and (length := len(query_string(Batch(tuple(slices[:count]))))) > most:
        count = max(1, min(count - 1, count * most // length))
    return Batch(tuple(slices[:count]))


def bisect(batch: Batch) -> list[Batch]:
    """Split a batch of several slices in two, to find the one that Radar rejects."""
    middle = len(batch.slices) // 2
    return [Batch(batch.slices[:middle]), Batch(batch.slices[middle:])]


def request_kinds(slices: Sequence[Slice]) -> list[RequestKind]:
    """Return the kinds of requests that *slices* need, the finest interval first."""
    kinds = {slice_.series.request_kind for slice_ in slices}
    return sorted(kinds, key=lambda kind: (kind.agg_interval.seconds, kind.dataset))


def slices_of(batches: Iterable[Batch]) -> list[Slice]:
    """Return the slices of *batches*, in their order."""
    return [slice_ for batch in batches for slice_ in batch.slices]


DAY = timedelta(days=1)


def midnight(moment: datetime) -> datetime:
    """Return the beginning of the day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def live_window(profile: Profile, stored: Window | None, now: datetime) -> Window | None:
    """Return the newest buckets of one series: from the newest *stored* one, less lookback, to the newest closed one.

    *stored* reaches from the oldest stored bucket to the newest one that an answer has covered. The start is rounded
    down to a day, so that series that are a few buckets apart still share a window. None if the window is empty.
    """
    end = profile.grid.floor(now)
    newest = stored.end - profile.agg_interval.step if stored else end
    start = min(newest, end) - profile.lookback
    if profile.since:
        start = max(start, profile.since)
    start = profile.grid.floor(midnight(start))
    return Window(start, end) if start < end else None


def grid_windows(window: Window, span: timedelta, step: timedelta) -> list[Window]:
    """Split *window* at multiples of *span*, which are starts of buckets of width *step*."""
    return split_on_grid(window, span, DEFAULT_ORIGIN + (window.start - DEFAULT_ORIGIN) % step)


def widen_to_grid(gaps: Iterable[Window], within: Window, span: timedelta, step: timedelta) -> list[Window]:
    """Return the grid windows of *within* that overlap a gap. Their equal durations let them share requests."""
    windows = grid_windows(within, span, step)
    return sorted({window for gap in gaps for window in windows if window.overlaps(gap)})


def fair_share(profiles: Sequence[Profile], replicas: int, positions: int) -> Sequence[Profile]:
    """Return the part of *profiles* that one of so many *replicas* takes: its share, and more to fill its requests."""
    taken = series = 0
    for profile in profiles:
        if taken * replicas >= len(profiles) and series + len(profile.series) > -(-series // positions) * positions:
            break
        taken, series = taken + 1, series + len(profile.series)
    return profiles[:taken]


def take_chunk(
    free: Sequence[Slice], limits: Mapping[RequestKind, RequestLimits], most: int
) -> tuple[Sequence[Slice], Sequence[Slice]]:
    """Divide the *free* slices of a job into those that one of several replicas takes, and the rest.

    It takes the newest *most* requests of the finest interval, or one if the size is not proven yet.
    """
    kind = request_kinds(free)[0]
    known = limits[kind]
    batches = pack((slice_ for slice_ in free if slice_.series.request_kind == kind), known.shape)
    most = most if known.proves(batches[0]) else 1
    rest = [slice_ for slice_ in free if slice_.series.request_kind != kind]
    return slices_of(batches[:most]), [*slices_of(batches[most:]), *rest]
