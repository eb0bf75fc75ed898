"""How the groups of a dimension, with what is left beside them, compare with a total from another answer. Pure.

A bucket is compared once both values are final (see `finality`): an answer whose lastUpdated is at least `settle` later
than the end of the bucket has confirmed each of them. So neither of the two can be older than the other one's last
revision. Times are epoch seconds, windows are half-open, runs of one question are ascending and do not overlap.
"""

from __future__ import annotations

from math import isclose
from typing import TYPE_CHECKING, NamedTuple

from collector.windows import intersect, subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from collector.windows import EpochWindow

PROVEN = "proven"
DIFFERS = "differs"
MISSING = "missing"
"""One of the two values is not stored."""
UNLISTED = "unlisted"
"""The answer did not say what is left beside its groups, so that their sum is no total."""
CHANGED = "changed"
"""One of the two values has changed since it was compared, or is not final any more."""
JUDGED = frozenset({PROVEN, DIFFERS, UNLISTED})
"""These stay until a value changes; the others are compared again once that is possible."""
_ROUNDING = 1e-9


class ProofRun(NamedTuple):
    """Buckets [start, end) with one result; *reread_at* is when both values were read again because of a difference."""

    start: int
    end: int
    state: str
    reread_at: float | None = None


class Divided(NamedTuple):
    """The runs that stay as they are, and the windows that must be compared."""

    runs: list[ProofRun]
    due: list[EpochWindow]


def divide(known: Sequence[ProofRun], comparable: Sequence[EpochWindow]) -> Divided:
    """Return which of the *known* runs stay, and which of the *comparable* windows are to be compared now."""
    runs, judged = [], []
    for run in known:
        window = (run.start, run.end)
        inside = intersect([window], comparable)
        runs += [run._replace(start=start, end=end) for start, end in inside]
        judged += inside if run.state in JUDGED else []
        if run.state != MISSING:
            outside = subtract(window, inside)
            runs += [run._replace(start=start, end=end, state=CHANGED) for start, end in outside]
    return Divided(sorted(runs), [part for window in comparable for part in subtract(window, judged)])


def first_buckets(windows: Iterable[EpochWindow], after: int, most: int, step: int) -> list[EpochWindow]:
    """Return the first *most* buckets of *windows*, ascending, from *after* on."""
    chosen, left = [], most * step
    for start, end in windows:
        until = min(end, max(start, after) + left)
        if max(start, after) < until:
            chosen.append((max(start, after), until))
            left -= until - max(start, after)
    return chosen


def judge(
    windows: Iterable[EpochWindow], step: int, sums: Mapping[int, float], totals: Mapping[int, float]
) -> dict[int, str]:
    """Compare the *sums* of all groups with the *totals*, bucket by bucket."""
    states = {}
    for start, end in windows:
        for timestamp in range(start, end, step):
            if timestamp not in sums or timestamp not in totals:
                states[timestamp] = MISSING
            else:
                states[timestamp] = PROVEN if is_equal(sums[timestamp], totals[timestamp]) else DIFFERS
    return states


def is_equal(total: float, other: float) -> bool:
    """Return whether two numbers are equal. Adding fractions may change their last digits."""
    return isclose(total, other, rel_tol=_ROUNDING)


def replaced(runs: Sequence[ProofRun], states: Mapping[int, str], step: int) -> list[ProofRun]:
    """Return *runs* with the *states* of some buckets, which keep the time of a re-reading until they are proven."""
    new = []
    before = _times(runs, states)
    for timestamp, state in states.items():
        reread_at = None if state == PROVEN else before.get(timestamp)
        new.append(ProofRun(timestamp, timestamp + step, state, reread_at))
    windows = [(run.start, run.end) for run in compact(new)]
    rest = [run._replace(start=a, end=b) for run in runs for a, b in subtract((run.start, run.end), windows)]
    return compact([*rest, *new])


def _times(runs: Iterable[ProofRun], timestamps: Collection[int]) -> dict[int, float]:
    times: dict[int, float] = {}
    for run in runs:
        if run.reread_at is not None:
            times |= {timestamp: run.reread_at for timestamp in timestamps if run.start <= timestamp < run.end}
    return times


def reopened(runs: Sequence[ProofRun], timestamps: Iterable[int], step: int) -> list[ProofRun]:
    """Return *runs* after values of the buckets at *timestamps* have changed."""
    changed = [t for t in timestamps if any(run.start <= t < run.end and run.state in JUDGED for run in runs)]
    return replaced(runs, dict.fromkeys(changed, CHANGED), step)


def reread(runs: Sequence[ProofRun], windows: Sequence[EpochWindow], at: float) -> list[ProofRun]:
    """Return *runs* after both values of *windows* were read again, whatever the answers brought."""
    marked = []
    for run in runs:
        window = (run.start, run.end)
        inside = intersect([window], windows) if run.state != PROVEN else []
        marked += [run._replace(start=start, end=end, reread_at=at) for start, end in inside]
        marked += [run._replace(start=start, end=end) for start, end in subtract(window, inside)]
    return compact(marked)


def compact(runs: Iterable[ProofRun]) -> list[ProofRun]:
    """Join neighbouring runs with the same result."""
    joined: list[ProofRun] = []
    for run in sorted(runs, key=_start):
        last = joined[-1] if joined else None
        if last and last.end == run.start and (last.state, last.reread_at) == (run.state, run.reread_at):
            joined[-1] = last._replace(end=run.end)
        else:
            joined.append(run)
    return joined


def _start(run: ProofRun) -> int:
    return run.start
