"""Which buckets of a range are absent, and whether that is said beside the answer or in its place: pure decisions.

A bucket is absent if Radar has published it, as far as is known, and it is not stored. What is not published yet is not
absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.contract.date_ranges import floor
from collector.timestamps import from_epoch, rfc3339
from collector.windows import absent_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.model import AggInterval
    from collector.windows import EpochWindow

ABSENT_HEADER = "X-Absent-Buckets"
ABSENT_CODE = 2100
"""The code of a message about absent buckets, in `messages` of an answer."""
MAX_RUNS = 24
"""So many runs are listed, of all series of an answer together; the others are counted."""
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class AbsentBuckets:
    """The buckets of *agg_interval* that the answer lacks for the series *name*: *runs* [start, end), ascending."""

    name: str
    agg_interval: AggInterval
    runs: tuple[EpochWindow, ...]

    @property
    def buckets(self) -> int:
        """Their number."""
        return sum(end - start for start, end in self.runs) // self.agg_interval.seconds


@dataclass(frozen=True, slots=True)
class StoredExtent:
    """What is stored of the series that answer one position: from the bucket *oldest* to *newest*, None for nothing.

    *agg_interval* is theirs. Radar is proven not to have the buckets of the ranges *proven*. All in epoch seconds.
    """

    agg_interval: AggInterval
    oldest: int | None
    newest: int | None
    proven: tuple[EpochWindow, ...] = ()


def published_absences(timestamps: Sequence[int], asked: EpochWindow, step: int, published: float) -> list[EpochWindow]:
    """Find the runs that are absent of the range *asked*, of which *timestamps* are there.

    Radar has published the series up to *published*, in epoch seconds.
    """
    start, end = asked
    return absent_windows(timestamps, start, max(start, min(end, floor(published, step, start))), step)


def rejection(
    timestamps: Sequence[int], asked: EpochWindow, runs: Sequence[EpochWindow], kept: StoredExtent
) -> str | None:
    """Say why a range cannot be answered: nothing of it is stored, or it begins before the first stored bucket.

    None if it can be answered: it is no fault that Radar is proven to have none of the buckets at its beginning.
    """
    if not runs or runs[0][0] > asked[0] or _is_inside(runs[0], kept.proven):
        return None
    if timestamps and kept.oldest is not None and kept.oldest <= asked[0]:
        return None
    first = rfc3339(from_epoch(asked[0]))
    if kept.oldest is None or kept.newest is None:
        return f"Nothing is stored from {first} on: the history has no bucket yet"
    oldest, newest = (rfc3339(from_epoch(moment)) for moment in (kept.oldest, kept.newest))
    stored = f"the first stored {kept.agg_interval} bucket is {oldest}, the last one is {newest}"
    if timestamps or asked[0] < kept.oldest < asked[1]:
        return f"The range begins at {first}, before the history: {stored}"
    last = rfc3339(from_epoch(asked[1]))
    return f"Nothing is stored from {first} to {last}: {stored}"


def _is_inside(run: EpochWindow, ranges: Iterable[EpochWindow]) -> bool:
    return any(start <= run[0] and run[1] <= end for start, end in ranges)


def sentences(found: Sequence[AbsentBuckets], most: int = MAX_RUNS) -> list[str]:
    """Describe what is absent, a sentence a series, each with its name: `1h buckets absent: A..B (n), …`.

    A and B are the starts of the first and of the last absent bucket of a run of n buckets.
    """
    return [f"{one.name}: {text}" for one, text in _described(found, most)]


def header(found: Sequence[AbsentBuckets]) -> str:
    """Write the same for a response header: names are percent-encoded, series separated by `; `."""
    return "; ".join(f"{quote(one.name, safe=' ')[:_LONGEST_NAME]}: {text}" for one, text in _described(found))


def _described(found: Sequence[AbsentBuckets], most: int = MAX_RUNS) -> list[tuple[AbsentBuckets, str]]:
    described = []
    for one in found:
        shown = one.runs[:most]
        most -= len(shown)
        step, texts = one.agg_interval.seconds, []
        for start, end in shown:
            first, last = (rfc3339(from_epoch(moment)) for moment in (start, end - step))
            texts.append(f"{first}..{last} ({(end - start) // step})")
        left = AbsentBuckets(one.name, one.agg_interval, one.runs[len(shown) :])
        if left.runs:
            texts.append(f"and others ({left.buckets})" if texts else f"in all ({left.buckets})")
        described.append((one, f"{one.agg_interval} buckets absent: {', '.join(texts)}"))
    return described
