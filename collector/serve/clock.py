"""What the status says of a clock that differs from Radar's: pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.clock_difference import sentence

if TYPE_CHECKING:
    from datetime import timedelta


def clock_seconds(named: timedelta | None) -> int | None:
    """Return the seconds that our clock is ahead of Radar's, negative behind; None if that is less than a minute."""
    return None if named is None else round(named.total_seconds())


def clock_warnings(named: timedelta | None) -> list[str]:
    """Return a sentence on a clock that differs, if it does."""
    return [] if named is None else [f"clock: {sentence(named)}"]
