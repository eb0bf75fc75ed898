"""Half-open windows [start, end): one algebra, for epoch seconds and for datetimes.

A window is a pair of a start and an end: a plain tuple of two integers, or a `Window` of two datetimes. The functions
return windows of the same type as their first argument. Lists of windows that they return are ascending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    EpochWindow = tuple[int, int]


class SeriesWindow(NamedTuple):
    """The buckets of one series from *start* up to, not including, *end*, in epoch seconds."""

    series_id: int
    start: int
    end: int


class Pair(Protocol):
    """A start and an end, in this order."""

    def __getitem__(self, index: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __lt__(self, other: Any, /) -> bool: ...


_W = TypeVar("_W", bound=Pair)


def merge(windows: Iterable[_W]) -> list[_W]:
    """Join windows that overlap or touch. Empty windows are left out, unless they touch another one."""
    merged: list[_W] = []
    for window in sorted(windows):
        if merged and window[0] <= merged[-1][1]:
            if window[1] > merged[-1][1]:
                merged[-1] = _like(window, merged[-1][0], window[1])
        elif window[0] < window[1]:
            merged.append(window)
    return merged


def subtract(window: _W, taken: Iterable[_W]) -> list[_W]:
    """Return the parts of *window* that no window of *taken* covers."""
    parts, at = [], window[0]
    for start, end in merge(taken):
        if at < min(start, window[1]):
            parts.append(_like(window, at, min(start, window[1])))
        at = max(at, end)
    return [*parts, _like(window, at, window[1])] if at < window[1] else parts


def intersect(windows: Iterable[_W], others: Iterable[_W]) -> list[_W]:
    """Return the parts that a window of *windows* and a window of *others* have in common."""
    right = list(others)
    parts = (_like(a, max(a[0], b[0]), min(a[1], b[1])) for a in windows for b in right)
    return merge(part for part in parts if part[0] < part[1])


def hull(windows: Iterable[_W]) -> _W:
    """Return the shortest window that covers all of *windows*. Raises ValueError if there are none."""
    listed = list(windows)
    start, end = min(start for start, _ in listed), max(end for _, end in listed)
    return _like(listed[0], start, end)


def split_on_grid(window: _W, span: Any, origin: Any) -> list[_W]:
    """Cut *window* at *origin* plus each multiple of *span*. Only the first and the last part may be shorter."""
    parts, (start, end) = [], window
    while start < end:
        border = start - (start - origin) % span + span
        parts.append(_like(window, start, min(border, end)))
        start = border
    return parts


def split_evenly(window: _W, span: Any, step: Any) -> list[_W]:
    """Cut *window*, in buckets of *step*, into as few parts of at most *span* as possible, all of one length.

    If that does not divide the window, its oldest part overlaps the next one.
    """
    start, end = window
    count = -(-(end - start) // span)
    length = -(-((end - start) // step) // count) * step
    starts = (max(end - length * (back + 1), start) for back in range(count))
    return sorted(_like(window, at, at + length) for at in starts)


def join_buckets(timestamps: Iterable[int], step: int) -> list[EpochWindow]:
    """Return the windows that ascending bucket starts fill; buckets are *step* seconds wide."""
    joined: list[list[int]] = []
    for timestamp in timestamps:
        if joined and joined[-1][1] == timestamp:
            joined[-1][1] = timestamp + step
        else:
            joined.append([timestamp, timestamp + step])
    return [(start, end) for start, end in joined]


def absent_windows(timestamps: Iterable[int], start: int, end: int, step: int) -> list[EpochWindow]:
    """Return the windows of buckets from *start* up to *end* that the ascending bucket starts *timestamps* lack."""
    absent, at = [], start
    if isinstance(timestamps, range) and timestamps and timestamps.step == step:  # they lack only what is around them
        absent, at = ([(start, timestamps[0])] if timestamps[0] > start else []), timestamps[-1] + step
        timestamps = ()
    for timestamp in timestamps:
        if timestamp > at:
            absent.append((at, timestamp))
        at = timestamp + step
    return [*absent, (at, end)] if at < end else absent


def _like(window: _W, start: Any, end: Any) -> _W:
    """Return a window of the type of *window*."""
    kind: Any = type(window)
    return cast("_W", (start, end) if kind is tuple else kind(start, end))
