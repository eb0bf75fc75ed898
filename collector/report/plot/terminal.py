"""A chart as text, as wide as the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.report.export import LICENCE
from collector.report.plot.chart import number_ticks, tick_text, time_ticks, unbroken_runs
from collector.text import printable
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from collector.report.plot.chart import Chart, ChartAnnotation, ChartLine

_COLOURS = (33, 208, 34, 161, 99, 136, 37, 205, 244, 112, 75, 215, 29, 125, 141, 94, 80, 218, 240, 149)
"""Of the 256 that terminals have; to be told apart on black and on white."""
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKS = _LETTERS + "0123456789βδεζηθλμξπτφχψωΓΔΘΛΞΠΣΦΨΩджзийлцчшщъыэюяБДЖИЙЛЦЧШЩЪЫЭЮЯ"
"""One for each series, to be told apart; no two look alike. Further series are not drawn, which the legend says."""
_TICK_WIDTH = 13
_LINES_PER_NUMBER = 4
_MAX_ANNOTATIONS = 8
_NARROWEST, _LOWEST, _HIGHEST = 40, 12, 40
_LINES_OF_ITS_OWN = 8
_RESET = "\x1b[0m"


class TerminalStyle(NamedTuple):
    """How to draw: *width* and *height* in characters, with *colour* or by letters, on a *log* axis or not."""

    width: int
    height: int
    colour: bool
    log: bool = False


def render(chart: Chart, style: TerminalStyle) -> str:
    """Draw *chart* as lines of text, each ended, that fill a screen as *look* says, or more where needed."""
    style = style._replace(width=max(style.width, _NARROWEST))
    legend = list(_legend(chart, style))
    told = _LINES_OF_ITS_OWN + len(legend) + min(len(chart.annotations), _MAX_ANNOTATIONS)
    axes, left = _axes(chart, style._replace(height=min(max(style.height - told, _LOWEST), _HIGHEST)))
    columns = _Columns(chart, left, style.width)
    title = [printable(f"{chart.profile}: {chart.measure}"), chart.range_text]
    parts = [*title, *axes, *_young(chart, columns), *_annotation_rows(chart, columns), *legend, LICENCE]
    return "".join(f"{part.rstrip()}\n" for part in parts)


def _axes(chart: Chart, style: TerminalStyle) -> tuple[list[str], int]:
    """The lines of the axes, and how many characters stand left of them."""
    import plotext as plt

    plt.clear_figure()
    plt.limit_size(False, False)  # noqa: FBT003 - plotext's way to let us say how large it is
    plt.plotsize(style.width, style.height)
    plt.theme("clear")
    plt.xaxes(True, False)  # noqa: FBT003 - below, not above
    plt.yaxes(True, False)  # noqa: FBT003 - left, not right
    left = _number_axis(plt, chart, style)
    moments = time_ticks(chart.window, (style.width - left) // _TICK_WIDTH)
    plt.xticks([moment.timestamp() for moment, _ in moments], [text for _, text in moments])
    plt.xlim(chart.window.start.timestamp(), chart.window.end.timestamp())
    for number, line in enumerate(chart.lines[: len(_MARKS)]):
        _line(plt, chart, number, line, style)
    drawn = plt.build()
    return (drawn if style.colour else plt.uncolorize(drawn)).rstrip("\n").split("\n"), left


def _number_axis(plt: Any, chart: Chart, style: TerminalStyle) -> int:
    values = [value for line in chart.lines for value in line.values if value > 0 or not style.log]
    lowest, highest = min(values, default=1.0), max(values, default=1.0)
    if style.log:
        powers = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest) + 1e-9) + 1)
        at = {float(power): 10.0**power for power in powers}
    else:
        rounds = number_ticks(0.0 if chart.from_zero else lowest, highest, max(style.height // _LINES_PER_NUMBER, 2))
        at = {value: value for value in rounds}
    texts = [tick_text(value) for value in at.values()]
    plt.yticks(list(at), texts)
    plt.ylim(min(at), max(at))
    return max(map(len, texts)) + 1


def _line(plt: Any, chart: Chart, number: int, line: ChartLine, style: TerminalStyle) -> None:
    """Draw each run by itself, so that a gap stays open."""
    marker = _MARKS[number] if _by_marks(chart, style) else "braille"
    colour = _COLOURS[number % len(_COLOURS)]
    for run in unbroken_runs(line.timestamps, chart.agg_interval.seconds):
        points = thinned(line.timestamps[run], line.values[run], 2 * style.width)
        if style.log:
            points = [(t, math.log10(value)) for t, value in points if value > 0]
        draw = plt.plot if len(points) > 1 else plt.scatter
        draw([t for t, _ in points], [value for _, value in points], marker=marker, color=colour)


def _by_marks(chart: Chart, style: TerminalStyle) -> bool:
    """Tell whether each series is drawn with a mark of its own: without colour, or if there are not enough colours."""
    return len(chart.lines) > (len(_COLOURS) if style.colour else 1)


def thinned(timestamps: Sequence[int], values: Sequence[float], most: int) -> list[tuple[int, float]]:
    """Keep of every few points the lowest and the highest, so that *most* places show what all would."""
    points = list(zip(timestamps, values, strict=True))
    few = math.ceil(len(points) / most)
    if few <= 2:  # noqa: PLR2004 - of two points both are kept
        return points
    blocks = (points[n : n + few] for n in range(0, len(points), few))
    return [each for block in blocks for each in sorted({min(block, key=_value), max(block, key=_value)})]


def _value(point: tuple[int, float]) -> float:
    return point[1]


class _Columns(NamedTuple):
    """Which columns of the text a stretch of time takes."""

    chart: Chart
    left: int
    width: int

    def of(self, start: datetime, end: datetime) -> tuple[int, int]:
        """First column from *start* on, and first one after *end*: at least one."""
        window, room = self.chart.window, self.width - self.left
        a, b = (round((moment - window.start) / window.duration * room) for moment in (start, end))
        first = min(max(a, 0), room - 1)
        return self.left + first, self.left + max(min(b, room), first + 1)


def _young(chart: Chart, columns: _Columns) -> Iterator[str]:
    if chart.not_final_from is not None:
        start, end = columns.of(from_epoch(chart.not_final_from), chart.window.end)
        yield " " * start + "░" * (end - start)
        yield "░ not final yet, may still be revised"


def _annotation_rows(chart: Chart, columns: _Columns) -> Iterator[str]:
    """Where the newest annotations lie, in as few rows as they need, and what they say."""
    shown = list(zip(_LETTERS.upper(), chart.annotations[-_MAX_ANNOTATIONS:], strict=False))
    rows: list[str] = []
    for letter, annotation in shown:
        start, end = columns.of(annotation.start, annotation.end or chart.window.end)
        n = next((n for n, row in enumerate(rows) if len(row) <= start), len(rows))
        rows[n : n + 1] = [(rows[n] if n < len(rows) else "").ljust(start) + letter.ljust(end - start, "─")]
    yield from rows
    for letter, annotation in shown:
        text = printable(f"{letter} {_when(annotation)}  {annotation.event_type}: {annotation.description}")
        yield text if len(text) <= columns.width else f"{text[: columns.width - 1]}…"
    if len(chart.annotations) > len(shown):
        yield f"  and {len(chart.annotations) - len(shown)} older ones: collector annotations"


def _when(annotation: ChartAnnotation) -> str:
    if annotation.end is None:
        return f"since {annotation.start:%Y-%m-%d %H:%M}"
    until = "" if annotation.end == annotation.start else f" to {annotation.end:%Y-%m-%d %H:%M}"
    return f"{annotation.start:%Y-%m-%d %H:%M}{until}"


def _legend(chart: Chart, style: TerminalStyle) -> Iterator[str]:
    if len(chart.lines) == 1:
        return
    shown = chart.lines[: len(_MARKS)]
    names = [printable(f"{line.name}  {tick_text(line.values[-1])}") for line in shown]
    cell = min(max(map(len, names)) + 5, style.width)
    rows = math.ceil(len(names) / max(style.width // cell, 1))
    for row in range(rows):
        keys = ((_key(chart, n, style), names[n]) for n in range(row, len(names), rows))
        yield "".join(key + name[: cell - 4].ljust(cell - 3) for key, name in keys)
    if len(chart.lines) > len(names):
        yield f"the other {len(chart.lines) - len(names)} series are not drawn: there are no more marks for them"


def _key(chart: Chart, number: int, style: TerminalStyle) -> str:
    mark = f"{_MARKS[number]} " if _by_marks(chart, style) else "━━"
    return f"\x1b[38;5;{_COLOURS[number % len(_COLOURS)]}m{mark}{_RESET} " if style.colour else f"{mark} "
