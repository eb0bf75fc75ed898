"""Periods of time in UTC: hours, days, weeks from Monday, months, quarters and years, or the buckets of a series.

Consecutive periods have consecutive numbers, so that a period earlier or later is an addition. Times are epoch seconds.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from collector.interval import DEFAULT_ORIGIN, Grid
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

DAY = 86_400
WEEK = 7 * DAY
_MONDAY = int(DEFAULT_ORIGIN.timestamp())
_FIRST_DAY = date(1970, 1, 1).toordinal()


class Per(StrEnum):
    """The length of the periods that values are summed to."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


_SECONDS = {Per.HOUR: 3_600, Per.DAY: DAY, Per.WEEK: WEEK}
_MONTHS = {Per.MONTH: 1, Per.QUARTER: 3, Per.YEAR: 12}


class Periods(NamedTuple):
    """Consecutive periods: calendar *months* long, or *seconds* long (months is 0) with a start at *edge*.

    *name* is for people.
    """

    name: str
    seconds: int = 0
    edge: int = _MONDAY
    months: int = 0

    def number(self, moment: float) -> int:
        """Return the number of the period that contains *moment*."""
        if not self.months:
            return int((moment - self.edge) // self.seconds)
        day = from_epoch(moment)
        return (day.year * 12 + day.month - 1) // self.months

    def start(self, number: int) -> int:
        """Return when a period starts."""
        if not self.months:
            return self.edge + number * self.seconds
        year, month = divmod(number * self.months, 12)
        return (date(year, month + 1, 1).toordinal() - _FIRST_DAY) * DAY

    def edges(self, first: int, last: int) -> list[int]:
        """Return the starts of the periods *first* up to, not including, *last*, and the end of the last one."""
        if not self.months:
            return list(range(self.start(first), self.start(last) + 1, self.seconds)) if first < last else []
        return [self.start(number) for number in range(first, last + 1)] if first < last else []

    def covering(self, start: float, end: float) -> tuple[int, int]:
        """Return (first, last + 1): the numbers of the periods that have a time in common with [start, end)."""
        if start >= end:
            return 0, 0
        last = self.number(end)
        return self.number(start), last if self.start(last) == end else last + 1


def periods_of(per: Per | None, grid: Grid) -> Periods:
    """Return the periods *per*; without it the buckets of *grid*."""
    if per is None:
        return Periods(grid.interval.value, grid.interval.seconds, _MONDAY + grid.seconds)
    if per in _MONTHS:
        return Periods(per.value, months=_MONTHS[per])
    return Periods(per.value, _SECONDS[per])


def fits(per: Per, grid: Grid) -> bool:
    """Return whether each period consists of whole buckets of *grid*."""
    length = _SECONDS.get(per, DAY)  # a month begins where some day does, and not where a week does
    return length % grid.interval.seconds == 0 and grid.seconds % grid.interval.seconds == 0


def finest(grid: Grid) -> Per | None:
    """Return the shortest period that consists of whole buckets of *grid*; None if there is none."""
    return next((per for per in Per if fits(per, grid)), None)


def buckets_between(start: float, end: float, step: int, edge: int) -> int:
    """Return how many buckets of *step* seconds, one of which starts at *edge*, start in [start, end)."""
    return max(int(-((edge - end) // step)) - int(-((edge - start) // step)), 0)


def expected_buckets(edges: Sequence[int], step: int) -> list[int]:
    """Return the number of buckets of *step* seconds in each period between *edges*."""
    return [(end - start) // step for start, end in pairwise(edges)]


def year_before(moment: datetime) -> datetime:
    """Return the same date and time a year before; 28 February for 29 February."""
    try:
        return moment.replace(year=moment.year - 1)
    except ValueError:
        return moment.replace(year=moment.year - 1, day=28)


def weeks(word: str) -> timedelta | None:
    """Return the length that `1w`, `4w` or `52w` names; None for another word."""
    return timedelta(weeks=int(word[:-1])) if word in {"1w", "4w", "52w"} else None
