"""The largest series of a profile over a range, with shares, ranks, the rest, and the change against another range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.analysis import columns as derive
from collector.analysis.refusals import RequestRefused
from collector.analysis.shift import shifted_range
from collector.report.analysis import ranges
from collector.report.analysis.points import REST
from collector.report.analysis.ranges import Total
from collector.report.analysis.scope import check_comparable, scopes_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.analysis.words import Words
    from collector.report.analysis.ranges import Standing
    from collector.report.analysis.scope import Scope, Span
    from collector.store import PointQuery, ReadView, SelectedSeries

    _Figures = tuple[Total, float | None, int | None]
    """Total, share and rank."""

COLUMNS = ("profile", "rank", "series", "unit", "start", "end", "total", "share", "known", "expected", "at_most")
COMPARED = ("compared_start", "compared_end", "compared", "compared_share", "compared_rank", "growth")


def top_columns(words: Words) -> tuple[str, ...]:
    """Return the columns of an answer to *words*, in order."""
    return (*COLUMNS, *(COMPARED if words.compare is not None else ()), "rest", "reason")


def answer_top(view: ReadView, chosen: PointQuery, words: Words) -> list[dict[str, Any]]:
    """Return the `top` series of each profile of *chosen*, the largest first, then the rest of the profile as one row.

    *words* has top (None: all), of, within, compare and growth: those that grew most in percent come first. `rest` of a
    row is the number of series in it, None for a single one. Raises RequestRefused if the values of a series cannot be
    added up over time.
    """
    return [row for scope in scopes_within(view, chosen, words.within) for row in _rows(scope, words)]


@dataclass(frozen=True)
class _Side:
    """The totals of all series over one range, and their shares and ranks."""

    span: Span
    totals: Sequence[Total]
    standing: Standing
    sums: Sequence[Total]

    def of(self, places: Sequence[int], problem: str | None) -> tuple[Total, float | None, int | None]:
        """Return total, share and rank of one series, or of several together unless there is a *problem*."""
        if len(places) == 1:
            at = places[0]
            return self.totals[at], self.standing.shares[at], self.standing.ranks[at]
        parts = [self.totals[at] for at in places]
        known, expected = sum(part.known for part in parts), sum(part.expected for part in parts)
        values = [part.value for part in parts if part.value is not None]
        value = sum(values) if values and problem is None else None
        total = Total(value, known, expected, problem, value if known >= expected else None)
        return total, ranges.share(total, self.standing.whole), None

    def beside(self, listed: Sequence[int]) -> tuple[Total, float | None, int | None]:
        """Return total and share of what the *sums* of all groups have beside the *listed* groups, and no rank."""
        whole = derive.added([each.column for each in self.sums])
        total = ranges.total_of(derive.without(whole, [self.totals[at].column for at in listed]), None)
        return total, ranges.share(total, self.standing.whole), None


def _rows(scope: Scope, words: Words) -> list[dict[str, Any]]:
    for series in scope.series:
        if series.normalization and series.why_no_total:
            reason = f"top of {series.label}: its values cannot be added up over time: {series.why_no_total}"
            raise RequestRefused(reason, "stats, whose mean and newest value need no sum")
        if words.compare is not None:
            check_comparable(series)
    span = scope.start, scope.end
    now = _side(scope, words, span)
    then = _side(scope, words, shifted_range(words.compare, *span)) if words.compare is not None else None
    sizes: list[float | None] = [total.value for total in now.totals]
    if words.growth and then is not None:
        sizes = [ranges.change(*pair)[0] for pair in zip(now.totals, then.totals, strict=True)]
    order = sorted(range(len(sizes)), key=lambda at: (sizes[at] is None, -(sizes[at] or 0), at))
    shown = order if words.top is None else order[: words.top]
    rows = [_row(scope, [at], now, then) for at in shown]
    others = order[len(shown) :]
    if now.sums and scope.why_no_sum_of_series() is None:
        if others or now.beside(shown)[0].most != 0:
            rows.append(_rest(scope, shown, now, then) | {"rest": len(others)})
    elif others:
        rows.append(_row(scope, others, now, then) | {"series": _rest_label(scope), "rest": len(others), "rank": None})
    return rows


def _rest_label(scope: Scope) -> str:
    return f"{REST} of {scope.within[1]}" if scope.within else REST


def _side(scope: Scope, words: Words, span: Span) -> _Side:
    totals = ranges.totals(scope, span)
    sums = ranges.totals(scope, span, scope.sums) if scope.sums else ()
    return _Side(span, totals, ranges.standing(scope, totals, words.of, span), sums)


def _why_no_share(side: _Side, places: Sequence[int], total: Total) -> str:
    reason = side.standing.why_no_share[places[0]] if len(places) == 1 else side.standing.refused
    return reason or total.lacks


def _row(scope: Scope, places: Sequence[int], now: _Side, then: _Side | None) -> dict[str, Any]:
    problem = scope.why_no_sum_of_series() if len(places) > 1 else None
    why = problem[0] if problem else None
    figures = now.of(places, why)
    total, share, rank = figures
    series = scope.series[places[0]]
    reasons = {"share": _why_no_share(now, places, total) if share is None else None}
    if len(places) == 1 and rank is None:
        reasons["rank"] = now.standing.why_no_rank
    compared = (then.span, then.of(places, why)) if then is not None else None
    return _cells(scope, series, (now.span, figures), compared, reasons, why)


def _rest(scope: Scope, listed: Sequence[int], now: _Side, then: _Side | None) -> dict[str, Any]:
    """Return the row of all groups that are not *listed*, known or not."""
    figures = now.beside(listed)
    reasons = {"share": (now.standing.refused or figures[0].lacks) if figures[1] is None else None}
    compared = (then.span, then.beside(listed)) if then is not None else None
    return _cells(
        scope, scope.series[0]._replace(label=_rest_label(scope)), (now.span, figures), compared, reasons, None
    )


def _cells(  # noqa: PLR0913, PLR0917 - what a row has
    scope: Scope,
    series: SelectedSeries,
    now: tuple[Span, _Figures],
    then: tuple[Span, _Figures] | None,
    reasons: dict[str, str | None],
    why: str | None,
) -> dict[str, Any]:
    span, (total, share, rank) = now
    row = {
        "profile": scope.profile,
        "rank": rank,
        "series": series.label,
        "unit": series.unit,
        **dict(zip(("start", "end"), scope.moments(span), strict=True)),
        "total": total.value,
        "share": share,
        "known": total.known,
        "expected": total.expected,
        "at_most": total.most,
    }
    if then is not None:
        other, (before, compared_share, compared_rank) = then
        growth, reasons["growth"] = ranges.change(total, before)
        edges = dict(zip(COMPARED, scope.moments(other), strict=False))
        figures = (before.value, compared_share, compared_rank, growth)
        row |= edges | dict(zip(COMPARED[2:], figures, strict=True))
    reason = "; ".join(f"{name}: {text}" for name, text in reasons.items() if text)
    return row | {"rest": None, "reason": reason or why}
