"""What of the findings is remembered for collecting: the limits, per interval."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from collector.collect.limits import first_guess

if TYPE_CHECKING:
    from collector.collect.gather import Gatherer
    from collector.collect.probe.seen import Seen


async def remember(gatherer: Gatherer, seen: Seen) -> None:
    """Store the limits that were found; what was not tried stays a guess."""
    now = gatherer.fetcher.clock()
    for agg_interval, span in seen.spans.items():
        guess = first_guess(agg_interval)
        longest = guess.shape.span if span.search.refused is None else span.accepted
        few = seen.positions.refused is not None
        positions = seen.positions.accepted if few else guess.shape.positions
        learned = replace(
            guess,
            shape=replace(guess.shape, span=longest, positions=positions, gaps=_takes_gaps(seen)),
            proven_span=span.accepted,
            capped=few,
            refused_at=now if few or span.search.refused is not None else None,
        )
        await gatherer.learn(learned)


def _takes_gaps(seen: Seen) -> bool:
    """Whether a filter position may be empty; refused beside a second series at all, that is not known."""
    if seen.empties is None or seen.positions.refused == 2:  # noqa: PLR2004 - even two series are refused
        return True
    return seen.empties.is_data
