"""What a replayed answer adds to a series: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from collector.additivity import is_snapshot
from collector.model import is_absolute
from collector.store.answer_part import spoken_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from collector.model import Points, SeriesQuery
    from collector.store.fetches import Arrival
    from collector.store.proposals import Standing

    Named = tuple[datetime, datetime] | None


class Part(NamedTuple):
    """One slice of the answer: the *values* of its buckets, and what it speaks for."""

    query: SeriesQuery
    spoken: tuple[int, int]
    values: Mapping[int, float]
    named: Named


@dataclass(slots=True)
class Filling:
    """What the parts of one series add: the new buckets of each part."""

    added: list[tuple[Part, dict[int, float]]] = field(default_factory=list)
    unchanged: int = 0
    ignored: int = 0

    @property
    def count(self) -> int:
        """How many new buckets there are."""
        return sum(len(values) for _, values in self.added)

    @property
    def values(self) -> dict[int, float]:
        """All new buckets, ascending."""
        return dict(sorted(pair for _, values in self.added for pair in values.items()))

    def add(self, part: Part, stored: Mapping[int, tuple[float, int]], kept: float | None) -> None:
        """Add what *part* has and *stored* has not, from *kept* on, in epoch seconds."""
        there = self.values
        new = {
            t: v for t, v in part.values.items() if t not in stored and t not in there and (kept is None or t >= kept)
        }
        same = sum(1 for t, v in part.values.items() if t in stored and stored[t][0] == v)
        self.added.append((part, new))
        self.unchanged += same
        self.ignored += sum(1 for t in part.values if t in stored) - same


def parts_of(arrival: Arrival) -> list[Part]:
    """Cut an answer into its slices, each without what the answer does not speak for."""
    meta, slices = arrival.answer.meta, arrival.batch.slices
    found = []
    for piece, read, named in zip(slices, arrival.answer.series, meta.date_ranges, strict=True):
        spoken = spoken_window(piece.window, named, meta.last_updated, piece.series.agg_interval.step)
        found.append(Part(piece.series, spoken, dict(_within(read, spoken)), named))
    return found


def _within(read: Points, spoken: tuple[int, int]) -> Iterable[tuple[int, float]]:
    start, end = spoken
    return ((t, v + 0.0) for t, v in zip(read.timestamps, read.values, strict=True) if start <= t < end)


def why_left_out(query: SeriesQuery, standing: Standing | None, measure: tuple[str, str]) -> str | None:
    """Say why nothing of a series is filled; None if it may be."""
    if standing is None:
        return f"the store knows no series {query.filters_json} at {query.agg_interval} any more"
    if is_snapshot(query):
        return f"{standing.label}: a snapshot is made of all answers of one pass"
    normalization = measure[0] or standing.measure[0]
    if normalization and not is_absolute(normalization):
        return f"{standing.label}: {normalization} values hold within one answer only"
    if not standing.takes(measure):
        return f"{standing.label}: the values are in {measure[1]!r} ({measure[0]}), the series is in another unit"
    return None
