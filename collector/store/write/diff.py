"""What an answer changes in what is stored: a pure decision.

An answer says how things were at its lastUpdated. If a newer answer overrules it for a bucket, it changes nothing
there; it may only add buckets that no answer has brought so far. What it says otherwise is counted as ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


StoredValue = tuple[float, int]
"""A stored value, and the fetch that brought it."""


class ReplacedValue(NamedTuple):
    """A stored value that an answer replaces."""

    timestamp: int
    old: StoredValue
    value: float


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes in one series; timestamps in epoch seconds, ascending everywhere.

    *inserted* are new buckets with their values: a mapping, for pairs by the thousand cost more than all else here.
    *vanished* are stored buckets that the answer no longer has, *returned* those among the vanished that it has again.
    *ignored* counts stored buckets that an overruled answer has otherwise, or lacks.
    """

    inserted: Mapping[int, float] = field(default_factory=dict)
    revised: list[ReplacedValue] = field(default_factory=list)
    unchanged: int = 0
    vanished: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    ignored: int = 0


def diff(
    stored: Mapping[int, StoredValue],
    answered: Mapping[int, float],
    missed: Collection[int] = (),
    newer: Sequence[tuple[int, int]] = (),
    spoken: Sequence[tuple[int, int]] | None = None,
) -> Difference:
    """Compare what is *stored* in an answer's windows with what it *answered* there.

    *missed* are the timestamps marked as vanished so far, *newer* the ranges [start, end) of answers that overrule this
    one. Only in *spoken* (None: everywhere) does the absence of a bucket mean anything.
    """
    if not stored:
        return Difference(inserted=_ascending(answered))
    inserted: dict[int, float] = {}
    differing, ignored = [], 0
    for timestamp, value in answered.items():
        known = stored.get(timestamp)
        if known is None:
            inserted[timestamp] = value
        elif known[0] != value:
            if newer and _is_inside(timestamp, newer):
                ignored += 1
            else:
                differing.append(ReplacedValue(timestamp, known, value))
    absent = [t for t in stored if t not in answered and (spoken is None or _is_inside(t, spoken))]
    vanished = [t for t in absent if t not in missed and not _is_inside(t, newer)]
    ignored_absences = sum(1 for t in absent if _is_inside(t, newer)) if newer else 0
    returned = [t for t in missed if t in answered and not _is_inside(t, newer)]
    unchanged = len(answered) - len(inserted) - len(differing) - ignored
    return Difference(
        _ascending(inserted),
        sorted(differing),
        unchanged,
        sorted(vanished),
        sorted(returned),
        ignored + ignored_absences,
    )


def _ascending(values: Mapping[int, float]) -> Mapping[int, float]:
    ascending = sorted(values)
    return values if ascending == [*values] else {timestamp: values[timestamp] for timestamp in ascending}


def _is_inside(timestamp: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(start <= timestamp < end for start, end in ranges)


def written(difference: Difference, start: int, end: int) -> tuple[Sequence[int], Sequence[float]]:
    """Give timestamps and values that a fetch writes to one series from *start* up to, not including, *end*."""
    values = difference.inserted
    if difference.revised:
        revised = {one.timestamp: one.value for one in difference.revised}
        values = dict(sorted({**values, **revised}.items()))
    timestamps = [*values]
    if timestamps and not (start <= timestamps[0] and timestamps[-1] < end):
        timestamps = [timestamp for timestamp in timestamps if start <= timestamp < end]
        return timestamps, [values[timestamp] for timestamp in timestamps]
    return timestamps, [*values.values()]
