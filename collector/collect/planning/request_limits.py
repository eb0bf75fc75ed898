"""The sizes of requests that Radar has accepted and rejected, one record per dataset and interval. Pure functions.

Radar publishes no limits. A request has a span (of its windows), positions (its slices), a product of both (the values
of its answer) and a length (of its URL). Each of these four kinds may be limited. Radar may reject an oversized request
in any way: 400, 422, 414, an error page, no answer in time, a coarser interval, a part of the values. So only sizes
decide here. The way of the rejection is recorded as the *cause*.

A rejection is explained by each kind in which it exceeds everything that was accepted. If only one kind is left, its
bound is certain. `request_size` chooses the next size, and tells a rejection of the size from one of the content.
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
from collector.model import DATASET, RequestKind, rfc3339
from collector.radar.request import query_string

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from collector.model import AggInterval, Batch

FIRST_POSITIONS = 100
MOST_POSITIONS = 1000
FEW_POSITIONS = 20
"""What is tried after a request of the first guess was rejected: large enough to be of use, if it is accepted."""
_SMALLEST_BUCKETS = 4
_SIZES_KEPT = 8
_CLIMB_AFTER = timedelta(hours=12)
_LONGEST_CLIMB = timedelta(days=7)
_CLIMB_GROWTH = 4
_SHORTEST_URL = 500
_COMPARABLE = 4


class Kind(StrEnum):
    """What a limit limits."""

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
        """Span times positions: in buckets, the values of a whole answer."""
        return self.span * self.positions

    def covers(self, other: Size) -> bool:
        """Tell whether *other* is no larger in span and positions."""
        return self.span >= other.span and self.positions >= other.positions

    def of_kind(self, kind: Kind) -> float:
        """Return the measure that a limit of *kind* is about."""
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
    """A request that brought no whole answer. *cause* is the outcome on record; *gaps*: it had empty positions."""

    size: Size
    cause: str
    gaps: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the other intervals show. A limit on the positions is one for all; a finer one takes no longer span.

    *positions* were accepted. *too_many* are certainly too many; each of *doubtful* were rejected, perhaps for another
    reason. *too_large* are sizes that were rejected of a coarser interval, so of fewer values.
    """

    positions: float = 0
    too_many: float = inf
    doubtful: tuple[int, ...] = ()
    too_large: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What is known for one interval of one dataset.

    *accepted* are the largest sizes that were answered, *rejected* the smallest that were not. *longest* is the longest
    query string that was answered, *length* the longest to send. *gaps*: empty positions may be sent; *gaps_accepted*:
    they were answered once. From *again_at* on, a size that was rejected is tried again; *climbs* is how often in a row
    that was in vain. *elsewhere* is not part of the record.
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
    elsewhere: Elsewhere = Elsewhere()
    dataset: str = DATASET

    @property
    def kind(self) -> RequestKind:
        """The kind of requests that the limits are about."""
        return RequestKind(self.dataset, self.agg_interval)

    @property
    def is_limited(self) -> bool:
        """Tell whether anything was rejected and not accepted since."""
        return bool(self.rejected) or not self.gaps or self.length < LONGEST_QUERY

    @property
    def is_explored(self) -> bool:
        """Tell whether more than the smallest request was accepted, which only shows that Radar answers."""
        least = smallest(self.agg_interval)
        return not all(least.covers(size) for size in self.accepted)

    @property
    def shape(self) -> Shape:
        """The shape that work is planned for: of the largest product, and of the longest span that may be accepted.

        `BatchRun` cuts longer windows as it learns, but joins none, so they must not be planned too short.
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
        """The shape of the longest span that was accepted, for series that are asked alone and teach no limit."""
        return self.shaped(max(self.accepted, key=lambda size: size.span)) if self.accepted else self.shape

    @property
    def first_positions(self) -> int:
        """The positions that are tried where no rejection speaks against it."""
        return MOST_POSITIONS if self.largest(Kind.POSITIONS) >= FIRST_POSITIONS else FIRST_POSITIONS

    def shaped(self, size: Size) -> Shape:
        """Return the shape of *size* with what is known of gaps and URLs."""
        return Shape(size.span, size.positions, self.gaps, self.length)

    def largest(self, kind: Kind) -> float:
        """Return the largest measure of *kind* that was accepted; the positions, of any interval."""
        elsewhere = self.elsewhere.positions if kind == Kind.POSITIONS else 0
        return max([elsewhere, *(size.of_kind(kind) for size in self.accepted)])

    def explanations(self, size: Size) -> list[Kind]:
        """Return the kinds of limit that may be to blame if *size* is rejected."""
        return [kind for kind in (Kind.SPAN, Kind.POSITIONS, Kind.PRODUCT) if size.of_kind(kind) > self.largest(kind)]

    def bound(self, kind: Kind) -> float:
        """Return the least measure that is certainly too large: of a rejection that no other kind explains."""
        certain = [one.size for one in self.rejected if self.explanations(one.size) == [kind]]
        elsewhere = self.elsewhere.too_many if kind == Kind.POSITIONS else inf
        return min([elsewhere, *(size.of_kind(kind) for size in certain)])

    def admits(self, size: Size) -> bool:
        """Tell whether *size* may be accepted, for all that is known."""
        if any(size.covers(one.size) for one in self.rejected):
            return False
        return all(size.of_kind(kind) < self.bound(kind) for kind in (Kind.SPAN, Kind.POSITIONS, Kind.PRODUCT))

    def proves(self, batch: Batch) -> bool:
        """Tell whether a request at least as large as *batch* was accepted, with a URL not much shorter."""
        size = size_of(batch)
        return self.covers(size) and size.length <= 2 * self.longest

    def covers(self, size: Size) -> bool:
        """Tell whether an accepted size is at least as large in span and positions."""
        return any(one.covers(size) for one in self.accepted)

    def is_due(self, now: datetime) -> bool:
        """Tell whether a rejected size is to be tried again."""
        return self.again_at is not None and now >= self.again_at


def spans_of(agg_interval: AggInterval) -> list[timedelta]:
    """Return the spans to try, the longest first."""
    return [timedelta(days=days) for days in agg_interval.properties.spans]


def rungs(agg_interval: AggInterval) -> list[Size]:
    """Return the sizes to try, in that order, until a first one is accepted: the spans in large steps."""
    longest, *_, shortest = spans_of(agg_interval)
    middle = min(spans_of(agg_interval), key=lambda span: abs(span / shortest - sqrt(longest / shortest)))
    sizes = [Size(longest, FIRST_POSITIONS), Size(longest, FEW_POSITIONS)]
    for span in (middle, shortest):
        sizes += [Size(span, FIRST_POSITIONS), Size(span, FEW_POSITIONS), Size(span, 1)]
    return list(dict.fromkeys([*sizes, smallest(agg_interval)]))


def smallest(agg_interval: AggInterval) -> Size:
    """Return the smallest request that makes sense: if it fails, its size is not to blame."""
    return Size(min(spans_of(agg_interval)[-1], _SMALLEST_BUCKETS * agg_interval.step), 1)


def usual_size(agg_interval: AggInterval) -> Size:
    """Return what other Radar data sets are known to answer for one series: a day at 15m, a month at 1h, else a year.

    Cloudflare publishes no limits: these are the spans for which it chooses the interval by itself.
    """
    days = 1 if agg_interval.step < timedelta(hours=1) else 31 if agg_interval.step < timedelta(days=1) else 364
    return Size(timedelta(days=days), 1)


def first_guess(agg_interval: AggInterval, dataset: str = DATASET) -> RequestLimits:
    """Return what is known before the first request: nothing."""
    return RequestLimits(agg_interval, dataset=dataset)


def measured(
    agg_interval: AggInterval, span: timedelta, positions: int, *, gaps: bool = True, now: datetime | None = None
) -> RequestLimits:
    """Return the record of limits that were measured: *span* and *positions* were accepted; with *now*, no more."""
    size = Size(span, positions, LONGEST_QUERY)
    known = RequestLimits(agg_interval, (size,), longest=LONGEST_QUERY, gaps=gaps)
    if now is None:
        return known
    more = (Size(span + agg_interval.step, 1), Size(agg_interval.step, positions + 1))
    return replace(known, rejected=tuple(Rejection(one, "measured") for one in more), again_at=now + _CLIMB_AFTER)


def size_of(batch: Batch) -> Size:
    """Measure a request."""
    return Size(batch.duration, len(batch.slices), len(query_string(batch)))


def has_gaps(batch: Batch) -> bool:
    """Tell whether a request has empty positions: a filter that a slice lacks and a later one has."""
    series = [slice_.series for slice_ in batch.slices]
    for name in {name for one in series for name in one.filters}:
        has = [name in one.filters for one in series]
        if not all(has[: len(has) - has[::-1].index(True)]):
            return True
    return False


def accepted(limits: RequestLimits, size: Size, *, gaps: bool = False) -> RequestLimits:
    """Learn that a request of *size* was answered whole; *gaps*: with empty positions.

    A rejection that it covers is void: it was transient, or the limit was lifted. If all that was rejected had empty
    positions, and this request, nearly as large, has several positions and none of them empty, these are to blame.
    """
    void = [one for one in limits.rejected if size.covers(one.size)]
    suspected = limits.rejected and not limits.gaps_accepted and all(one.gaps for one in limits.rejected)
    blames_gaps = bool(suspected) and not gaps and size.positions > 1 and _is_comparable(size, limits.rejected)
    void = list(limits.rejected) if blames_gaps else void
    others = [one for one in limits.accepted if not size.covers(one)]
    if not limits.covers(size):
        kept = sorted([*others, size], key=lambda one: one.product, reverse=True)[:_SIZES_KEPT]
        limits = replace(limits, accepted=tuple(kept))
    longest = max(limits.longest, size.length)
    limits = replace(
        limits,
        rejected=tuple(one for one in limits.rejected if one not in void),
        longest=longest,
        length=LONGEST_QUERY if longest > limits.length else limits.length,
        gaps=(limits.gaps or gaps) and not blames_gaps,
        gaps_accepted=limits.gaps_accepted or gaps,
    )
    return limits if limits.is_limited else replace(limits, again_at=None, climbs=0)


def rejected(limits: RequestLimits, rejection: Rejection, now: datetime) -> RequestLimits:
    """Learn that a request was rejected for its size; a smaller one must have been answered about the same time.

    The pause before larger ones are tried again grows with each such try that was in vain.
    """
    size = rejection.size
    if not limits.covers(size):
        others = [one for one in limits.rejected if not one.size.covers(size)]
        if all(not size.covers(one.size) for one in others):
            limits = replace(limits, rejected=(*others, rejection))
    elif size.length > limits.longest:
        limits = replace(limits, length=_shorter_url(limits.longest, size.length))
    else:  # what was accepted once is not any more
        smaller = tuple(one for one in limits.accepted if not one.covers(size))
        limits = replace(limits, accepted=smaller, rejected=(*limits.rejected, rejection))
    if limits.is_due(now):
        limits = replace(limits, climbs=limits.climbs + 1, again_at=None)
    return replace(limits, again_at=limits.again_at or now + climb_pause(limits.climbs))


def climb_pause(climbs: int) -> timedelta:
    """Return how long a rejected size is not tried: half a day, growing to a week while the limit is found again."""
    growth: int = _CLIMB_GROWTH ** min(climbs, 10)
    return min(_CLIMB_AFTER * growth, _LONGEST_CLIMB)


def relaxed(limits: RequestLimits, now: datetime) -> RequestLimits:
    """Return *limits* as they are packed for: where it is time to climb, with rejections set aside or moved away.

    They are set aside and moved away by turns, so that a limit that is gone and one that is a step higher are found.
    """
    if not limits.is_due(now):
        return limits
    farther = tuple(replace(one, size=_doubled(one.size)) for one in limits.rejected)
    return replace(
        limits,
        rejected=farther if limits.climbs % 2 else (),
        gaps=True,
        length=LONGEST_QUERY,
        elsewhere=Elsewhere(limits.elsewhere.positions),
    )


def beside(limits: RequestLimits, others: Iterable[RequestLimits]) -> RequestLimits:
    """Return *limits* with what those of *others* show of this interval, too."""
    others, found = tuple(others), Elsewhere()
    for other in others:
        doubtful = [one.size for one in other.rejected if Kind.POSITIONS in other.explanations(one.size)]
        is_coarser = other.agg_interval.step > limits.agg_interval.step
        found = Elsewhere(
            max(found.positions, other.largest(Kind.POSITIONS)),
            min(found.too_many, other.bound(Kind.POSITIONS)),
            found.doubtful + tuple(size.positions for size in doubtful),
            found.too_large + (tuple(one.size for one in other.rejected) if is_coarser else ()),
        )
    is_contradicted = found.positions >= found.too_many  # a limit changed since
    return replace(limits, elsewhere=replace(found, too_many=inf) if is_contradicted else found)


def exonerated(limits: RequestLimits, wrong: Collection[Rejection]) -> RequestLimits:
    """Forget rejections that turned out to be of the content; what was accepted stays."""
    limits = replace(limits, rejected=tuple(one for one in limits.rejected if one not in wrong))
    return limits if limits.is_limited else replace(limits, again_at=None, climbs=0)


def with_pending(limits: RequestLimits, pending: Iterable[Rejection]) -> RequestLimits:
    """Add rejections that no smaller answer has confirmed yet."""
    more = tuple(one for one in pending if not limits.covers(one.size))
    return replace(limits, rejected=(*limits.rejected, *more))


def _is_comparable(size: Size, rejections: Iterable[Rejection]) -> bool:
    return _COMPARABLE * size.product >= min(one.size.product for one in rejections)


def _doubled(size: Size) -> Size:
    positions = 2 * size.positions if size.positions > 1 else 1
    return replace(size, span=2 * size.span, positions=positions)


def _shorter_url(longest: int, rejected_length: int) -> int:
    """Return a length between what was answered and what was not; near to each other, the former."""
    middle = int(sqrt(max(longest, 1) * rejected_length))
    return max(middle if middle > longest * 1.1 else longest, _SHORTEST_URL)


def limits_key(kind: RequestKind) -> str:
    """Return the key of the record."""
    return f"limits:{dataset_named(kind.dataset).path}:{kind.agg_interval}"


def old_limits_key(kind: RequestKind) -> str | None:
    """Return the key that earlier versions used, which knew one dataset; None for another dataset."""
    return f"limits:{kind.agg_interval}" if kind.dataset == DATASET else None


def dump_limits(limits: RequestLimits) -> str:
    """Write the record."""
    return json.dumps(
        {
            "accepted": [_pair(size) for size in limits.accepted],
            "rejected": [{**_pair(one.size), "cause": one.cause, "gaps": one.gaps} for one in limits.rejected],
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
        tuple(Rejection(_size(one), one["cause"], one["gaps"]) for one in record["rejected"]),
        length=record["length"],
        longest=record["longest"],
        gaps=record["gaps"],
        gaps_accepted=record["gaps_accepted"],
        climbs=record["climbs"],
        again_at=_moment(record["again_at"]),
        dataset=kind.dataset,
    )


def _size(pair: dict[str, Any]) -> Size:
    return Size(timedelta(seconds=pair["span_seconds"]), pair["positions"], pair["length"])


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _load_old_limits(agg_interval: AggInterval, record: dict[str, Any]) -> RequestLimits:
    """Take over what an earlier version had proven, and what it had found to be too large for one kind."""
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
        tuple(size for size in accepted if not any(one != size and one.covers(size) for one in accepted)),
        tuple(Rejection(size, "refused") for size in sizes if not any(one.covers(size) for one in accepted)),
        length=record["length"],
        longest=LONGEST_QUERY if accepted else 0,
        gaps=record["gaps"],
        again_at=refused_at if sizes or not record["gaps"] or record["length"] < LONGEST_QUERY else None,
    )
