"""Aware times in UTC: read, write and check them; the clock."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def utc(text: str) -> datetime:
    """Read an RFC 3339 moment that names its zone, as UTC; ValueError for anything else, a bare date included."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """Write an aware moment as `2026-01-31T23:45:00Z`; a fraction of a second is shown where there is one."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def from_epoch(seconds: float) -> datetime:
    """Turn epoch seconds into an aware moment; OverflowError if it is not in the years 1 to 9999.

    Not by `datetime.fromtimestamp`, because it asks the C library, which under `TZ=right/…` subtracts leap seconds.
    """
    return _EPOCH + timedelta(seconds=seconds)


def utc_now() -> datetime:
    """Read the clock; not by `datetime.now`, see from_epoch."""
    return from_epoch(time.time())
