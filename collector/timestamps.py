"""The rule for dates that come from outside: command line, HTTP, configuration."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

FIRST_DATE = date(2000, 1, 1)
"""No earlier date is accepted: certificate transparency began in 2013."""


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
