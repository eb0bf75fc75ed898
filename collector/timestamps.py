"""Aware times in UTC: parse, format and check them; read the clock."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMS = "a date such as 2026-01-31, an RFC 3339 time such as 2026-01-31T12:00:00Z, now, or an age such as 36h or 14d"
"""The accepted forms, for messages."""

FIRST_DATE = date(2000, 1, 1)
"""No earlier date is accepted: certificate transparency began in 2013."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE = re.compile(r"([0-9]{1,9})([mhdw])")
_LONGEST_SHOWN = 60
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_time(text: str, now: datetime) -> datetime:
    """Parse *text* as a time in UTC; a date means its midnight, an age is subtracted from *now*.

    Raises ValueError with the accepted forms for anything else, and if check_date does.
    """
    try:
        moment = _parsed(text.strip(), now)
    except (ValueError, OverflowError):
        quoted = repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")
        raise ValueError(f"{quoted} is not a time; allowed: {FORMS}") from None
    return check_date(moment, now)


def _parsed(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    if age := _AGE.fullmatch(text):
        return now - int(age[1]) * _UNITS[age[2]]
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return utc(text.upper())


_LAST_DATE = date(2100, 1, 1)


def parse_moment(text: str) -> datetime:
    """Parse a date (its midnight in UTC) or an RFC 3339 time, also a future one. Raises ValueError for another text."""
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC) if _DATE.fullmatch(text) else utc(text.upper())
    except (ValueError, OverflowError):
        quoted = repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")
        forms = "a date such as 2026-01-31, or an RFC 3339 time such as 2026-01-31T12:00:00Z"
        raise ValueError(f"{quoted} is not a time; allowed: {forms}") from None
    if not FIRST_DATE <= moment.date() < _LAST_DATE:
        raise ValueError(f"{rfc3339(moment)} is not between {FIRST_DATE} and {_LAST_DATE}")
    return moment


def check_date(moment: datetime, now: datetime) -> datetime:
    """Return the aware *moment* in UTC. Raises ValueError if its date is before 2000-01-01 or after tomorrow."""
    last = now.astimezone(UTC).date() + timedelta(days=1)
    try:
        in_utc = moment.astimezone(UTC)
    except OverflowError:  # 0001-01-01T00:00:00+14:00 is in the year 0
        in_utc = None
    if in_utc is None or not FIRST_DATE <= in_utc.date() <= last:
        written = moment.isoformat().replace("+00:00", "Z")
        raise ValueError(f"{written} is out of range; allowed: {FIRST_DATE} to tomorrow, {last}")
    return in_utc


def utc(text: str) -> datetime:
    """Parse an RFC 3339 time with a zone as UTC. Raises ValueError for anything else, also for a date."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """Format an aware time as `2026-01-31T23:45:00Z`, with the fraction of a second if there is one."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def from_epoch(seconds: float) -> datetime:
    """Convert epoch seconds to an aware time. Raises OverflowError if it is not in the years 1 to 9999.

    `datetime.fromtimestamp` is not used, because the C library subtracts leap seconds under `TZ=right/…`.
    """
    return _EPOCH + timedelta(seconds=seconds)


def utc_now() -> datetime:
    """Return the present. `datetime.now` is not used, for the reason in from_epoch."""
    return from_epoch(time.time())
