"""Divide sums into groups: which of them are known in every bucket, which are listed, and what is left. Pure decisions.

An absent group is unknown while something is left beside the listed ones, and has nothing otherwise. A group that is
unknown in some bucket is not listed: it is part of what is left, which is the whole less the listed groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, NamedTuple

from collector.model import Normalization
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    Columns = dict[str, list[float]]

_DIGITS = 6
"""Digits behind the point of a percentage, as many as the API's description shows."""
_TOLERANCE = {Normalization.RAW_VALUES: 1e-9, Normalization.PERCENTAGE: 1e-2}
"""How much less than nothing may be left: the part of the whole that comes from rounding."""


class Contradiction(Exception):
    """The groups have more than the whole, because they were not answered at the same time."""


class Buckets:
    """The buckets of an answer, which start at *timestamps* and are *step* seconds wide."""

    def __init__(self, timestamps: Sequence[int], step: int) -> None:
        self._places = {timestamp: at for at, timestamp in enumerate(timestamps)}
        self._step, self._edge = step, timestamps[0] if timestamps else 0
        self.count = len(timestamps)

    def place(self, moment: int) -> int | None:
        """Return the number of the bucket that contains *moment*; None if there is none."""
        return self._places.get(moment - (moment - self._edge) % self._step)

    def within(self, moments: Iterable[int]) -> list[int]:
        """Return those of *moments* that a bucket contains."""
        return [moment for moment in moments if self.place(moment) is not None]

    def add(self, points: Mapping[int, float], sums: list[float]) -> None:
        """Add the values of *points* to the sums of their buckets."""
        for moment, value in points.items():
            at = self.place(moment)
            if at is not None:
                sums[at] += value


class PartOfGroup(NamedTuple):
    """The points of a group in one of the series that are added up, and where it is unknown without a point."""

    points: Mapping[int, float]
    open: Collection[int]


def sums_if_known(buckets: Buckets, parts: Iterable[PartOfGroup]) -> list[float] | None:
    """Return the sums of a group in all buckets; None if it is unknown in one of them."""
    sums = [0.0] * buckets.count
    for part in parts:
        if any(moment not in part.points for moment in part.open):
            return None
        buckets.add(part.points, sums)
    return sums


@dataclass(frozen=True, slots=True)
class DividedSeries:
    """The *whole* of each bucket, divided: the values of the *listed* groups, the largest first, and what is *left*.

    Sums over all buckets have one value of each.
    """

    timestamps: Sequence[int]
    whole: Sequence[float]
    listed: Mapping[str, Sequence[float]]
    left: Sequence[float]

    def summed(self) -> DividedSeries:
        """Return the sums over all buckets."""
        listed = {name: [fsum(values)] for name, values in self.listed.items()}
        return DividedSeries(self.timestamps, [fsum(self.whole)], listed, [fsum(self.left)])

    def as_percentages(self) -> DividedSeries:
        """Return the percentages of the whole."""
        listed = {name: self._percentages(values) for name, values in self.listed.items()}
        return DividedSeries(self.timestamps, self.whole, listed, self._percentages(self.left))

    def _percentages(self, values: Sequence[float]) -> list[float]:
        pairs = zip(values, self.whole, strict=True)
        return [round(100 * value / whole, _DIGITS) if whole else 0.0 for value, whole in pairs]


def divide(
    timestamps: Sequence[int],
    whole: Sequence[float],
    known: Mapping[str, Sequence[float]],
    normalization: Normalization,
    most: int | None,
) -> DividedSeries:
    """List the *most* largest of the *known* groups, or all; raises Contradiction if they have more than the whole."""
    _rest(timestamps, whole, known.values(), normalization)
    sums = {name: fsum(values) for name, values in known.items()}
    names = sorted(known, key=lambda name: (-sums[name], name))[:most]
    listed = {name: known[name] for name in names}
    return DividedSeries(timestamps, whole, listed, _rest(timestamps, whole, listed.values(), normalization))


def _rest(
    timestamps: Sequence[int],
    whole: Sequence[float],
    columns: Collection[Sequence[float]],
    normalization: Normalization,
) -> list[float]:
    """Return the whole of each bucket less the values of *columns*."""
    sums = [fsum(bucket) for bucket in zip(*columns, strict=True)] if columns else [0.0] * len(whole)
    rests = []
    for timestamp, total, part in zip(timestamps, whole, sums, strict=True):
        rest, tolerance = total - part, _TOLERANCE[normalization] * max(abs(total), 1.0)
        if rest < -tolerance:
            raise Contradiction(rfc3339(from_epoch(timestamp)))
        rests.append(0.0 if rest <= tolerance else rest)
    if normalization is Normalization.PERCENTAGE:
        return [round(rest, _DIGITS) for rest in rests]
    return rests
