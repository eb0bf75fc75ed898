"""How many groups a request may ask for: what Radar has accepted and rejected of `limitPerGroup`. Pure functions.

The largest number is not published. The first request asks for many, and each rejection lowers it to a usual number.
Later a number between is tried now and then, because the limit may have been raised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from collector.collect.planning.request_limits import climb_pause
from collector.datasets import dataset_of
from collector.model import Batch, Slice
from collector.radar.response_groups import MOST_GROUPS
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collector.model import Question

USUAL = (100, 50, 20, 10, 5, 2)
"""The numbers to try after a larger one was rejected. If none is accepted, the number is left out."""
_NEAR = 1.2
NAME = "limitPerGroup"


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """The largest number of groups that was *accepted*, and the smallest that was *rejected*, 0 if none was.

    From *again_at* on, a number between is tried; *climbs* counts how often in a row that was rejected.
    """

    accepted: int = 0
    rejected: int = 0
    climbs: int = 0
    again_at: datetime | None = None

    def number(self, wanted: int, now: datetime) -> int:
        """Return how many groups to ask for if *wanted* are, 0 being all; 0 to leave the number out."""
        wanted = wanted or MOST_GROUPS
        if not self.rejected or wanted < self.rejected:
            return wanted
        usual = next((number for number in USUAL if number < self.rejected), 0)
        known = min(max(usual, self.accepted), wanted)
        is_due = self.accepted and self.again_at is not None and now >= self.again_at
        middle = min(int((self.accepted * self.rejected) ** 0.5), wanted)
        return middle if is_due and middle > known * _NEAR else known


def accepted(limit: GroupLimit, number: int) -> GroupLimit:
    """Learn that a request for so many groups was answered."""
    if number <= limit.accepted:
        return limit
    if limit.rejected and number >= limit.rejected:
        return GroupLimit(number)
    return replace(limit, accepted=number)


def rejected(limit: GroupLimit, number: int, now: datetime) -> GroupLimit:
    """Learn that so many groups are too many. A smaller number must have been accepted at about the same time."""
    if limit.rejected and number > limit.rejected:
        return limit
    climbs = limit.climbs + (limit.again_at is not None and now >= limit.again_at)
    known = limit.accepted if limit.accepted < number else 0
    return GroupLimit(known, number, climbs, now + climb_pause(climbs))


def limits_groups(query: Question) -> bool:
    """Return whether a request for *query* takes a number of groups."""
    if not query.has_groups:
        return False
    return dataset_of(query).dimensions[query.dimension].has_many_groups


def asking_for(batch: Batch, number: int) -> Batch:
    """Return *batch* with the *number* of groups to ask for."""
    return Batch(tuple(Slice(replace(s.series, most_groups=number), s.window) for s in batch.slices))


def dump(limit: GroupLimit) -> str:
    """Write the record."""
    again_at = rfc3339(limit.again_at) if limit.again_at else None
    return json.dumps(
        {"accepted": limit.accepted, "rejected": limit.rejected, "climbs": limit.climbs, "again_at": again_at}
    )


def load(text: str) -> GroupLimit:
    """Read a record."""
    record = json.loads(text)
    moment = record["again_at"]
    again_at = datetime.fromisoformat(moment).astimezone(UTC) if moment else None
    return GroupLimit(record["accepted"], record["rejected"], record["climbs"], again_at)
