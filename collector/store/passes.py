"""How the passes that take snapshots fared, by profile: it must outlive the process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from collector.model import rfc3339, utc

_FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
"""So long at most a pass of several requests that failed is not repeated."""


def record_key(profile: str) -> str:
    """Name the fact that holds the record of *profile*."""
    return f"snapshot:{profile}"


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What is remembered of the passes that take the snapshots of a profile.

    *daily*: one takes several requests. *failures* in a row, the *reason* of the last one, and when to try again.
    """

    daily: bool = False
    failures: int = 0
    reason: str = ""
    again_at: datetime | None = None

    def after(self, reason: str | None, now: datetime, *, daily: bool) -> PassRecord:
        """How it stands after a pass; one of several requests that failed is not repeated before a growing pause."""
        if reason is None:
            return PassRecord(daily)
        failures = self.failures + 1
        pause = min(_FIRST_PAUSE * (1 << min(failures - 1, 10)), LONGEST_PAUSE) if daily else timedelta(0)
        return PassRecord(daily, failures, reason, now + pause)


def dump_record(record: PassRecord) -> str:
    """Write a record as JSON."""
    again_at = rfc3339(record.again_at) if record.again_at else None
    return json.dumps(
        {"daily": record.daily, "failures": record.failures, "reason": record.reason, "again_at": again_at}
    )


def load_record(text: str | None) -> PassRecord:
    """Read what `dump` wrote; without it, a record of nothing."""
    if not text:
        return PassRecord()
    document = json.loads(text)
    again_at = document["again_at"]
    return PassRecord(document["daily"], document["failures"], document["reason"], utc(again_at) if again_at else None)
