"""The bucket width that several series have in common: which of them can be summed to it, and the sums.

Counts of several series compare only in buckets of one width.
"""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from collector.interval import AggInterval, Grid
from collector.store.series.generations import described, same_measure

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from collector.store.read.selection import SelectedSeries

    Grids = Mapping[AggInterval, Grid]

_USUAL: Grids = MappingProxyType({})


class Bucket(NamedTuple):
    """The width of a series' buckets in a chart; *refused* is the reason why there is none, None if there is one."""

    interval: AggInterval
    refused: str | None = None


def common_buckets(
    selection: Sequence[SelectedSeries], order: Sequence[str], changed: Container[int] = (), grids: Grids = _USUAL
) -> dict[str, Bucket]:
    """Return the finest bucket that all series of *selection* can have; by label.

    A series is accepted if it has the unit of those before it, in *order* of labels, and if it or they can be summed to
    the coarser interval. Otherwise it is refused, so that those before it stay. The unit of series whose unit has
    *changed* (their ids) depends on the time, and is compared when their points are read.
    """
    accepted: list[SelectedSeries] = []
    refused: dict[str, str] = {}
    place = {label: at for at, label in enumerate(order)}
    for series_ in sorted(selection, key=lambda series: place.get(series.label, len(place))):
        if reason := _why_not_with(accepted, series_, grids, changed):
            refused[series_.label] = reason
        else:
            accepted.append(series_)
    common = max((series_.agg_interval for series_ in accepted), key=lambda interval: interval.seconds, default=None)
    return {series_.label: Bucket(common or series_.agg_interval, refused.get(series_.label)) for series_ in selection}


def why_another_unit(measure: tuple[str, str], shown: tuple[str, str]) -> str | None:
    """Return why two pairs of normalization and unit cannot share an axis; None if they can."""
    if same_measure(measure, shown):
        return None
    return f"its unit is {described(measure, shown)}, the unit of this chart is {described(shown, measure)}"


def _why_not_with(
    accepted: Sequence[SelectedSeries], series_: SelectedSeries, grids: Grids, changed: Container[int]
) -> str | None:
    if not accepted:
        return None
    is_fixed = series_.series_id not in changed and accepted[0].series_id not in changed
    if is_fixed and (reason := why_another_unit(series_.measure, accepted[0].measure)):
        return reason
    coarsest = max((*accepted, series_), key=lambda series: series.agg_interval.seconds).agg_interval
    for other in (series_, *accepted):
        reason = other.why_not_summed or _why_not_within(other.agg_interval, coarsest, grids)
        if other.agg_interval is not coarsest and reason:
            whose = "its" if other is series_ else f"the chart has {other.label}, whose"
            return f"{whose} {other.agg_interval} values cannot be summed to {coarsest}: {reason}"
    return None


def _why_not_within(fine: AggInterval, coarse: AggInterval, grids: Grids) -> str | None:
    fine_grid, coarse_grid = (grids.get(interval) or Grid(interval) for interval in (fine, coarse))
    if fine_grid.divides(coarse_grid):
        return None
    return f"buckets of {coarse} start at {coarse_grid}, within those of {fine}"


def complete_sums(points: Iterable[tuple[int, float]], step: int, bucket: int, grid: int) -> list[tuple[int, float]]:
    """Sum (timestamp, value) of buckets of *step* seconds to those of *bucket*; incomplete ones are left out."""
    parts: dict[int, list[float]] = defaultdict(list)
    for timestamp, value in points:
        parts[grid + (timestamp - grid) // bucket * bucket].append(value)
    return [(start, sum(values)) for start, values in parts.items() if len(values) * step == bucket]
