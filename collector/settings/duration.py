"""Durations as the operator writes them: a whole number and a unit, `30s` `15m` `2h` `14d` `1w`."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse(text: str) -> timedelta:
    """Read a duration; ValueError, with what is allowed, for anything else."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("not a duration")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def write(duration: timedelta) -> str:
    """Write a duration of whole seconds in the largest unit up to days that divides it: `14d`, `90s`, `0s`."""
    seconds = int(duration.total_seconds())
    unit = next((unit for unit in "dhm" if seconds and seconds % _SECONDS[unit] == 0), "s")
    return f"{seconds // _SECONDS[unit]}{unit}"


def between(value: object, least: timedelta, most: timedelta) -> timedelta:
    """Read a duration from text (or take one as it is) and hold it to the bounds; ValueError outside of them."""
    if not isinstance(value, str | timedelta):
        raise ValueError("not a duration in quotes")  # noqa: TRY004 - pydantic passes ValueError on, not TypeError
    duration = value if isinstance(value, timedelta) else parse(value)
    if duration < least:
        raise ValueError("too short")
    if duration > most:
        raise ValueError("too long")
    return duration
