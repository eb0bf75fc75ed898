"""Where the axes of a chart in the terminal carry numbers, and which."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.model import Window

_STEPS = tuple(timedelta(minutes=m) for m in (15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160))
_MONTHS = (1, 2, 3, 6, 12)
_DAY = timedelta(days=1)


def times(window: Window, most: int) -> list[tuple[datetime, str]]:
    """At most *most* round moments of *window*, with their texts."""
    for step in _STEPS:
        if window.duration / step <= most:
            return [(moment, _text(moment, step)) for moment in _every(window, step)]
    for months in _MONTHS:
        found = [moment for moment in _firsts(window) if (moment.month - 1) % months == 0]
        if len(found) <= most:
            return [(moment, f"{moment:%Y-%m}") for moment in found]
    years = [moment for moment in _firsts(window) if moment.month == 1]
    return [(moment, f"{moment:%Y}") for moment in years[:: math.ceil(len(years) / most)]]


def _every(window: Window, step: timedelta) -> Iterator[datetime]:
    monday = datetime(1970, 1, 5, tzinfo=window.start.tzinfo)
    moment = window.start + (monday - window.start) % step
    while moment < window.end:
        yield moment
        moment += step


def _firsts(window: Window) -> Iterator[datetime]:
    """The first of every month."""
    moment = window.start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while moment < window.end:
        if moment >= window.start:
            yield moment
        moment = (moment + 32 * _DAY).replace(day=1)


def _text(moment: datetime, step: timedelta) -> str:
    if step >= _DAY:
        return f"{moment:%a %m-%d}" if step < 7 * _DAY else f"{moment:%m-%d}"
    return f"{moment:%H:%M}" if moment.hour or moment.minute else f"{moment:%m-%d}"


def numbers(lowest: float, highest: float, most: int) -> list[float]:
    """At most about *most* round numbers that reach from *lowest* or less to *highest* or more."""
    span = highest - lowest or abs(highest) or 1.0
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.floor(lowest / step + 1e-9)
    count = math.ceil((max(highest, lowest) - first * step) / step - 1e-9)
    return [(first + n) * step for n in range(max(count, 1) + 1)]


def number(value: float) -> str:
    """Write *value* short: `0`, `950`, `1.25M`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"
