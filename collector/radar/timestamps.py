"""Timestamps of an answer: starts of buckets in epoch seconds, beyond doubt, or the answer is refused."""

from __future__ import annotations

from datetime import timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from collector.model import from_epoch, rfc3339
from collector.radar.errors import OffGrid, Untrusted
from collector.radar.failure import short
from collector.radar.moments import read_moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import Window
    from collector.radar.deviations import Deviations

_DAY = 86_400
_EPOCH = from_epoch(0)
_SECOND = timedelta(seconds=1)


def read_timestamps(
    found: Sequence[Any], window: Window, step: int, deviations: Deviations
) -> Sequence[int] | list[int | None]:
    """Read the starts of buckets of *step* seconds in *window*, in their order; None for one that is left out.

    Left out is null, and what lies outside of the window. Untrusted for what is no moment, for moments without a zone
    that do not fit the window, and where some of them lie off the grid; OffGrid where all do, by the same distance.
    """
    seconds, usual = _usual(window, step)
    if found == usual:  # nothing is missing and all is spelt as usual, which one comparison of lists shows
        return seconds
    read = _read(found, window, deviations)
    inside = [moment for moment in read if moment is not None and window.start <= moment < window.end]
    if not inside and any(moment is not None for moment in read):
        raise Untrusted(f"all timestamps lie outside of {window}")
    _check_grid(inside, window, step)
    if len(inside) < sum(moment is not None for moment in read):
        deviations.note("timestamps outside of the window asked for are left out")
    kept = set(inside)
    return [(moment - _EPOCH) // _SECOND if moment is not None and moment in kept else None for moment in read]


def _read(found: Sequence[Any], window: Window, deviations: Deviations) -> list[datetime | None]:
    read: list[datetime | None] = []
    naive = []
    for content in found:
        moment = read_moment(content)
        if moment is None and content is not None:
            raise Untrusted(f"{short(content)} is not a timestamp")
        read.append(moment.at if moment else None)
        naive += [moment.at] if moment and not moment.zoned else []
        if content is None:
            deviations.note("timestamps that are null are left out")
        elif not isinstance(content, str):
            deviations.note("timestamps are numbers")
    if naive:
        deviations.note("timestamps name no zone")
        if not (window.start <= min(naive) and max(naive) < window.end):
            raise Untrusted(f"timestamps without a zone do not fit {window}")
    return read


def _check_grid(inside: Sequence[datetime], window: Window, step: int) -> None:
    width = timedelta(seconds=step)
    offsets = {(moment - window.start) % width for moment in inside}
    if offsets <= {timedelta(0)}:
        return
    if len(offsets) > 1:
        raise Untrusted("timestamps lie on several grids")
    (offset,) = offsets
    raise OffGrid(
        f"timestamps lie {offset.total_seconds():g} s behind the grid, {rfc3339(inside[0])} for one", offset=offset
    )


@lru_cache(maxsize=8)
def _usual(window: Window, step: int) -> tuple[range, list[str]]:
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()), step)
    days = {day: rfc3339(from_epoch(day * _DAY))[:11] for day in range(seconds.start // _DAY, seconds.stop // _DAY + 1)}
    return seconds, [days[second // _DAY] + _time_of_day(second % _DAY) for second in seconds]


@cache
def _time_of_day(second: int) -> str:
    return rfc3339(from_epoch(second))[11:]
