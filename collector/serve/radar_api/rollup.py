"""Coarser buckets summed from finer ones, and several values summed to their OR: exact, or an error. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from collector.contract.date_ranges import floor
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.model import AggInterval


class SeriesData(NamedTuple):
    """The points of one series in an answer, ascending: *timestamps* in epoch seconds."""

    timestamps: array[int]
    values: array[float]


class Incomplete(Exception):
    """A bucket inside the stored history cannot be summed, because a part of it is missing."""


@dataclass(frozen=True, slots=True)
class RollupSpec:
    """What to sum: buckets of *coarse* from *start* up to *end*, from *parts* series of *fine* buckets."""

    start: int
    end: int
    fine: AggInterval
    coarse: AggInterval
    parts: int

    def within(self, spans: Iterable[tuple[int, int]], closed: int) -> tuple[int, int]:
        """Return the window whose buckets can be summed, on their grid; it may be empty.

        It lies wholly within the stored span (oldest, newest timestamp) of every series; coarser buckets must have
        closed at *closed*, up to which the data is known.
        """
        listed, step = list(spans), self.coarse.seconds
        if len(listed) < self.parts:
            return self.start, self.start
        newest = min(newest for _, newest in listed) + self.fine.seconds
        if self.coarse is not self.fine:
            newest = min(newest, closed)
        first = max(floor(max(oldest for oldest, _ in listed) + step - 1, step, self.start), self.start)
        return first, max(first, min(floor(newest, step, self.start), self.end))


class Rollup:
    """Adds up points of several series, in any order."""

    def __init__(self, spec: RollupSpec) -> None:
        self._spec = spec
        buckets = (spec.end - spec.start) // spec.coarse.seconds
        self._counts = array("q", bytes(8 * buckets))
        self._sums = array("d", bytes(8 * buckets))

    def add(self, points: Iterable[tuple[int, float]]) -> None:
        """Add points of one series."""
        start, step, counts, sums = self._spec.start, self._spec.coarse.seconds, self._counts, self._sums
        for timestamp, value in points:
            at = (timestamp - start) // step
            counts[at] += 1
            sums[at] += value

    def result(self, spans: Iterable[tuple[int, int]], closed: int) -> SeriesData:
        """Return the sums within `RollupSpec.within`. Raises Incomplete if a bucket there lacks one of its parts."""
        spec, data = self._spec, SeriesData(array("q"), array("d"))
        first, last = spec.within(spans, closed)
        needed = spec.parts * (spec.coarse.seconds // spec.fine.seconds)
        for moment in range(first, last, spec.coarse.seconds):
            at = (moment - spec.start) // spec.coarse.seconds
            if self._counts[at] != needed:
                raise Incomplete(self._reason(moment, needed - self._counts[at], needed))
            data.timestamps.append(moment)
            data.values.append(self._sums[at])
        return data

    def _reason(self, moment: int, missing: int, needed: int) -> str:
        spec = self._spec
        return (
            f"The {spec.coarse} bucket {rfc3339(from_epoch(moment))} cannot be summed: {missing} of its {needed} "
            f"{spec.fine} values are missing in the history"
        )
