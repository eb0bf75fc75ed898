"""Annotations in a picture: a labelled bar each above the chart, and a pale band through it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from collector.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import Window
    from collector.report.plot.chart import ChartAnnotation

_COLOURS = {"OUTAGE": "#d6336c", "PIPELINE": "#d9820b", "TRAFFIC_ANOMALY": "#7048b6"}
_OTHER = "#4f7396"
_MOST_LANES = 6
_POINTS_PER_CHARACTER = 4.6
_PADDING = 8.0
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class AnnotationBar:
    """An annotation as drawn: *start* to *end* lie in the window, *text* stands in the bar, after it or before it."""

    annotation: ChartAnnotation
    start: datetime
    end: datetime
    text: str
    side: str
    room: tuple[float, float]
    lane: int = 0


@dataclass(frozen=True, slots=True)
class AnnotationLanes:
    """Bars in lanes. *names* are of the lanes, where the bars are too many to be labelled each by itself."""

    bars: tuple[AnnotationBar, ...] = ()
    lanes: int = 0
    names: tuple[str, ...] = ()


def arrange(annotations: Sequence[ChartAnnotation], window: Window, width: float) -> AnnotationLanes:
    """Place *annotations* above a chart of *width* points: with all words, the first ones, or one lane a type."""
    for words in (_all_words, _first_words):
        placed = _in_lanes([_bar(annotation, words(annotation), window, width) for annotation in annotations])
        if placed is not None:
            return AnnotationLanes(tuple(placed), max((bar.lane + 1 for bar in placed), default=0))
    names = sorted({_first_words(annotation) for annotation in annotations})
    names = [*names[: _MOST_LANES - 1], "Other"] if len(names) > _MOST_LANES else names
    lane = {name: n for n, name in enumerate(names)}
    bars = [_bar(annotation, "", window, width) for annotation in annotations]
    placed = [replace(bar, lane=lane.get(_first_words(bar.annotation), len(names) - 1)) for bar in bars]
    return AnnotationLanes(tuple(placed), len(names), tuple(names))


def _all_words(annotation: ChartAnnotation) -> str:
    text = printable(f"{_first_words(annotation)}: {annotation.description}")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


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
    """Give each bar the first lane that is free where it and its text stand; None where there are too few."""
    free: list[float] = []
    placed = []
    for bar in sorted(bars, key=lambda bar: bar.room):
        lane = next((n for n, until in enumerate(free) if until <= bar.room[0]), len(free))
        if lane == _MOST_LANES:
            return None
        free[lane : lane + 1] = [bar.room[1] + 1]
        placed.append(replace(bar, lane=lane))
    return placed


def draw_bars(axes: Any, chart_axes: Any, strip: AnnotationLanes, window: Window) -> None:
    """Draw the bars of *strip* in *axes*, and a band or a line through *chart_axes* for each."""
    axes.set_ylim(max(strip.lanes, 1), 0)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False, labelsize=7.5, pad=1)
    axes.set_yticks([lane + 0.5 for lane in range(len(strip.names))], strip.names)
    for bar in strip.bars:
        colour = _COLOURS.get(bar.annotation.event_type, _OTHER)
        if bar.annotation.end == bar.annotation.start:
            axes.plot([bar.start], [bar.lane + 0.5], "D", color=colour, markersize=4, clip_on=False)
            chart_axes.axvline(bar.start, color=colour, lw=1, ls=(0, (2, 2)), alpha=0.4 if strip.names else 0.8)
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
