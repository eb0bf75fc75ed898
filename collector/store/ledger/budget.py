"""The budget of requests: how many are under way or ended within 300 seconds, and until when Radar blocks.

What a clock that ran ahead has left on record is taken back once the clock is right again. So the ceiling holds over
any real 300 seconds, and a block lasts as long as Radar said, and no longer than a day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from collector.model import rfc3339, utc
from collector.store.db import state
from collector.store.db.schema import fetches
from collector.store.db.schema import state as state_table

WINDOW = timedelta(seconds=300)
_UNKNOWN_WAIT = timedelta(seconds=1)
AHEAD = timedelta(minutes=1)
"""What is stamped further ahead of the clock than this was written when the clock was wrong."""
LONGEST_BLOCK = timedelta(days=1)
BLOCKED_UNTIL = "blocked_until"
_BLOCKED_AT = "blocked_at"

# Statements of every request are built once: building one costs several times its execution.
_counted = sa.and_(
    fetches.c.replay_of.is_(None),
    sa.or_(fetches.c.finished_at.is_(None), fetches.c.finished_at > sa.bindparam("since")),
)
_STANDING = sa.select(
    sa.select(sa.func.count()).where(_counted).scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == BLOCKED_UNTIL).scalar_subquery(),
)
_STAMPED_AHEAD = fetches.c.finished_at > sa.bindparam("ahead")
_ON_RECORD = sa.select(
    sa.select(sa.func.count()).where(_STAMPED_AHEAD).scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == BLOCKED_UNTIL).scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == _BLOCKED_AT).scalar_subquery(),
)
_RESTAMP = sa.update(fetches).where(_STAMPED_AHEAD).values(finished_at=sa.bindparam("present"))


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests of *limit* were *used* in the last *window_seconds*."""

    limit: int
    used: int
    blocked_until: datetime | None
    window_seconds: int = int(WINDOW.total_seconds())


def first_free_at(connection: sa.Connection, now: datetime, waiting: int) -> datetime:
    """Say when a place in the budget is free again that *waiting* others do not need first."""
    recent = sa.select(fetches.c.finished_at).where(fetches.c.finished_at > now - WINDOW, fetches.c.replay_of.is_(None))
    oldest = connection.execute(recent.order_by(fetches.c.finished_at).offset(waiting).limit(1))
    freed = oldest.scalar()
    return freed + WINDOW if freed else now + _UNKNOWN_WAIT


def free_at(connection: sa.Connection, now: datetime, standing: Budget) -> datetime | None:
    """Return when a place in a spent budget is free again; None if it is not spent."""
    if standing.used < standing.limit:
        return None
    return first_free_at(connection, now, standing.used - standing.limit)


def budget(connection: sa.Connection, now: datetime, limit: int) -> Budget:
    """Count the requests that are under way or ended less than 300 seconds ago, and read until when Radar blocks."""
    used, text = connection.execute(_STANDING, {"since": now - WINDOW}).one()
    until = min(utc(text), now + LONGEST_BLOCK) if text else now
    return Budget(limit, used, until if until > now else None)


def repair_future_timestamps(connection: sa.Connection, now: datetime) -> None:
    """Let what is stamped ahead of *now* count from *now* on; the caller holds the lock BUDGET."""
    stamped, until, since = connection.execute(_ON_RECORD, {"ahead": now + AHEAD}).one()
    if stamped:
        connection.execute(_RESTAMP, {"ahead": now + AHEAD, "present": now})
    if until and (utc(until) > now + LONGEST_BLOCK or (since and utc(since) > now + AHEAD)):
        length = utc(until) - utc(since) if since else LONGEST_BLOCK
        block(connection, now, now + min(length, LONGEST_BLOCK))


def block(connection: sa.Connection, now: datetime, until: datetime) -> None:
    """Write down that nothing may be asked before *until*, and when that was said."""
    state.put(connection, BLOCKED_UNTIL, rfc3339(until))
    state.put(connection, _BLOCKED_AT, rfc3339(now))
