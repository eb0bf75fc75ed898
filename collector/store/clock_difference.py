"""The difference between our clock and Radar's, on record: a restart knows it, and so does a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.clock_difference import ClockDifference, load
from collector.store import facts

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_KEY = "clock_difference"


async def read_clock_difference(connection: AsyncConnection) -> ClockDifference:
    """Return what is on record."""
    return load(await facts.get(connection, _KEY))


async def write_clock_difference(connection: AsyncConnection, difference: ClockDifference) -> None:
    """Put *difference* on record in the place of what is there."""
    await facts.put(connection, _KEY, difference.dump())
