"""Times that come from outside: the forms in which people and programs write them, and the rule for their dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from collector.model import utc

FORMS = "a date such as 2026-01-31, an RFC 3339 time such as 2026-01-31T12:00:00Z, now, or an age such as 36h or 14d"
"""What is accepted, for messages."""

FIRST_DATE = date(2000, 1, 1)
"""No earlier date is accepted: certificate transparency began in 2013."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE = re.compile(r"([0-9]{1,9})([mhdw])")
_LONGEST_SHOWN = 60
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_time(text: str, now: datetime) -> datetime:
    """Return the moment that *text* names, in UTC; a date is its midnight, an age is counted back from *now*.

    Raises ValueError, with what is allowed, for anything else, and as check_date does.
    """
    try:
        found = _parsed(text.strip(), now)
    except (ValueError, OverflowError):
        shown = repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")
        raise ValueError(f"{shown} is no moment; allowed: {FORMS}") from None
    return check_date(found, now)


def _parsed(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    if age := _AGE.fullmatch(text):
        return now - int(age[1]) * _UNITS[age[2]]
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return utc(text.upper())


def check_date(moment: datetime, now: datetime) -> datetime:
    """Return the aware *moment* in UTC; ValueError unless its date lies between 2000-01-01 and tomorrow."""
    last = now.astimezone(UTC).date() + timedelta(days=1)
    try:
        found = moment.astimezone(UTC)
    except OverflowError:  # 0001-01-01T00:00:00+14:00 is in the year 0
        found = None
    if found is None or not FIRST_DATE <= found.date() <= last:
        written = moment.isoformat().replace("+00:00", "Z")
        raise ValueError(f"{written} is out of range; allowed: {FIRST_DATE} to tomorrow, {last}")
    return found
