"""Runs of absent buckets between the first and the last stored bucket of a profile, without its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.report.analysis.scope import scopes
from collector.timestamps import from_epoch
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from collector.report.analysis.scope import Scope
    from collector.store import PointQuery, ReadView, SelectedSeries

    Row = tuple[str, str, datetime, datetime, int, str]


def absent_rows(view: ReadView, chosen: PointQuery) -> Iterator[Row]:
    """Yield (profile, series, start, end, buckets, reason); reason is `upstream` if Radar is proven to lack them."""
    for scope in scopes(view, chosen):
        ids = [series.series_id for series in scope.series]
        proven = view.as_of(None).proven_absent(ids)
        for series in scope.series:
            if not series.asked_at and not scope.is_relative(series):
                yield from _of_series(scope, series, proven.get(series.series_id, []))


def _of_series(scope: Scope, series: SelectedSeries, proven: list[tuple[int, int]]) -> Iterator[Row]:
    periods, step = scope.periods(None), scope.step
    edges = periods.edges(*periods.covering(*scope.shown))
    (column,) = scope.columns([series], edges, scope.shown)
    absent: list[tuple[int, int]] = []
    for start, known in zip(edges, column.known, strict=False):
        if not known:
            joins = absent and absent[-1][1] == start
            absent.append((absent.pop()[0] if joins else start, start + step))
    for run in absent:
        missing = subtract(run, proven)
        lacking = subtract(run, missing)
        parts = [(part, "missing") for part in missing] + [(part, "upstream") for part in lacking]
        for (start, end), reason in sorted(parts):
            yield series.profile, series.label, from_epoch(start), from_epoch(end), (end - start) // step, reason
