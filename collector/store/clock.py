"""What a clock that ran ahead has left on record, taken back once the clock is right again.

So the ceiling holds over any real 300 seconds, and a block lasts as long as Radar said, and no longer than a day.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.model import rfc3339, utc
from collector.store import facts
from collector.store.schema import fetches, state

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

AHEAD = timedelta(minutes=1)
"""What is stamped further ahead of the clock than this was written when the clock was wrong."""
LONGEST_BLOCK = timedelta(days=1)
BLOCKED_UNTIL = "blocked_until"
_BLOCKED_AT = "blocked_at"

_STAMPED_AHEAD = fetches.c.finished_at > sa.bindparam("ahead")
_ON_RECORD = sa.select(
    sa.select(sa.func.count()).where(_STAMPED_AHEAD).scalar_subquery(),
    sa.select(state.c.value).where(state.c.key == BLOCKED_UNTIL).scalar_subquery(),
    sa.select(state.c.value).where(state.c.key == _BLOCKED_AT).scalar_subquery(),
)
_RESTAMP = sa.update(fetches).where(_STAMPED_AHEAD).values(finished_at=sa.bindparam("present"))


async def believe(connection: AsyncConnection, now: datetime) -> None:
    """Let what is stamped ahead of *now* count from *now* on; the caller holds the lock BUDGET."""
    stamped, until, since = (await connection.execute(_ON_RECORD, {"ahead": now + AHEAD})).one()
    if stamped:
        await connection.execute(_RESTAMP, {"ahead": now + AHEAD, "present": now})
    if until and (utc(until) > now + LONGEST_BLOCK or (since and utc(since) > now + AHEAD)):
        length = utc(until) - utc(since) if since else LONGEST_BLOCK
        await block(connection, now, now + min(length, LONGEST_BLOCK))


async def block(connection: AsyncConnection, now: datetime, until: datetime) -> None:
    """Write down that nothing may be asked before *until*, and when that was said."""
    await facts.put(connection, BLOCKED_UNTIL, rfc3339(until))
    await facts.put(connection, _BLOCKED_AT, rfc3339(now))
