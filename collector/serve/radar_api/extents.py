"""What is known of the series a question may be answered from: how far each reaches, and up to when it was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.serve.radar_api.rollup import RollupSpec
from collector.store import SeriesWindow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from collector.contract.request_parser import SeriesRequest
    from collector.serve.radar_api.resolver import SeriesMatch
    from collector.store import Snapshot

ALWAYS = (0, 2**40)
"""The span of a series that is not known to begin or end."""


@dataclass(frozen=True, slots=True)
class Extents:
    """By series_id: *spans* (oldest, newest bucket; nothing for a series without points), the newest *last_updated*.

    *snapshots* has the snapshot of each series that has one.
    """

    spans: Mapping[int, tuple[int, int]]
    last_updated: Mapping[int, datetime]
    snapshots: Mapping[int, Snapshot] = field(default_factory=dict)

    def spans_of(self, match: SeriesMatch) -> list[tuple[int, int]]:
        """Return the spans of the series of *match* that have points."""
        return [self.spans[i] for i in match.ids if i in self.spans]

    def closed_until(self, match: SeriesMatch) -> int:
        """Return until when all series of *match* are known, in epoch seconds."""
        return int(min(self.last_updated[i] for i in match.ids).timestamp())

    def rollup_spec(self, one: SeriesRequest, match: SeriesMatch) -> RollupSpec:
        """Return what has to be added up."""
        return RollupSpec(one.start, one.end, match.agg_interval, one.query.agg_interval, len(match.parts))

    def windows(self, one: SeriesRequest, match: SeriesMatch) -> list[SeriesWindow]:
        """Return the window of each series of *match* in which there can be points for *one*."""
        found = []
        for series_id in match.ids:
            oldest, newest = self.spans.get(series_id, (one.end, one.start))
            start = max(one.start, oldest)
            found.append(SeriesWindow(series_id, start, max(start, min(one.end, newest + match.agg_interval.seconds))))
        return found

    def buckets(self, one: SeriesRequest, match: SeriesMatch) -> int:
        """Return how many buckets of *one* the series of *match* can fill."""
        step = one.query.agg_interval.seconds
        if not match.is_summed(one.query.agg_interval):
            [window] = self.windows(one, match)
            return (window.end - window.start) // step
        first, last = self.rollup_spec(one, match).within(self.spans_of(match), self.closed_until(match))
        return (last - first) // step
