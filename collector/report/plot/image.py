"""A chart as a picture, drawn by matplotlib without a display and without its global state."""

from __future__ import annotations

import contextlib
import io
import warnings
from datetime import UTC
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from collector.errors import UsageError
from collector.report.export import LICENCE
from collector.report.extras import how_to_install
from collector.report.plot.annotations import arrange, draw_bars
from collector.report.plot.chart import unbroken_runs
from collector.text import printable
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.report.plot.chart import Chart, ChartLine

KINDS = ("png", "svg")
_INCHES = (12.0, 6.2)
_DOTS_PER_INCH = 150
_LANE_INCHES = 0.18
_POINTS_PER_INCH = 72
_SHARE, _SHARE_BESIDE_LEGEND = 0.9, 0.72
"""Of the picture's width, what the axes get."""
_COLOURS = (
    "#0b6fc2", "#e2711d", "#2f9e44", "#c2255c", "#7048b6", "#0c8599", "#946c00", "#e64980", "#4d5c6b", "#74b816",
)  # fmt: skip
_STYLES: tuple[Any, ...] = ("solid", (0, (4, 1.2)), (0, (1.2, 1.0)), (0, (6, 1.2, 1.2, 1.2)))
_INK, _GREY, _FAINT = "#1c2530", "#66707c", "#d9dee4"
_MOST_IN_LEGEND = 40
_LONGEST_NAME = 34
_MOST_HOLLOW = 120
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
    """Draw *chart* as `png` or `svg`, on a logarithmic axis with *log*; UsageError where there is no matplotlib."""
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
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # it draws a box then, which says enough
        yield


def _draw(figure: Any, chart: Chart, *, log: bool) -> None:
    log = log and any(value > 0 for line in chart.lines for value in line.values)
    figure.get_layout_engine().set(rect=(0.012, 0.015, 0.976, 0.965), h_pad=0.02, w_pad=0.02)
    width = _INCHES[0] * _POINTS_PER_INCH * (_SHARE_BESIDE_LEGEND if len(chart.lines) > 1 else _SHARE)
    strip = arrange(chart.annotations, chart.window, width)
    height = _LANE_INCHES * strip.lanes + 0.02
    grid = figure.add_gridspec(2, 1, height_ratios=[height, _INCHES[1] - height - 1.3], hspace=0, wspace=0)
    axes = figure.add_subplot(grid[1])
    _draw_axes(axes, chart, log=log)
    above = figure.add_subplot(grid[0], sharex=axes)
    draw_bars(above, axes, strip, chart.window)
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
    """Draw each run by itself, so that a gap stays open; a point between two gaps is a dot."""
    colour = _COLOURS[number % len(_COLOURS)]
    style = _STYLES[number // len(_COLOURS) % len(_STYLES)]
    width = 1.5 if len(chart.lines) < 6 else 1.1  # noqa: PLR2004 - where lines begin to cover each other
    times, values = _broken(line, chart.agg_interval.seconds)
    (handle,) = axes.plot(times, values, color=colour, linestyle=style, linewidth=width, solid_joinstyle="round")
    alone = [
        run.start for run in unbroken_runs(line.timestamps, chart.agg_interval.seconds) if run.stop - run.start == 1
    ]
    axes.plot(*_points(line, alone), "o", color=colour, markersize=3)
    young = [n for n, t in enumerate(line.timestamps) if chart.not_final_from is not None and t >= chart.not_final_from]
    if 0 < len(young) <= _MOST_HOLLOW // len(chart.lines) or len(young) == 1:
        axes.plot(*_points(line, young), "o", color=colour, markerfacecolor="white", markersize=4, markeredgewidth=1)
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


def _points(line: ChartLine, chosen: list[int]) -> tuple[list[Any], list[float]]:
    return [from_epoch(line.timestamps[n]) for n in chosen], [line.values[n] for n in chosen]


def _draw_note(axes: Any, chart: Chart) -> None:
    """Hatch the time axis where values may still be revised, and say so below."""
    note = "Times are UTC."
    if chart.not_final_from is not None:
        note = f"▨ not final yet, may still be revised.  {note}"
        hatch = {"facecolor": "white", "edgecolor": "#9aa4af", "hatch": "//////", "linewidth": 0}
        axes.axvspan(from_epoch(chart.not_final_from), chart.window.end, -0.022, -0.004, clip_on=False, **hatch)
    below = {"textcoords": "offset points", "annotation_clip": False}
    axes.annotate(note, (0, 0), (0, -32), "axes fraction", color=_GREY, fontsize=7.5, va="center", **below)


def _draw_legend(figure: Any, chart: Chart, handles: list[Any]) -> None:
    names = [_shortened(line.name) for line in chart.lines[:_MOST_IN_LEGEND]]
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
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
