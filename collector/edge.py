"""Where Radar's own history of a question begins, and what to ask to find that out: pure decisions.

Radar may refuse what lies before a moment, or have nothing there. Both are an *edge*: the buckets before it are no gap.
An edge is accepted by two answers and only beside data. Times are epoch seconds, windows are half-open.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from collector.finality import DAY, NARROWER, floor_bucket
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.windows import EpochWindow


Kind = Literal["refused", "unavailable", "empty"]
LOOK_AGAIN_SECONDS = 7 * DAY
"""An accepted edge is looked at again after this time: Cloudflare may publish more history."""
SECOND_ANSWER_SECONDS = 15 * 60
"""What Radar failed to answer, instead of refusing it, is no edge before it fails once more so much later."""
YOUNGEST_SECONDS = 2 * DAY
"""No edge is looked for in what is younger."""
_SAMPLES = 12
_TURNS = 8
_EVER = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """Radar has the bucket *begins*, and none of those from *since* (None: ever) up to it.

    *kind*: it refuses them, fails to answer for them, or answers without them. *seen_at* is when the first answer
    that showed it was requested, and the second one. *looked_at* is when it was seen last, *looks* how often since it
    was accepted. *before* is an earlier edge of the same question, with when it was seen: then the edge moves.
    *moving* is the first bucket of an answer that lacked stored ones from *begins* on, with when it was requested.
    """

    begins: int
    since: int | None
    kind: Kind
    reason: str
    seen_at: tuple[float, ...]
    looked_at: float
    looks: int = 0
    before: tuple[int, float] | None = None
    moving: tuple[int, float] | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether two answers have shown it."""
        return len(self.seen_at) > 1

    @property
    def absent(self) -> EpochWindow:
        """The window that Radar does not have."""
        return _EVER if self.since is None else self.since, self.begins

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be looked at again; what was written by a clock that ran ahead is."""
        again = DAY if self.kind == "unavailable" and not self.looks else LOOK_AGAIN_SECONDS
        return self.is_accepted and not self.looked_at <= now < self.looked_at + again

    def may_be_second(self, now: float) -> bool:
        """Tell whether an answer requested at *now* may be the second one."""
        return not self.is_accepted and not self.seen_at[0] <= now < self.seen_at[0] + SECOND_ANSWER_SECONDS

    def seen(self, now: float) -> Edge:
        """Add an answer that shows the edge."""
        if self.is_accepted:
            return replace(self, looked_at=now, looks=self.looks + 1)
        return replace(self, seen_at=(*self.seen_at, now), looked_at=now)

    def moves_to(self, first: int, now: float) -> Edge:
        """Note that an answer requested at *now* has values from the bucket *first* on only; a second one moves it."""
        if first <= self.begins:
            return replace(self, moving=None)
        if self.moving is None or self.moving[1] > now:
            return replace(self, moving=(first, now))
        if now < self.moving[1] + SECOND_ANSWER_SECONDS:
            return self
        begins, before = min(first, self.moving[0]), (self.begins, self.seen_at[0])
        left = (first, now) if first > begins else None
        return replace(self, begins=begins, seen_at=(self.moving[1], now), looked_at=now, before=before, moving=left)

    def clip(self, window: EpochWindow) -> list[EpochWindow]:
        """The parts of *window* that Radar may have."""
        return subtract(window, [self.absent])

    def guesses(self, now: float, step: int) -> tuple[int, ...]:
        """Guess where the edge is *now*, the likeliest bucket first: it moves with time if it has moved before."""
        start = self.begins
        if self.before is not None:
            speed = (self.begins - self.before[0]) / max(self.seen_at[0] - self.before[1], 1)
            start += int(min(speed, 1) * (now - self.seen_at[0]))
        else:
            start += int(now - self.seen_at[0])
        start = floor_bucket(start, self.begins, step)
        return start, start - step, start + step, start - max(DAY, step), start + max(DAY, step)


def dump(edge: Edge) -> str:
    """Write an edge as JSON."""
    return json.dumps(asdict(edge))


def load(text: str) -> Edge | None:
    """Read what `dump` wrote; None for anything else, which only costs the questions that find the edge."""
    try:
        record = json.loads(text)
        pairs = {name: tuple(pair) if (pair := record.get(name)) else None for name in ("before", "moving")}
        return Edge(**{**record, "seen_at": tuple(record["seen_at"]), **pairs})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Search:
    """A search between a bucket that was refused, *low*, and a later one that was answered, *high*.

    *lower* are buckets that were refused before *low*, ascending. *confirmed*: *low* was refused twice. *hints* are
    asked first.
    """

    low: int
    high: int
    step: int
    hints: tuple[int, ...] = ()
    lower: tuple[int, ...] = ()
    confirmed: bool = False

    @property
    def question(self) -> int | None:
        """The bucket to ask for next; None if the edge is found: *high*."""
        if self.high - self.low <= self.step:
            return None if self.confirmed else self.low
        likely = (hint for hint in self.hints if self.low < hint < self.high)
        return next(likely, self.low + (self.high - self.low) // self.step // 2 * self.step)

    def refused(self, bucket: int) -> Search:
        """Go on after *bucket* was refused."""
        if bucket == self.low:
            return replace(self, confirmed=True)
        return replace(self, low=bucket, lower=(*self.lower, self.low), confirmed=False)

    def answered(self, bucket: int) -> Search | None:
        """Go on after *bucket* was answered; None if there is no edge: nothing is refused any more."""
        if bucket != self.low:
            return replace(self, high=bucket)
        if not self.lower:
            return None
        return replace(self, low=self.lower[-1], high=bucket, lower=self.lower[:-1], confirmed=False)


def first_run(window: EpochWindow, runs: Iterable[EpochWindow]) -> EpochWindow | None:
    """Find the run of absent buckets that *window* begins with, among *runs*, ascending.

    None if there is none, or if nothing is stored behind it: an edge is found only beside data.
    """
    run = next(iter(runs), None)
    return run if run and run[0] == window[0] and run[1] < window[1] else None


def is_beginning(run: EpochWindow, lacked: Iterable[EpochWindow], step: int, edge: Edge | None) -> bool:
    """Tell whether answers have *lacked* all of *run*, but for what the last of its samples asks for.

    What lies before an accepted *edge* counts as lacked.
    """
    known = [*lacked, *([edge.absent] if edge and edge.is_accepted else [])]
    return not subtract(run, [*known, samples(run, step, 1)[0]])


def samples(run: EpochWindow, step: int, count: int, turn: int = 0) -> list[EpochWindow]:
    """Choose at most *count* windows of one length that show whether *run* is empty: the last has the bucket behind it.

    The others are spread over the run; another *turn* moves them.
    """
    width = min(max(DAY, NARROWER * step) if step < DAY else NARROWER * step, run[1] - run[0] + step)
    last = run[1] + step - width
    number = min(min(count, _SAMPLES) - 1, (last - run[0]) // width)
    if number < 1:
        return [(last, last + width)]
    part = (last - run[0]) // number
    shift = (part - width) * (turn % _TURNS) // _TURNS
    starts = (run[0] + (at * part + shift) // step * step for at in range(number))
    return [*((start, start + width) for start in starts), (last, last + width)]
