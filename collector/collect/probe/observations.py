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
"""An answer that has only one of so many buckets was made coarser, or cut."""
SIX_HOURS = timedelta(hours=6)
"""A window that is shorter than what is asked at first, and whole in every interval below a day."""
OLDEST_AGE = 5_000
"""Days: certificate transparency began in 2013."""


@dataclass(frozen=True, slots=True)
class SizeSearch:
    """The largest accepted size, exactly: *accepted* was (0: none), *refused* was not (None: none); *top* is enough."""

    top: int
    accepted: int = 0
    refused: int | None = None

    @property
    def next(self) -> int | None:
        """The size to try next; None if the limit is known, or if there is none up to the top."""
        if self.refused is None:
            return self.top if self.accepted < self.top else None
        if self.refused - self.accepted <= 1:
            return None
        # the geometric middle, because limits of 3 and of 50 are equally likely
        middle = isqrt(max(self.accepted, 1) * self.refused)
        return min(max(middle, self.accepted + 1), self.refused - 1)

    def after(self, size: int, *, accepted: bool) -> SizeSearch:
        """Learn what became of *size*."""
        if accepted:
            refused = self.refused if self.refused is None or self.refused > size else None
            return replace(self, accepted=max(self.accepted, size), refused=refused)
        if size <= self.accepted:
            return self
        return replace(self, refused=size if self.refused is None else min(self.refused, size))

    @property
    def is_exact(self) -> bool:
        """Whether nothing is left to try."""
        return self.next is None


@dataclass(frozen=True, slots=True)
class AgeSearch:
    """The oldest day with data, by its age in days: *with_data* has some, *without* (None: unknown) has none.

    *suspects* are ages of one refused request, ascending, at least one of which is refused; *refused* says that
    *without* was refused, not empty.
    """

    with_data: int
    without: int | None = None
    refused: bool = False
    suspects: tuple[int, ...] = ()

    @property
    def meets_refusals(self) -> bool:
        """Whether days are refused for their age, as far as is known."""
        return self.refused or bool(self.suspects)

    def next(self, most: int) -> tuple[int, ...]:
        """Choose the ages to ask in one request, ascending, at most *most*; none if the day is known."""
        if self.suspects:
            return self.suspects[: (len(self.suspects) + 1) // 2][:most]
        if self.refused:
            most = 1  # a request says no more than whether its oldest day is refused
        end = OLDEST_AGE if self.without is None else self.without - 1
        return _spread(self.with_data, end, most) if end > self.with_data else ()

    def answered(self, asked: Sequence[int], having: Collection[int]) -> AgeSearch:
        """Learn that of the days *asked* those in *having* hold data."""
        with_data = max([self.with_data, *having])
        empty = [age for age in asked if age > with_data]
        suspects = tuple(age for age in self.suspects if age not in asked and age > with_data)
        if len(suspects) == 1:  # the others were answered, so it was the one that was refused
            return _narrowed(replace(self, with_data=with_data), suspects[0], refused=True)
        without = None if self.without is not None and self.without <= with_data else self.without
        found = replace(self, with_data=with_data, without=without, suspects=suspects)
        return _narrowed(found, min(empty), refused=False) if empty else found

    def rejected(self, asked: Sequence[int]) -> AgeSearch:
        """Learn that a request for *asked* was refused."""
        if len(asked) > 1:
            return replace(self, suspects=tuple(asked))
        return _narrowed(self, asked[0], refused=True)


def _narrowed(search: AgeSearch, age: int, *, refused: bool) -> AgeSearch:
    if search.without is not None and search.without <= age:
        return replace(search, suspects=())
    return replace(search, without=age, refused=refused, suspects=())


def _spread(low: int, high: int, most: int) -> tuple[int, ...]:
    """At most *most* whole numbers above *low* up to *high*, in equal ratios; of one alone the middle is taken."""
    if high - low <= most:
        return tuple(range(low + 1, high + 1))
    if most == 1:
        return (min(max(isqrt(max(low, 1) * high), low + 1), high),)
    start = max(low, 1)
    ages = {round(start * (high / start) ** (step / most)) for step in range(1, most + 1)}
    return tuple(sorted(age for age in ages if low < age <= high))


@dataclass(frozen=True, slots=True)
class Span:
    """How long a window of one interval may be, searched in units of *unit*."""

    unit: timedelta
    search: SizeSearch
    refusal: str = ""

    @property
    def accepted(self) -> timedelta:
        """The longest accepted span; zero if none was."""
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
    """The exchanges by what they were for, and the state of each search."""

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
        """The finest interval that brought data; None if none did."""
        return next((interval for interval in AggInterval if interval in self.spans), None)

    def start_of(self, age: int) -> datetime:
        """When the bucket of a day of *age* begins, in UTC."""
        assert self.now is not None, "the probe has not ended"
        day = packing.midnight(self.now) - timedelta(days=age)
        return self.ages_grid.floor(day) if self.ages_grid else day

    @property
    def oldest(self) -> datetime | None:
        """The oldest bucket of all answers; of a week only if nothing finer came, because it may begin too early."""
        both = [*self.by_interval.values(), *self.longest.values()]
        finer = [exchange for exchange in both if exchange.request.batch.agg_interval.step <= packing.DAY]
        found = [min(points) for exchange in finer if (points := exchange.points)]
        found = found or [min(points) for exchange in both if (points := exchange.points)]
        return from_epoch(min(found)) if found else None


def first_span(agg_interval: AggInterval) -> timedelta:
    """How much is asked of an interval at first: what nobody would find too much."""
    if agg_interval.step < timedelta(hours=1):
        return packing.DAY
    return timedelta(days=7) if agg_interval.step < packing.DAY else timedelta(days=28)


def start_of_search(agg_interval: AggInterval, accepted: timedelta) -> Span:
    """Search the longest span, knowing that *accepted* was."""
    unit = max(packing.DAY, agg_interval.step) if accepted >= packing.DAY else timedelta(hours=1)
    top = timedelta(days=agg_interval.properties.spans[0])
    return Span(unit, SizeSearch(top // unit, accepted // unit))


def shortfall(exchange: Exchange, oldest: datetime | None) -> str | None:
    """Say in what an answer stays behind its question; None if it is whole, whether or not the reader takes it.

    *oldest* is the oldest bucket that any answer had: one that begins later than it could have was cut short.
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
    doubt = (
        2 * step if oldest <= window.start else max(2 * step, packing.DAY)
    )  # the oldest may be known to the day only
    if begins > could_begin + doubt:
        return f"only the newest {len(timestamps)} of {expected} buckets came"
    if len(timestamps) * _SPARSE <= expected:  # a single bucket does not tell that it is wider than asked
        return f"only {len(timestamps)} of {expected} buckets came"
    return None


def unevenness(exchange: Exchange) -> str | None:
    """Say how a series of an answer to windows of equal length was cut; None if all are about as long."""
    lengths = [len(exchange.points_of(position)) for position in range(len(exchange.request.batch.slices))]
    if max(lengths, default=0) > 2 * min(lengths, default=0):
        return f"a series of {min(lengths)} values came beside one of {max(lengths)}"
    return None


def ages_having_data(exchange: Exchange, ages: tuple[int, ...], is_empty: Callable[[float], bool]) -> set[int]:
    """Of the *ages*, one a position, those whose window holds a value that is not empty."""
    return {
        age
        for position, age in enumerate(ages)
        if any(not is_empty(value) for value in exchange.points_of(position).values())
    }


NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about *question*; *name* and *value* are for programs, *meaning* for the user.

    *settled* is False where the collector needs to know more, None where it needs nothing.
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
        """Whether it is open only because nothing was asked about it."""
        return self.answer == NOT_ASKED
