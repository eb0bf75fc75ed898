"""How many periods lie between a range and the one that it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.analysis.periods import weeks
from collector.analysis.refusals import RequestRefused

if TYPE_CHECKING:
    from datetime import datetime

    from collector.analysis.periods import Periods


def shift_of(compare: str | datetime, periods: Periods, start: int) -> int:
    """Return how many *periods* the compared range is before the one that begins at *start*; negative for after.

    Raises RequestRefused if no period begins so many weeks earlier.
    """
    if compare == "previous":
        return 1
    if not isinstance(compare, str):
        return periods.number(start) - periods.number(compare.timestamp())
    length = weeks(compare)
    assert length is not None
    seconds = int(length.total_seconds())
    if periods.months or seconds % periods.seconds:
        nearest = "compare with previous, or with the date at which the other range begins"
        raise RequestRefused(f"compare {compare}: no {periods.name} begins {compare} before another one", nearest)
    return seconds // periods.seconds


def shifted_range(compare: str | datetime, start: int, end: int) -> tuple[int, int]:
    """Return the range that [start, end) is compared with as a whole; it has the same length."""
    if compare == "previous":
        return start - (end - start), start
    if not isinstance(compare, str):
        first = int(compare.timestamp())
        return first, first + (end - start)
    length = weeks(compare)
    assert length is not None
    seconds = int(length.total_seconds())
    return start - seconds, end - seconds
