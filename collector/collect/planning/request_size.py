"""The size of the next request: one that is known to be accepted, or a larger one that is worth a try. Pure functions.

A larger size is tried if it may save several of the remaining requests. Each try halves the unknown range of one kind
of limit, so few tries are needed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from math import inf
from operator import mul
from typing import TYPE_CHECKING

from collector.collect.planning.packing import Shape
from collector.collect.planning.request_limits import (
    Kind,
    Size,
    has_gaps,
    rungs,
    size_of,
    smallest,
    spans_of,
    usual_size,
)
from collector.model import Batch
from collector.radar.errors import Coarsened, Unavailable, Unreachable, Untrusted
from collector.radar.request import query_string

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.collect.planning.request_limits import RequestLimits
    from collector.interval import AggInterval
    from collector.model import Slice
    from collector.radar.errors import RadarError


_WORTH = 1.0
"""The number of requests that a try must be expected to save."""
_WORTH_OF_FEW = 1.5
"""The same if few requests are left, because a failed try then costs more in proportion."""
_PRICE = 2.0
"""The requests that a failed try costs: its own, and those that the neighbouring slices then need."""
_A_LITTLE, _FEW_BUCKETS = 1.25, 4
_BETTER = 1e-6
_SAMPLE = 20
_FEW_REQUESTS = 16
"""If at most so many requests are left, every number of positions that saves one is a candidate."""
_BYTES_OF_REST = len("aggInterval=1h&format=JSON")
_DAYS = ((7, 14, 28, 30, 31, 10, 60, 91, 182, 364), (1, 2, 3, 5, 21, 35, 42, 90, 120, 180, 270))
"""Frequent limits on the span in days: the likeliest, then the likely ones. Any other whole number comes after them."""
_WEIGHTS = (3, 1)
_WEIGHT_OF_OTHERS = 2
_DOUBT = 0.4
"""The probability that a doubtful rejection of another interval has another cause than its positions.

The probability for two such rejections is its square."""
_WEIGHT_OF_ONE_CAUSE = 2
"""The weight of a kind of limit that explains all rejections. Any other kind has the weight 1."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Work:
    """The slices that are left to request.

    *runs* counts the windows without a gap by their duration. *bytes* is the mean length of one position in the URL.
    *mixed*: the series have different filter keys, so a request of several series may have empty positions.
    """

    runs: Counter[timedelta]
    bytes: float
    mixed: bool

    def size(self, shape: Shape) -> Size:
        """Return the size of the largest request of *shape*."""
        span = min(shape.span, max(self.runs, default=shape.span))
        return Size(span, max(1, min(self.slices(span), self._positions(shape))))

    def slices(self, span: timedelta) -> int:
        """Return the number of windows of *span*."""
        return sum(count * -(-run // span) for run, count in self.runs.items())

    def requests(self, shape: Shape) -> int:
        """Estimate the number of requests of *shape* that are needed."""
        slices: Counter[timedelta] = Counter()
        for run, count in self.runs.items():
            pieces = -(-run // shape.span)
            slices[run / pieces] += count * pieces
        return sum(-(-count // self._positions(shape)) for count in slices.values())

    def _positions(self, shape: Shape) -> int:
        return max(1, min(shape.positions, int((shape.length - _BYTES_OF_REST) / self.bytes)))


def work_of(slices: Sequence[Slice]) -> Work:
    """Return the work of *slices*. Each slice is one run."""
    sample = Batch(tuple(slices[:_SAMPLE]))
    runs = Counter(slice_.window.duration for slice_ in slices)
    bytes_of_slices = len(query_string(sample)) - _BYTES_OF_REST
    return Work(runs, bytes_of_slices / len(sample.slices), has_gaps(Batch(tuple(slices))))


def next_shape(limits: RequestLimits, work: Work) -> Shape:
    """Choose the shape to pack *work* for: an accepted one, or a larger one that is expected to save requests."""
    if _blames_gaps(limits, work):
        return Shape(spans_of(limits.agg_interval)[0], limits.first_positions, gaps=False, length=limits.length)
    if not limits.is_explored:
        return limits.shaped(_first_rung(limits, work))
    known = min(
        (limits.shaped(_fitted(limits, size, work)) for size in limits.accepted),
        key=lambda shape: (work.requests(shape), -shape.span),
    )
    least, best = work.requests(known), known
    few = [*_sizes_of_few(limits, work, least)]
    worth = 1.4 if few else _WORTH
    for shape in map(limits.shaped, (*few, *_sizes(limits))):
        size = work.size(shape)
        odds = _odds(limits, size)
        saved = (least - work.requests(shape)) * odds - _PRICE * (1 - odds)
        if saved >= worth and limits.admits(size):
            best, worth = replace(shape, positions=size.positions), saved + _BETTER
    return best


def _fitted(limits: RequestLimits, size: Size, work: Work) -> Size:
    """Return an accepted *size*, with a slightly longer span if whole runs fit into it.

    The newest window grows by one bucket at a time, and would otherwise be split.
    """
    longest = max(work.runs, default=size.span)
    usual = max(size.span * _A_LITTLE, _DAY, _FEW_BUCKETS * limits.agg_interval.step)
    usual = min(usual, spans_of(limits.agg_interval)[0])
    longer = replace(size, span=longest)
    return longer if size.span < longest <= usual and limits.admits(longer) else size


def _odds(limits: RequestLimits, size: Size) -> float:
    """Estimate the probability that *size* is accepted: the lowest estimate of all rejections."""
    return min(
        [
            _odds_by_other_intervals(limits, size),
            *(_odds_by_rejection(limits, rejection.size, size) for rejection in limits.rejected),
        ]
    )


def _odds_by_other_intervals(limits: RequestLimits, size: Size) -> float:
    """Estimate the probability from the other intervals: certain and doubtful rejections of positions."""
    low, elsewhere = limits.largest(Kind.POSITIONS), limits.others
    if size.positions <= low:
        return 1
    odds = _share(low, elsewhere.too_many, size.positions) if elsewhere.too_many < inf else 1
    doubtful = [positions for positions in elsewhere.doubtful if positions > low]
    if not doubtful:
        return odds
    own = [rejection for rejection in limits.rejected if Kind.POSITIONS in limits.explanations(rejection.size)]
    doubt = _DOUBT ** (len(doubtful) + len(own))
    return min(odds, doubt + (1 - doubt) * _share(low, min(doubtful), size.positions))


def _share(low: float, high: float, measure: float) -> float:
    """Return the part of the range from *low* to *high* that is above *measure*, from 0 to 1."""
    return min(max((high - measure) / (high - low), 0), 1) if high > low else 0


def _odds_by_rejection(limits: RequestLimits, rejected: Size, size: Size) -> float:
    """Estimate the probability from one rejection, as a weighted mean over the kinds that explain it.

    The closer *size* is to the rejected measure, the lower the estimate.
    """
    shares, weights = [], []
    for kind in limits.explanations(rejected):
        low, high = limits.largest(kind), rejected.of_kind(kind)
        share = _share(low, high, size.of_kind(kind))
        shares.append(_odds_of_span(low, high, size.span, share) if kind == Kind.SPAN else share)
        explains_all = all(kind in limits.explanations(rejection.size) for rejection in limits.rejected)
        weights.append(_WEIGHT_OF_ONE_CAUSE if explains_all else 1)
    return sum(map(mul, shares, weights)) / sum(weights) if shares else 1


def _odds_of_span(low: float, high: float, span: timedelta, share: float) -> float:
    """Estimate the probability that *span* is accepted, if the limit is from *low* up to *high*.

    Round limits are likelier than others.
    """
    limits = [(day * _DAY, weight) for days, weight in zip(_DAYS, _WEIGHTS, strict=True) for day in days]
    possible = [(limit, weight) for limit, weight in limits if low <= limit.total_seconds() < high]
    larger = sum(weight for limit, weight in possible if limit >= span)
    return (larger + _WEIGHT_OF_OTHERS * share) / (sum(weight for _, weight in possible) + _WEIGHT_OF_OTHERS)


def _blames_gaps(limits: RequestLimits, work: Work) -> bool:
    """Return whether to try without empty positions, because each of several rejected requests had some."""
    suspected = limits.gaps and not limits.gaps_accepted and work.mixed
    return suspected and len(limits.rejected) > 1 and all(rejection.gaps for rejection in limits.rejected)


def _first_rung(limits: RequestLimits, work: Work) -> Size:
    """Return the first size that no rejection of this interval or of another one rules out.

    Its positions are the most that may be packed, because only this number was checked.
    """
    elsewhere, shortest = limits.others, spans_of(limits.agg_interval)[-1]
    for rung in rungs(limits.agg_interval):
        size = work.size(limits.shaped(rung))
        if 0 < elsewhere.positions < size.positions and (elsewhere.doubtful or elsewhere.too_many < inf):
            size = replace(size, positions=int(elsewhere.positions))
        is_near = any(  # the cause was the span or the product, because as many positions were accepted elsewhere
            shortest < rejection.size.span <= size.span
            and size.positions < rejection.size.positions <= elsewhere.positions
            for rejection in limits.rejected
        )
        if limits.admits(size) and not is_near and not any(map(size.covers, elsewhere.too_large)):
            return replace(rung, positions=size.positions)
    return smallest(limits.agg_interval)


def _sizes(limits: RequestLimits) -> Iterator[Size]:
    """Yield the candidates: accepted sizes with more of one kind, and other forms of a larger product."""
    interval = limits.agg_interval
    spans = spans_of(interval)
    yield Size(spans[0], limits.first_positions)
    yield from rungs(interval)
    for size in limits.accepted:
        most = _ceiling(limits, size, Kind.POSITIONS)
        yield Size(size.span, limits.first_positions if most == inf else round_number(size.positions, int(most)))
        if doubtful := [positions for positions in limits.others.doubtful if positions > size.positions]:
            yield Size(size.span, round_number(size.positions, min(doubtful)))
        longest = _ceiling(limits, size, Kind.SPAN)
        most_span = min(longest, spans[0].total_seconds() + interval.seconds)
        end = spans[0] if longest == inf else round_span(size.span, timedelta(seconds=most_span), interval)
        yield Size(end, size.positions)
    product = timedelta(seconds=_middle_product(limits))
    for span in spans:
        if positions := product // span:
            yield Size(span, positions)


def _sizes_of_few(limits: RequestLimits, work: Work, least: int) -> Iterator[Size]:
    """Yield sizes with each number of positions that saves another request.

    Yields nothing if *least* requests are many, or if nothing was rejected.
    """
    if least > _FEW_REQUESTS or not limits.rejected:
        return
    for size in limits.accepted:
        slices = work.slices(size.span)
        yield from (Size(size.span, -(-slices // count)) for count in range(1, least))


def _ceiling(limits: RequestLimits, size: Size, kind: Kind) -> float:
    """Return the smallest measure of *kind* that is too large together with the other measure of *size*."""
    other = Kind.SPAN if kind == Kind.POSITIONS else Kind.POSITIONS
    bounds = [
        rejection.size.of_kind(kind)
        for rejection in limits.rejected
        if rejection.size.of_kind(other) <= size.of_kind(other)
    ]
    by_product = limits.bound(Kind.PRODUCT) / size.of_kind(other)
    return min([*bounds, limits.bound(kind), by_product])


def _middle_product(limits: RequestLimits) -> float:
    """Return the middle between the largest accepted product and the smallest rejected one.

    A rejection counts if the product can explain it.
    """
    low = limits.largest(Kind.PRODUCT)
    doubtful = [rejection.size for rejection in limits.rejected if Kind.PRODUCT in limits.explanations(rejection.size)]
    high = min((size.of_kind(Kind.PRODUCT) for size in doubtful), default=low)
    return (low + high) / 2


def round_number(low: int, high: int) -> int:
    """Return the roundest number about midway between *low* and *high*. Returns *low* if there is none between."""
    if high - low < 2:  # noqa: PLR2004 - neighbours
        return low
    quarter = (high - low) / 4
    inside = [n for n in range(low + 1, high) if low + quarter <= n <= high - quarter] or [(low + high) // 2]
    return min(inside, key=lambda n: (-_roundness(n), abs(2 * n - low - high)))


def _roundness(number: int) -> int:
    if str(number).rstrip("0") in ("1", "2", "5"):
        return 3
    return 2 if number % 10 == 0 else 1 if number % 5 == 0 else 0


def round_span(low: timedelta, high: timedelta, agg_interval: AggInterval) -> timedelta:
    """Return the likeliest span about midway between *low* and *high*, in whole buckets.

    Returns *low* if there is none between.
    """
    step = agg_interval.step
    quarter = (high - low) / 4
    for days in (*_DAYS, range(1, 365)):
        spans = [day * _DAY for day in days if not day * _DAY % step]
        inside = [span for span in spans if low + quarter <= span <= high - quarter]
        if inside:
            return min(inside, key=lambda span: abs(2 * span - low - high))
    middle = (low + high) / 2 // step * step
    return middle if low < middle < high else low


class Verdict(Enum):
    """The next step for the slices of a failed request."""

    SMALLER = auto()
    WAIT = auto()
    BISECT = auto()
    QUARANTINE = auto()


def may_be_too_large(limits: RequestLimits, batch: Batch, *, teaches_nothing: bool = False) -> bool:
    """Return whether the size can be the cause if *batch* fails.

    It can if a smaller request is possible, and if no request as large was accepted. *teaches_nothing*: the batch is
    sent again, or contains a series that is requested alone because its content failed before.
    """
    size = size_of(batch)
    return not (teaches_nothing or smallest(batch.agg_interval).covers(size) or limits.proves(batch))


def judge(limits: RequestLimits, batch: Batch, error: RadarError, *, teaches_nothing: bool, is_down: bool) -> Verdict:
    """Decide the next step for *batch*, which failed with *error*.

    *is_down*: Radar counts as down, so nothing is learned about sizes.
    """
    unanswered = isinstance(error, Unavailable)
    if _is_of_content(batch, error):
        return Verdict.QUARANTINE
    learns = not is_down and not isinstance(error, Unreachable)
    if learns and may_be_too_large(limits, batch, teaches_nothing=teaches_nothing):
        return Verdict.SMALLER
    if unanswered:
        return Verdict.WAIT
    return Verdict.BISECT if len(batch.slices) > 1 else Verdict.QUARANTINE


def _is_of_content(batch: Batch, error: RadarError) -> bool:
    """Return whether the answer is unreadable, and the request no larger than Radar usually accepts."""
    unreadable = isinstance(error, Untrusted) and not isinstance(error, Coarsened)
    return unreadable and usual_size(batch.agg_interval).covers(size_of(batch))
