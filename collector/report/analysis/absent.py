"""Runs of absent buckets between the first and the last stored bucket of a profile, without its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.report.analysis.scope import scopes
from collector.timestamps import from_epoch
from collector.windows import join_buckets, subtract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from collector.report.analysis.scope import Scope
    from collector.store import PointQuery, ReadView, SelectedSeries

    Row = tuple[str, str, datetime, datetime, int, str]


def absent_rows(view: ReadView, chosen: PointQuery) -> Iterator[Row]:
    """Yield (profile, series, start, end, buckets, reason).

    The reason is `upstream` if Radar is proven to lack them, and `unknown` if a group is not listed there.
    """
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
    unknown = column.unknown or [0] * len(column)
    open_ = join_buckets([start for start, count in zip(edges, unknown, strict=False) if count], step)
    absent = join_buckets([start for start, known in zip(edges, column.known, strict=False) if not known], step)
    for run in absent:
        unlisted = [part for part in open_ if run[0] <= part[0] < run[1]]
        missing = subtract(run, [*unlisted, *proven])
        lacking = subtract(run, [*unlisted, *missing])
        parts = [(part, "missing") for part in missing] + [(part, "upstream") for part in lacking]
        parts += [(part, "unknown") for part in unlisted]
        for (start, end), reason in sorted(parts):
            yield series.profile, series.label, from_epoch(start), from_epoch(end), (end - start) // step, reason
