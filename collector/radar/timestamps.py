"""Times of an answer in whatever form, and its timestamps: starts of buckets, beyond doubt, or it is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.model import from_epoch, rfc3339
from collector.radar.errors import OffGrid, Untrusted
from collector.radar.failure import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.model import Window
    from collector.radar.deviations import Deviations

_DAY = 86_400
_EPOCH = from_epoch(0)
_SECOND = timedelta(seconds=1)
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?\s*(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[0-9]{9,14}(?:\.0*)?", re.ASCII)
_LEAST_MILLISECONDS = 10**11
"""A number of so much is milliseconds: as seconds it would be the year 5138."""


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
    inside = [moment if moment is not None and window.start <= moment < window.end else None for moment in read]
    kept = [moment for moment in inside if moment is not None]
    came = sum(moment is not None for moment in read)
    if came and not kept:
        raise Untrusted(f"all timestamps lie outside of {window}")
    _check_grid(kept, window, step)
    if len(kept) < came:
        deviations.note("timestamps outside of the window asked for are left out")
    return [None if moment is None else (moment - _EPOCH) // _SECOND for moment in inside]


def _read(found: Sequence[Any], window: Window, deviations: Deviations) -> list[datetime | None]:
    read: list[datetime | None] = []
    naive = []
    for content in found:
        moment = parse_answer_time(content)
        if moment is None and content is not None:
            raise Untrusted(f"{quoted(content)} is not a timestamp")
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


class ParsedTime(NamedTuple):
    """A time in UTC; *zoned*: the text names its zone, else it was taken as UTC."""

    at: datetime
    zoned: bool


def parse_answer_time(content: Any) -> ParsedTime | None:
    """Read a text, or a number of seconds or milliseconds since 1970; None for anything else.

    Taken are any offset, any precision, a blank for the T, minutes or a date alone.
    """
    if isinstance(content, int | float) and not isinstance(content, bool):
        return _from_number(content)
    if not isinstance(content, str):
        return None
    text = content.strip()
    if _NUMBER.fullmatch(text):
        return _from_number(float(text))
    match = _MOMENT.fullmatch(text)
    try:
        return _from_parts(*match.groups()) if match else None
    except (ValueError, OverflowError):
        return None


def _from_number(number: float) -> ParsedTime | None:
    try:
        seconds = number / 1000 if abs(number) >= _LEAST_MILLISECONDS else number
        return ParsedTime(from_epoch(seconds), zoned=True)
    except (ValueError, OverflowError):
        return None


def _from_parts(
    date: str, minutes: str | None, seconds: str | None, fraction: str | None, zone: str | None
) -> ParsedTime:
    local = datetime.fromisoformat(f"{date}T{minutes or '00:00'}:{seconds or '00'}").replace(tzinfo=UTC)
    if fraction:
        local += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
        if fraction[6:].strip("0"):
            local += timedelta(microseconds=1)  # no whole second looks like one
    return ParsedTime(local - _offset(zone), zoned=zone is not None)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in "Zz":
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - hours of a day, minutes of an hour
        raise ValueError(f"{zone} is no offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset
