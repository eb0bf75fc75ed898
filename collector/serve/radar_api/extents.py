"""What is known of the series a question may be answered from: how far each reaches, and up to when it was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.serve.radar_api.rollup import Frame
from collector.store import Stretch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from collector.contract.request_parser import SeriesRequest
    from collector.serve.radar_api.resolver import Source

ALWAYS = (0, 2**40)
"""The span of a series that is not known to begin or end."""


@dataclass(frozen=True, slots=True)
class Known:
    """By series_id: *spans* (oldest, newest timestamp; absent for no point), and *told*, the newest lastUpdated."""

    spans: Mapping[int, tuple[int, int]]
    told: Mapping[int, datetime]

    def of(self, source: Source) -> list[tuple[int, int]]:
        """The spans of a source's series, of those that have any point."""
        return [self.spans[part.id] for part in source.parts if part.id in self.spans]

    def closed(self, source: Source) -> int:
        """Up to when all of a source's data is known."""
        return int(min(self.told[part.id] for part in source.parts).timestamp())

    def frame(self, asked: SeriesRequest, source: Source) -> Frame:
        """What has to be summed."""
        return Frame(asked.start, asked.end, source.agg_interval, asked.query.agg_interval, len(source.parts))

    def stretches(self, asked: SeriesRequest, source: Source) -> list[Stretch]:
        """The stretches of what is asked in which there can be points."""
        found = []
        for part in source.parts:
            oldest, newest = self.spans.get(part.id, (asked.end, asked.start))
            start = max(asked.start, oldest)
            end = max(start, min(asked.end, newest + source.agg_interval.seconds))
            found.append(Stretch(part.id, start, end))
        return found

    def buckets(self, asked: SeriesRequest, source: Source) -> int:
        """How many buckets of what is asked a source can fill."""
        step = asked.query.agg_interval.seconds
        if not source.is_summed(asked.query.agg_interval):
            [stretch] = self.stretches(asked, source)
            return (stretch.end - stretch.start) // step
        first, last = self.frame(asked, source).within(self.of(source), self.closed(source))
        return (last - first) // step
