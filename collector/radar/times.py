"""Times of an answer in whatever form: RFC 3339 and its relatives, numbers, spans."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from collector.model import from_epoch
from collector.radar.scalars import member

_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}/[0-9]{2}/[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?\s*(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) GMT", re.ASCII
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBER = re.compile(r"[0-9]{9,19}(?:\.0*)?", re.ASCII)
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3))
"""From so much on a number counts so many parts of a second: as the next coarser unit it would be the year 5138."""
_STARTS = ("startTime", "startDate", "start", "from")
_ENDS = ("endTime", "endDate", "end", "to")
_UTC = frozenset({"Z", "z", "UTC", "GMT"})


class ParsedTime(NamedTuple):
    """A time in UTC; *zoned*: the text names its zone, else it was taken as UTC."""

    at: datetime
    zoned: bool


def parse_answer_time(content: Any) -> ParsedTime | None:
    """Read a text, or a number of seconds or parts of them since 1970; None for anything else.

    Taken are any offset, any precision, a blank for the T, minutes or a date alone, slashes, UTC and GMT, and the form
    of HTTP. A number may count micro- and nanoseconds, too.
    """
    if isinstance(content, int | float) and not isinstance(content, bool):
        return _from_number(content)
    if not isinstance(content, str):
        return None
    text = content.strip()
    if _NUMBER.fullmatch(text):
        return _from_number(float(text))
    match, http = _MOMENT.fullmatch(text), _HTTP_DATE.fullmatch(text)
    try:
        if http:
            return _from_http(*http.groups())
        return _from_parts(*match.groups()) if match else None
    except (ValueError, OverflowError):
        return None


def parse_span(content: Any) -> tuple[datetime, datetime] | None:
    """Read start and end: an object of them, a list of two, or `start/end`. None if one is unreadable or they turn."""
    ends: Any = content.split("/") if isinstance(content, str) else content
    if isinstance(content, dict):
        ends = [member(content, *_STARTS), member(content, *_ENDS)]
    if not isinstance(ends, list) or len(ends) != 2:  # noqa: PLR2004 - a start and an end
        return None
    start, end = parse_answer_time(ends[0]), parse_answer_time(ends[1])
    return (start.at, end.at) if start and end and start.at <= end.at else None


def _from_number(number: float) -> ParsedTime | None:
    try:
        parts = next((parts for least, parts in _UNITS if abs(number) >= least), 1)
        return ParsedTime(from_epoch(number / parts), zoned=True)
    except (ValueError, OverflowError):
        return None


def _from_http(day: str, month: str, year: str, clock: str) -> ParsedTime:
    return _from_parts(f"{year}-{_MONTHS.index(month) + 1:02}-{day}", clock[:5], clock[6:], None, "Z")


def _from_parts(
    date: str, minutes: str | None, seconds: str | None, fraction: str | None, zone: str | None
) -> ParsedTime:
    local = datetime.fromisoformat(f"{date.replace('/', '-')}T{minutes or '00:00'}:{seconds or '00'}").replace(
        tzinfo=UTC
    )
    if fraction:
        local += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
        if fraction[6:].strip("0"):
            local += timedelta(microseconds=1)  # no whole second looks like one
    return ParsedTime(local - _offset(zone), zoned=zone is not None)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in _UTC:
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - hours of a day, minutes of an hour
        raise ValueError(f"{zone} is no offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset
