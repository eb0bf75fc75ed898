"""Date ranges in the API's rules: relative ones, explicit pairs, rounding down to 15 minutes, an inclusive end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from collector.contract.errors import bad_request, quote
from collector.model import AggInterval, utc

SLOT, DAY, WEEK = 900, 86_400, 604_800
_MONDAY = 4 * DAY
_RELATIVE = re.compile(r"([1-9]\d{0,2})([dw])((?i:control))?", re.ASCII)
_LONGEST = {"d": 364, "w": 52}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MONTH = 31 * DAY


def floor(moment: float, step: int, edge: int = _MONDAY) -> int:
    """Return the start of the bucket of *step* seconds that contains *moment*; one starts at *edge*. Epoch seconds."""
    return int(moment - (moment - edge) % step)


@dataclass(frozen=True, slots=True)
class DateRange:
    """From *start* to *end* in epoch seconds, both on the 15-minute grid. The bucket that contains *end* counts."""

    start: int
    end: int

    @property
    def duration(self) -> int:
        """The length in seconds."""
        return self.end - self.start

    def buckets(self, interval: AggInterval, offset: int | None = 0) -> tuple[int, int]:
        """Return the start of the first bucket and the end of the last.

        *offset* moves the usual grid; with None the first bucket starts with the range.
        """
        step, edge = interval.seconds, self.start if offset is None else _MONDAY + offset
        return floor(self.start, step, edge), floor(self.end, step, edge) + step


def auto_interval(duration: int) -> AggInterval:
    """Return the interval of a request that names none."""
    if duration <= DAY:
        return AggInterval.FIFTEEN_MINUTES
    return AggInterval.ONE_HOUR if duration <= _MONTH else AggInterval.ONE_DAY


def parse_date_range(
    given: tuple[str, str, str], default: str | None, now: float, today: float | None = None
) -> DateRange:
    """Parse (`dateRange`, `dateStart`, `dateEnd`) of one position; an empty text counts as absent.

    *default* is the `dateRange` of a position without a date (None: such a position is rejected). A relative range ends
    at *today*, by default at *now*. Nothing may be after *now*.
    """
    relative, start, end = given
    if relative and (start or end):
        raise bad_request("dateRange cannot be combined with dateStart and dateEnd")
    if start or end:
        return _explicit(start, end, now)
    if not (relative or default):
        raise bad_request("dateRange, or dateStart and dateEnd, must be given")
    return _relative(relative or str(default), now if today is None else today)


def _relative(text: str, today: float) -> DateRange:
    match = _RELATIVE.fullmatch(text)
    if match is None or int(match[1]) > _LONGEST[match[2]]:
        raise bad_request(
            f"dateRange: expected 1d to 364d or 1w to 52w, with or without 'control', received {quote(text)}"
        )
    length = int(match[1]) * (DAY if match[2] == "d" else WEEK)
    end = floor(today, SLOT)
    if match[3]:
        end -= -(-length // WEEK) * WEEK
    return DateRange(end - length, end)


def _explicit(start: str, end: str, now: float) -> DateRange:
    if not (start and end):
        raise bad_request("dateStart and dateEnd must be given together")
    first, last = parse_time("dateStart", start), parse_time("dateEnd", end)
    if last > now:
        raise bad_request("dateEnd: must not lie in the future")
    if first > last:
        raise bad_request("dateStart: must not lie behind dateEnd")
    return DateRange(floor(first, SLOT), floor(last, SLOT))


def parse_time(name: str, text: str) -> float:
    """Parse an RFC 3339 date-time as epoch seconds; raises ApiError for anything else, and for times before 1970."""
    try:
        moment = utc(text).timestamp() if _RFC3339.fullmatch(text) else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise bad_request(f"{name}: expected an RFC 3339 date-time, received {quote(text)}")
    if moment < 0:
        raise bad_request(f"{name}: must not lie before 1970, received {quote(text)}")
    return moment
