"""How often a Radar that does not answer is asked: a pure decision, the same for all profiles.

So many requests in a row without an answer open the breaker. From then on one request a minute finds out whether Radar
is back, and the first answer of any kind closes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

OPENS_AFTER = 12
"""Three batches of four attempts: one part of Radar that is ill does not look like all of it."""
PROBE_EVERY = timedelta(minutes=1)
_NOT_AT_ALL = timedelta(0)


@dataclass(frozen=True, slots=True)
class Breaker:
    """How many requests in a row had no answer, and when the last of all was sent."""

    silent: int = 0
    asked_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether Radar counts as down."""
        return self.silent >= OPENS_AFTER

    def asked(self, now: datetime) -> Breaker:
        """A request is sent."""
        return replace(self, asked_at=now)

    def unanswered(self) -> Breaker:
        """A request had no answer."""
        return replace(self, silent=self.silent + 1)

    def answered(self) -> Breaker:
        """Radar has said something, if only that it will not answer this."""
        return replace(self, silent=0)

    def wait(self, now: datetime) -> timedelta:
        """How long nothing may be asked: not at all while closed, nor longer than a minute, whatever the clock did."""
        if not self.is_open or self.asked_at is None:
            return _NOT_AT_ALL
        return min(max(self.asked_at + PROBE_EVERY - now, _NOT_AT_ALL), PROBE_EVERY)
