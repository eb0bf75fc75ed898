"""Readiness that tells the truth: ready means a success lately, not the absence of errors."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from collector.model import rfc3339

GRACE = timedelta(minutes=2)
"""How long a due profile may take before it counts as late."""


def owed(due: datetime, step: timedelta, now: datetime) -> datetime:
    """Give the newest due moment whose grace is over: while that of *due* lasts, it is the one a *step* before.

    Else a profile that fails for hours would be ready for two minutes after every due moment.
    """
    return due if now - due >= GRACE else due - step


class Freshness(Protocol):
    """How one profile fares, as far as readiness asks."""

    @property
    def success(self) -> datetime | None:
        """When a pass last left nothing missing."""

    @property
    def reason(self) -> str | None:
        """Why the last pass failed, if it did."""


def late(freshness: Freshness, due: datetime, attended_since: datetime, now: datetime) -> str | None:
    """Say why a profile is late that has owed a success since *due*, see `owed`; None where it is fresh.

    The grace counts from the due moment, or from *attended_since*, when the service started to look after it.
    """
    if freshness.success is not None and due <= freshness.success <= now:  # later than now is another clock's word
        return None
    if now - (max(due, attended_since) if attended_since <= now else due) < GRACE:
        return None
    last = rfc3339(freshness.success.replace(microsecond=0)) if freshness.success else "never"
    return f"due since {rfc3339(due)}, last success {last}" + (f": {freshness.reason}" if freshness.reason else "")
