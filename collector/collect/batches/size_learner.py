"""What the requests of one run show about the accepted size, and when that is recorded.

A rejection is recorded only after a smaller request was answered. If Radar is down, or always rejects one series, no
limit is learned.

An answer that lacks an end of its windows may be cut short by a limit on the number of values. The missing part is
requested: if it has values, the answer was cut short; otherwise the series begins or ends there. If all windows of an
answer with several windows of one series lack the same part, the answer itself proves the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.planning import request_limits as sizes
from collector.collect.planning.request_limits import Rejection, Size, has_gaps, size_of
from collector.model import Slice, Window, from_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.planning.request_limits import RequestLimits
    from collector.model import Batch, Question, RequestKind
    from collector.store import SaveResult


class SizeLearner:
    """Learns from the requests of one kind; remembers which slices each rejection was of."""

    def __init__(self, batch_runner: BatchRunner, kind: RequestKind) -> None:
        self._batch_runner = batch_runner
        self._kind = kind
        self._pending: list[Rejection] = []
        self._slices: dict[Rejection, tuple[Slice, ...]] = {}

    async def limits(self) -> RequestLimits:
        """Return what is known, with rejections that are not confirmed yet."""
        return sizes.with_pending(await self._batch_runner.limits(self._kind), self._pending)

    async def accepted(self, batch: Batch, size: Size | None = None) -> None:
        """Learn that *batch* was answered, of which only *size* was whole: it confirms the rejections that are larger.

        A rejection of no larger a request was transient.
        """
        size = size or size_of(batch)
        known = await self._batch_runner.known_limits(self._kind)
        pending, self._pending = self._pending, []
        for rejection in pending:
            if not (size.covers(rejection.size) or known.covers(rejection.size)):
                known = sizes.rejected(known, rejection, self._batch_runner.fetcher.clock())
        await self._batch_runner.learn(sizes.accepted(known, size, gaps=has_gaps(batch)))

    async def rejected(self, batch: Batch, cause: str, size: Size | None = None) -> None:
        """Learn that *batch* was rejected, most likely for its size, and that it would be for *size* already.

        Where *size* is accepted, it would not: then its span is too long only for the positions of *batch*.
        """
        known, now = await self._batch_runner.known_limits(self._kind), self._batch_runner.fetcher.clock()
        if size and known.covers(size):
            size = replace(size, positions=len(batch.slices))
        rejection = self._note(batch, cause, size)
        if known.is_due(now):  # a try to climb was in vain, and what is known holds
            await self._batch_runner.learn(sizes.rejected(known, rejection, now))
        elif rejection not in self._pending:
            self._pending.append(rejection)

    async def not_accepted_any_more(self, batch: Batch, cause: str) -> None:
        """Learn that all parts of *batch* were answered, but not the whole, though its size was accepted before."""
        known = await self._batch_runner.known_limits(self._kind)
        await self._batch_runner.learn(
            sizes.rejected(known, self._note(batch, cause), self._batch_runner.fetcher.clock())
        )

    async def exonerate(self, series: Question, cause: str, window: Window | None = None) -> None:
        """Forget the rejections of requests with *series*, or with this *window* of it: not their size was to blame.

        What was rejected for another *cause* than the series by itself stays.
        """
        wrong = [
            rejection
            for rejection, slices in self._slices.items()
            if rejection.cause == cause
            and any(one.series == series and (window is None or one.window.overlaps(window)) for one in slices)
        ]
        self._pending = [rejection for rejection in self._pending if rejection not in wrong]
        await self._batch_runner.learn(sizes.exonerated(await self._batch_runner.known_limits(self._kind), wrong))

    def _note(self, batch: Batch, cause: str, size: Size | None = None) -> Rejection:
        rejection = Rejection(size or size_of(batch), cause, has_gaps(batch) and size is None)
        self._slices[rejection] = batch.slices
        return rejection


_ASK_AGAIN_AFTER = timedelta(days=1)
"""What an answer left out beside the same bucket is asked for once in this time."""
_YOUNG = timedelta(days=2)
CUT = "cut_short"
"""The cause on record."""


@dataclass(frozen=True, slots=True)
class Whole:
    """How much of each window was answered, the *rests* to ask for, and *cut*: the least that is surely cut short."""

    size: Size
    rests: Sequence[Slice] = ()
    cut: Size | None = None


@dataclass(frozen=True, slots=True)
class _Rest:
    """The part of a window that an answer to *batch* left out: its older part, or its newer one."""

    slice_: Slice
    batch: Batch
    answered: timedelta
    is_older: bool

    @property
    def least_cut(self) -> Size:
        """The smallest size that is cut short, for all that is known."""
        return _least_cut(self.batch, self.answered)

    def has(self, slice_: Slice) -> bool:
        """Tell whether *slice_* reaches no farther than the rest, so that its values are of what was left out."""
        if slice_.series != self.slice_.series or not slice_.window.overlaps(self.slice_.window):
            return False
        mine, other = self.slice_.window, slice_.window
        return other.end <= mine.end if self.is_older else other.start >= mine.start


class CutAnswers:
    """Rests of answers; *asked_at* is when the rest beside a bucket was asked for last, beyond one run."""

    def __init__(self, asked_at: MutableMapping[tuple[Question, datetime], datetime]) -> None:
        self._asked_at = asked_at
        self._rests: list[_Rest] = []

    def note(self, batch: Batch, saved: SaveResult, found: Mapping[Slice, Sequence[int]], now: datetime) -> Whole:
        """Return how much of *batch* was answered, by the timestamps *found*, and which rests are to be asked for."""
        size, wanted, lacks = size_of(batch), [], lacks_of(batch, found)
        is_certain = len({one.series for one in lacks}) < len(lacks)
        for lost in lacks if is_certain else saved.cut_off or not_young(batch, lacks, now):
            whole = next(one for one in batch.slices if one.series == lost.series and one.window.overlaps(lost.window))
            is_older = lost.window.start == whole.window.start
            span = whole.window.duration - lost.window.duration
            size = Size(min(size.span, span), size.positions, size.length)
            edge = lost.window.end if is_older else lost.window.start
            asked_at = self._asked_at.get((lost.series, edge))
            if asked_at is None or now - asked_at >= _ASK_AGAIN_AFTER:
                self._asked_at[lost.series, edge] = now
                wanted.append(lost)
                if not is_certain:
                    self._rests.append(_Rest(lost, batch, span, is_older))
        return Whole(size, wanted, _least_cut(batch, size.span) if is_certain else None)

    def confirmed(self, found: Mapping[Slice, Sequence[int]]) -> dict[Size, Batch]:
        """Return the requests whose answers were cut short: of what they left out, timestamps were *found*.

        Each stands beside the smallest size that would be cut, too: a larger one is not worth a try, since the values
        are the same, and an answer that lacks few of them does not show it.
        """
        filled = [slice_ for slice_, timestamps in found.items() if timestamps]
        cut = [rest for rest in self._rests if any(map(rest.has, filled))]
        self._rests = [rest for rest in self._rests if rest not in cut]
        return {rest.least_cut: rest.batch for rest in cut}


def _least_cut(batch: Batch, answered: timedelta) -> Size:
    """Return a bucket more than what was *answered* of each window of *batch*."""
    return Size(answered + batch.agg_interval.step, 1)


def lacks_of(batch: Batch, found: Mapping[Slice, Sequence[int]]) -> list[Slice]:
    """Return what an answer lacks if it looks cut short: all slices have one number of values, and lack the same end.

    That may be too little for the store to take notice.
    """
    step, buckets = batch.agg_interval.seconds, batch.buckets // len(batch.slices)
    counts = {len(timestamps) for timestamps in found.values()}
    if len(counts) != 1 or not 0 < (count := min(counts)) < buckets:
        return []
    lost = []
    for slice_, timestamps in found.items():
        start, end = (int(moment.timestamp()) for moment in (slice_.window.start, slice_.window.end))
        first, last = timestamps[0], timestamps[-1] + step
        if last - first != count * step or (first > start) == (last < end):
            return []
        lost.append(
            Window(slice_.window.start, from_epoch(first))
            if first > start
            else Window(from_epoch(last), slice_.window.end)
        )
    return [Slice(slice_.series, one) for one, slice_ in zip(lost, found, strict=True)]


def not_young(batch: Batch, lacks: Sequence[Slice], now: datetime) -> Sequence[Slice]:
    """Return *lacks* unless all of it is so young that it may be yet to come."""
    is_newer = bool(lacks) and lacks[0].window.start > batch.slices[0].window.start
    return () if is_newer and all(one.window.end > now - _YOUNG for one in lacks) else lacks
