"""What an answer changes in what is stored: a pure decision.

An answer says how things were at its lastUpdated. Where a newer answer has already spoken of a bucket, an older one
changes nothing about it; it may only add buckets that no answer has brought so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


Known = tuple[float, int]
"""A stored value, and the fetch that brought it."""


class Revised(NamedTuple):
    """A stored value that an answer replaces."""

    timestamp: int
    old: Known
    value: float


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes in one series; timestamps in epoch seconds, ascending everywhere.

    *inserted* are new buckets with their values: a mapping, for pairs by the thousand cost more than all else here.
    *vanished* are stored buckets that the answer no longer has, *returned* those among the vanished that it has again.
    """

    inserted: Mapping[int, float] = field(default_factory=dict)
    revised: list[Revised] = field(default_factory=list)
    unchanged: int = 0
    vanished: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)


def diff(
    stored: Mapping[int, Known],
    answered: Mapping[int, float],
    missed: Collection[int] = (),
    newer: Sequence[tuple[int, int]] = (),
) -> Difference:
    """Compare what is *stored* in an answer's windows with what it *answered* there.

    *missed* are the timestamps marked as vanished so far, *newer* the ranges [start, end) of answers whose lastUpdated
    is later than this one's.
    """
    if not stored:
        return Difference(inserted=_ascending(answered))
    inserted: dict[int, float] = {}
    differing = []
    for timestamp, value in answered.items():
        known = stored.get(timestamp)
        if known is None:
            inserted[timestamp] = value
        elif known[0] != value and not _settled(timestamp, newer):
            differing.append(Revised(timestamp, known, value))
    vanished = [t for t in stored if t not in answered and t not in missed and not _settled(t, newer)]
    returned = [t for t in missed if t in answered and not _settled(t, newer)]
    unchanged = len(answered) - len(inserted) - len(differing)
    return Difference(_ascending(inserted), sorted(differing), unchanged, sorted(vanished), sorted(returned))


def _ascending(values: Mapping[int, float]) -> Mapping[int, float]:
    ascending = sorted(values)
    return values if ascending == [*values] else {timestamp: values[timestamp] for timestamp in ascending}


def _settled(timestamp: int, newer: Sequence[tuple[int, int]]) -> bool:
    return any(start <= timestamp < end for start, end in newer)
