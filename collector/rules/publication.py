"""How long after its end Radar publishes a bucket, from `lastUpdated` of the newest answers. Pure functions.

From this follows how long after its end a bucket is due: a fire that comes earlier finds nothing new.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from datetime import datetime

_SAMPLES = 24
_GRID_SECONDS = 900
"""`lastUpdated` moves in steps of 15 minutes."""
_LONGEST_SECONDS = 3 * 3_600
"""A lastUpdated further behind is a stall, which says nothing about the usual delay."""
_ENOUGH = 6
"""With fewer samples no fire waits."""
_CONTRADICTIONS = 3
"""So many answers must have lacked the bucket at its due moment before that is moved, because one may be late."""
_SHORTEST_SECONDS = 300
"""A shorter wait is none, and a due moment is not moved forward by less."""
_LONGEST_DUE_SECONDS = 3_600
"""No bucket is due later than an hour after its end, whatever was learned."""


class Publication(NamedTuple):
    """Seconds from `lastUpdated` to the time of the answer, for the newest answers, oldest first.

    *due_after*: how many seconds after its end a bucket is due; None until enough answers have shown it.
    """

    samples: tuple[int, ...] = ()
    due_after: int | None = None

    @classmethod
    def load(cls, text: str | None) -> Self:
        """Read the JSON that `dump` returns; an empty or unreadable *text* has nothing.

        An earlier version wrote the array of samples alone.
        """
        try:
            known = json.loads(text or "[]")
        except ValueError:
            return cls()
        known = known if isinstance(known, dict) else {"samples": known}
        samples, due_after = known.get("samples"), known.get("due_after")
        kept = [sample for sample in samples if isinstance(sample, int)] if isinstance(samples, list) else []
        return cls(tuple(kept[-_SAMPLES:]), due_after if isinstance(due_after, int) else None)

    def dump(self) -> str:
        """Return the samples and the due moment as JSON."""
        return json.dumps({"samples": self.samples, "due_after": self.due_after})

    def add(self, received_at: datetime, last_updated: datetime) -> Publication:
        """Add an answer, both times by one clock. Returns the same if it is a stall or ahead of the clock."""
        sample = int((received_at - last_updated).total_seconds())
        if not 0 <= sample < _LONGEST_SECONDS:
            return self
        samples = (*self.samples, sample)[-_SAMPLES:]
        return Publication(samples, _due_after(samples, self.due_after))

    @property
    def delay(self) -> int | None:
        """Return the seconds after which a bucket is published; None if unknown.

        An answer *sample* seconds after its lastUpdated shows that the bucket which ended then was published by that
        time, and that the next step of 15 minutes was not. So the delay is at most the smallest sample; if the delay
        varies, it is at least the largest sample less a step.
        """
        if not self.samples:
            return None
        return max(min(self.samples), max(self.samples) - _GRID_SECONDS)


def _due_after(samples: tuple[int, ...], known: int | None) -> int | None:
    """Return the seconds from the end of a bucket to its due moment, the *known* ones unless *samples* contradict them.

    An answer at the due moment has a sample as long as the wait, or a step more if the bucket was not published. So
    the wait is never longer than a step of 15 minutes beyond what is needed.
    """
    if len(samples) < _ENOUGH:
        return known
    earliest, lacked = min(samples), sorted(samples)[-_CONTRADICTIONS] - _GRID_SECONDS
    if known is None or earliest < known - _SHORTEST_SECONDS:
        wanted = max(earliest, lacked)
    elif lacked >= known:
        wanted = max(earliest, lacked + _SHORTEST_SECONDS)
    else:
        return known
    due_after = min(-(-wanted // 60) * 60, _LONGEST_DUE_SECONDS)
    return due_after if due_after > _SHORTEST_SECONDS else 0
