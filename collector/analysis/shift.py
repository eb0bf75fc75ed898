"""How many periods lie between a range and the one that it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.analysis.periods import weeks, year_before
from collector.analysis.refusals import RequestRefused
from collector.analysis.words import USUAL_WEEKS
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from collector.analysis.periods import Periods


def shifts_of(compare: str | datetime, periods: Periods, start: int) -> list[int]:
    """Return how many *periods* each range to compare with is before the one that begins at *start*.

    There are several for `usual`, whose mean is compared with. Raises what `shift_of` raises.
    """
    if compare != "usual":
        return [shift_of(compare, periods, start)]
    try:
        week = shift_of("1w", periods, start)
    except RequestRefused as refused:
        raise RequestRefused(refused.reason.replace("1w", "usual", 1), refused.nearest) from None
    return [number * week for number in range(1, USUAL_WEEKS + 1)]


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
        nearest = "compare previous, or a date at which the other range begins"
        if compare == "52w" and periods.months:
            first = from_epoch(periods.start(periods.number(start)))
            nearest = f"compare {year_before(first).date()}, when the same {periods.name} a year before began"
        raise RequestRefused(f"compare {compare}: no {periods.name} begins {compare} before another one", nearest)
    return seconds // periods.seconds


def shifted_range(compare: str | datetime, start: int, end: int) -> tuple[int, int]:
    """Return the range that [start, end) is compared with as a whole; it has the same length.

    Raises RequestRefused for `usual`, which means several ranges.
    """
    if compare == "usual":
        reason = "compare usual: it is the mean of several weeks, which a range as a whole does not have"
        raise RequestRefused(reason, "1w, or usual with export")
    if compare == "previous":
        return start - (end - start), start
    if not isinstance(compare, str):
        first = int(compare.timestamp())
        return first, first + (end - start)
    length = weeks(compare)
    assert length is not None
    seconds = int(length.total_seconds())
    return start - seconds, end - seconds
