"""How the groups of profiles with a dimension compare with the totals: runs of buckets, for the command and the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.rules.proof import CHANGED, DIFFERS, PROVEN
from collector.timestamps import from_epoch
from collector.windows import intersect, subtract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.profile import LabelledSeries, Profile
    from collector.store import ProofCount, QuestionProof, Reader, ReadView
    from collector.windows import EpochWindow

_DIFFERING = "differing"
_NOT_COMPARABLE = "not_comparable"
_YOUNG = "young"
_DUE = "due"
NO_TOTAL = "no_total"
_EVER = (0, 2**40)


@dataclass(frozen=True, slots=True)
class ProofRow:
    """Consecutive buckets of a question with one *state*: `proven`, `differing` or `not_comparable`.

    *difference* is the sum of the groups and of what is left, less the total, in each of the buckets. *reason* says why
    they cannot be compared. *reread_at* is when both values were read again because they differed.
    """

    profile: str
    series: str
    dimension: str
    start: datetime
    end: datetime
    buckets: int
    state: str
    difference: float | None = None
    reason: str | None = None
    reread_at: datetime | None = None


async def list_proof(
    store: Reader, profiles: Sequence[Profile], start: datetime | None = None, end: datetime | None = None
) -> list[ProofRow]:
    """Return the rows of those *profiles* that have a dimension, by profile and question, ascending."""
    window = int(start.timestamp()) if start else _EVER[0], int(end.timestamp()) if end else _EVER[1]

    def work(view: ReadView) -> list[ProofRow]:
        return [
            row
            for profile in view.placed(profiles)
            if profile.dimension
            for series in profile.series
            for row in _rows(view, profile, series, window)
        ]

    return await store.with_read_view(work)


def _rows(view: ReadView, profile: Profile, series: LabelledSeries, window: EpochWindow) -> list[ProofRow]:
    known, step = view.proof(series.query, window), profile.agg_interval.seconds
    if known is None:
        return []
    place = profile.name, series.label, profile.dimension
    rows = []
    for start, end, words in sorted(_parts(known, step), key=lambda part: part[0]):
        rows.append(ProofRow(*place, from_epoch(start), from_epoch(end), (end - start) // step, **words))
    return rows


def _parts(known: QuestionProof, step: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield windows, each with what a row says about it."""
    if known.reason is not None:
        yield *known.extent, _incomparable(known.reason)
        return
    for run in known.runs:
        times = {"reread_at": None if run.reread_at is None else from_epoch(run.reread_at)}
        if run.state == DIFFERS:
            for start, end, difference in _by_difference(known.differences, run.start, run.end, step):
                yield start, end, {"state": _DIFFERING, "difference": difference, **times}
        elif run.state == PROVEN:
            yield run.start, run.end, {"state": PROVEN, **times}
        else:
            yield run.start, run.end, _incomparable(run.state) | times
    for window in subtract(known.extent, [(run.start, run.end) for run in known.runs]):
        due = intersect([window], known.comparable)
        for part in due:
            yield *part, _incomparable(_DUE)
        for part in subtract(window, due):
            yield *part, _incomparable(_YOUNG)


def _incomparable(reason: str) -> dict[str, Any]:
    return {"state": _NOT_COMPARABLE, "reason": reason}


def _by_difference(
    differences: Mapping[int, float], start: int, end: int, step: int
) -> Iterator[tuple[int, int, float | None]]:
    """Split the buckets of a run where the difference changes."""
    first, last = start, differences.get(start)
    for timestamp in range(start + step, end, step):
        if (difference := differences.get(timestamp)) != last:
            yield first, timestamp, last
            first, last = timestamp, difference
    yield first, end, last


def count(profile: Profile, counts: Mapping[Question, ProofCount]) -> dict[str, int] | None:
    """Return the numbers of buckets of *profile* by state; None for a profile without a dimension."""
    if not profile.dimension:
        return None
    of_profile = [counts[series.query] for series in profile.series if series.query in counts]
    return {
        PROVEN: sum(number.proven for number in of_profile),
        _DIFFERING: sum(number.differing for number in of_profile),
        _NOT_COMPARABLE: sum(number.not_comparable for number in of_profile),
    }


def warnings(counts: Mapping[str, Mapping[str, int] | None]) -> list[str]:
    """Return a sentence for each profile with buckets that differ, by its name."""
    return [
        f"{name}: the groups do not add up to the total in {numbers[_DIFFERING]:,} buckets; "
        f"`collector proof {name}` lists them"
        for name, numbers in counts.items()
        if numbers and numbers[_DIFFERING]
    ]


REASONS = {
    NO_TOTAL: "no series has the same interval and filters and no dimension",
    "overlap": "a certificate may count in several groups",
    "percentage": "shares of all groups have no total",
    "unit": "the total has another unit or normalization",
    _YOUNG: "one of the two values is not final yet",
    _DUE: "not compared yet",
    "missing": "one of the two values is not stored",
    "unlisted": "the answer does not say what is left beside its groups",
    CHANGED: "one of the two values has changed since it was compared, and is not final again",
}
"""What each reason means."""
