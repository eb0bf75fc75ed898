"""What of the findings is remembered for collecting: the limits, per interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.collect.limits import FIRST_POSITIONS, Rejection, RequestLimits, Size, climb_pause
from collector.collect.plan import LONGEST_QUERY

if TYPE_CHECKING:
    from datetime import timedelta

    from collector.collect.batch_runner import BatchRunner
    from collector.collect.probe.seen import Seen, Span


async def remember(batch_runner: BatchRunner, seen: Seen) -> None:
    """Store the limits that were found; what was not tried stays a guess."""
    for agg_interval, span in seen.spans.items():
        rejected = _rejected(span, seen, agg_interval.step)
        positions = seen.positions.accepted if seen.positions.refused is not None else FIRST_POSITIONS
        size, gaps = Size(span.accepted, positions, LONGEST_QUERY), _takes_gaps(seen)
        now = batch_runner.fetcher.clock()
        learned = RequestLimits(
            agg_interval,
            (size,) if span.accepted and (rejected or not gaps) else (),
            rejected,
            longest=LONGEST_QUERY,
            gaps=gaps,
            again_at=now + climb_pause(0) if rejected or not gaps else None,
        )
        await batch_runner.learn(learned)


def _rejected(span: Span, seen: Seen, step: timedelta) -> tuple[Rejection, ...]:
    """Return what was rejected: a span for one series, and a number of series over any span."""
    sizes = [] if span.search.refused is None else [Size(span.unit * span.search.refused, 1)]
    sizes += [] if seen.positions.refused is None else [Size(step, seen.positions.refused)]
    return tuple(Rejection(size, "probe") for size in sizes)


def _takes_gaps(seen: Seen) -> bool:
    """Whether a filter position may be empty; refused beside a second series at all, that is not known."""
    if seen.empties is None or seen.positions.refused == 2:  # noqa: PLR2004 - even two series are refused
        return True
    return seen.empties.is_data
