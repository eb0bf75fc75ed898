"""The moment from which on a profile keeps its history complete."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE = re.compile(_DAY)
_DATE_TIME = re.compile(_DAY + r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})?")


def read_since(value: object) -> datetime:
    """Read a date (midnight UTC) or a date and time with offset, as text or TOML's own type; ValueError otherwise."""
    try:
        return _moment(_from_text(value) if isinstance(value, str) else value)
    except OverflowError:
        raise ValueError("no such moment") from None


def _from_text(text: str) -> date:
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError("neither a date nor a date and time")
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("no such day or time") from None


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without an offset")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError("not a date")  # pydantic passes ValueError on, not TypeError
