"""Gaps in an export, found from the points as they are written; one sentence for each label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from collector.contract.date_ranges import floor
from collector.errors import CollectorError
from collector.interval import DEFAULT_ORIGIN
from collector.model import from_epoch, rfc3339
from collector.report.absent_buckets import AbsentBuckets, sentences
from collector.report.snapshot_range import why_any_outside
from collector.windows import absent_windows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import AggInterval
    from collector.store import AsOfReader, Store

MAX_GAPS = 6
"""Number of gaps of one label that are listed; the others are only counted."""


@dataclass(slots=True)
class _Label:
    """The requested buckets of one label: [start, end) in epoch seconds; *start* None means from the first point.

    *oldest* is the first stored bucket, or None. *at* is the expected time of the next point; *runs* are the gaps
    before it.
    """

    name: str
    agg_interval: AggInterval
    start: int | None
    end: int
    oldest: int | None
    at: int | None = None
    runs: list[tuple[int, int]] = field(default_factory=list)

    def see(self, block: Sequence[tuple[int, float]]) -> None:
        step, (first, newest) = self.agg_interval.seconds, (block[0][0], block[-1][0])
        at = self.at if self.at is not None else (first if self.start is None else self.start)
        if at != first or newest - first != (len(block) - 1) * step:
            runs = absent_windows([timestamp for timestamp, _ in block], at, newest + step, step)
            self.runs += [
                run for run in runs if run[1] - run[0] >= step
            ]  # shorter rests appear where a series has another alignment
        self.at = newest + step

    def absent(self) -> AbsentBuckets:
        at = self.at if self.at is not None else self.start
        rest = [(at, self.end)] if at is not None and at < self.end else []
        return AbsentBuckets(self.name, self.agg_interval, (*self.runs, *rest))


class ExportGaps:
    """The gaps of an export. Call `see` with every block that is written."""

    def __init__(self, labels: dict[tuple[str, str], _Label]) -> None:
        self._labels = labels

    @classmethod
    async def of(
        cls, store: Store, profiles: Sequence[str], times: tuple[datetime | None, datetime | None, datetime | None]
    ) -> Self:
        """Read the expected buckets of *profiles*. *times* are start, end and as-of time.

        Without a start they begin at the first stored bucket. Without start and end they end at the last stored one.
        Raises CollectorError if a snapshot does not cover the range.
        """
        from collector.store import PointQuery

        start, end, as_of = times
        found = await store.selected(PointQuery(profiles=tuple(profiles), as_of=as_of))
        if refused := why_any_outside(found, start, end, as_of or store.clock()):
            raise CollectorError(refused)
        ids, now = {one.series_id for one in found}, (as_of or store.clock()).timestamp()
        moving = {one.series_id for one in found if one.asked_at}

        def work(history: AsOfReader) -> tuple[dict[int, tuple[int, int]], dict[int, float]]:
            taken = history.snapshots(moving) if moving else {}
            begun = {i: (int(one.start.timestamp()), int(one.end.timestamp())) for i, one in taken.items()}
            return history.extents(ids) | begun, history.published(ids, now)

        spans, published = await store.read_as_of(work, as_of)
        grids = await store.grids()
        labels = {}
        for one in found:
            step = one.agg_interval.seconds
            edge = int((DEFAULT_ORIGIN + grids[one.agg_interval].offset).timestamp())
            until = floor(published[one.series_id], step, edge) if start or end else 0
            until = until if end is None else min(until, _ceiling(end, step, edge))
            first = None if start is None else _ceiling(start, step, edge)
            oldest = spans[one.series_id][0] if one.series_id in spans else None
            labels[one.profile, one.label] = _Label(one.label, one.agg_interval, first, until, oldest)
        return cls(labels)

    def see(self, profile: str, label: str, block: Sequence[tuple[int, float]]) -> None:
        """Record written points of one label, in the order of `Store.export_blocks`."""
        if block and (known := self._labels.get((profile, label))):
            known.see(block)

    def sentences(self) -> list[str]:
        """Return a sentence for each label with gaps, also if its history begins after the requested start."""
        found = []
        for one in self._labels.values():
            absent = one.absent()
            if not absent.runs:
                continue
            text = sentences([absent], MAX_GAPS)[0]
            if one.oldest is None:
                text += "; nothing is stored"
            elif one.start is not None and one.start < one.oldest:
                text += f"; --start is before the first stored bucket, {rfc3339(from_epoch(one.oldest))}"
            found.append(text)
        return found


def _ceiling(moment: datetime, step: int, edge: int) -> int:
    start = floor(moment.timestamp(), step, edge)
    return start if start == moment.timestamp() else start + step
