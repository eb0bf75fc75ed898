"""What to do about a request that brought no whole answer. Pure: it decides by what is known of sizes.

    larger than anything accepted?  →  SMALLER: its size may be to blame, a smaller request will tell
    no answer at all?               →  WAIT: until other requests have shown whether Radar answers
    several slices?                 →  BISECT: one of them may be to blame
    one slice                       →  QUARANTINE: it is to blame, or its window

The edge of history belongs before QUARANTINE: there a single slice was rejected whose size is known to be accepted,
and `BatchRun` knows which windows of its series were answered.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from collector.collect.limits import size_of, smallest, usual_size
from collector.radar.errors import Coarsened, Unavailable, Unreachable, Untrusted

if TYPE_CHECKING:
    from collector.collect.limits import RequestLimits
    from collector.model import Batch
    from collector.radar.errors import RadarError


class Verdict(Enum):
    """What becomes of the slices of a request that failed."""

    SMALLER = auto()
    WAIT = auto()
    BISECT = auto()
    QUARANTINE = auto()


def may_be_too_large(limits: RequestLimits, batch: Batch, *, teaches_nothing: bool = False) -> bool:
    """Tell whether the size of *batch* can be to blame if it fails: it can be smaller, and none as large is accepted.

    A series that is asked alone teaches nothing, because its content failed before; nor does a batch sent again.
    """
    size = size_of(batch)
    return not (teaches_nothing or smallest(batch.agg_interval).covers(size) or limits.proves(batch))


def judge(limits: RequestLimits, batch: Batch, error: RadarError, *, teaches_nothing: bool, is_down: bool) -> Verdict:
    """Decide what to do about *batch*, which failed with *error*.

    *is_down*: Radar counts as down, so that nothing is learned.
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
    """Tell whether an answer is unreadable although a request of its size is known to be taken."""
    unreadable = isinstance(error, Untrusted) and not isinstance(error, Coarsened)
    return unreadable and usual_size(batch.agg_interval).covers(size_of(batch))
