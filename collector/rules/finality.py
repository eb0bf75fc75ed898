"""Which values of a series are final, which are fetched again, and which gaps are proven. Pure functions.

A bucket is *past settle* for an answer if it ended at least `settle` before the answer was requested and before its
lastUpdated. It is final once an answer past settle has confirmed the stored value. Times are epoch seconds, windows are
half-open, rows of one series are ascending and do not overlap.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from collector.windows import intersect, join_buckets, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from collector.windows import EpochWindow

_REMEMBERED = 64
"""So many results are remembered, because most series of an answer have the same evidence."""
_W = TypeVar("_W", bound="tuple[int, int] | Evidence")

DAY = 86_400
REREAD_SECONDS = DAY - 900
"""A value that is not final is fetched again after a day, less 15 minutes, because a daily fire may be early."""
RECHECK_SECONDS = DAY - 3_600
"""A value that changed past settle is fetched once more after a day, less an hour, because no schedule is exact."""
DEFAULT_SETTLE = 14 * DAY
"""The settle of a series that no profile has had yet."""
PROOF_SECONDS = 2 * DAY
"""The two answers that prove a gap upstream were requested at least this far apart."""
NARROWER = 4
"""The window of the later one was at most the NARROWER-th part of the window of the earlier one."""


class Evidence(NamedTuple):
    """What the answers so far prove about the values of the buckets [start, end).

    The newest answer was requested at *asked_at*; *told_at* is the earlier of that time and its lastUpdated. For each
    bucket, told_at is at least *margin* seconds after its end. *changed_at*: when an answer past settle was requested
    that changed or lacked the values; None after an answer a day later has confirmed them. *confirmed*: a second answer
    had the same values.
    """

    start: int
    end: int
    asked_at: float
    told_at: float
    margin: int
    changed_at: float | None
    confirmed: bool

    def within(self, start: int, end: int) -> Evidence:
        """Return the evidence for a part of the buckets; an earlier end leaves a larger margin."""
        return self._replace(start=start, end=end, margin=max(self.margin, int(self.told_at - end)))


class AnswerScope(NamedTuple):
    """One answer for one series: the buckets that it covers, when it was requested, and until when it is valid."""

    start: int
    end: int
    asked_at: float
    told_at: float
    step: int
    settle: int

    @property
    def settled_until(self) -> int:
        """The end of the buckets that are past settle, on the bucket grid."""
        return floor_bucket(self.told_at - self.settle, self.start, self.step)


def floor_bucket(moment: float, anchor: int, step: int) -> int:
    """Return the last bucket edge at or before *moment*, on the grid of *step* seconds that contains *anchor*."""
    return anchor + int((moment - anchor) // step) * step


def fold(  # noqa: PLR0913 - all but two are keywords
    known: Sequence[Evidence],
    scope: AnswerScope,
    *,
    first: bool,
    inserted: Iterable[int] = (),
    changed: Iterable[int] = (),
    overruled: Iterable[EpochWindow] = (),
) -> list[Evidence]:
    """Return the evidence *known* so far with an answer added.

    *first*: nothing was stored in its scope before. Otherwise all stored values agree, except at the timestamps
    *inserted* and *changed* (revised, vanished or returned). The evidence for *overruled* windows stays as it is.
    """
    settle = scope.settle
    new = [(scope.start, scope.end)] if first else join_buckets(sorted(inserted), scope.step)
    late = [timestamp for timestamp in changed if timestamp + scope.step + settle <= scope.asked_at]
    doubtful = join_buckets(sorted(late), scope.step)
    return list(_folded(tuple(known), scope, tuple(new), tuple(doubtful), tuple(merge(overruled))))


@lru_cache(_REMEMBERED)
def _folded(
    known: tuple[Evidence, ...],
    scope: AnswerScope,
    new: tuple[EpochWindow, ...],
    doubtful: tuple[EpochWindow, ...],
    kept: tuple[EpochWindow, ...],
) -> tuple[Evidence, ...]:
    rows = [row for row in known if row.end <= scope.start or row.start >= scope.end]
    for row in (row for row in known if row.start < scope.end and scope.start < row.end):
        outside = (row.start, scope.start), (scope.end, row.end)
        rows += [row.within(start, end) for start, end in outside if start < end]
    edges = {scope.start, scope.end, min(max(scope.settled_until, scope.start), scope.end)}
    edges |= {edge for part in (*new, *doubtful, *kept) for edge in part if scope.start < edge < scope.end}
    edges |= {edge for row in known for edge in row[:2] if scope.start < edge < scope.end}
    before = _Cursor(known)
    at_new, at_doubtful, at_kept = _Cursor(new), _Cursor(doubtful), _Cursor(kept)
    for start, end in pairwise(sorted(edges)):
        old = before.at(start)
        if at_kept.at(start):
            rows += [old.within(start, end)] if old else []
        elif at_doubtful.at(start):
            rows.append(_evidence(scope, start, end)._replace(changed_at=scope.asked_at))
        elif at_new.at(start):
            rows.append(_evidence(scope, start, end))
        else:
            rows.append(_agreed(old, scope, start, end))
    return tuple(compact(rows, scope.settle))


def doubted(
    rows: Iterable[Evidence], buckets: Iterable[int], step: int, settle: int, asked_at: float
) -> list[Evidence]:
    """Return *rows* after an answer has changed parts of the values of *buckets*, whose sums may be as before.

    Those that were past settle when it was requested, at *asked_at*, are fetched again as if the sums had changed.
    """
    late = [timestamp for timestamp in buckets if timestamp + step + settle <= asked_at]
    doubtful, changed = join_buckets(sorted(late), step), []
    for row in rows:
        window = (row.start, row.end)
        inside = intersect([window], doubtful)
        changed += [row.within(*part)._replace(changed_at=asked_at, confirmed=False) for part in inside]
        changed += [row.within(*part) for part in subtract(window, inside)]
    return compact(changed, settle)


def _evidence(scope: AnswerScope, start: int, end: int) -> Evidence:
    return Evidence(start, end, scope.asked_at, scope.told_at, int(scope.told_at - end), None, confirmed=False)


def _agreed(old: Evidence | None, scope: AnswerScope, start: int, end: int) -> Evidence:
    """Return the evidence for buckets whose stored values are equal to those of the answer."""
    answer = _evidence(scope, start, end)
    past_settle = end <= scope.settled_until
    if old is None:
        return answer._replace(confirmed=past_settle)
    old = old.within(start, end)
    changed_at = old.changed_at
    if changed_at is not None and scope.asked_at >= changed_at + RECHECK_SECONDS:
        changed_at = None
    return Evidence(
        start,
        end,
        max(old.asked_at, answer.asked_at),
        max(old.told_at, answer.told_at),
        max(old.margin, answer.margin),
        changed_at,
        confirmed=old.confirmed or old.changed_at is not None or past_settle,
    )


class _Cursor(Generic[_W]):
    """Finds the window that contains a timestamp. The windows do not overlap; timestamps must ascend."""

    def __init__(self, windows: Iterable[_W]) -> None:
        self._windows = sorted(windows)
        self._at = 0

    def at(self, timestamp: int) -> _W | None:
        while self._at < len(self._windows) and self._windows[self._at][1] <= timestamp:
            self._at += 1
        window = self._windows[self._at] if self._at < len(self._windows) else None
        return window if window and window[0] <= timestamp else None


def compact(rows: Iterable[Evidence], settle: int) -> list[Evidence]:
    """Join neighbouring rows that are equal, or both final; the joined row has the lower bound of both."""
    joined: list[Evidence] = []
    for row in sorted(rows):
        last = joined[-1] if joined else None
        if last and last.end == row.start and _are_alike(last, row, settle):
            asked_at, told_at = min(last.asked_at, row.asked_at), min(last.told_at, row.told_at)
            margin = min(last.margin, row.margin)
            joined[-1] = Evidence(last.start, row.end, asked_at, told_at, margin, last.changed_at, last.confirmed)
        else:
            joined.append(row)
    return joined


def _are_alike(row: Evidence, other: Evidence, settle: int) -> bool:
    if row.changed_at != other.changed_at or row.confirmed != other.confirmed:
        return False
    if (row.asked_at, row.told_at) == (other.asked_at, other.told_at):
        return True
    return row.changed_at is None and min(row.margin, other.margin) >= settle


def final_windows(
    rows: Iterable[Evidence], settle: int, step: int, *, confirmed: bool | None = None
) -> list[EpochWindow]:
    """Return the windows whose values are final; with *confirmed*, only those that are confirmed, or that are not."""
    windows = []
    for row in rows:
        if row.changed_at is None and confirmed in (None, row.confirmed):
            end = row.end if row.margin >= settle else min(floor_bucket(row.told_at - settle, row.start, step), row.end)
            windows.append((row.start, end))
    return merge(windows)


def windows_to_reread(
    rows: Sequence[Evidence], extent: EpochWindow, settle: int, step: int, now: float
) -> list[EpochWindow]:
    """Return the windows of the stored *extent* whose values are not final and must be fetched again *now*.

    Young values are due a day after they were last fetched. They are all due together, so that they share a request. A
    value that changed past settle is due in the next pass, and once more a day later. Values without evidence are due.
    """
    young, due_at = [], now + 1
    due = subtract(extent, [row[:2] for row in rows])
    for row in rows:
        start, end = max(row.start, extent[0]), min(row.end, extent[1])
        if start >= end:
            continue
        if row.changed_at is not None and row.margin >= settle:
            if not row.confirmed or now >= row.changed_at + RECHECK_SECONDS:
                due.append((start, end))
        elif row.margin < settle:
            young.append((max(start, floor_bucket(row.told_at - settle, row.start, step)), end))
            asked_at = row.asked_at if row.changed_at is None or row.confirmed else now - REREAD_SECONDS
            due_at = min(due_at, min(asked_at, now) + REREAD_SECONDS)
    if due_at <= now:
        due += young
    return merge(due)


class Absence(NamedTuple):
    """An answer past settle lacked the buckets [start, end), which are not stored; with its window and its times."""

    start: int
    end: int
    window_start: int
    window_end: int
    asked_at: float
    told_at: float

    @property
    def width(self) -> int:
        """The length of the requested window."""
        return self.window_end - self.window_start


def judge_gap(gap: EpochWindow, absences: Sequence[Absence], settle: int) -> list[tuple[int, int, str]]:
    """Split a window of absent buckets into parts that are `missing`, and parts that Radar lacks (`upstream`).

    The proof is two answers past settle, requested at least two days apart, the later one for a window at most a
    quarter as long.
    """
    if not absences:
        return [(*gap, "missing")]
    parts: list[tuple[int, int, str]] = []
    for start, end, known in _parts(gap, absences, settle):
        reason = "upstream" if _is_proven(known) else "missing"
        if parts and parts[-1][2] == reason:
            parts[-1] = (parts[-1][0], end, reason)
        else:
            parts.append((start, end, reason))
    return parts


def _parts(gap: EpochWindow, absences: Sequence[Absence], settle: int) -> Iterator[tuple[int, int, list[Absence]]]:
    """Split *gap* into parts, each with the absences that were past settle and cover the whole part."""
    known = []
    for absence in absences:
        until = min(absence.end, int(absence.told_at - settle))
        if absence.start < until:
            known.append(absence._replace(end=until))
    edges = {*gap} | {edge for absence in known for edge in absence[:2] if gap[0] < edge < gap[1]}
    for start, end in pairwise(sorted(edges)):
        covering = [absence for absence in known if absence.start <= start and end <= absence.end]
        yield start, end, sorted(covering, key=_asked_at)


def _asked_at(absence: Absence) -> float:
    return absence.asked_at


def _is_proven(known: Sequence[Absence]) -> bool:
    """Return whether two of *known*, ascending by time, are a proof."""
    return any(
        later.asked_at - earlier.asked_at >= PROOF_SECONDS and later.width * NARROWER <= earlier.width
        for number, earlier in enumerate(known)
        for later in known[number + 1 :]
    )


class GapRequest(NamedTuple):
    """A part of a gap to request now; *width* is the maximum length of its windows, None means no limit.

    *lacked*: an answer past settle has lacked it. Otherwise the answers that covered it may have been cut short there.
    """

    start: int
    end: int
    width: int | None
    lacked: bool = False


def gap_requests(  # noqa: PLR0913 - two are keywords
    gap: EpochWindow, absences: Sequence[Absence], settle: int, now: float, *, step: int = 1, explicit: bool = False
) -> list[GapRequest]:
    """Return the parts of a gap to request *now*: those that are not proven, or all if *explicit*.

    A bucket is requested twice in wide windows, or alone if an answer lacked its whole window. The answer that proves
    the gap is requested two days after the first, for a window a quarter as long; nothing is requested before. If no
    window was as long as four buckets of *step* seconds, the request is for a window that reaches beyond the gap.
    """
    requests = []
    for start, end, known in _parts(gap, absences, settle):
        if _is_proven(known) and not explicit:
            continue
        wide = [absence for absence in known if absence.width >= NARROWER * step]
        old = [absence.width for absence in wide if now - absence.asked_at >= PROOF_SECONDS]
        width = max(old, default=0) // NARROWER
        if len(known) < 2:  # noqa: PLR2004 - twice
            alone = any(
                absence.start <= absence.window_start and absence.window_end <= absence.end for absence in known
            )
            requests.append(GapRequest(start, end, end - start if alone else None, lacked=bool(known)))
        elif not wide:
            beyond = start - NARROWER * step, end + step
            requests.append(GapRequest(*beyond, beyond[1] - beyond[0], lacked=True))
        elif width:
            requests.append(GapRequest(start, end, width, lacked=True))
        elif explicit:
            requests.append(GapRequest(start, end, None, lacked=True))
    return requests


def absent_runs(scope: AnswerScope, answered: Sequence[int], stored: Iterable[int]) -> list[EpochWindow]:
    """Return the windows of buckets past settle that an answer lacks and that are not *stored*.

    An answer with values proves nothing before its first and after its last value, because it may have been cut short.
    """
    first, last = (answered[0], answered[-1] + scope.step) if answered else (scope.start, scope.end)
    start, end = max(first, scope.start), min(last, scope.end, scope.settled_until)
    if start >= end or (answered and len(answered) * scope.step == last - first):
        return []
    there = {timestamp for timestamp in answered if start <= timestamp < end}
    there |= {timestamp for timestamp in stored if start <= timestamp < end}
    return join_buckets(
        (timestamp for timestamp in range(start, end, scope.step) if timestamp not in there), scope.step
    )
