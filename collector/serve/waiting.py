"""Why nothing is asked of Radar just now, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from collector.store import Budget, Reader, Upstream


@dataclass(frozen=True, slots=True)
class Waiting:
    """No request is sent before *until*.

    *reason*: `blocked` after a 429, `credentials` if Radar refuses them, `silent` if it does not answer, `budget` if
    the request budget is spent, `refused` if an answer was refused for its content. *message*: the last words of Radar.
    """

    reason: str
    until: datetime
    message: str | None = None

    @property
    def is_upstream(self) -> bool:
        """Return whether Radar is the cause, not the request budget."""
        return self.reason != "budget"


def upstream_wait(budget: Budget, radar: Upstream, now: datetime) -> Waiting | None:
    """Return the wait that Radar causes for all questions; None if there is none."""
    if budget.blocked_until:
        return Waiting("blocked", budget.blocked_until, "HTTP 429")
    until = radar.waiting_until(now)
    if until is None:
        return None
    return Waiting("credentials" if radar.state == "unauthorized" else "silent", until, radar.words)


async def waiting(store: Reader, limit: int, now: datetime) -> Waiting | None:
    """Return what keeps every question from being sent at *now*; None if requests may be sent.

    *limit* is the number of requests in any 300 seconds.
    """
    budget = await store.budget(now, limit)
    if found := upstream_wait(budget, await store.upstream(now), now):
        return found
    free_at = await store.budget_free_at(now, budget)
    return Waiting("budget", free_at, f"all {limit} requests of 5 minutes are spent") if free_at else None
