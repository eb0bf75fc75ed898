"""Adds counts up: of finer buckets to coarser ones, of several values to their OR. Exact or refused; pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from collector.contract.date_ranges import floor
from collector.model import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.model import AggInterval


class Line(NamedTuple):
    """The points of one series in an answer, ascending: *timestamps* in epoch seconds."""

    timestamps: array[int]
    values: array[float]


class Incomplete(Exception):
    """A bucket inside the stored history cannot be summed, for a part of it is missing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is to be summed: buckets of *coarse* from *start* up to *end*, out of *parts* series of *fine* buckets."""

    start: int
    end: int
    fine: AggInterval
    coarse: AggInterval
    parts: int

    def within(self, spans: Iterable[tuple[int, int]], closed: int) -> tuple[int, int]:
        """Give the stretch whose buckets can be summed, on their grid, which may be empty.

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


class Sum:
    """Takes points in any order of series and gives their sums."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        buckets = (frame.end - frame.start) // frame.coarse.seconds
        self._counts = array("q", bytes(8 * buckets))
        self._sums = array("d", bytes(8 * buckets))

    def add(self, points: Iterable[tuple[int, float]]) -> None:
        """Add points of one series."""
        start, step, counts, sums = self._frame.start, self._frame.coarse.seconds, self._counts, self._sums
        for timestamp, value in points:
            at = (timestamp - start) // step
            counts[at] += 1
            sums[at] += value

    def line(self, spans: Iterable[tuple[int, int]], closed: int) -> Line:
        """Give the sums within `Frame.within`; Incomplete where a bucket there lacks a part of what it is made of."""
        frame, line = self._frame, Line(array("q"), array("d"))
        first, last = frame.within(spans, closed)
        needed = frame.parts * (frame.coarse.seconds // frame.fine.seconds)
        for moment in range(first, last, frame.coarse.seconds):
            at = (moment - frame.start) // frame.coarse.seconds
            if self._counts[at] != needed:
                raise Incomplete(self._reason(moment, needed - self._counts[at], needed))
            line.timestamps.append(moment)
            line.values.append(self._sums[at])
        return line

    def _reason(self, moment: int, missing: int, needed: int) -> str:
        frame = self._frame
        return (
            f"The {frame.coarse} bucket {rfc3339(from_epoch(moment))} cannot be summed: {missing} of its {needed} "
            f"{frame.fine} values are missing in the history"
        )
