"""The intervals of Radar with all properties of each in one table, so that a new interval is one entry.

A bucket is identified by its start. The buckets of an interval are on a grid. The usual grid starts on a Monday at
midnight UTC; answers may show that Radar uses another one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

DEFAULT_ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)
"""A bucket start of the usual grid of every interval: a Monday."""


class IntervalProperties(NamedTuple):
    """The properties of an interval: *step* is its width, *unit* and *adverb* name it in texts (`hour`, `hourly`).

    *spans* are the window lengths to try, in days, the longest first, each a whole number of buckets. *chart* is the
    default range of a chart. The simulator rejects windows longer than *simulated_span*.
    """

    step: timedelta
    unit: str
    adverb: str
    spans: tuple[int, ...]
    chart: timedelta
    simulated_span: timedelta


# Radar accepts a month at 1h and rejects 72 days; relative ranges end at 364 days. The spans are round numbers, because
# such limits usually are.
_MONTH = (31, 28, 14, 7, 3, 1)
_YEAR = (364, 182, 91, 28, 7)

_QUARTER = IntervalProperties(
    step=timedelta(minutes=15),
    unit="15 minutes",
    adverb="every 15 minutes",
    spans=(31, 7, 3, 1),
    chart=timedelta(days=7),
    simulated_span=timedelta(days=7),
)
_HOUR = IntervalProperties(
    step=timedelta(hours=1),
    unit="hour",
    adverb="hourly",
    spans=_MONTH,
    chart=timedelta(days=7),
    simulated_span=timedelta(days=31),
)
_DAY = IntervalProperties(
    step=timedelta(days=1),
    unit="day",
    adverb="daily",
    spans=_YEAR,
    chart=timedelta(days=90),
    simulated_span=timedelta(days=366),
)
_WEEK = IntervalProperties(
    step=timedelta(weeks=1),
    unit="week",
    adverb="weekly",
    spans=_YEAR,
    chart=timedelta(weeks=104),
    simulated_span=timedelta(days=5 * 366),
)


class AggInterval(StrEnum):
    """Width of a bucket. A member's name is the word of `meta.aggInterval`, its value the word of the request."""

    def __new__(cls, word: str, properties: IntervalProperties | None = None) -> AggInterval:  # noqa: PYI034 - final
        """Create a member from its word and properties. Raises TypeError for an unknown word."""
        if properties is None:
            raise TypeError(f"{word} has no properties")
        member = str.__new__(cls, word)
        member._value_ = word
        member.properties = properties
        member.step = properties.step
        member.seconds = int(properties.step.total_seconds())
        return member

    properties: IntervalProperties
    step: timedelta
    """The bucket's width."""
    seconds: int
    """The bucket's width in seconds."""

    FIFTEEN_MINUTES = "15m", _QUARTER
    ONE_HOUR = "1h", _HOUR
    ONE_DAY = "1d", _DAY
    ONE_WEEK = "1w", _WEEK

    def floor(self, moment: datetime) -> datetime:
        """Return the start of the bucket that contains *moment*, on the usual grid. Weeks start on Monday."""
        return moment - (moment - DEFAULT_ORIGIN) % self.step


def _check(interval: AggInterval) -> None:
    step, days = interval.step, [timedelta(days=days) for days in interval.properties.spans]
    if not days or days != sorted(days, reverse=True) or any(span % step for span in days):
        raise ValueError(f"{interval}: spans must be whole buckets, the longest first")
    if timedelta(days=7) % step and step % timedelta(days=7):
        raise ValueError(f"{interval}: buckets must fill a week")


for _interval in AggInterval:
    _check(_interval)
if list(AggInterval) != sorted(AggInterval, key=lambda interval: interval.seconds):
    raise ValueError("the finest interval comes first")


class Grid(NamedTuple):
    """The bucket starts of *interval*, each *offset* (less than a bucket) after a bucket start of the usual grid."""

    interval: AggInterval
    offset: timedelta = timedelta(0)

    @property
    def step(self) -> timedelta:
        """The width of a bucket."""
        return self.interval.step

    @property
    def seconds(self) -> int:
        """The offset in seconds."""
        return int(self.offset.total_seconds())

    def floor(self, moment: datetime) -> datetime:
        """Return the start of the bucket that contains *moment*."""
        return self.interval.floor(moment - self.offset) + self.offset

    def holds(self, moment: datetime) -> bool:
        """Return whether a bucket starts at *moment*."""
        return self.floor(moment) == moment

    def divides(self, coarser: Grid) -> bool:
        """Return whether each bucket of *coarser* consists of whole buckets of this grid."""
        return not (coarser.interval.step % self.interval.step or (coarser.offset - self.offset) % self.interval.step)

    def __str__(self) -> str:
        """Return when buckets start: `Thursday 00:00`, `08:00`, or minutes and seconds of the hour, `15:00`."""
        start = DEFAULT_ORIGIN + self.offset
        if self.interval.step > timedelta(days=1):
            return f"{start:%A %H:%M}"
        return f"{start:%H:%M}" if self.interval.step > timedelta(hours=1) else f"{start:%M:%S}"


def grid_of(interval: AggInterval, start: datetime) -> Grid:
    """Return the grid with a bucket at *start*."""
    return Grid(interval, start - interval.floor(start))
