"""The intervals of Radar: all properties of each in one table, so that a new one is one entry.

A bucket is named by its start. The buckets of an interval lie on a grid: the usual one is counted from a Monday,
midnight UTC, and Radar may be found to use another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

DEFAULT_ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)
"""An edge of the usual grid of every interval: a Monday."""


@dataclass(frozen=True, slots=True)
class IntervalProperties:
    """What is known of an interval: *step* is its width, *unit* and *adverb* name it for people (`hour`, `hourly`).

    *spans* are the lengths of window to try, in days, the longest first, each a whole number of buckets.
    A chart shows *chart* if nothing else is asked for. The simulator refuses windows longer than *simulated_span*.
    """

    step: timedelta
    unit: str
    adverb: str
    spans: tuple[int, ...]
    chart: timedelta
    simulated_span: timedelta


# Known: a month at 1h is accepted, 72 days are not; relative ranges end at 364 days. The spans are round numbers that
# such limits tend to be.
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
        """Make a member of its word and its properties; TypeError without the latter."""
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


@dataclass(frozen=True, slots=True)
class Grid:
    """The starts of the buckets of *interval*, each *offset* (less than a bucket) behind one of the usual grid."""

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
        """Start of the bucket that holds *moment*."""
        return self.interval.floor(moment - self.offset) + self.offset

    def holds(self, moment: datetime) -> bool:
        """Tell whether a bucket starts at *moment*."""
        return self.floor(moment) == moment

    def divides(self, coarser: Grid) -> bool:
        """Tell whether each bucket of *coarser* is made of whole buckets of this grid."""
        return not (coarser.interval.step % self.interval.step or (coarser.offset - self.offset) % self.interval.step)

    def __str__(self) -> str:
        """Say when buckets start: `Thursday 00:00`, `08:00`, or minutes and seconds of the hour, `15:00`."""
        start = DEFAULT_ORIGIN + self.offset
        if self.interval.step > timedelta(days=1):
            return f"{start:%A %H:%M}"
        return f"{start:%H:%M}" if self.interval.step > timedelta(hours=1) else f"{start:%M:%S}"


def grid_of(interval: AggInterval, start: datetime) -> Grid:
    """Give the grid that has a bucket at *start*."""
    return Grid(interval, start - interval.floor(start))
