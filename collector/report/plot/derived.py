"""The lines of a chart of derived values: sums per period, shares, growth, running sums or means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.analysis.refusals import RequestRefused
from collector.report.analysis.points import answer_points

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.analysis.words import Words
    from collector.report.analysis.points import Line
    from collector.store import PointQuery, ReadView

    Drawn = tuple[str, list[int], list[float]]

_ONE_OF = ("share", "growth", "cumulative", "mean")


def drawn_column(words: Words) -> str:
    """Return the column that is drawn. Raises RequestRefused if *words* ask for several, or for ranks."""
    asked = [name for name in _ONE_OF if getattr(words, name)]
    if words.rank or len(asked) > 1:
        raise RequestRefused(
            f"plot: draws one of {', '.join(_ONE_OF)} at a time, and no rank", "export has all columns"
        )
    return asked[0] if asked else "value"


def measure_text(words: Words, unit: str, adverb: str, profile: str) -> str:
    """Return what the axis shows, for a person: *adverb* is how often the series has buckets."""
    often = f"per {words.per}" if words.per else adverb
    moment = words.compare
    against = moment if moment is None or isinstance(moment, str) else f"{moment:%Y-%m-%d}"
    texts = {
        "value": f"{unit or 'value'}, {often}",
        "share": f"share in % of {words.of or profile}, {often}",
        "growth": f"growth in % against {against}, {often}",
        "cumulative": f"{unit or 'value'}, sum since the start, {often}",
        "mean": f"{unit or 'value'}, mean of {words.mean}, {often}",
    }
    return texts[drawn_column(words)]


def read_derived(view: ReadView, chosen: PointQuery, words: Words) -> tuple[list[Drawn], list[str]]:
    """Return (name, timestamps, values) of each line, and sentences. Periods that lack buckets are not drawn."""
    column = drawn_column(words)
    answer = answer_points(view, chosen, words)
    drawn: list[Drawn] = []
    left_out = 0
    for _, line in answer.lines():
        points = list(_points(line, column))
        left_out += len(line.starts) - len(points)
        drawn.append((line.label.removeprefix(f"{line.profile}/"), [t for t, _ in points], [v for _, v in points]))
        if words.compare is not None and column == "value":
            pairs = zip(line.starts, line.cells["compared"], strict=True)
            compared = [(start, value) for start, value in pairs if value is not None]
            drawn.append((f"{drawn[-1][0]} (compared)", [t for t, _ in compared], [v for _, v in compared]))
    notes = [*answer.notes, *([f"{left_out} values are not drawn, because buckets are missing"] if left_out else [])]
    return [each for each in drawn if each[1]], notes


def _points(line: Line, column: str) -> Iterator[tuple[int, float]]:
    values, cells = line.cells[column], line.cells
    known: Sequence[int] = cells.get("known", ())
    for at, (start, value) in enumerate(zip(line.starts, values, strict=True)):
        if value is not None and (column != "value" or not known or known[at] >= cells["expected"][at]):
            yield start, value
