"""Pure rules: when all requests to Radar stop, and which single request finds out whether they may go on.

Circuit breaker. After BREAKER_THRESHOLD requests in a row without an answer it opens. Then one request per
PROBE_INTERVAL is sent, the probe, by all processes together. The first answer closes it.

Credential probation. New credentials are sent by one request alone until Radar has accepted them. Credentials that
Radar has rejected are sent again by one request after REJECTION_PAUSE, because other credentials are tried at once.
A 403 may concern its path alone. So after the first one, a request to another path is sent at once, and the paths take
turns after that. If another path is accepted, the refused ones pause alone.

The functions decide by the outcomes of requests on record. `store/ledger/upstream.py` reads and writes these.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

BREAKER_THRESHOLD = 12
"""Three batches of four attempts, so that one failing part of Radar does not stop the requests to all of it."""
PROBE_INTERVAL = timedelta(minutes=1)
REJECTION_PAUSE = timedelta(minutes=5)
_FIRST_PROBE_TIMEOUT = timedelta(seconds=10)
"""How long the first request with new credentials is waited for, because its process may have died."""
_POLL_INTERVAL = timedelta(seconds=1)
"""How often a caller looks whether the probe has ended."""
_PROBE_OVERDUE = timedelta(minutes=5)
_NEUTRAL = ("unavailable", "rate_limited", "misdirected", "interrupted", "forbidden")
"""Outcomes that do not show whether Radar accepts the credentials."""


class FetchOutcome(NamedTuple):
    """When a request was put on record and ended, and its outcome on record; `started` while it is under way."""

    started_at: datetime
    finished_at: datetime | None
    outcome: str
    message: str | None = None
    status: int | None = None
    code: int | None = None

    @property
    def sent_at(self) -> datetime:
        """When the request was sent. *finished_at* corrects a start that a fast clock has written."""
        return min(self.started_at, self.finished_at or self.started_at)


class Wait(NamedTuple):
    """No request may be sent before *until*.

    *reason*: the `budget` is spent, Radar has `blocked` this account, is `silent`, or rejected the `credentials`. For
    the last two *cause* is the request that failed; None while a probe is under way.
    """

    until: datetime
    reason: str
    cause: FetchOutcome | None = None


class Throttle(NamedTuple):
    """At most *allowed* requests may be sent now; the others *wait*."""

    allowed: int
    wait: Wait


class UpstreamHealth(NamedTuple):
    """The *state* of Radar: `ok`, `silent` or `unauthorized`; the error text of the last failure; the next probe."""

    state: str
    reason: str | None = None
    probe_at: datetime | None = None

    def waiting_until(self, now: datetime) -> datetime | None:
        """Return until when no request is sent; None if Radar is ok, or if no process sends the probe that is due.

        While the probe is due or under way, callers look every second.
        """
        if self.probe_at is None or now - self.probe_at > _PROBE_OVERDUE:
            return None
        return max(self.probe_at, now + _POLL_INTERVAL)


def upstream_health(
    newest: FetchOutcome | None, newest_ended: FetchOutcome | None, *, is_open: bool, now: datetime
) -> UpstreamHealth:
    """Return the state of Radar by the *newest* request and the *newest_ended*; *is_open* is the breaker's state."""
    if newest and newest_ended and is_open:
        return UpstreamHealth("silent", newest_ended.message, _probe_at(newest, now))
    if newest_ended and newest_ended.outcome == "unauthorized":
        return UpstreamHealth("unauthorized", newest_ended.message, _credentials_probe_at(newest_ended, now))
    return UpstreamHealth("ok")


def circuit_throttle(newest: FetchOutcome, now: datetime) -> Throttle:
    """Return the throttle of an open circuit breaker by the *newest* request: one probe per PROBE_INTERVAL.

    All other callers wait until the probe has ended.
    """
    probe_at = _probe_at(newest, now)
    if probe_at <= now:
        return Throttle(1, Wait(now + _POLL_INTERVAL, "silent"))
    if newest.outcome == "started":
        return Throttle(0, Wait(min(probe_at, now + _POLL_INTERVAL), "silent"))
    return Throttle(0, Wait(probe_at, "silent", newest))


def credentials_throttle(
    rejected: FetchOutcome | None, probe: FetchOutcome | None, now: datetime, *, at_once: bool = False, turn: int = 0
) -> Throttle | None:
    """Return the throttle of credentials that Radar has not accepted; None if all requests may be sent.

    *rejected* is the request that Radar rejected last, *probe* the newest one that was sent since. With *at_once* the
    next probe need not wait for the end of the pause. *turn* counts the paths whose turn comes before: it waits a
    minute more for each of them.
    """
    wait = Wait(now + _POLL_INTERVAL, "credentials")
    if probe and probe.outcome == "started":
        timeout = PROBE_INTERVAL if rejected else _FIRST_PROBE_TIMEOUT
        return Throttle(1 if probe.started_at + timeout <= now else 0, wait)
    if probe and shows_acceptance(probe):
        return None
    if rejected is None or at_once:
        return Throttle(1, wait)
    probe_at = _credentials_probe_at(rejected, now) + turn * PROBE_INTERVAL
    return Throttle(1, wait) if probe_at <= now else Throttle(0, Wait(probe_at, "credentials", rejected))


def rejection_reason(rejected: FetchOutcome | None, probe: FetchOutcome | None) -> str | None:
    """Return Radar's error text for credentials that it rejects; None if it accepts them or was not asked."""
    return rejected.message if rejected and not (probe and shows_acceptance(probe)) else None


def shows_acceptance(probe: FetchOutcome) -> bool:
    """Return whether Radar has accepted the credentials of *probe*, whatever it said about its content."""
    return probe.outcome not in (*_NEUTRAL, "started", "unauthorized")


def _probe_at(newest: FetchOutcome, now: datetime) -> datetime:
    return min(newest.sent_at, now) + PROBE_INTERVAL  # because a fast clock may have written the start


def _credentials_probe_at(rejected: FetchOutcome, now: datetime) -> datetime:
    return min(rejected.finished_at or now, now) + REJECTION_PAUSE
