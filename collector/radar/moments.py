"""Moments as answers write them: RFC 3339 and what differs from it in form alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from collector.model import from_epoch

_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?\s*(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[0-9]{9,14}(?:\.0*)?", re.ASCII)
_LEAST_MILLISECONDS = 10**11
"""A number of so much is milliseconds: as seconds it would be the year 5138."""


class Moment(NamedTuple):
    """A moment in UTC; *zoned*: the text names its zone, else it was taken as UTC."""

    at: datetime
    zoned: bool


def read_moment(content: Any) -> Moment | None:
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


def _from_number(number: float) -> Moment | None:
    try:
        seconds = number / 1000 if abs(number) >= _LEAST_MILLISECONDS else number
        return Moment(from_epoch(seconds), zoned=True)
    except (ValueError, OverflowError):
        return None


def _from_parts(date: str, minutes: str | None, seconds: str | None, fraction: str | None, zone: str | None) -> Moment:
    local = datetime.fromisoformat(f"{date}T{minutes or '00:00'}:{seconds or '00'}").replace(tzinfo=UTC)
    if fraction:
        local += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
        if fraction[6:].strip("0"):
            local += timedelta(microseconds=1)  # no whole second looks like one
    return Moment(local - _offset(zone), zoned=zone is not None)


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in "Zz":
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - hours of a day, minutes of an hour
        raise ValueError(f"{zone} is no offset")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset
