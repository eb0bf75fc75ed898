"""How long after its end Radar publishes a bucket, from `lastUpdated` of the newest answers. Pure functions."""

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


class Publication(NamedTuple):
    """Seconds from `lastUpdated` to the time of the answer, for the newest answers, oldest first."""

    samples: tuple[int, ...] = ()

    @classmethod
    def load(cls, text: str | None) -> Self:
        """Read the JSON array that `dump` returns; none if *text* is empty or unreadable."""
        try:
            samples = json.loads(text or "[]")
        except ValueError:
            return cls()
        kept = [sample for sample in samples if isinstance(sample, int)] if isinstance(samples, list) else []
        return cls(tuple(kept[-_SAMPLES:]))

    def dump(self) -> str:
        """Return the samples as JSON."""
        return json.dumps(self.samples)

    def add(self, received_at: datetime, last_updated: datetime) -> Publication:
        """Add an answer, both times by one clock. Returns the same if it is a stall or ahead of the clock."""
        sample = int((received_at - last_updated).total_seconds())
        return Publication((*self.samples, sample)[-_SAMPLES:]) if 0 <= sample < _LONGEST_SECONDS else self

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
