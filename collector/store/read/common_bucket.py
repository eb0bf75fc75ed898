"""One bucket width for several series, so that their counts compare: who can be summed to it, and the sums."""

from __future__ import annotations

from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from collector.datasets import why_not_over_time
from collector.interval import Grid
from collector.model import AggInterval, Normalization, Question, known_spelling
from collector.store.series.generations import described, same_measure

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from collector.store.read.selection import SelectedSeries

    Grids = Mapping[AggInterval, Grid]

_USUAL: Grids = MappingProxyType({})


class Bucket(NamedTuple):
    """The width of the buckets in which a series is given; *refused* says why it cannot be, None if it can."""

    interval: AggInterval
    refused: str | None = None


def why_not_summed(query: Question, normalization: str) -> str | None:
    """Say why values of *query* may not be added up to those of a coarser bucket; None if they may."""
    if known_spelling(normalization) != Normalization.RAW_VALUES:
        return f"their normalization is {normalization}"
    return why_not_over_time(query)


def common_buckets(
    found: Sequence[SelectedSeries], order: Sequence[str], changed: Container[int] = (), grids: Grids = _USUAL
) -> dict[str, Bucket]:
    """Find the finest bucket in which all of *found* can be given; by label.

    A series comes in if it has the unit of those before it, in *order* of labels, and if it or they can be summed to
    the coarser interval. Otherwise it is refused, so that those before it keep their place. The unit of series whose
    unit has *changed* (their ids) depends on the time, and is compared once their points are read.
    """
    accepted: list[SelectedSeries] = []
    refused: dict[str, str] = {}
    place = {label: at for at, label in enumerate(order)}
    for one in sorted(found, key=lambda series: place.get(series.label, len(place))):
        if reason := _why_not_with(accepted, one, grids, changed):
            refused[one.label] = reason
        else:
            accepted.append(one)
    common = max((one.agg_interval for one in accepted), key=lambda interval: interval.seconds, default=None)
    return {one.label: Bucket(common or one.agg_interval, refused.get(one.label)) for one in found}


def why_another_unit(measure: tuple[str, str], shown: tuple[str, str]) -> str | None:
    """Say that two pairs of normalization and unit do not share an axis; None if they do."""
    if same_measure(measure, shown):
        return None
    return f"its unit is {described(measure, shown)}, the unit of this chart is {described(shown, measure)}"


def _why_not_with(
    accepted: Sequence[SelectedSeries], one: SelectedSeries, grids: Grids, changed: Container[int]
) -> str | None:
    if not accepted:
        return None
    is_fixed = one.series_id not in changed and accepted[0].series_id not in changed
    if is_fixed and (reason := why_another_unit(one.measure, accepted[0].measure)):
        return reason
    coarsest = max((*accepted, one), key=lambda series: series.agg_interval.seconds).agg_interval
    for other in (one, *accepted):
        reason = other.why_not_summed or _why_not_within(other.agg_interval, coarsest, grids)
        if other.agg_interval is not coarsest and reason:
            whose = "its" if other is one else f"the chart has {other.label}, whose"
            return f"{whose} {other.agg_interval} values cannot be summed to {coarsest}: {reason}"
    return None


def _why_not_within(fine: AggInterval, coarse: AggInterval, grids: Grids) -> str | None:
    one, other = (grids.get(interval) or Grid(interval) for interval in (fine, coarse))
    return None if one.divides(other) else f"buckets of {coarse} start at {other}, within those of {fine}"


def complete_sums(points: Iterable[tuple[int, float]], step: int, bucket: int, grid: int) -> list[tuple[int, float]]:
    """Sum (timestamp, value) of buckets of *step* seconds to those of *bucket*; one that lacks a part is left out."""
    parts: dict[int, list[float]] = defaultdict(list)
    for timestamp, value in points:
        parts[grid + (timestamp - grid) // bucket * bucket].append(value)
    return [(start, sum(values)) for start, values in parts.items() if len(values) * step == bucket]
