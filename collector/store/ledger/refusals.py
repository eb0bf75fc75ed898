"""Questions whose answer was refused for its content, and how long none of them is asked again.

A question is a series, or one window of its past. What the newest window of a series is refused for pauses the whole
series: the window is another one each time, so the window cannot be the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.model import Window, from_epoch
from collector.store.db.schema import refusals
from collector.store.db.sql import upsert
from collector.store.ledger.budget import AHEAD

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from collector.model import Question, Slice

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
_FORGOTTEN_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question that was refused: by Radar, or by this program because the answer could not be trusted.

    *digest* names the series as `series.digest` does; *window* is None if all of it is paused. *outcome* is that of the
    request, *failures* how often in a row it was refused, the last time at *refused_at*; it is not asked before
    *again_at*.
    """

    digest: str
    window: Window | None
    outcome: str
    reason: str
    failures: int
    refused_at: datetime
    again_at: datetime

    @property
    def key(self) -> str:
        """The question."""
        return _key(self.digest, self.window)

    def is_of(self, query: Question) -> bool:
        """Tell whether it is *query* that was refused, or a window of it."""
        return self.digest == query.digest

    def pauses(self, now: datetime, *, by_hand: bool = False) -> bool:
        """Tell whether the question must not be asked at *now*; *by_hand*: a person wants it, and waits for it.

        A refusal ahead of the clock was written when the clock was wrong.
        """
        until = min(self.refused_at + FIRST_PAUSE, self.again_at) if by_hand else self.again_at
        return self.refused_at <= now + AHEAD and now < until


def pause(failures: int, step: timedelta) -> timedelta:
    """Tell how long a question that was refused so often in a row is not asked: doubling, at most *step* or an hour."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 10)), step, LONGEST_PAUSE)


def keys_of(piece: Slice, now: datetime) -> tuple[str, ...]:
    """Name the questions that a slice asks: the one to be recorded first, then those that pause it, too."""
    whole = piece.series.digest
    step = piece.series.agg_interval.step
    if piece.window.end + step >= piece.series.agg_interval.floor(now):
        return (whole,)
    return _key(whole, piece.window), whole


def _key(series: str, window: Window | None) -> str:
    return f"{series} {window.start.timestamp():.0f} {window.end.timestamp():.0f}" if window else series


def listed(connection: sa.Connection) -> list[Refusal]:
    """List all questions that were refused when they were asked last, whether they may be asked again or not."""
    rows = connection.execute(sa.select(refusals).order_by(refusals.c.again_at, refusals.c.digest))
    return [_refusal(row) for row in rows]


def _refusal(row: sa.Row[tuple[object, ...]]) -> Refusal:
    series, *ends = row.digest.split(" ")
    window = Window(*(from_epoch(int(end)) for end in ends)) if ends else None
    return Refusal(series, window, row.outcome, row.reason, row.failures, row.refused_at, row.again_at)


def refuse(connection: sa.Connection, piece: Slice, outcome: str, reason: str, now: datetime) -> None:
    """Record that a slice was refused for its content, and pause its question: longer, if it was refused before."""
    key, table = keys_of(piece, now)[0], refusals.c
    before = connection.execute(sa.select(table.failures).where(table.digest == key)).scalar()
    failures = (before or 0) + 1
    row = {
        "outcome": outcome,
        "reason": reason,
        "failures": failures,
        "refused_at": now,
        "again_at": now + pause(failures, piece.series.agg_interval.step),
    }
    insert = upsert(connection, refusals).values(digest=key, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=["digest"], set_=row))
    connection.execute(sa.delete(refusals).where(table.again_at < now - _FORGOTTEN_AFTER))


def answered(connection: sa.Connection, keys: Collection[str]) -> None:
    """Forget the refusals of questions that were answered; nothing where there are none."""
    connection.execute(sa.delete(refusals).where(refusals.c.digest.in_(sorted(keys))))
