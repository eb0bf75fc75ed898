"""Figures about each series over a range: total, distribution, newest value, changes, share, rank, coverage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from collector.analysis.distribution import quantile
from collector.analysis.refusals import RequestRefused, why_no_period
from collector.report.analysis import ranges
from collector.report.analysis.ranges import Total
from collector.report.analysis.scope import NOT_COMPARABLE, scopes_within, whole_profiles
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.analysis.columns import Column
    from collector.analysis.words import Words
    from collector.report.analysis.ranges import Standing
    from collector.report.analysis.scope import Scope
    from collector.store import PointQuery, ReadView, SelectedSeries

_SERIES_AT_ONCE = 20
_P95 = 0.95
_DISTRIBUTION = ("mean", "median", "p95", "min", "min_at", "max", "max_at", "newest", "newest_at")
COLUMNS = (
    "profile",
    "series",
    "unit",
    "start",
    "end",
    "total",
    *_DISTRIBUTION,
    "previous",
    "growth_previous",
    "year_before",
    "growth_year",
    "share",
    "rank",
    "known",
    "expected",
    "at_most",
    "young",
    "young_total",
    "asked_at",
    "reason",
)
"""The figures of a series, in order. `reason` says why others are None."""


def answer_stats(view: ReadView, chosen: PointQuery, words: Words) -> list[dict[str, Any]]:
    """Return the figures of each series of *chosen*: mean to newest are of its buckets, or of whole periods `per`.

    *words* has per, of and within. Raises RequestRefused if values cannot be summed per period, or have no share
    of `of`.
    """
    labels = {series.label for series in view.selected(chosen)} if chosen.series else None
    rows = []
    for scope in scopes_within(view, whole_profiles(view, chosen), words.within):
        rows += [row for row in _rows(scope, words) if labels is None or row["series"] in labels]
    return rows


@dataclass(frozen=True)
class _Compared:
    """The totals of all series of a profile: over the range, before it, a year before, and of what is not final."""

    now: Sequence[Total]
    previous: Sequence[Total]
    year_before: Sequence[Total]
    young: Sequence[Total | None]
    standing: Standing


def _rows(scope: Scope, words: Words) -> Iterator[dict[str, Any]]:
    for series in scope.series:
        problem = why_no_period(words.per, scope.grid, series.why_no_total) if words.per else None
        if problem and series.normalization:
            raise RequestRefused(f"per {words.per} of {series.label}: {problem[0]}", problem[1])
    span = scope.start, scope.end
    figures, now = [], []
    for series, column, starts in _columns(scope, words):
        figures.append(_figures(scope, series, column, starts))
        reason = ranges.why_no_total(series)
        now.append(_total(scope, series, column, reason))
    compared = _Compared(
        now,
        ranges.totals(scope, ranges.before(span)),
        ranges.totals(scope, ranges.a_year_before(span)),
        _young(scope),
        ranges.standing(scope, now, words.of),
    )
    for at, series in enumerate(scope.series):
        yield _row(scope, series, compared, at) | figures[at]


def _total(scope: Scope, series: SelectedSeries, column: Column, reason: str | None) -> Total:
    """Return the total of all periods of a column over the range of *scope*."""
    value, known = column.total if any(column.known) and not reason else None, sum(column.known)
    unknown, bound = sum(column.unknown or ()), sum(column.most or ())
    least = column.total if any(column.known) else 0
    is_bounded = 0 < scope.expected <= known + unknown and (series.counts_once or not reason)
    most = least + bound if is_bounded else None
    return Total(value, known, scope.expected, reason, most, unknown)


def _columns(scope: Scope, words: Words) -> Iterator[tuple[SelectedSeries, Column, Sequence[int]]]:
    """Yield each series with its values by period, and the starts of the periods."""
    periods = scope.periods(words.per)
    edges = periods.edges(*periods.covering(*scope.shown))
    for first in range(0, len(scope.series), _SERIES_AT_ONCE):
        series = scope.series[first : first + _SERIES_AT_ONCE]
        for each, column in zip(series, scope.columns(series, edges, (scope.start, scope.end)), strict=True):
            yield each, column, edges[:-1]


def _young(scope: Scope) -> list[Total | None]:
    """Return the total of the values of each series that may still be revised; None if that is unknown."""
    ids = [series.series_id for series in scope.series]
    settles = scope.view.settles(ids)
    updated = scope.view.as_of(scope.selection.chosen.as_of).last_updated(ids)
    by_edge: dict[int, list[Total]] = {}
    young: list[Total | None] = []
    for at, series in enumerate(scope.series):
        edge = scope.start  # because a snapshot is never final
        if not series.asked_at:
            if series.series_id not in updated or series.series_id not in settles:
                young.append(None)
                continue
            final_until = updated[series.series_id] - timedelta(seconds=settles[series.series_id])
            edge = max(int(scope.grid.floor(final_until).timestamp()), scope.start)
        if edge not in by_edge:
            by_edge[edge] = ranges.totals(scope, (min(edge, scope.end), scope.end))
        young.append(by_edge[edge][at])
    return young


def _row(scope: Scope, series: SelectedSeries, compared: _Compared, at: int) -> dict[str, Any]:
    now, previous, year = (each[at] for each in (compared.now, compared.previous, compared.year_before))
    young, standing = compared.young[at], compared.standing
    start, end = scope.moments((scope.start, scope.end))
    growth_previous, no_previous = _change(series, now, previous)
    growth_year, no_year = _change(series, now, year)
    reasons = {
        "total": now.refused,
        "growth_previous": None if now.refused else no_previous,
        "growth_year": None if now.refused else no_year,
        "share": standing.why_no_share[at] if standing.shares[at] is None else None,
        "rank": standing.why_no_rank if standing.ranks[at] is None else None,
    }
    return dict.fromkeys(COLUMNS) | {
        "profile": series.profile,
        "series": series.label,
        "unit": series.unit,
        "start": start,
        "end": end,
        "total": now.value,
        "previous": previous.value,
        "growth_previous": growth_previous,
        "year_before": year.value,
        "growth_year": growth_year,
        "share": standing.shares[at],
        "rank": standing.ranks[at],
        "known": now.known,
        "expected": now.expected,
        "at_most": now.most,
        "young": young.known if young else None,
        "young_total": young.value if young else None,
        "asked_at": series.asked_at,
        "reason": "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason) or None,
    }


def _change(series: SelectedSeries, now: Total, before: Total) -> tuple[float | None, str | None]:
    return (None, NOT_COMPARABLE) if series.asked_at else ranges.change(now, before)


def _figures(scope: Scope, series: SelectedSeries, column: Column, starts: Sequence[int]) -> dict[str, Any]:
    """Return the distribution of the values of whole periods, and the newest one; nothing for relative values."""
    if scope.is_relative(series):
        reason = f"values of {series.normalization} can be compared only within one answer"
        return dict.fromkeys((*_DISTRIBUTION, "total", "growth_previous", "growth_year")) | {"reason": reason}
    if column.is_whole:
        values, times = column.values, starts
    else:
        whole = [at for at, is_whole in enumerate(column.whole) if is_whole]
        values, times = [column.values[at] for at in whole], [starts[at] for at in whole]
    return _distribution(values, times) if values else {}  # type: ignore[arg-type]


def _distribution(values: Sequence[float], times: Sequence[int]) -> dict[str, Any]:
    ascending = sorted(values)
    return {
        "mean": sum(values) / len(values),
        "median": quantile(ascending, 0.5),
        "p95": quantile(ascending, _P95),
        "min": ascending[0],
        "min_at": from_epoch(times[values.index(ascending[0])]),
        "max": ascending[-1],
        "max_at": from_epoch(times[values.index(ascending[-1])]),
        "newest": values[-1],
        "newest_at": from_epoch(times[-1]),
    }
