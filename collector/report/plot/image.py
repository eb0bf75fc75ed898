"""A chart as a picture. Matplotlib draws it without a display and without its global state.

Each annotation is a labelled bar above the chart, and a pale band through it.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, replace
from datetime import UTC
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from collector.errors import UsageError
from collector.report.export import LICENCE, how_to_install
from collector.report.plot.chart import unbroken_runs
from collector.text import printable
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from collector.model import Window
    from collector.report.plot.chart import Chart, ChartAnnotation, ChartLine

KINDS = ("png", "svg")
_INCHES = (12.0, 6.2)
_DOTS_PER_INCH = 150
_LANE_INCHES = 0.18
_POINTS_PER_INCH = 72
_SHARE, _SHARE_BESIDE_LEGEND = 0.9, 0.72
"""The part of the picture's width for the axes, without and with a legend."""
_COLOURS = (
    "#0b6fc2", "#e2711d", "#2f9e44", "#c2255c", "#7048b6", "#0c8599", "#946c00", "#e64980", "#4d5c6b", "#74b816",
)  # fmt: skip
_STYLES: tuple[Any, ...] = ("solid", (0, (4, 1.2)), (0, (1.2, 1.0)), (0, (6, 1.2, 1.2, 1.2)))
_INK, _GREY, _FAINT = "#1c2530", "#66707c", "#d9dee4"
_MAX_IN_LEGEND = 40
_MAX_NAME_LENGTH = 34
_MAX_HOLLOW_DOTS = 120
_TICKS = ["%Y", "%b", "%a %d", "%H:%M", "%H:%M", "%H:%M"]
_DATES = ["", "%Y", "%b %Y", "%d %b %Y", "%d %b %Y", "%d %b %Y"]
_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "svg.hashsalt": "collector",
    "hatch.linewidth": 0.7,
}


def render(chart: Chart, kind: str, *, log: bool = False) -> bytes:
    """Return *chart* as `png` or `svg`, with *log* on a logarithmic axis. Raises UsageError without matplotlib."""
    if find_spec("matplotlib") is None:
        how = how_to_install("matplotlib", "plot")
        raise UsageError(f"a picture needs matplotlib, which is not installed; {how}")
    from matplotlib.figure import Figure

    with _styled():
        figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
        _draw(figure, chart, log=log)
        buffer = io.BytesIO()
        about = {"Title": _title(chart), ("Copyright" if kind == "png" else "Rights"): LICENCE}
        figure.savefig(buffer, format=kind, metadata=about | ({"Date": None} if kind == "svg" else {}))
    return buffer.getvalue()


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # it draws a box instead, which is enough
        yield


def _draw(figure: Any, chart: Chart, *, log: bool) -> None:
    log = log and any(value > 0 for line in chart.lines for value in line.values)
    figure.get_layout_engine().set(rect=(0.012, 0.015, 0.976, 0.965), h_pad=0.02, w_pad=0.02)
    width = _INCHES[0] * _POINTS_PER_INCH * (_SHARE_BESIDE_LEGEND if len(chart.lines) > 1 else _SHARE)
    lanes = arrange(chart.annotations, chart.window, width)
    height = _LANE_INCHES * lanes.lanes + 0.02
    grid = figure.add_gridspec(2, 1, height_ratios=[height, _INCHES[1] - height - 1.3], hspace=0, wspace=0)
    axes = figure.add_subplot(grid[1])
    _draw_axes(axes, chart, log=log)
    above = figure.add_subplot(grid[0], sharex=axes)
    draw_bars(above, axes, lanes, chart.window)
    handles = [_draw_line(axes, chart, number, line) for number, line in enumerate(chart.lines)]
    _draw_note(axes, chart)
    if chart.from_zero and not log:
        axes.set_ylim(bottom=0)
    above.set_title(_title(chart), loc="left", fontsize=13, fontweight="bold", pad=22)
    above.annotate(
        _subtitle(chart), (0, 1), (0, 7), "axes fraction", textcoords="offset points", color=_GREY, fontsize=9
    )
    if len(handles) > 1:
        _draw_legend(figure, chart, handles)
    figure.supxlabel(LICENCE, x=0.995, ha="right", fontsize=7, color=_GREY)


def _title(chart: Chart) -> str:
    return printable(f"{chart.profile}: {chart.measure}")


def _subtitle(chart: Chart) -> str:
    single = chart.lines[0].name if len(chart.lines) == 1 and chart.lines[0].name != chart.profile else ""
    return printable("   ".join(filter(None, (single, chart.range_text))))


def _draw_axes(axes: Any, chart: Chart, *, log: bool) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import EngFormatter

    axes.set_xlim(chart.window.start, chart.window.end)
    locator = AutoDateLocator(tz=UTC, minticks=5, maxticks=12)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, formats=_TICKS, offset_formats=_DATES))
    if log:
        axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="y", color=_FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="x", pad=6)


def _draw_line(axes: Any, chart: Chart, number: int, line: ChartLine) -> Any:
    """Draw each run of buckets by itself, so that no line crosses a gap. A point between two gaps is a dot."""
    colour = _COLOURS[number % len(_COLOURS)]
    style = _STYLES[number // len(_COLOURS) % len(_STYLES)]
    width = 1.5 if len(chart.lines) < 6 else 1.1  # noqa: PLR2004 - where lines begin to cover each other
    times, values = _broken(line, chart.step)
    (handle,) = axes.plot(times, values, color=colour, linestyle=style, linewidth=width, solid_joinstyle="round")
    dots = [run.start for run in unbroken_runs(line.timestamps, chart.step) if run.stop - run.start == 1]
    axes.plot(*_points(line, dots), "o", color=colour, markersize=3)
    first = chart.not_final_from
    not_final = [n for n, timestamp in enumerate(line.timestamps) if first is not None and timestamp >= first]
    if 0 < len(not_final) <= _MAX_HOLLOW_DOTS // len(chart.lines) or len(not_final) == 1:
        axes.plot(
            *_points(line, not_final), "o", color=colour, markerfacecolor="white", markersize=4, markeredgewidth=1
        )
    return handle


def _broken(line: ChartLine, step: int) -> tuple[list[Any], list[float]]:
    times: list[Any] = []
    values: list[float] = []
    for run in unbroken_runs(line.timestamps, step):
        times += [from_epoch(t) for t in line.timestamps[run]]
        values += line.values[run]
        times.append(times[-1])
        values.append(float("nan"))
    return times, values


def _points(line: ChartLine, positions: list[int]) -> tuple[list[Any], list[float]]:
    return [from_epoch(line.timestamps[n]) for n in positions], [line.values[n] for n in positions]


def _draw_note(axes: Any, chart: Chart) -> None:
    """Hatch the time axis where values may still be revised, and write a note below it."""
    note = "Times are UTC."
    if chart.not_final_from is not None:
        note = f"▨ not final yet, may still be revised.  {note}"
        hatch = {"facecolor": "white", "edgecolor": "#9aa4af", "hatch": "//////", "linewidth": 0}
        axes.axvspan(from_epoch(chart.not_final_from), chart.window.end, -0.022, -0.004, clip_on=False, **hatch)
    below = {"textcoords": "offset points", "annotation_clip": False}
    axes.annotate(note, (0, 0), (0, -32), "axes fraction", color=_GREY, fontsize=7.5, va="center", **below)


def _draw_legend(figure: Any, chart: Chart, handles: list[Any]) -> None:
    names = [_shortened(line.name) for line in chart.lines[:_MAX_IN_LEGEND]]
    rest = len(chart.lines) - len(names)
    legend = figure.legend(
        handles[: len(names)],
        names,
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        handlelength=2.6,
        title=f"and {rest} more" if rest else None,
    )
    for handle in legend.get_lines():
        handle.set_linewidth(2)


def _shortened(name: str) -> str:
    name = printable(name)  # XML, which SVG is, has no control characters
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"


_EVENT_COLOURS = {"OUTAGE": "#d6336c", "PIPELINE": "#d9820b", "TRAFFIC_ANOMALY": "#7048b6"}
_OTHER = "#4f7396"
_MAX_LANES = 6
_POINTS_PER_CHARACTER = 4.6
_PADDING = 8.0
_MAX_TEXT_LENGTH = 100


@dataclass(frozen=True, slots=True)
class AnnotationBar:
    """An annotation as drawn, from *start* to *end* in the window. Its *text* is `in`, `after` or `before` the bar."""

    annotation: ChartAnnotation
    start: datetime
    end: datetime
    text: str
    side: str
    room: tuple[float, float]
    lane: int = 0


@dataclass(frozen=True, slots=True)
class AnnotationLanes:
    """Bars in lanes. If there are too many bars for a label each, *names* has the labels of the lanes."""

    bars: tuple[AnnotationBar, ...] = ()
    lanes: int = 0
    names: tuple[str, ...] = ()


def arrange(annotations: Sequence[ChartAnnotation], window: Window, width: float) -> AnnotationLanes:
    """Place *annotations* above a chart of *width* points: with all words, the first words, or one lane for a type."""
    for words in (_all_words, _first_words):
        placed = _in_lanes([_bar(annotation, words(annotation), window, width) for annotation in annotations])
        if placed is not None:
            return AnnotationLanes(tuple(placed), max((bar.lane + 1 for bar in placed), default=0))
    names = sorted({_first_words(annotation) for annotation in annotations})
    names = [*names[: _MAX_LANES - 1], "Other"] if len(names) > _MAX_LANES else names
    lane = {name: n for n, name in enumerate(names)}
    bars = [_bar(annotation, "", window, width) for annotation in annotations]
    placed = [replace(bar, lane=lane.get(_first_words(bar.annotation), len(names) - 1)) for bar in bars]
    return AnnotationLanes(tuple(placed), len(names), tuple(names))


def _all_words(annotation: ChartAnnotation) -> str:
    text = printable(f"{_first_words(annotation)}: {annotation.description}")
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[: _MAX_TEXT_LENGTH - 1]}…"


def _first_words(annotation: ChartAnnotation) -> str:
    return printable(annotation.event_type.replace("_", " ").capitalize())


def _bar(annotation: ChartAnnotation, text: str, window: Window, width: float) -> AnnotationBar:
    start, end = max(annotation.start, window.start), min(annotation.end or window.end, window.end)
    scale = width / window.duration.total_seconds()
    left, right = ((moment - window.start).total_seconds() * scale for moment in (start, end))
    needed = len(text) * _POINTS_PER_CHARACTER + _PADDING if text else 0.0
    if needed <= right - left:
        return AnnotationBar(annotation, start, end, text, "in", (left, right))
    if right + needed <= width or left < needed:
        return AnnotationBar(annotation, start, end, text, "after", (left, right + needed))
    return AnnotationBar(annotation, start, end, text, "before", (left - needed, right))


def _in_lanes(bars: Sequence[AnnotationBar]) -> list[AnnotationBar] | None:
    """Give each bar the first lane with room for it and its text. Returns None if there are too few lanes."""
    free: list[float] = []
    placed = []
    for bar in sorted(bars, key=lambda bar: bar.room):
        lane = next((n for n, until in enumerate(free) if until <= bar.room[0]), len(free))
        if lane == _MAX_LANES:
            return None
        free[lane : lane + 1] = [bar.room[1] + 1]
        placed.append(replace(bar, lane=lane))
    return placed


def draw_bars(axes: Any, chart_axes: Any, lanes: AnnotationLanes, window: Window) -> None:
    """Draw the bars of *lanes* in *axes*, and a band or a line through *chart_axes* for each."""
    axes.set_ylim(max(lanes.lanes, 1), 0)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False, labelsize=7.5, pad=1)
    axes.set_yticks([lane + 0.5 for lane in range(len(lanes.names))], lanes.names)
    for bar in lanes.bars:
        colour = _EVENT_COLOURS.get(bar.annotation.event_type, _OTHER)
        if bar.annotation.end == bar.annotation.start:
            axes.plot([bar.start], [bar.lane + 0.5], "D", color=colour, markersize=4, clip_on=False)
            chart_axes.axvline(bar.start, color=colour, lw=1, ls=(0, (2, 2)), alpha=0.4 if lanes.names else 0.8)
        else:
            axes.barh(bar.lane + 0.5, bar.end - bar.start, 0.8, left=bar.start, color=colour, alpha=0.28, lw=0)
            if (bar.start, bar.end) != (window.start, window.end):
                chart_axes.axvspan(bar.start, bar.end, color=colour, alpha=0.1, lw=0)
        _write(axes, bar, colour)


def _write(axes: Any, bar: AnnotationBar, colour: str) -> None:
    at, shift, align = {
        "in": (bar.start, 4, "left"),
        "after": (bar.end, 5, "left"),
        "before": (bar.start, -5, "right"),
    }[bar.side]
    axes.annotate(
        bar.text,
        (at, bar.lane + 0.5),
        (shift, 0),
        textcoords="offset points",
        ha=align,
        va="center",
        fontsize=7.5,
        color=colour,
        annotation_clip=False,
    )
