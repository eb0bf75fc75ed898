"""Reads the times that people and programs write on the command line and in URLs, all in the same forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from collector.model import utc

FORMS = "a date such as 2026-01-31, an RFC 3339 time such as 2026-01-31T12:00:00Z, now, or an age such as 36h or 14d"
"""What is accepted, for messages."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE = re.compile(r"([0-9]{1,9})([mhdw])")
_LONGEST_SHOWN = 60
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_time(text: str, now: datetime) -> datetime:
    """Return the moment that *text* names, in UTC; a date is its midnight, an age is counted back from *now*.

    Raises ValueError, with what is allowed, for anything else.
    """
    try:
        return _parsed(text.strip(), now)
    except (ValueError, OverflowError):
        shown = repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")
        raise ValueError(f"{shown} is no moment; allowed: {FORMS}") from None


def _parsed(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    if age := _AGE.fullmatch(text):
        return now - int(age[1]) * _UNITS[age[2]]
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return utc(text.upper())
