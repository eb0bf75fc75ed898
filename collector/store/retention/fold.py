"""Fold the coverage of one period after another, in small transactions, so that collecting hardly waits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from collector.store.series import folding

if TYPE_CHECKING:
    from datetime import datetime

    import sqlalchemy as sa

    from collector.store.db.database import Database

_SETS_AT_ONCE = 10


async def fold(database: Database, now: datetime) -> int | None:
    """Fold the first period that is final and not folded. Returns how many answers; None if there is no such period."""

    def read(connection: sa.Connection) -> folding.Period | None:
        return folding.next_period(connection, now)

    period = await database.read_in_thread(read)
    if period is None:
        return None
    count = 0
    for first in range(0, len(period.set_ids), _SETS_AT_ONCE):
        set_ids = period.set_ids[first : first + _SETS_AT_ONCE]
        count += await database.write(partial(folding.fold, period=period, set_ids=set_ids, now=now))
    await database.write(partial(folding.end_period, period=period))
    return count
