"""What a chart shows, read from the store; how it is drawn is decided elsewhere."""

from __future__ import annotations

from array import array
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from collector.errors import CollectorError
from collector.model import AggInterval, Window, is_absolute, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.store import Store
    from collector.store.listing import AnnotationRow, SeriesRow

SPAN = {
    AggInterval.FIFTEEN_MINUTES: timedelta(days=7),
    AggInterval.ONE_HOUR: timedelta(days=7),
    AggInterval.ONE_DAY: timedelta(days=90),
    AggInterval.ONE_WEEK: timedelta(weeks=104),
}
"""How much is shown of each interval when nothing else is asked for."""

_EVERY = dict(zip(AggInterval, ("every 15 minutes", "hourly", "daily", "weekly"), strict=True))
_FETCHES_LOOKED_AT = 200
_FAR = 0.8


@dataclass(frozen=True, slots=True)
class Line:
    """One series: *timestamps* in epoch seconds (start of bucket), ascending; *name* is short, beside others."""

    name: str
    timestamps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Remark:
    """An annotation within a chart: *end* is None while it lasts, and equal to *start* for a moment."""

    start: datetime
    end: datetime | None
    event_type: str
    description: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The lines of *profile* over *window*. Buckets that end after *final_until* may still be revised."""

    profile: str
    agg_interval: AggInterval
    unit: str
    window: Window
    lines: tuple[Line, ...]
    remarks: tuple[Remark, ...] = ()
    final_until: datetime | None = None

    @property
    def young_from(self) -> int | None:
        """Start of the first bucket of the window that may still be revised, in epoch seconds; None where none may."""
        if self.final_until is None:
            return None
        first = self.agg_interval.floor(self.final_until)
        shown = max(first, self.window.start)
        return int(shown.timestamp()) if shown < self.window.end else None

    @property
    def from_zero(self) -> bool:
        """Whether the axis should begin at zero: not where all changes would be lost in its upper end."""
        lowest, highest = (extreme(extreme(line.values) for line in self.lines) for extreme in (min, max))
        return lowest >= 0 and lowest <= _FAR * highest and highest > 0

    @property
    def measure(self) -> str:
        """Unit and interval for a person."""
        return f"{self.unit or 'value'}, {_EVERY[self.agg_interval]}"

    @property
    def range_text(self) -> str:
        """The window for a person, in UTC."""
        start, end = self.window.start, self.window.end
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def runs(timestamps: Sequence[int], step: int) -> list[slice]:
    """Cut *timestamps* where a bucket of *step* seconds is missing: a line is drawn through each run alone."""
    cuts = [n for n, (a, b) in enumerate(pairwise(timestamps), start=1) if b - a > step]
    edges = [0, *cuts, len(timestamps)] if timestamps else []
    return [slice(a, b) for a, b in pairwise(edges)]


async def read(store: Store, profile: str, start: datetime | None, end: datetime | None, settle: timedelta) -> Chart:
    """Read the points of *profile* between *start* and *end*, by default the newest; CollectorError where are none.

    *settle* is for how long after a bucket's end its value may be revised, measured from lastUpdated.
    """
    named = await store.of_profile(profile)
    series = [row for row in await store.list_series(profile=named.profile, labels=named.labels) if row.last_point]
    if not series:
        raise CollectorError(f"there are no points of profile {profile!r} yet")
    window = _window(series, start, end)
    lines = await _lines(store, profile, window)
    if not lines:
        first, last = _ends(series)
        raise CollectorError(
            f"no point of profile {profile!r} in {window}; stored are {rfc3339(first)}..{rfc3339(last)}"
        )
    return Chart(
        profile=profile,
        agg_interval=AggInterval(series[0].agg_interval),
        unit=_unit(series),
        window=window,
        lines=lines,
        remarks=tuple(_remark(row) for row in await _annotations(store, window)),
        final_until=await _final_until(store, profile, settle),
    )


def _ends(series: Sequence[SeriesRow]) -> tuple[datetime, datetime]:
    firsts = [row.first_point for row in series if row.first_point]
    lasts = [row.last_point + AggInterval(row.agg_interval).step for row in series if row.last_point]
    return min(firsts), max(lasts)


def _window(series: Sequence[SeriesRow], start: datetime | None, end: datetime | None) -> Window:
    first, last = _ends(series)
    end = end or last
    return Window(start or max(first, end - SPAN[AggInterval(series[0].agg_interval)]), end)


def _unit(series: Sequence[SeriesRow]) -> str:
    """The unit of the series in use; a normalization that makes values comparable with nothing else is named."""
    used = [row for row in series if row.active] or series
    return " / ".join(
        dict.fromkeys(
            row.unit if is_absolute(row.normalization) else f"{row.unit} ({row.normalization})".strip() for row in used
        )
    )


async def _lines(store: Store, profile: str, window: Window) -> tuple[Line, ...]:
    found: dict[str, tuple[array[int], array[float]]] = {}
    async with aclosing(store.export_blocks([profile], window.start, window.end)) as blocks:
        async for name, label, block in blocks:
            timestamps, values = found.setdefault(label.removeprefix(f"{name}/"), (array("q"), array("d")))
            timestamps.extend(timestamp for timestamp, _ in block)
            values.extend(value for _, value in block)
    return tuple(Line(name, *columns) for name, columns in found.items())


async def _annotations(store: Store, window: Window) -> list[AnnotationRow]:
    rows = await store.list_annotations(start=window.start, end=window.end)
    return [row for row in rows if row.withdrawn_at is None]


def _remark(row: AnnotationRow) -> Remark:
    end = row.start_date if row.is_instantaneous else row.end_date
    return Remark(row.start_date, end, row.event_type, row.description)


async def _final_until(store: Store, profile: str, settle: timedelta) -> datetime | None:
    names = [profile, *dict.fromkeys(one.new_profile for one in await store.renamed([profile]))]
    fetches = [row for name in names for row in await store.list_fetches(profile=name, limit=_FETCHES_LOOKED_AT)]
    updated = [fetch.last_updated for fetch in fetches if fetch.last_updated]
    return max(updated) - settle if updated else None
