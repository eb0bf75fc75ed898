"""Which of two answers about the same thing counts: a pure decision, the same for values, units and annotations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)
"""How long an answer overrules those with an earlier lastUpdated."""


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """When an answer was requested, when it came, both by the store's clock, and its lastUpdated."""

    asked_at: datetime
    came_at: datetime
    last_updated: datetime


def overrules(other: AnswerTime, answer: AnswerTime) -> bool:
    """Tell whether *other* keeps *answer* from changing anything.

    It does with a later lastUpdated, until *answer* was requested more than a day after *other* came: a lastUpdated
    that stays back for longer counts in the end. Of equal ones the answer that was requested later counts.
    """
    if other.last_updated == answer.last_updated:
        return other.asked_at > answer.asked_at
    return other.last_updated > answer.last_updated and answer.asked_at <= other.came_at + DAY
