"""What a chart shows, read from the store, and the ticks of its axes. `terminal` and `image` draw it."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from collector.analysis.periods import Per
from collector.analysis.words import Words
from collector.errors import CollectorError
from collector.interval import DEFAULT_ORIGIN, AggInterval, grid_of
from collector.model import Normalization, Question, Window, is_absolute, spelling_free
from collector.report.gaps import why_any_outside, why_no_snapshot
from collector.report.marks import read_marks
from collector.report.plot.derived import measure_text, read_derived
from collector.store import PointQuery
from collector.timestamps import from_epoch, rfc3339
from collector.windows import hull

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.analysis.marks import Mark
    from collector.store import Store
    from collector.store.read.listing import AnnotationRow, SeriesRow

_FETCHES_READ = 200
_MAX_LOWEST = 0.8
"""The axis begins at zero if the lowest value is at most this part of the highest."""


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One series: *timestamps* in epoch seconds (start of bucket), ascending. *name* is short, for the legend."""

    name: str
    timestamps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class ChartAnnotation:
    """An annotation within a chart: *end* is None while it lasts, and equal to *start* for a moment."""

    start: datetime
    end: datetime | None
    event_type: str
    description: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The lines of *profile* over *window*. Buckets that end after *final_until* may still be revised.

    Derived values have a *shown* text for a person, and *longest*: the seconds of the longest period.
    *notes* are sentences about them.
    """

    profile: str
    agg_interval: AggInterval
    unit: str
    window: Window
    lines: tuple[ChartLine, ...]
    annotations: tuple[ChartAnnotation, ...] = ()
    final_until: datetime | None = None
    shown: str = ""
    longest: int = 0
    notes: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        """The greatest distance in seconds between neighbours without a gap."""
        return self.longest or self.agg_interval.seconds

    @property
    def not_final_from(self) -> int | None:
        """The start of the first bucket of the window that may still be revised, in epoch seconds; None if none may."""
        if self.final_until is None:
            return None
        bucket = next((from_epoch(line.timestamps[0]) for line in self.lines if line.timestamps), DEFAULT_ORIGIN)
        first = max(grid_of(self.agg_interval, bucket).floor(self.final_until), self.window.start)
        return int(first.timestamp()) if first < self.window.end else None

    @property
    def from_zero(self) -> bool:
        """Whether the axis should begin at zero. If not, the changes would be too small to see."""
        lowest, highest = (extreme(extreme(line.values) for line in self.lines) for extreme in (min, max))
        return lowest >= 0 and lowest <= _MAX_LOWEST * highest and highest > 0

    @property
    def measure(self) -> str:
        """Unit and interval for a person."""
        return self.shown or f"{self.unit or 'value'}, {self.agg_interval.properties.adverb}"

    @property
    def range_text(self) -> str:
        """The window for a person, in UTC."""
        start, end = self.window.start, self.window.end
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def unbroken_runs(timestamps: Sequence[int], step: int) -> list[slice]:
    """Cut *timestamps* where a bucket of *step* seconds is missing, because no line is drawn over a gap."""
    cuts = [n for n, (a, b) in enumerate(pairwise(timestamps), start=1) if b - a > step]
    edges = [0, *cuts, len(timestamps)] if timestamps else []
    return [slice(a, b) for a, b in pairwise(edges)]


@dataclass(frozen=True, slots=True)
class ChartOptions:
    """What a chart shows: values derived by *words*, those known at *as_of*, with *policy* also the shipped marks.

    *series* are the labels that are drawn; none means all.
    """

    words: Words = field(default_factory=Words)
    as_of: datetime | None = None
    policy: bool = False
    series: tuple[str, ...] = ()


_PLAIN = ChartOptions()


async def read_chart(  # noqa: PLR0913, PLR0917 - what a chart is bounded by
    store: Store,
    profile: str,
    start: datetime | None,
    end: datetime | None,
    settle: timedelta,
    options: ChartOptions = _PLAIN,
) -> Chart:
    """Read the points of *profile* between *start* and *end*, by default the newest.

    *settle* is for how long after a bucket's end its value may be revised, measured from lastUpdated. Raises
    CollectorError if there are no points, or if the range lies outside of a snapshot.
    """
    selection = await store.of_profile(profile)
    rows = await store.list_series(profile=selection.profile, labels=selection.labels)
    if options.series:
        chosen = await store.selected(PointQuery(profiles=(profile,), series=options.series))
        labels = {series.label for series in chosen}
        rows = [row for row in rows if row.label in labels]
    queries = [_query(row) for row in rows]
    stored = [*(await store.extents(queries)).values()]
    if not stored:
        raise CollectorError(f"there are no points of profile {profile!r} yet")
    agg_interval = queries[0].agg_interval
    await _check_snapshots(store, PointQuery(profiles=(profile,), series=options.series), start, end)
    extent = hull(stored)
    span = extent.duration if options.words.per else agg_interval.properties.chart
    window = _window(profile, extent, start, end, span)
    annotations = [_chart_annotation(row) for row in await _annotations(store, window)]
    annotations += [_chart_mark(mark) for mark in await read_marks(store, *window, policy=options.policy)]
    final_until = await _final_until(store, profile, settle)
    if options.words:
        chart = Chart(profile, agg_interval, rows[0].unit, window, (), tuple(annotations), final_until)
        return await _derived(store, chart, options)
    lines = await _lines(store, profile, window, options)
    if not lines:
        query = PointQuery(profiles=(profile,), series=options.series, as_of=options.as_of)
        replaced = await store.with_read_view(lambda view: why_no_snapshot(view, view.selected(query), options.as_of))
        reason = replaced or [f"no point of profile {profile!r} in {window}; stored are {extent}"]
        raise CollectorError("; ".join(reason))
    return Chart(
        profile=profile,
        agg_interval=agg_interval,
        unit=" / ".join(dict.fromkeys(unit for unit, _ in lines)),
        window=window,
        lines=tuple(line for _, line in lines),
        annotations=tuple(annotations),
        final_until=final_until,
    )


async def _derived(store: Store, chart: Chart, options: ChartOptions) -> Chart:
    """Return the chart with lines of derived values. Raises CollectorError if there are none."""
    words, (start, end) = options.words, chart.window
    shown = measure_text(words, chart.unit, chart.agg_interval.properties.adverb, chart.profile)
    chosen = PointQuery(profiles=(chart.profile,), series=options.series, start=start, end=end, as_of=options.as_of)
    drawn, notes = await store.with_read_view(lambda view: read_derived(view, chosen, words))
    if not drawn:
        raise CollectorError("; ".join([f"nothing to draw of profile {chart.profile!r} in {chart.window}", *notes]))
    lines = tuple(ChartLine(*each) for each in drawn)
    longest = _LONGEST.get(words.per, 0) if words.per else 0
    return replace(chart, lines=lines, shown=shown, longest=longest, notes=tuple(notes))


_LONGEST = {
    Per.HOUR: 3_600,
    Per.DAY: 86_400,
    Per.WEEK: 7 * 86_400,
    Per.MONTH: 31 * 86_400,
    Per.QUARTER: 92 * 86_400,
    Per.YEAR: 366 * 86_400,
}
"""The longest period in seconds."""


def _window(profile: str, extent: Window, start: datetime | None, end: datetime | None, span: timedelta) -> Window:
    """Return the window to show, by default the last *span* of *extent*. Raises CollectorError if nothing is stored."""
    if start is not None and start >= extent.end:
        raise CollectorError(f"no point of profile {profile!r} from {rfc3339(start)} on; stored are {extent}")
    if end is not None and end <= extent.start:
        raise CollectorError(f"no point of profile {profile!r} before {rfc3339(end)}; stored are {extent}")
    until = end or extent.end
    return Window(start or max(extent.start, until - span), until)


async def _check_snapshots(store: Store, chosen: PointQuery, start: datetime | None, end: datetime | None) -> None:
    selected = await store.selected(chosen)
    if reason := why_any_outside(selected, start, end, store.clock()):
        raise CollectorError(reason)


async def _lines(store: Store, profile: str, window: Window, options: ChartOptions) -> list[tuple[str, ChartLine]]:
    """Read (unit, line) of each label. If its unit changes in the window, it has one line for each unit."""
    columns: dict[tuple[str, str], tuple[str, array[int], array[float]]] = {}
    bounds = window.start, window.end, options.as_of
    async with aclosing(store.export_blocks([profile], *bounds, series=options.series)) as blocks:
        async for block in blocks:
            unit = _measure(block.unit, block.normalization)
            empty = (unit, array("q"), array("d"))
            name = block.label.removeprefix(f"{block.profile}/")
            _, timestamps, values = columns.setdefault((name, spelling_free(unit)), empty)
            timestamps.extend(timestamp for timestamp, _ in block.points)
            values.extend(value for _, value in block.points)
    units = Counter(name for name, _ in columns)
    return [
        (unit, ChartLine(f"{name} ({unit})" if units[name] > 1 else name, timestamps, values))
        for (name, _), (unit, timestamps, values) in columns.items()
    ]


def _query(row: SeriesRow) -> Question:
    filters = {name: tuple(values) for name, values in row.filters.items()}
    asked = row.normalization if row.dimension and row.normalization == Normalization.PERCENTAGE else ""
    return Question(AggInterval(row.agg_interval), filters, row.dataset, row.dimension, row.group, asked)


def _measure(unit: str, normalization: str) -> str:
    """Return the unit, with its normalization if the values cannot be compared with others."""
    return unit if is_absolute(normalization) else f"{unit} ({normalization})".strip()


async def _annotations(store: Store, window: Window) -> list[AnnotationRow]:
    rows = await store.list_annotations(start=window.start, end=window.end)
    return [row for row in rows if row.withdrawn_at is None]


def _chart_annotation(row: AnnotationRow) -> ChartAnnotation:
    end = row.start_date if row.is_instantaneous else row.end_date
    return ChartAnnotation(row.start_date, end, row.event_type or "", row.description or "")


def _chart_mark(mark: Mark) -> ChartAnnotation:
    return ChartAnnotation(mark.start, mark.end or mark.start, "POLICY" if mark.policy else "MARK", mark.text)


async def _final_until(store: Store, profile: str, settle: timedelta) -> datetime | None:
    names = [profile, *dict.fromkeys(label.new_profile for label in await store.renamed([profile]))]
    fetches = [row for name in names for row in await store.list_fetches(profile=name, limit=_FETCHES_READ)]
    updated = [fetch.last_updated for fetch in fetches if fetch.last_updated]
    return max(updated) - settle if updated else None


_STEPS = tuple(timedelta(minutes=m) for m in (15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160))
_MONTHS = (1, 2, 3, 6, 12)
_DAY = timedelta(days=1)


def time_ticks(window: Window, max_ticks: int) -> list[tuple[datetime, str]]:
    """Return at most *max_ticks* round moments of *window*, with their texts."""
    for step in _STEPS:
        if window.duration / step <= max_ticks:
            return [(moment, _text(moment, step)) for moment in _every(window, step)]
    for months in _MONTHS:
        starts = [moment for moment in _month_starts(window) if (moment.month - 1) % months == 0]
        if len(starts) <= max_ticks:
            return [(moment, f"{moment:%Y-%m}") for moment in starts]
    years = [moment for moment in _month_starts(window) if moment.month == 1]
    return [(moment, f"{moment:%Y}") for moment in years[:: math.ceil(len(years) / max_ticks)]]


def _every(window: Window, step: timedelta) -> Iterator[datetime]:
    monday = datetime(1970, 1, 5, tzinfo=window.start.tzinfo)
    moment = window.start + (monday - window.start) % step
    while moment < window.end:
        yield moment
        moment += step


def _month_starts(window: Window) -> Iterator[datetime]:
    """Yield the starts of the months in *window*."""
    moment = window.start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while moment < window.end:
        if moment >= window.start:
            yield moment
        moment = (moment + 32 * _DAY).replace(day=1)


def _text(moment: datetime, step: timedelta) -> str:
    if step >= _DAY:
        return f"{moment:%a %m-%d}" if step < 7 * _DAY else f"{moment:%m-%d}"
    return f"{moment:%H:%M}" if moment.hour or moment.minute else f"{moment:%m-%d}"


def number_ticks(lowest: float, highest: float, max_ticks: int) -> list[float]:
    """Return about *max_ticks* round numbers at most, from *lowest* or less to *highest* or more."""
    span = highest - lowest or abs(highest) or 1.0
    raw = span / max_ticks
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.floor(lowest / step + 1e-9)
    count = math.ceil((max(highest, lowest) - first * step) / step - 1e-9)
    return [(first + n) * step for n in range(max(count, 1) + 1)]


def tick_text(value: float) -> str:
    """Return *value* as a short text: `0`, `950`, `1.25M`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"
