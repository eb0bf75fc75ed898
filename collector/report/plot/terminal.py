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
"""Of the 256 colours of terminals: distinguishable on black and on white."""
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKS = _LETTERS + "0123456789βδεζηθλμξπτφχψωΓΔΘΛΞΠΣΦΨΩджзийлцчшщъыэюяБДЖИЙЛЦЧШЩЪЫЭЮЯ"
"""One mark for each series; no two look alike. More series are not drawn, and the legend says so."""
_TICK_WIDTH = 13
_LINES_PER_NUMBER = 4
_MAX_ANNOTATIONS = 8
_MIN_WIDTH, _MIN_HEIGHT, _MAX_HEIGHT = 40, 12, 40
_OTHER_LINES = 8
_RESET = "\x1b[0m"


class TerminalStyle(NamedTuple):
    """How to draw: *width* and *height* in characters, with *colour* or with marks, on a *log* axis or not."""

    width: int
    height: int
    colour: bool
    log: bool = False


def render(chart: Chart, style: TerminalStyle) -> str:
    """Return *chart* as lines of text. They fill the screen that *style* describes, or more if necessary."""
    style = style._replace(width=max(style.width, _MIN_WIDTH))
    legend = list(_legend(chart, style))
    other_lines = _OTHER_LINES + len(legend) + len(chart.notes) + min(len(chart.annotations), _MAX_ANNOTATIONS)
    axes, left = _axes(chart, style._replace(height=min(max(style.height - other_lines, _MIN_HEIGHT), _MAX_HEIGHT)))
    columns = _Columns(chart, left, style.width)
    title = [printable(f"{chart.profile}: {chart.measure}"), chart.range_text]
    parts = [
        *title,
        *axes,
        *_not_final_rows(chart, columns),
        *_annotation_rows(chart, columns),
        *legend,
        *chart.notes,
        LICENCE,
    ]
    return "".join(f"{part.rstrip()}\n" for part in parts)


def _axes(chart: Chart, style: TerminalStyle) -> tuple[list[str], int]:
    """Return the lines of the axes, and the number of characters to the left of the axes."""
    import plotext as plt

    plt.clear_figure()
    plt.limit_size(False, False)  # noqa: FBT003 - because it would limit the size to the terminal's
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
    """Draw each run of buckets by itself, so that no line crosses a gap."""
    marker = _MARKS[number] if _by_marks(chart, style) else "braille"
    colour = _COLOURS[number % len(_COLOURS)]
    for run in unbroken_runs(line.timestamps, chart.step):
        points = downsample(line.timestamps[run], line.values[run], 2 * style.width)
        if style.log:
            points = [(t, math.log10(value)) for t, value in points if value > 0]
        draw = plt.plot if len(points) > 1 else plt.scatter
        draw([t for t, _ in points], [value for _, value in points], marker=marker, color=colour)


def _by_marks(chart: Chart, style: TerminalStyle) -> bool:
    """Return whether each series is drawn with its own mark: without colour, or if there are too few colours."""
    return len(chart.lines) > (len(_COLOURS) if style.colour else 1)


def downsample(timestamps: Sequence[int], values: Sequence[float], columns: int) -> list[tuple[int, float]]:
    """Return the lowest and the highest of every few points: in *columns* the line looks as with all points."""
    points = list(zip(timestamps, values, strict=True))
    size = math.ceil(len(points) / columns)
    if size <= 2:  # noqa: PLR2004 - of two points both are kept
        return points
    blocks = (points[n : n + size] for n in range(0, len(points), size))
    return [point for block in blocks for point in sorted({min(block, key=_value), max(block, key=_value)})]


def _value(point: tuple[int, float]) -> float:
    return point[1]


class _Columns(NamedTuple):
    """The columns of text that belong to a window of time."""

    chart: Chart
    left: int
    width: int

    def of(self, start: datetime, end: datetime) -> tuple[int, int]:
        """Return the first column of *start*, and the one after the last column of *end*: at least one column."""
        window, room = self.chart.window, self.width - self.left
        a, b = (round((moment - window.start) / window.duration * room) for moment in (start, end))
        first = min(max(a, 0), room - 1)
        return self.left + first, self.left + max(min(b, room), first + 1)


def _not_final_rows(chart: Chart, columns: _Columns) -> Iterator[str]:
    if chart.not_final_from is not None:
        start, end = columns.of(from_epoch(chart.not_final_from), chart.window.end)
        yield " " * start + "░" * (end - start)
        yield "░ not final yet, may still be revised"


def _annotation_rows(chart: Chart, columns: _Columns) -> Iterator[str]:
    """Yield rows that show where the newest annotations are, as few as possible, and then their texts."""
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
        yield f"the other {len(chart.lines) - len(names)} series are not drawn, because there are no more marks"


def _key(chart: Chart, number: int, style: TerminalStyle) -> str:
    mark = f"{_MARKS[number]} " if _by_marks(chart, style) else "━━"
    return f"\x1b[38;5;{_COLOURS[number % len(_COLOURS)]}m{mark}{_RESET} " if style.colour else f"{mark} "
