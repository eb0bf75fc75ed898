"""Where buckets start, for the status: in fields and in sentences. Pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.interval import Grid
from collector.model import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from collector.interval import AggInterval
    from collector.store import LearnedGrid


def grid_documents(learned: Mapping[AggInterval, LearnedGrid]) -> list[dict[str, Any]]:
    """List the intervals whose buckets start elsewhere than usual, or did; times of day are UTC."""
    return [
        {
            "agg_interval": interval.value,
            "buckets_start": str(one.grid),
            "offset_seconds": one.grid.seconds,
            "since": one.since,
        }
        for interval, one in learned.items()
        if one.since is not None or one.grid != Grid(interval)
    ]


def grid_warnings(
    learned: Mapping[AggInterval, LearnedGrid], used: Iterable[AggInterval], former: Iterable[AggInterval]
) -> list[str]:
    """Give a sentence for each interval in use that has history on a *former* grid, or another grid proposed."""
    former, warnings = set(former), []
    for interval in sorted(set(used), key=lambda one: one.seconds):
        one = learned[interval]
        if one.before and one.since and interval in former:
            warnings.append(
                f"{interval}: buckets start at {one.grid} UTC since {_moment(one.since)}, before at {one.before}: "
                "these are new series; earlier buckets stay where no new one overlaps them"
            )
        if one.proposed and one.proposed_at:
            warnings.append(
                f"{interval}: Radar answered with buckets that start at {one.proposed} UTC instead of {one.grid} at "
                f"{_moment(one.proposed_at)}; a second such answer at least an hour later begins new series"
            )
    return warnings


def _moment(moment: datetime) -> str:
    return rfc3339(moment.replace(microsecond=0))
