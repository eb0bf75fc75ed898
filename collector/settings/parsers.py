"""Durations and times as text: `30s` `15m` `14d`; `2026-01-31`, `2026-01-31T12:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> timedelta:
    """Return the duration. Raises ValueError if *text* is not a whole number and a unit."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("not a duration")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def format_duration(duration: timedelta) -> str:
    """Return a duration of whole seconds in the largest unit up to days that divides it: `14d`, `90s`, `0s`."""
    seconds = int(duration.total_seconds())
    unit = next((unit for unit in "dhm" if seconds and seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_bounded_duration(value: object, least: timedelta, most: timedelta) -> timedelta:
    """Return a duration from text or timedelta. Raises ValueError if it is not between *least* and *most*."""
    if not isinstance(value, str | timedelta):
        raise ValueError("not a duration in quotes")  # noqa: TRY004 - pydantic passes ValueError on, not TypeError
    duration = value if isinstance(value, timedelta) else parse_duration(value)
    if duration < least:
        raise ValueError("too short")
    if duration > most:
        raise ValueError("too long")
    return duration


_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE = re.compile(_DAY)
_DATE_TIME = re.compile(_DAY + r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})?")


def parse_since(value: object) -> datetime:
    """Return a time in UTC from a date (its midnight) or a date and time with offset, as text or TOML type.

    Raises ValueError for anything else.
    """
    try:
        return _to_utc(_from_text(value) if isinstance(value, str) else value)
    except OverflowError:
        raise ValueError("outside the range of dates") from None


def _from_text(text: str) -> date:
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError("neither a date nor a date and time")
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("this day or time does not exist") from None


def _to_utc(value: object) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without an offset")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError("not a date")  # pydantic passes ValueError on, not TypeError
