"""How large a request Radar accepts: not published, so it is found out and remembered, one record per interval.

A record starts at a good guess. A refusal lowers what is under suspicion: the span while one slice alone is refused,
else the number of positions. What was accepted once is proven, and a refusal inside what is proven blames the content.
Pure functions; the record travels as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from collector.collect.plan import Shape
from collector.model import rfc3339
from collector.radar.query import query_string

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.model import AggInterval, Batch

_ROUND = (31, 28, 14, 7, 3, 1)
"""Days of a window that limits tend to be: what is tried on the way up, if that may save many."""
_POSITIONS = (1000, 100, 50, 20, 10, 5, 2, 1)
_FIRST_POSITIONS = 100
_LENGTHS = (7900, 6000, 4000, 2000, 1000, 500)
_FEWEST_WITH_GAPS = 2
"""Empty positions have been seen to be accepted, so they are blamed last: when even two slices are refused."""
_TRY_HIGHER_AFTER = timedelta(days=7)
_NO_DOUBT = timedelta(0), 0
_Step = TypeVar("_Step", int, timedelta)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is known of one interval.

    *proven* is the largest accepted request as (span, positions), *proven_span* the longest span of any accepted one.
    *doubted* is the (span, positions) of a refused batch: until one slice of that span is accepted, slices are asked
    alone, and if it is refused too, the number of positions was not to blame. *capped* says that this number was to
    blame once, so that more positions are not tried just because these were accepted. *refused_span* and
    *refused_positions* are the least that were refused for themselves, zero where none was.
    """

    agg_interval: AggInterval
    shape: Shape
    proven: tuple[timedelta, int] = (timedelta(0), 0)
    proven_span: timedelta = timedelta(0)
    doubted: tuple[timedelta, int] = _NO_DOUBT
    capped: bool = False
    refused_at: datetime | None = None
    refused_span: timedelta = timedelta(0)
    refused_positions: int = 0

    @property
    def now_shape(self) -> Shape:
        """The shape to pack for at this moment."""
        return replace(self.shape, positions=1) if self.doubted[0] > self.proven_span else self.shape

    def proves(self, batch: Batch) -> bool:
        """Tell whether a request at least as large as *batch* was accepted before."""
        return batch.duration <= self.proven[0] and len(batch.slices) <= self.proven[1]


def spans_of(agg_interval: AggInterval) -> list[timedelta]:
    """The spans to try, the longest first."""
    return [timedelta(days=days) for days in agg_interval.properties.spans]


def first_guess(agg_interval: AggInterval) -> Limits:
    """Nothing known yet: the largest of what is plausible, since a refusal costs one request and caution costs many."""
    return Limits(agg_interval, Shape(spans_of(agg_interval)[0], _FIRST_POSITIONS))


def accepted(limits: Limits, batch: Batch) -> Limits:
    """Learn from an accepted *batch*; more positions than are proven are tried next, unless that was refused once."""
    count = len(batch.slices)
    best = max(limits.proven, (batch.duration, count), key=lambda pair: pair[0] * pair[1])
    limits = replace(limits, proven=best, proven_span=max(limits.proven_span, batch.duration))
    if batch.duration >= limits.refused_span:
        limits = replace(limits, refused_span=timedelta(0))
    if count >= limits.refused_positions:
        limits = replace(limits, refused_positions=0)
    if count == 1 and limits.doubted != _NO_DOUBT:
        return _settled(limits, batch.duration)
    if count < limits.shape.positions or limits.capped:
        return limits
    return replace(limits, shape=replace(limits.shape, positions=_above(count, _POSITIONS)))


def _settled(limits: Limits, span: timedelta) -> Limits:
    """End the doubt, for a slice of *span* alone was accepted; a shorter one than was doubted proves nothing."""
    if span >= limits.doubted[0]:
        return replace(limits, doubted=_NO_DOUBT, capped=True, refused_positions=limits.doubted[1])
    shape = replace(limits.shape, positions=max(limits.shape.positions, limits.doubted[1]))
    return replace(limits, shape=shape, doubted=_NO_DOUBT)


def too_long(limits: Limits, batch: Batch, now: datetime) -> Limits:
    """Learn from a *batch* whose URL the server found too long."""
    length = _below(min(limits.shape.length, len(query_string(batch))), _LENGTHS) or _LENGTHS[-1]
    return replace(limits, shape=replace(limits.shape, length=length), refused_at=now)


def refused(limits: Limits, batch: Batch, now: datetime) -> Limits | None:
    """Learn from a refused *batch*; None where its size cannot be to blame, so that its content is."""
    count, span = len(batch.slices), batch.duration
    if limits.proves(batch):
        return None
    if count > limits.now_shape.positions or span > limits.shape.span:
        return limits  # sent before the last refusal was known
    if count == 1:
        return _shorter(limits, span, now)
    limits = replace(limits, refused_at=now)
    if limits.shape.gaps and _has_gaps(batch) and count == _FEWEST_WITH_GAPS:
        return replace(limits, shape=replace(limits.shape, positions=_FIRST_POSITIONS, gaps=False), capped=False)
    proven = limits.proven[1] if span <= limits.proven[0] else 1
    fewer = replace(limits.shape, positions=max(_below(count, _POSITIONS) or 1, proven))
    if span <= limits.proven_span:
        return replace(limits, shape=fewer, doubted=_NO_DOUBT, capped=True, refused_positions=count)
    return replace(limits, shape=fewer, doubted=(span, limits.shape.positions))


def _shorter(limits: Limits, span: timedelta, now: datetime) -> Limits | None:
    lower = _below(span, spans_of(limits.agg_interval))
    if lower is None:
        return None
    positions = max(limits.shape.positions, limits.doubted[1])
    unit = min(spans_of(limits.agg_interval))
    proven = limits.proven_span // unit * unit if limits.proven_span < span else lower
    shape = replace(limits.shape, span=max(lower, proven), positions=positions)
    return replace(limits, shape=shape, doubted=_NO_DOUBT, refused_at=now, refused_span=span)


def cut_short(limits: Limits, asked: timedelta, span: timedelta, now: datetime) -> Limits:
    """Learn that an answer to a window of *asked* held values for no more than *span* of it, without a word."""
    spans = spans_of(limits.agg_interval)
    fitting = max((one for one in spans if one <= span), default=min(spans))
    if fitting >= limits.shape.span:
        return limits
    return replace(
        limits,
        shape=replace(limits.shape, span=fitting),
        proven=(min(limits.proven[0], fitting), limits.proven[1]),
        proven_span=min(limits.proven_span, fitting),
        refused_span=asked,
        refused_at=now,
    )


def exonerated(limits: Limits) -> Limits:
    """Take back what was learned from a slice that turned out to be refused for its content: it blamed the size."""
    guess = first_guess(limits.agg_interval)
    return replace(guess, proven=limits.proven, proven_span=limits.proven_span)


def longer(limits: Limits) -> Limits | None:
    """Try the next round span short of what was refused, which a way down in large steps has left out, if there is one.

    Without waiting: it is for who has so much to ask for that even two refusals cost little beside what may be saved.
    """
    spans = [timedelta(days=days) for days in _ROUND]
    span = _above(limits.shape.span, [span for span in spans if not span % limits.agg_interval.step])
    if limits.doubted != _NO_DOUBT or not limits.shape.span < span < limits.refused_span:
        return None
    return replace(limits, shape=replace(limits.shape, span=span))


def raised(limits: Limits, now: datetime) -> Limits:
    """Try more, a week after the last refusal: what lies midway to what was refused, at last beyond it.

    So a limit between two steps is found in the end, for few requests, and one that was lifted, too.
    """
    if limits.refused_at is None or now - limits.refused_at < _TRY_HIGHER_AFTER:
        return limits
    spans = spans_of(limits.agg_interval)
    span = _midway(limits.shape.span, limits.refused_span, min(spans)) or _above(limits.shape.span, spans)
    positions = _midway(limits.shape.positions, limits.refused_positions, 1)
    shape = Shape(span, positions or _above(limits.shape.positions, _POSITIONS), gaps=True)
    return replace(limits, shape=shape, refused_at=now)


def _midway(value: _Step, refused: _Step, unit: _Step) -> _Step | None:
    """A multiple of *unit* between what is taken and what was *refused*, if there is one."""
    middle: _Step = value + (refused - value) // unit // 2 * unit
    return middle if middle > value else None


def _below(value: _Step, steps: Sequence[_Step]) -> _Step | None:
    return next((step for step in steps if step < value), None)


def _above(value: _Step, steps: Sequence[_Step]) -> _Step:
    return next((step for step in reversed(steps) if step > value), steps[0])


def _has_gaps(batch: Batch) -> bool:
    return len({tuple(sorted(piece.series.filters)) for piece in batch.slices}) > 1


def dump(limits: Limits) -> str:
    """Write the record as JSON."""
    return json.dumps(
        {
            "span_seconds": limits.shape.span.total_seconds(),
            "positions": limits.shape.positions,
            "gaps": limits.shape.gaps,
            "length": limits.shape.length,
            "proven_seconds": limits.proven[0].total_seconds(),
            "proven_positions": limits.proven[1],
            "proven_span_seconds": limits.proven_span.total_seconds(),
            "doubted_seconds": limits.doubted[0].total_seconds(),
            "doubted_positions": limits.doubted[1],
            "capped": limits.capped,
            "refused_at": rfc3339(limits.refused_at) if limits.refused_at else None,
            "refused_span_seconds": limits.refused_span.total_seconds(),
            "refused_positions": limits.refused_positions,
        }
    )


def load(agg_interval: AggInterval, text: str) -> Limits:
    """Read what `dump` wrote."""
    record = json.loads(text)
    refused_at = record["refused_at"]
    return Limits(
        agg_interval,
        Shape(timedelta(seconds=record["span_seconds"]), record["positions"], record["gaps"], record["length"]),
        proven=(timedelta(seconds=record["proven_seconds"]), record["proven_positions"]),
        proven_span=timedelta(seconds=record["proven_span_seconds"]),
        doubted=(timedelta(seconds=record["doubted_seconds"]), record["doubted_positions"]),
        capped=record.get("capped", False),
        refused_at=datetime.fromisoformat(refused_at).astimezone(UTC) if refused_at else None,
        refused_span=timedelta(seconds=record.get("refused_span_seconds", 0)),
        refused_positions=record.get("refused_positions", 0),
    )
