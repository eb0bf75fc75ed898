"""The largest series of a profile over a range, with shares, ranks, the rest, and the change against another range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.analysis.refusals import RequestRefused
from collector.analysis.shift import shifted_range
from collector.report.analysis import ranges
from collector.report.analysis.points import REST
from collector.report.analysis.ranges import Total
from collector.report.analysis.scope import scopes
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.analysis.words import Words
    from collector.report.analysis.ranges import Standing
    from collector.report.analysis.scope import Scope, Span
    from collector.store import PointQuery, ReadView

COLUMNS = ("profile", "rank", "series", "unit", "start", "end", "total", "share", "known", "expected")
COMPARED = ("compared_start", "compared_end", "compared", "compared_share", "compared_rank", "growth")


def top_columns(words: Words) -> tuple[str, ...]:
    """Return the columns of an answer to *words*, in order."""
    return (*COLUMNS, *(COMPARED if words.compare is not None else ()), "rest", "reason")


def answer_top(view: ReadView, chosen: PointQuery, words: Words) -> list[dict[str, Any]]:
    """Return the `top` series of each profile of *chosen*, the largest first, then the rest of the profile as one row.

    *words* has top (None: all), of and compare. `rest` of a row is the number of series in it, None for a single one.
    Raises RequestRefused if the values of a series cannot be added up over time.
    """
    return [row for scope in scopes(view, chosen) for row in _rows(scope, words)]


@dataclass(frozen=True)
class _Side:
    """The totals of all series over one range, and their shares and ranks."""

    span: Span
    totals: Sequence[Total]
    standing: Standing

    def of(self, places: Sequence[int], problem: str | None) -> tuple[Total, float | None, int | None]:
        """Return total, share and rank of one series, or of several together unless there is a *problem*."""
        if len(places) == 1:
            at = places[0]
            return self.totals[at], self.standing.shares[at], self.standing.ranks[at]
        parts = [self.totals[at] for at in places]
        known, expected = sum(part.known for part in parts), sum(part.expected for part in parts)
        values = [part.value for part in parts if part.value is not None]
        total = Total(sum(values) if values and problem is None else None, known, expected, problem)
        return total, ranges.share(total, self.standing.whole), None


def _rows(scope: Scope, words: Words) -> list[dict[str, Any]]:
    for series in scope.series:
        if series.why_not_summed and series.normalization:
            reason = f"top of {series.label}: its values cannot be added up over time: {series.why_not_summed}"
            raise RequestRefused(reason, "stats, whose mean and newest value need no sum")
    span = scope.start, scope.end
    now = _side(scope, words, span)
    then = _side(scope, words, shifted_range(words.compare, *span)) if words.compare is not None else None
    totals = now.totals
    order = sorted(range(len(totals)), key=lambda at: (totals[at].value is None, -(totals[at].value or 0), at))
    shown = order if words.top is None else order[: words.top]
    rows = [_row(scope, [at], now, then) for at in shown]
    if others := order[len(shown) :]:
        rows.append(_row(scope, others, now, then) | {"series": REST, "rest": len(others), "rank": None})
    return rows


def _side(scope: Scope, words: Words, span: Span) -> _Side:
    totals = ranges.totals(scope, span)
    return _Side(span, totals, ranges.standing(scope, totals, words.of, span))


def _row(scope: Scope, places: Sequence[int], now: _Side, then: _Side | None) -> dict[str, Any]:
    problem = scope.why_no_sum_of_series() if len(places) > 1 else None
    why = problem[0] if problem else None
    total, share, rank = now.of(places, why)
    series = scope.series[places[0]]
    reasons = {"share": now.standing.share_refused if share is None else None}
    if len(places) == 1 and rank is None:
        reasons["rank"] = now.standing.rank_refused
    row = {
        "profile": scope.profile,
        "rank": rank,
        "series": series.label,
        "unit": series.unit,
        **{name: from_epoch(edge) for name, edge in zip(("start", "end"), now.span, strict=True)},
        "total": total.value,
        "share": share,
        "known": total.known,
        "expected": total.expected,
    }
    if then is not None:
        before, compared_share, compared_rank = then.of(places, why)
        growth, reasons["growth"] = ranges.change(total, before)
        edges = {name: from_epoch(edge) for name, edge in zip(COMPARED, then.span, strict=False)}
        figures = (before.value, compared_share, compared_rank, growth)
        row |= edges | dict(zip(COMPARED[2:], figures, strict=True))
    reason = "; ".join(f"{name}: {text}" for name, text in reasons.items() if text)
    return row | {"rest": None, "reason": reason or why}
