"""What the newest answer on each bucket said of its confidence: a pure decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Range = tuple[int, int]
    Stretches = Iterable[tuple[int, int, int]]


class Spoken(NamedTuple):
    """An answer on the buckets from *start* up to *end* of a series, and its confidence level."""

    series_id: int
    start: int
    end: int
    level: int | None


def lowest_level(stretches: Stretches, spoken: Sequence[Spoken]) -> int | None:
    """Find the lowest level that holds on *stretches* (series_id, start, end); *spoken* has the newest answer first.

    Of each bucket only the newest answer counts, for a level rises when Radar's data has been repaired.
    """
    levels = set()
    for series_id, start, end in stretches:
        open_ranges = [(start, end)]
        for one in spoken:
            if one.series_id != series_id or not open_ranges:
                continue
            rest = [part for found in open_ranges for part in _without(found, (one.start, one.end))]
            if rest != open_ranges:
                levels.add(one.level)
            open_ranges = rest
    return min((level for level in levels if level is not None), default=None)


def _without(found: Range, taken: Range) -> list[Range]:
    """What of a range is left when another one is taken from it."""
    parts = (found[0], min(found[1], taken[0])), (max(found[0], taken[1]), found[1])
    return [part for part in parts if part[0] < part[1]]
