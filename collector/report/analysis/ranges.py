"""The range of a request about whole series, and their totals over it and over the ranges it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.analysis import columns as derive
from collector.analysis.periods import year_before
from collector.report.analysis.scope import scope_of
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.report.analysis.scope import Scope, Span
    from collector.store import SelectedSeries


@dataclass(frozen=True)
class Total:
    """The sum of one series over a range; *known* of *expected* buckets. *refused* says why there is no sum.

    *most* is what it is at most, None if a bucket is absent of which no bound is known; *unknown* counts the others.
    """

    value: float | None
    known: int
    expected: int
    refused: str | None = None
    most: float | None = None
    unknown: int = 0

    @property
    def whole(self) -> float | None:
        """The sum, None unless all buckets are known."""
        return self.value if self.known >= self.expected else None

    @property
    def column(self) -> derive.Column:
        """The same as a column of one period."""
        bound = [self.most - (self.value or 0)] if self.most is not None else None
        return derive.Column([self.value], [self.known], [self.expected], [self.unknown], bound)

    @property
    def lacks(self) -> str:
        """What is absent."""
        unknown = f", {self.unknown} unknown" if self.unknown else ""
        return self.refused or f"{self.known} of {self.expected} buckets{unknown}"

    def lacks_of(self, label: str) -> str | None:
        """What the series *label* lacks; None if nothing is absent."""
        if self.whole is not None:
            return None
        return f"{label}: {self.refused}" if self.refused else f"{label} has {self.lacks}"


def totals(scope: Scope, span: Span, series: Sequence[SelectedSeries] | None = None) -> list[Total]:
    """Return the total of each of *series*, by default all of *scope*, over *span*."""
    refused = [why_no_total(each) for each in (scope.series if series is None else series)]
    columns = scope.totals(span, series)
    bounds = [each.counts_once for each in (scope.series if series is None else series)]
    return [total_of(*each) for each in zip(columns, refused, bounds, strict=True)]


def total_of(column: derive.Column, refused: str | None, is_bound: bool = False) -> Total:  # noqa: FBT001, FBT002
    """Return the total of a column of one period; if it is *refused*, the sum may still be the most that it can be."""
    unknown = column.unknown[0] if column.unknown else 0
    bounds = (None if refused else column.values[0], column.at_most[0] if is_bound or not refused else None)
    return Total(bounds[0], column.known[0], column.expected[0], refused, bounds[1], unknown)


def why_no_total(series: SelectedSeries) -> str | None:
    """Return why the values of *series* have no sum over time; None if they have one."""
    if series.why_no_total and series.normalization:
        return f"its values cannot be added up over time: {series.why_no_total}"
    return None


def change(total: Total, before: Total) -> tuple[float | None, str | None]:
    """Return the change of *total* against *before* in percent, or the reason why there is none."""
    if total.whole is None:
        return None, total.lacks
    if before.whole is None:
        return None, f"{before.lacks} of the compared range" if not before.refused else before.refused
    if before.whole == 0:
        return None, "the compared value is 0"
    return 100 * (total.whole - before.whole) / before.whole, None


@dataclass(frozen=True)
class Standing:
    """The shares in percent and the ranks of all series over a range, and the reasons why there are none.

    *whole* is what the shares are of; *refused* says why it is unknown.
    """

    shares: Sequence[float | None]
    ranks: Sequence[int | None]
    why_no_share: Sequence[str | None]
    why_no_rank: str | None
    whole: float | None
    refused: str | None


def standing(scope: Scope, each: Sequence[Total], of: str | None = None, span: Span | None = None) -> Standing:
    """Return the shares and ranks of the totals *each* of *scope*.

    Shares are of the sum of the series, or of the profile *of*. *span* is the range of the totals, by default that of
    the request. Raises what `scope_of` raises.
    """
    labels = [series.label for series in scope.series]
    lacks = [total.lacks_of(label) for label, total in zip(labels, each, strict=True)]
    lacking = next((text for text in lacks if text), None)
    span = span or (scope.start, scope.end)
    if of is not None:
        whole, refused = _whole(scope_of(scope.view, of, scope), span)
    elif problem := scope.why_no_sum_of_series():
        whole, refused = None, "; nearest: ".join(text for text in problem if text)
    elif scope.sums:
        whole, refused = _whole(scope, span)
    else:
        whole, refused = (None, lacking) if lacking else (sum(total.value or 0 for total in each), None)
    if whole == 0:
        refused = "the sum is 0"
    ranks = [rank for (rank,) in derive.ranks([total.column for total in each])]
    why = [refused or text for text in lacks]
    return Standing([share(total, whole) for total in each], ranks, why, lacking, whole, refused)


def _whole(other: Scope, span: Span) -> tuple[float | None, str | None]:
    """Return the sum of all series of *other* over *span*, or the reason why there is none."""
    parts = totals(other, span, other.parts)
    for series, total in zip(other.parts, parts, strict=True):
        if lacks := total.lacks_of(series.label):
            return None, lacks
    return sum(total.value or 0 for total in parts), None


def share(total: Total, whole: float | None) -> float | None:
    """Return *total* in percent of *whole*; None if either is unknown, or *whole* is 0."""
    return 100 * total.whole / whole if whole and total.whole is not None else None


def before(span: Span) -> Span:
    """Return the range of the same length that ends where *span* starts."""
    return span[0] - (span[1] - span[0]), span[0]


def a_year_before(span: Span) -> Span:
    """Return the range between the same dates a year before."""
    first, last = (int(year_before(from_epoch(edge)).timestamp()) for edge in span)
    return first, last
