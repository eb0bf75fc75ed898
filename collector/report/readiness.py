"""When a profile is late, stale, waiting or ready: ready means a recent success, not the absence of errors."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from collector.store.ledger.upstream import UNKNOWN_LAG
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.circuit_breaker import UpstreamHealth
    from collector.profile import Profile
    from collector.store import Budget, ProfileStatus, ReadView


GRACE = timedelta(minutes=2)
"""The time a due profile may take before it counts as late."""
PATIENCE = timedelta(minutes=15)
"""The time a profile may wait for Radar or the budget before it counts as not ready."""
_STALE_AT_LEAST = timedelta(hours=3)
_HEALTHY = frozenset({"fresh", "gaps", "healing", "relative", "snapshot", "paused"})


def due_past_grace(due: datetime, step: timedelta, now: datetime) -> datetime:
    """Return *due* if its grace is over at *now*, else the due time one *step* earlier.

    Otherwise a failing profile would look ready for two minutes after each due time.
    """
    return due if now - due >= GRACE else due - step


def is_healthy(state: str, since: datetime, step: timedelta, now: datetime) -> bool:
    """Return whether a profile in this *state* of `status` counts as ready.

    A waiting profile counts as ready for 15 minutes, a new one for one *step*, its interval. Both count from *since*,
    see `owed_since`.
    """
    if state in ("waiting", "new"):
        return now - since < (PATIENCE if state == "waiting" else step)
    return state in _HEALTHY


def owed_since(profile: Profile, row: ProfileStatus, now: datetime) -> datetime:
    """Return the first due moment after the last success, not after *now*.

    Before the first success, return when the profile was recorded, or *now* if it was not.
    """
    if row.last_success is None:
        return min(row.declared_at or now, now)
    return min(profile.next_due(row.last_success), now)


class Stall(NamedTuple):
    """Radar's newest data is from *until*, *behind* the present; *usual* is the normal lag, None if unknown."""

    until: datetime
    behind: timedelta
    usual: timedelta | None

    def __str__(self) -> str:
        usual = "" if self.usual is None else f", usually {_minutes(self.usual)}"
        return f"Radar has no data after {rfc3339(self.until.replace(microsecond=0))}: {_minutes(self.behind)}{usual}"


def _minutes(length: timedelta) -> str:
    hours, minutes = divmod(length // timedelta(minutes=1), 60)
    return f"{hours} h {minutes} min behind" if hours else f"{minutes} min behind"


def staleness_limit(profile: Profile, usual: timedelta | None) -> timedelta:
    """Return how far Radar's data may be behind an answer before the profile is stale.

    This is the interval and three times the usual lag, at least 3 hours. A lag that is unknown counts as one hour. The
    publication delay is its minimum.
    """
    lag = max(UNKNOWN_LAG if usual is None else usual, profile.publication_delay)
    return max(profile.agg_interval.step + 3 * lag, _STALE_AT_LEAST)


def find_stalls(
    store: ReadView, profiles: Sequence[Profile], rows: Sequence[ProfileStatus], now: datetime
) -> dict[str, Stall]:
    """Return the profiles whose newest answers show that Radar has no new data, by name.

    *rows* is their status. Answers decide, not the clock: an old lastUpdated, or an answer without any bucket after the
    newest stored one, although such buckets were requested.
    """
    stalls = {}
    for profile, row in zip(profiles, rows, strict=True):
        limit, step = staleness_limit(profile, row.usual_lag), profile.agg_interval.step
        if row.last_success and row.last_updated and row.behind > limit:
            stalls[profile.name] = Stall(row.last_updated, row.behind, row.usual_lag)
        elif row.newest_point and now - row.ahead - row.newest_point - step > limit:
            end = row.newest_point + step
            covered_at = store.last_covered_at([series.query for series in profile.series], end)
            newest = max(covered_at.values(), default=end + row.ahead) - row.ahead
            if newest - end > limit:
                stalls[profile.name] = Stall(end, newest - end, row.usual_lag)
    return stalls


class ProfileHealth(Protocol):
    """The last success and failure of one profile."""

    @property
    def success(self) -> datetime | None:
        """When the last pass without missing buckets ended."""

    @property
    def reason(self) -> str | None:
        """Why the last pass failed; None if it did not."""


def late_reason(
    health: ProfileHealth,
    due: datetime,
    collected_since: datetime,
    now: datetime,
    counts_from: datetime | None = None,
) -> str | None:
    """Return why a profile is late that is *due*, see `due_past_grace`; None if it is not late.

    It needs a success since *counts_from*, which is *due* by default. The grace counts from *due*, or from
    *collected_since*, when the service started to collect the profile.
    """
    # A success after *now* does not count, because another clock has written it.
    if health.success is not None and (counts_from or due) <= health.success <= now:
        return None
    if now - (max(due, collected_since) if collected_since <= now else due) < GRACE:
        return None
    last = rfc3339(health.success.replace(microsecond=0)) if health.success else "never"
    return f"due since {rfc3339(due)}, last success {last}" + (f": {health.reason}" if health.reason else "")


class Wait(NamedTuple):
    """No request is sent before *until*.

    *reason*: `blocked` after a 429, `credentials` if Radar rejects them, `silent` if it does not answer, `budget` if
    the request budget is spent, `refused` if an answer was rejected for its content. *message*: Radar's last message.
    """

    reason: str
    until: datetime
    message: str | None = None

    @property
    def is_upstream(self) -> bool:
        """Return whether Radar is the cause, not the request budget."""
        return self.reason != "budget"


def upstream_wait(budget: Budget, radar: UpstreamHealth, now: datetime) -> Wait | None:
    """Return the wait that Radar causes for all questions; None if there is none."""
    if budget.blocked_until:
        return Wait("blocked", budget.blocked_until, "HTTP 429")
    until = radar.waiting_until(now)
    if until is None:
        return None
    return Wait("credentials" if radar.state == "unauthorized" else "silent", until, radar.reason)


def current_wait(store: ReadView, limit: int, now: datetime) -> Wait | None:
    """Return why no request may be sent at *now*, and until when; None if requests may be sent.

    *limit* is the number of requests in any 300 seconds.
    """
    budget = store.budget(now, limit)
    if wait := upstream_wait(budget, store.upstream(now), now):
        return wait
    free_at = store.budget_free_at(now, budget)
    return Wait("budget", free_at, f"all {limit} requests of 5 minutes are spent") if free_at else None
