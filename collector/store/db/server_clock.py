"""The clock of the database, which counts wherever several machines share a store: their own may differ by minutes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.model import utc_now

if TYPE_CHECKING:
    from collector.store.db.database import Database

_VAGUE = 1.0
"""Seconds that an answer may take and still tell the time well."""


class ServerClock:
    """Gives the present as the database tells it: read now and then, and counted on from there.

    It is counted by the time since the machine was started, which nobody sets and which runs on while it sleeps. The
    error is half the time that an answer takes, which a request to Radar takes longer than. On SQLite it is the
    machine's own clock.
    """

    def __init__(self) -> None:
        self._anchor: tuple[float, datetime] | None = None

    def __call__(self) -> datetime:
        """Tell the present, in UTC."""
        if self._anchor is None:
            return utc_now()
        since, moment = self._anchor
        return moment + timedelta(seconds=_elapsed() - since)

    async def follow(self, database: Database) -> None:
        """Ask the database for the time, unless it is SQLite; an answer that took long counts only as the first."""
        if database.location.path:
            return
        before, moment, after = await database.read_in_thread(_ask)
        if self._anchor is None or after - before < _VAGUE:
            self._anchor = ((before + after) / 2, moment.astimezone(UTC))


def _ask(connection: sa.Connection) -> tuple[float, datetime, float]:
    """Return the database's time between the moments before and after the question."""
    before = _elapsed()
    moment: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return before, moment, _elapsed()


def _elapsed() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
