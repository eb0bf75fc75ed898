"""The sizes of requests that Radar has accepted and rejected, one record per dataset and interval. Pure functions.

Radar publishes no limits. A request has a span (of its windows), positions (its slices), a product of both (the values
of its answer) and a length (of its URL). Each of these four kinds may be limited. Radar may reject an oversized request
in any way: 400, 422, 414, an error page, no answer in time, a coarser interval, a part of the values. So only sizes
decide here. The way of the rejection is recorded as the *cause*.

A rejection is explained by each kind in which it exceeds everything that was accepted. If only one kind is left, its
bound is certain. `request_size` chooses the next size, and decides whether the size or the content was
rejected.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from collector.collect.planning.packing import LONGEST_QUERY, Shape
from collector.datasets import dataset_named
from collector.model import DATASET, RequestKind
from collector.radar.request import query_string
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from collector.interval import AggInterval
    from collector.model import Batch

FIRST_POSITIONS = 100
MOST_POSITIONS = 1000
FEW_POSITIONS = 20
"""The positions to try after the first request was rejected. They are enough to be useful."""
_SMALLEST_BUCKETS = 4
_SIZES_KEPT = 8
_CLIMB_AFTER = timedelta(hours=12)
_LONGEST_CLIMB = timedelta(days=7)
_CLIMB_GROWTH = 4
_SHORTEST_URL = 500
_COMPARABLE = 4


class Kind(StrEnum):
    """The measure that a limit applies to."""

    SPAN = "span"
    POSITIONS = "positions"
    PRODUCT = "product"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Size of a request: *span* of a window, number of *positions*, *length* of the query string in bytes."""

    span: timedelta
    positions: int
    length: int = 0

    @property
    def product(self) -> timedelta:
        """Span times positions, which is the number of values of a complete answer, as a duration."""
        return self.span * self.positions

    def covers(self, other: Size) -> bool:
        """Return whether *other* is no larger in span and positions."""
        return self.span >= other.span and self.positions >= other.positions

    def of_kind(self, kind: Kind) -> float:
        """Return the measure that a limit of *kind* limits."""
        match kind:
            case Kind.SPAN:
                return self.span.total_seconds()
            case Kind.POSITIONS:
                return self.positions
            case Kind.PRODUCT:
                return self.product.total_seconds()
            case Kind.LENGTH:
                return self.length


@dataclass(frozen=True, slots=True)
class Rejection:
    """A request without a complete answer. *cause* is the outcome on record. *gaps*: it had empty positions."""

    size: Size
    cause: str
    gaps: bool = False


@dataclass(frozen=True, slots=True)
class OtherIntervals:
    """A summary of the limits of the other intervals. A limit on positions applies to all intervals.

    *positions* were accepted. *too_many* are certainly too many. Each of *doubtful* was rejected, perhaps for another
    reason. *too_large* are sizes that were rejected at a coarser interval, so with fewer values.
    """

    positions: float = 0
    too_many: float = inf
    doubtful: tuple[int, ...] = ()
    too_large: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The known limits for one interval of one dataset.

    *accepted* are the largest sizes that were answered, *rejected* the smallest that were not. *longest* is the longest
    query string that was answered, *length* the longest to send. *gaps*: empty positions may be sent; *gaps_accepted*:
    they were answered once. From *again_at* on, a rejected size is tried again; *climbs* counts how often in a row that
    was rejected. *others* is not part of the record.
    """

    agg_interval: AggInterval
    accepted: tuple[Size, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    length: int = LONGEST_QUERY
    longest: int = 0
    gaps: bool = True
    gaps_accepted: bool = False
    climbs: int = 0
    again_at: datetime | None = None
    others: OtherIntervals = OtherIntervals()
    dataset: str = DATASET
    dimension: str = ""

    @property
    def kind(self) -> RequestKind:
        """The kind of requests that the limits apply to."""
        return RequestKind(self.dataset, self.agg_interval, self.dimension)

    @property
    def is_limited(self) -> bool:
        """Whether a size, a length or an empty position was rejected and not accepted since."""
        return bool(self.rejected) or not self.gaps or self.length < LONGEST_QUERY

    @property
    def is_explored(self) -> bool:
        """Whether a size above the smallest was accepted. The smallest only shows that Radar answers."""
        least = smallest(self.agg_interval)
        return not all(least.covers(size) for size in self.accepted)

    @property
    def shape(self) -> Shape:
        """The shape to plan for: the largest accepted product, with the longest span that may be accepted.

        Planned windows must not be too short, because `BatchRun` splits long windows, but does not join short ones.
        """
        if not self.is_explored:
            return self.shaped(next(filter(self.admits, rungs(self.agg_interval)), smallest(self.agg_interval)))
        if not self.rejected:
            return self.shaped(Size(spans_of(self.agg_interval)[0], self.first_positions))
        best = max(self.accepted, key=lambda size: size.product)
        longer = (Size(span, best.positions) for span in spans_of(self.agg_interval) if span > best.span)
        return self.shaped(next(filter(self.admits, longer), best))

    @property
    def accepted_shape(self) -> Shape:
        """The shape of the longest accepted span, for series that are requested alone and teach no limit."""
        return self.shaped(max(self.accepted, key=lambda size: size.span)) if self.accepted else self.shape

    @property
    def first_positions(self) -> int:
        """The positions to try if no rejection contradicts them."""
        return MOST_POSITIONS if self.largest(Kind.POSITIONS) >= FIRST_POSITIONS else FIRST_POSITIONS

    def shaped(self, size: Size) -> Shape:
        """Return the shape of *size*, with the known limits on gaps and URLs."""
        return Shape(size.span, size.positions, self.gaps, self.length)

    def largest(self, kind: Kind) -> float:
        """Return the largest accepted measure of *kind*; for positions, of all intervals."""
        accepted_elsewhere = self.others.positions if kind == Kind.POSITIONS else 0
        return max([accepted_elsewhere, *(size.of_kind(kind) for size in self.accepted)])

    def explanations(self, size: Size) -> list[Kind]:
        """Return the kinds of limit that can explain a rejection of *size*."""
        return [kind for kind in (Kind.SPAN, Kind.POSITIONS, Kind.PRODUCT) if size.of_kind(kind) > self.largest(kind)]

    def bound(self, kind: Kind) -> float:
        """Return the smallest measure that is certainly too large, because no other kind explains its rejection."""
        certain = [rejection.size for rejection in self.rejected if self.explanations(rejection.size) == [kind]]
        rejected_elsewhere = self.others.too_many if kind == Kind.POSITIONS else inf
        return min([rejected_elsewhere, *(size.of_kind(kind) for size in certain)])

    def admits(self, size: Size) -> bool:
        """Return whether no known rejection rules out *size*."""
        if any(size.covers(rejection.size) for rejection in self.rejected):
            return False
        return all(size.of_kind(kind) < self.bound(kind) for kind in (Kind.SPAN, Kind.POSITIONS, Kind.PRODUCT))

    def proves(self, batch: Batch) -> bool:
        """Return whether a request at least as large as *batch* was accepted, with a URL not much shorter."""
        size = size_of(batch)
        return self.covers(size) and size.length <= 2 * self.longest

    def covers(self, size: Size) -> bool:
        """Return whether an accepted size is at least as large in span and positions."""
        return any(accepted_size.covers(size) for accepted_size in self.accepted)

    def is_due(self, now: datetime) -> bool:
        """Return whether a rejected size is to be tried again."""
        return self.again_at is not None and now >= self.again_at


def spans_of(agg_interval: AggInterval) -> list[timedelta]:
    """Return the spans to try, the longest first."""
    return [timedelta(days=days) for days in agg_interval.properties.spans]


def rungs(agg_interval: AggInterval) -> list[Size]:
    """Return the sizes to try, in this order, until a first one is accepted. Spans shrink in large steps."""
    longest, *_, shortest = spans_of(agg_interval)
    middle = min(spans_of(agg_interval), key=lambda span: abs(span / shortest - sqrt(longest / shortest)))
    sizes = [Size(longest, FIRST_POSITIONS), Size(longest, FEW_POSITIONS)]
    for span in (middle, shortest):
        sizes += [Size(span, FIRST_POSITIONS), Size(span, FEW_POSITIONS), Size(span, 1)]
    return list(dict.fromkeys([*sizes, smallest(agg_interval)]))


def smallest(agg_interval: AggInterval) -> Size:
    """Return the smallest useful request. If it fails, the size is not the cause."""
    return Size(min(spans_of(agg_interval)[-1], _SMALLEST_BUCKETS * agg_interval.step), 1)


def usual_size(agg_interval: AggInterval) -> Size:
    """Return a size that other Radar datasets accept for one series: a day at 15m, a month at 1h, otherwise a year.

    Cloudflare publishes no limits. For these spans it chooses the interval itself.
    """
    days = 1 if agg_interval.step < timedelta(hours=1) else 31 if agg_interval.step < timedelta(days=1) else 364
    return Size(timedelta(days=days), 1)


def initial_limits(agg_interval: AggInterval, dataset: str = DATASET, dimension: str = "") -> RequestLimits:
    """Return the limits before the first request, which contain nothing."""
    return RequestLimits(agg_interval, dataset=dataset, dimension=dimension)


def measured(
    agg_interval: AggInterval, span: timedelta, positions: int, *, gaps: bool = True, now: datetime | None = None
) -> RequestLimits:
    """Return limits from a measurement: *span* and *positions* were accepted. With *now*, larger ones were rejected."""
    size = Size(span, positions, LONGEST_QUERY)
    known = RequestLimits(agg_interval, (size,), longest=LONGEST_QUERY, gaps=gaps)
    if now is None:
        return known
    more = (Size(span + agg_interval.step, 1), Size(agg_interval.step, positions + 1))
    return replace(known, rejected=tuple(Rejection(larger, "measured") for larger in more), again_at=now + _CLIMB_AFTER)


def size_of(batch: Batch) -> Size:
    """Measure a request."""
    return Size(batch.duration, len(batch.slices), len(query_string(batch)))


def has_gaps(batch: Batch) -> bool:
    """Return whether a request has empty positions: a filter that one slice lacks and a later one has."""
    series = [slice_.series for slice_ in batch.slices]
    for name in {name for question in series for name in question.filters}:
        has = [name in question.filters for question in series]
        if not all(has[: len(has) - has[::-1].index(True)]):
            return True
    return False


def accepted(limits: RequestLimits, size: Size, *, gaps: bool = False) -> RequestLimits:
    """Learn that a request of *size* was answered completely. *gaps*: it had empty positions.

    Rejections of smaller sizes are dropped, because they were transient or the limit was lifted. If all rejected
    requests had empty positions, and this one is about as large without any, the empty positions are the cause.
    """
    void = [rejection for rejection in limits.rejected if size.covers(rejection.size)]
    suspected = limits.rejected and not limits.gaps_accepted and all(rejection.gaps for rejection in limits.rejected)
    blames_gaps = bool(suspected) and not gaps and size.positions > 1 and _is_comparable(size, limits.rejected)
    void = list(limits.rejected) if blames_gaps else void
    others = [accepted_size for accepted_size in limits.accepted if not size.covers(accepted_size)]
    if not limits.covers(size):
        kept = sorted([*others, size], key=lambda accepted_size: accepted_size.product, reverse=True)[:_SIZES_KEPT]
        limits = replace(limits, accepted=tuple(kept))
    longest = max(limits.longest, size.length)
    limits = replace(
        limits,
        rejected=tuple(rejection for rejection in limits.rejected if rejection not in void),
        longest=longest,
        length=LONGEST_QUERY if longest > limits.length else limits.length,
        gaps=(limits.gaps or gaps) and not blames_gaps,
        gaps_accepted=limits.gaps_accepted or gaps,
    )
    return limits if limits.is_limited else replace(limits, again_at=None, climbs=0)


def rejected(limits: RequestLimits, rejection: Rejection, now: datetime) -> RequestLimits:
    """Learn that a request was rejected for its size. A smaller one must have been answered at about the same time.

    The pause before larger sizes are tried again grows with each rejected try.
    """
    size = rejection.size
    if not limits.covers(size):
        others = [earlier for earlier in limits.rejected if not earlier.size.covers(size)]
        if all(not size.covers(earlier.size) for earlier in others):
            limits = replace(limits, rejected=(*others, rejection))
    elif size.length > limits.longest:
        limits = replace(limits, length=_shorter_url(limits.longest, size.length))
    else:  # a size that was accepted once is no longer accepted
        smaller = tuple(accepted_size for accepted_size in limits.accepted if not accepted_size.covers(size))
        limits = replace(limits, accepted=smaller, rejected=(*limits.rejected, rejection))
    if limits.is_due(now):
        limits = replace(limits, climbs=limits.climbs + 1, again_at=None)
    return replace(limits, again_at=limits.again_at or now + climb_pause(limits.climbs))


def climb_pause(climbs: int) -> timedelta:
    """Return the pause before a rejected size is tried again: half a day at first, up to a week."""
    growth: int = _CLIMB_GROWTH ** min(climbs, 10)
    return min(_CLIMB_AFTER * growth, _LONGEST_CLIMB)


def relaxed(limits: RequestLimits, now: datetime) -> RequestLimits:
    """Return the limits to pack for. If a retry is due, the rejected sizes are ignored or doubled, in turns.

    The first finds a limit that was removed, the second one that was raised a little.
    """
    if not limits.is_due(now):
        return limits
    farther = tuple(replace(rejection, size=_doubled(rejection.size)) for rejection in limits.rejected)
    return replace(
        limits,
        rejected=farther if limits.climbs % 2 else (),
        gaps=True,
        length=LONGEST_QUERY,
        others=OtherIntervals(limits.others.positions),
    )


def with_other_intervals(limits: RequestLimits, others: Iterable[RequestLimits]) -> RequestLimits:
    """Return *limits* with a summary of the limits of the other intervals."""
    shown = OtherIntervals()
    for other in others:
        doubtful = [
            rejection.size for rejection in other.rejected if Kind.POSITIONS in other.explanations(rejection.size)
        ]
        is_coarser = other.agg_interval.step > limits.agg_interval.step
        shown = OtherIntervals(
            max(shown.positions, other.largest(Kind.POSITIONS)),
            min(shown.too_many, other.bound(Kind.POSITIONS)),
            shown.doubtful + tuple(size.positions for size in doubtful),
            shown.too_large + (tuple(rejection.size for rejection in other.rejected) if is_coarser else ()),
        )
    is_contradicted = shown.positions >= shown.too_many  # the limit has changed since
    return replace(limits, others=replace(shown, too_many=inf) if is_contradicted else shown)


def reset_after_content_error(limits: RequestLimits, wrong: Collection[Rejection]) -> RequestLimits:
    """Drop the *wrong* rejections, whose cause was the content. Accepted sizes stay."""
    limits = replace(limits, rejected=tuple(rejection for rejection in limits.rejected if rejection not in wrong))
    return limits if limits.is_limited else replace(limits, again_at=None, climbs=0)


def with_pending(limits: RequestLimits, pending: Iterable[Rejection]) -> RequestLimits:
    """Add the *pending* rejections, which no smaller answer has confirmed yet."""
    more = tuple(rejection for rejection in pending if not limits.covers(rejection.size))
    return replace(limits, rejected=(*limits.rejected, *more))


def _is_comparable(size: Size, rejections: Iterable[Rejection]) -> bool:
    return _COMPARABLE * size.product >= min(rejection.size.product for rejection in rejections)


def _doubled(size: Size) -> Size:
    positions = 2 * size.positions if size.positions > 1 else 1
    return replace(size, span=2 * size.span, positions=positions)


def _shorter_url(longest: int, rejected_length: int) -> int:
    """Return a length between the accepted and the rejected one, or the accepted one if they are close."""
    middle = int(sqrt(max(longest, 1) * rejected_length))
    return max(middle if middle > longest * 1.1 else longest, _SHORTEST_URL)


def limits_key(kind: RequestKind) -> str:
    """Return the key of the record in the store."""
    dataset = dataset_named(kind.dataset)
    path = f"{dataset.groups_path}/{kind.dimension}" if kind.dimension else dataset.path
    return f"limits:{path}:{kind.agg_interval}"


def old_limits_key(kind: RequestKind) -> str | None:
    """Return the key that earlier versions used, which knew one dataset; None for another dataset."""
    return f"limits:{kind.agg_interval}" if kind.dataset == DATASET and not kind.dimension else None


def dump_limits(limits: RequestLimits) -> str:
    """Write the record."""
    return json.dumps(
        {
            "accepted": [_pair(size) for size in limits.accepted],
            "rejected": [
                {**_pair(rejection.size), "cause": rejection.cause, "gaps": rejection.gaps}
                for rejection in limits.rejected
            ],
            "length": limits.length,
            "longest": limits.longest,
            "gaps": limits.gaps,
            "gaps_accepted": limits.gaps_accepted,
            "climbs": limits.climbs,
            "again_at": rfc3339(limits.again_at) if limits.again_at else None,
        }
    )


def _pair(size: Size) -> dict[str, Any]:
    return {"span_seconds": size.span.total_seconds(), "positions": size.positions, "length": size.length}


def load_limits(kind: RequestKind, text: str) -> RequestLimits:
    """Read a record of this version or of an earlier one."""
    record = json.loads(text)
    if "accepted" not in record:
        return replace(_load_old_limits(kind.agg_interval, record), dataset=kind.dataset)
    return RequestLimits(
        kind.agg_interval,
        tuple(map(_size, record["accepted"])),
        tuple(Rejection(_size(fields), fields["cause"], fields["gaps"]) for fields in record["rejected"]),
        length=record["length"],
        longest=record["longest"],
        gaps=record["gaps"],
        gaps_accepted=record["gaps_accepted"],
        climbs=record["climbs"],
        again_at=_moment(record["again_at"]),
        dataset=kind.dataset,
        dimension=kind.dimension,
    )


def _size(pair: dict[str, Any]) -> Size:
    return Size(timedelta(seconds=pair["span_seconds"]), pair["positions"], pair["length"])


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _load_old_limits(agg_interval: AggInterval, record: dict[str, Any]) -> RequestLimits:
    """Convert a record of an earlier version: its proven sizes, and its bounds on span and positions."""
    proven = Size(timedelta(seconds=record["proven_seconds"]), record["proven_positions"], LONGEST_QUERY)
    alone = Size(timedelta(seconds=record["proven_span_seconds"]), 1)
    accepted = [size for size in (proven, alone) if size.span and size.positions]
    too_long = timedelta(seconds=record.get("refused_span_seconds", 0))
    too_many = record.get("refused_positions", 0)
    sizes = [Size(too_long, 1)] if too_long else []
    sizes += [Size(agg_interval.step, too_many)] if too_many else []
    refused_at = _moment(record["refused_at"])
    return RequestLimits(
        agg_interval,
        tuple(size for size in accepted if not any(other != size and other.covers(size) for other in accepted)),
        tuple(
            Rejection(size, "refused")
            for size in sizes
            if not any(accepted_size.covers(size) for accepted_size in accepted)
        ),
        length=record["length"],
        longest=LONGEST_QUERY if accepted else 0,
        gaps=record["gaps"],
        again_at=refused_at if sizes or not record["gaps"] or record["length"] < LONGEST_QUERY else None,
    )
