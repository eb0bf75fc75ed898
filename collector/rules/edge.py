"""Where Radar's own history of a question begins, and which requests find that out. Pure functions.

Radar may reject requests for buckets before a moment, or have no values there. Both are an *edge*: the buckets before
it are not a gap. An edge is accepted after two answers, and only next to data. Times are epoch seconds, windows are
half-open.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from collector.rules.finality import DAY, NARROWER, floor_bucket
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.windows import EpochWindow

Kind = Literal["refused", "unavailable", "empty"]
LOOK_AGAIN_SECONDS = 7 * DAY
"""An accepted edge is checked again after this time, because Cloudflare may publish more history."""
SECOND_ANSWER_SECONDS = 15 * 60
"""If Radar fails to answer instead of rejecting the request, it must fail again this much later to show an edge."""
YOUNGEST_SECONDS = 2 * DAY
"""No edge is searched for in buckets that are younger."""
_SAMPLES = 12
_TURNS = 8
_EVER = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """Radar has the bucket *begins*, and none of those from *since* (None: ever) up to it.

    *kind*: Radar rejects requests for them, fails to answer, or answers without them. *seen_at* has the times of
    request of the first two answers that showed the edge. *looked_at* is when it was last seen, *looks* how often since
    it was accepted. *before* is an earlier edge of the same question with its time; it shows that the edge moves.
    *moving* is the first bucket of an answer that lacked stored buckets from *begins* on, with its time of request.
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
        """Whether two answers have shown the edge."""
        return len(self.seen_at) > 1

    @property
    def absent(self) -> EpochWindow:
        """The window in which Radar has no values."""
        return _EVER if self.since is None else self.since, self.begins

    def is_due(self, now: float) -> bool:
        """Return whether to check the edge again; always if it was recorded by a clock that was ahead."""
        again = DAY if self.kind == "unavailable" and not self.looks else LOOK_AGAIN_SECONDS
        return self.is_accepted and not self.looked_at <= now < self.looked_at + again

    def may_be_second(self, now: float) -> bool:
        """Return whether an answer requested at *now* may be the second one."""
        return not self.is_accepted and not self.seen_at[0] <= now < self.seen_at[0] + SECOND_ANSWER_SECONDS

    def seen(self, now: float) -> Edge:
        """Return the edge after one more answer that shows it."""
        if self.is_accepted:
            return replace(self, looked_at=now, looks=self.looks + 1)
        return replace(self, seen_at=(*self.seen_at, now), looked_at=now)

    def moves_to(self, first: int, now: float) -> Edge:
        """Return the edge after an answer at *now* that begins at the bucket *first*; a second such answer moves it."""
        if first <= self.begins:
            return replace(self, moving=None)
        if self.moving is None or self.moving[1] > now:
            return replace(self, moving=(first, now))
        if now < self.moving[1] + SECOND_ANSWER_SECONDS:
            return self
        begins, before = min(first, self.moving[0]), (self.begins, self.seen_at[0])
        moving = (first, now) if first > begins else None
        return replace(self, begins=begins, seen_at=(self.moving[1], now), looked_at=now, before=before, moving=moving)

    def clip(self, window: EpochWindow) -> list[EpochWindow]:
        """Return the parts of *window* that Radar may have."""
        return subtract(window, [self.absent])

    def guesses(self, now: float, step: int) -> tuple[int, ...]:
        """Return where the edge may be *now*, the likeliest bucket first; it moves with time if it has moved before."""
        start = self.begins
        if self.before is not None:
            speed = (self.begins - self.before[0]) / max(self.seen_at[0] - self.before[1], 1)
            start += int(min(speed, 1) * (now - self.seen_at[0]))
        else:
            start += int(now - self.seen_at[0])
        start = floor_bucket(start, self.begins, step)
        return start, start - step, start + step, start - max(DAY, step), start + max(DAY, step)


def dump(edge: Edge) -> str:
    """Return *edge* as JSON."""
    return json.dumps(asdict(edge))


def load(text: str) -> Edge | None:
    """Parse the JSON of `dump`; None for anything else, because a new search can find the edge again."""
    try:
        record = json.loads(text)
        pairs = {name: tuple(pair) if (pair := record.get(name)) else None for name in ("before", "moving")}
        return Edge(**{**record, "seen_at": tuple(record["seen_at"]), **pairs})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class Search(NamedTuple):
    """A binary search between a rejected bucket, *low*, and a later answered bucket, *high*.

    *lower* are rejected buckets before *low*, ascending. *confirmed*: *low* was rejected twice. *hints* are requested
    first.
    """

    low: int
    high: int
    step: int
    hints: tuple[int, ...] = ()
    lower: tuple[int, ...] = ()
    confirmed: bool = False

    @property
    def question(self) -> int | None:
        """The bucket to request next; None if *high* is the edge."""
        if self.high - self.low <= self.step:
            return None if self.confirmed else self.low
        likely = (hint for hint in self.hints if self.low < hint < self.high)
        return next(likely, self.low + (self.high - self.low) // self.step // 2 * self.step)

    def refused(self, bucket: int) -> Search:
        """Return the search after *bucket* was rejected."""
        if bucket == self.low:
            return self._replace(confirmed=True)
        return self._replace(low=bucket, lower=(*self.lower, self.low), confirmed=False)

    def answered(self, bucket: int) -> Search | None:
        """Return the search after *bucket* was answered; None if no bucket is rejected any more."""
        if bucket != self.low:
            return self._replace(high=bucket)
        if not self.lower:
            return None
        return self._replace(low=self.lower[-1], high=bucket, lower=self.lower[:-1], confirmed=False)


def first_run(window: EpochWindow, runs: Iterable[EpochWindow]) -> EpochWindow | None:
    """Return the one of *runs*, ascending windows of absent buckets, with which *window* begins.

    None if there is none, or if nothing is stored after it, because an edge is found only next to data.
    """
    run = next(iter(runs), None)
    return run if run and run[0] == window[0] and run[1] < window[1] else None


def is_beginning(run: EpochWindow, lacked: Iterable[EpochWindow], step: int, edge: Edge | None) -> bool:
    """Return whether answers have *lacked* all of *run*, not counting the window of its last sample.

    Buckets before an accepted *edge* count as lacked.
    """
    known = [*lacked, *([edge.absent] if edge and edge.is_accepted else [])]
    return not subtract(run, [*known, samples(run, step, 1)[0]])


def samples(run: EpochWindow, step: int, count: int, turn: int = 0) -> list[EpochWindow]:
    """Return at most *count* windows of one length that show whether *run* is empty.

    The last window contains the bucket after the run. The others are spread over the run; *turn* shifts them.
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
