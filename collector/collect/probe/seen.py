"""What the probe has found out so far; the plan fills it in, the evaluation reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect import plan
from collector.collect.probe import shape
from collector.collect.probe.searches import AgeSearch, SizeSearch
from collector.model import AggInterval, from_epoch
from collector.radar.errors import Coarsened

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from collector.collect.probe.exchange import Exchange
    from collector.interval import Grid

MOST_SERIES = 100
SIX_HOURS = timedelta(hours=6)
"""A window that is shorter than what is asked at first, and whole in every interval below a day."""
_UNSETTLED = AgeSearch(0)


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
    ages: AgeSearch = _UNSETTLED
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
        day = plan.midnight(self.now) - timedelta(days=age)
        return self.ages_grid.floor(day) if self.ages_grid else day

    @property
    def oldest(self) -> datetime | None:
        """The oldest bucket of all answers; of a week only if nothing finer came, because it may begin too early."""
        both = [*self.by_interval.values(), *self.longest.values()]
        finer = [exchange for exchange in both if exchange.request.batch.agg_interval.step <= plan.DAY]
        found = [min(points) for exchange in finer if (points := exchange.points)]
        found = found or [min(points) for exchange in both if (points := exchange.points)]
        return from_epoch(min(found)) if found else None


def first_span(agg_interval: AggInterval) -> timedelta:
    """How much is asked of an interval at first: what nobody would find too much."""
    if agg_interval.step < timedelta(hours=1):
        return plan.DAY
    return timedelta(days=7) if agg_interval.step < plan.DAY else timedelta(days=28)


def start_of_search(agg_interval: AggInterval, accepted: timedelta) -> Span:
    """Search the longest span, knowing that *accepted* was."""
    unit = max(plan.DAY, agg_interval.step) if accepted >= plan.DAY else timedelta(hours=1)
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
    doubt = 2 * step if oldest <= window.start else max(2 * step, plan.DAY)  # the oldest may be known to the day only
    if begins > could_begin + doubt:
        expected = (window.end - could_begin) // step
        return f"only the newest {len(timestamps)} of {expected} buckets came"
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
