"""The observations of a probe so far, its searches for the largest size and the oldest day, and its findings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import isqrt
from typing import TYPE_CHECKING, Any

from collector.collect.planning import packing
from collector.collect.probe import shape
from collector.interval import AggInterval
from collector.radar.errors import Coarsened
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from collector.collect.probe.exchange import Exchange
    from collector.interval import Grid

MOST_SERIES = 100
_SPARSE = 6
"""An answer with at most one of so many expected buckets is coarser than requested, or truncated."""
SIX_HOURS = timedelta(hours=6)
"""A window that is shorter than the first requests, and a multiple of every interval below a day."""
OLDEST_AGE = 5_000
"""In days. Certificate transparency began in 2013."""


@dataclass(frozen=True, slots=True)
class SizeSearch:
    """The search for the largest accepted size, which ends at *top*.

    *accepted* is the largest accepted size so far (0: none), *refused* the smallest rejected one (None: none).
    """

    top: int
    accepted: int = 0
    refused: int | None = None

    @property
    def next(self) -> int | None:
        """The size to try next. None if the limit is known, or if *top* was accepted."""
        if self.refused is None:
            return self.top if self.accepted < self.top else None
        if self.refused - self.accepted <= 1:
            return None
        # the geometric middle, because limits of 3 and of 50 are equally likely
        middle = isqrt(max(self.accepted, 1) * self.refused)
        return min(max(middle, self.accepted + 1), self.refused - 1)

    def after(self, size: int, *, accepted: bool) -> SizeSearch:
        """Return the search after a try of *size*."""
        if accepted:
            refused = self.refused if self.refused is None or self.refused > size else None
            return replace(self, accepted=max(self.accepted, size), refused=refused)
        if size <= self.accepted:
            return self
        return replace(self, refused=size if self.refused is None else min(self.refused, size))

    @property
    def is_exact(self) -> bool:
        """Whether no size is left to try."""
        return self.next is None


@dataclass(frozen=True, slots=True)
class AgeSearch:
    """The search for the oldest day with data, by age in days.

    The day *with_data* has data. The day *without* (None: unknown) has none: *refused* if it was rejected, otherwise it
    was empty. *suspects* are the ages of one rejected request, ascending. At least one of them was the cause.
    """

    with_data: int
    without: int | None = None
    refused: bool = False
    suspects: tuple[int, ...] = ()

    @property
    def meets_refusals(self) -> bool:
        """Whether a day was rejected for its age, as far as is known."""
        return self.refused or bool(self.suspects)

    def next(self, most: int) -> tuple[int, ...]:
        """Choose the ages for the next request, at most *most*, ascending. Returns none if the day is known."""
        if self.suspects:
            return self.suspects[: (len(self.suspects) + 1) // 2][:most]
        if self.refused:
            most = 1  # a rejection only shows that the oldest day of the request is too old
        end = OLDEST_AGE if self.without is None else self.without - 1
        return _spread(self.with_data, end, most) if end > self.with_data else ()

    def answered(self, ages: Sequence[int], having: Collection[int]) -> AgeSearch:
        """Return the search after an answer to *ages*, of which those in *having* have data."""
        with_data = max([self.with_data, *having])
        empty = [age for age in ages if age > with_data]
        suspects = tuple(age for age in self.suspects if age not in ages and age > with_data)
        if len(suspects) == 1:  # the other suspects were answered
            return _narrowed(replace(self, with_data=with_data), suspects[0], refused=True)
        without = None if self.without is not None and self.without <= with_data else self.without
        search = replace(self, with_data=with_data, without=without, suspects=suspects)
        return _narrowed(search, min(empty), refused=False) if empty else search

    def rejected(self, ages: Sequence[int]) -> AgeSearch:
        """Return the search after a rejected request for *ages*."""
        if len(ages) > 1:
            return replace(self, suspects=tuple(ages))
        return _narrowed(self, ages[0], refused=True)


def _narrowed(search: AgeSearch, age: int, *, refused: bool) -> AgeSearch:
    if search.without is not None and search.without <= age:
        return replace(search, suspects=())
    return replace(search, without=age, refused=refused, suspects=())


def _spread(low: int, high: int, most: int) -> tuple[int, ...]:
    """Return at most *most* whole numbers above *low* up to *high*, in equal ratios.

    If *most* is 1, returns the geometric middle.
    """
    if high - low <= most:
        return tuple(range(low + 1, high + 1))
    if most == 1:
        return (min(max(isqrt(max(low, 1) * high), low + 1), high),)
    start = max(low, 1)
    ages = {round(start * (high / start) ** (step / most)) for step in range(1, most + 1)}
    return tuple(sorted(age for age in ages if low < age <= high))


@dataclass(frozen=True, slots=True)
class Span:
    """The search for the longest window of one interval, in units of *unit*.

    *refusal* is the reason of the last rejection.
    """

    unit: timedelta
    search: SizeSearch
    refusal: str = ""

    @property
    def accepted(self) -> timedelta:
        """The longest accepted span. Zero if none was accepted."""
        return self.unit * self.search.accepted

    @property
    def unit_words(self) -> str:
        """The unit for people, in the plural."""
        return {timedelta(hours=1): "hours", timedelta(weeks=1): "weeks"}.get(self.unit, "days")

    def words(self, size: int) -> str:
        """Write *size* units."""
        return f"{size} {self.unit_words if size != 1 else self.unit_words[:-1]}"


@dataclass
class Seen:
    """The exchanges by their purpose, and the state of each search."""

    first: Exchange | None = None
    by_interval: dict[AggInterval, Exchange] = field(default_factory=dict)
    longest: dict[AggInterval, Exchange] = field(default_factory=dict)
    empties: Exchange | None = None
    comma_twice: Exchange | None = None
    comma_once: Exchange | None = None
    positions: SizeSearch = field(default_factory=lambda: SizeSearch(MOST_SERIES))
    positions_refusal: str = ""
    shorter_and_more: Exchange | None = None
    spans: dict[AggInterval, Span] = field(default_factory=dict)
    ages: AgeSearch = AgeSearch(0)
    ages_refusal: str = ""
    ages_grid: Grid | None = None
    long_url: Exchange | None = None
    unaligned: dict[AggInterval, Exchange] = field(default_factory=dict)
    siblings: list[Exchange] = field(default_factory=list)
    now: datetime | None = None
    ended: str | None = None

    @property
    def base(self) -> AggInterval | None:
        """The finest interval with data. None if no interval has any."""
        return next((interval for interval in AggInterval if interval in self.spans), None)

    def start_of(self, age: int) -> datetime:
        """Return the start of the bucket that contains the day of *age*, in UTC."""
        assert self.now is not None, "the probe has not ended"
        day = packing.midnight(self.now) - timedelta(days=age)
        return self.ages_grid.floor(day) if self.ages_grid else day

    @property
    def oldest(self) -> datetime | None:
        """The start of the oldest bucket of all answers.

        Weeks count only without a finer answer, because a week may start before the oldest day.
        """
        both = [*self.by_interval.values(), *self.longest.values()]
        finer = [exchange for exchange in both if exchange.request.batch.agg_interval.step <= packing.DAY]
        starts = [min(points) for exchange in finer if (points := exchange.points)]
        starts = starts or [min(points) for exchange in both if (points := exchange.points)]
        return from_epoch(min(starts)) if starts else None


def first_span(agg_interval: AggInterval) -> timedelta:
    """Return the span of the first request of an interval. It is too small for any plausible limit."""
    if agg_interval.step < timedelta(hours=1):
        return packing.DAY
    return timedelta(days=7) if agg_interval.step < packing.DAY else timedelta(days=28)


def start_of_search(agg_interval: AggInterval, accepted: timedelta) -> Span:
    """Return a new search for the longest span, of which *accepted* is known to be accepted."""
    unit = max(packing.DAY, agg_interval.step) if accepted >= packing.DAY else timedelta(hours=1)
    top = timedelta(days=agg_interval.properties.spans[0])
    return Span(unit, SizeSearch(top // unit, accepted // unit))


def shortfall(exchange: Exchange, oldest: datetime | None) -> str | None:
    """Return what an answer lacks of its request, or None if it is complete. It need not pass the reader.

    *oldest* is the oldest bucket of all answers. An answer that begins later than it could is truncated.
    """
    batch = exchange.request.batch
    if not exchange.is_data or isinstance(exchange.error, Coarsened):
        return str(exchange.error) if exchange.error else "no result"
    series = shape.series_of(exchange.document)
    if len(series) < len(batch.slices):
        return f"{len(series)} of {len(batch.slices)} series came"
    timestamps = exchange.points
    window, step = batch.slices[0].window, batch.agg_interval.step
    if not timestamps or oldest is None:
        return None
    begins, could_begin = from_epoch(min(timestamps)), max(window.start, oldest)
    expected = (window.end - could_begin) // step
    doubt = 2 * step if oldest <= window.start else max(2 * step, packing.DAY)  # *oldest* may be precise to a day only
    if begins > could_begin + doubt:
        return f"only the newest {len(timestamps)} of {expected} buckets came"
    if len(timestamps) * _SPARSE <= expected:  # a single bucket does not show its own width
        return f"only {len(timestamps)} of {expected} buckets came"
    return None


def unevenness(exchange: Exchange) -> str | None:
    """Return how the lengths of the series differ in an answer to windows of equal length.

    Returns None if all are about as long.
    """
    lengths = [len(exchange.points_of(position)) for position in range(len(exchange.request.batch.slices))]
    if max(lengths, default=0) > 2 * min(lengths, default=0):
        return f"a series of {min(lengths)} values came beside one of {max(lengths)}"
    return None


def ages_having_data(exchange: Exchange, ages: tuple[int, ...], is_empty: Callable[[float], bool]) -> set[int]:
    """Return those of *ages* whose window has a value that is not empty. Each position is one age."""
    return {
        age
        for position, age in enumerate(ages)
        if any(not is_empty(value) for value in exchange.points_of(position).values())
    }


NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to *question*. *name* and *value* are for programs, *meaning* is for the user.

    *settled* is False if the collector needs to know more, and None if it does not need the answer.
    """

    section: str
    name: str
    question: str
    answer: str
    meaning: str = ""
    settled: bool | None = None
    value: Any = None

    @property
    def is_unasked(self) -> bool:
        """Whether no request was sent about the question."""
        return self.answer == NOT_ASKED
