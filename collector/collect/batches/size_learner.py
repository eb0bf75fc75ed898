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
from collector.model import Slice, Window
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.planning.request_limits import RequestLimits
    from collector.model import Batch, Question, RequestKind
    from collector.store import SaveResult


class SizeLearner:
    """Learns from the requests of one kind. Remembers the slices of each rejection."""

    def __init__(self, batch_runner: BatchRunner, kind: RequestKind) -> None:
        self._batch_runner = batch_runner
        self._kind = kind
        self._pending: list[Rejection] = []
        self._slices: dict[Rejection, tuple[Slice, ...]] = {}

    async def limits(self) -> RequestLimits:
        """Return the known limits, with the rejections that are not confirmed yet."""
        return sizes.with_pending(await self._batch_runner.limits(self._kind), self._pending)

    async def accepted(self, batch: Batch, size: Size | None = None) -> None:
        """Learn that *batch* was answered; *size* is its complete part. This confirms the larger pending rejections.

        Other pending rejections were transient.
        """
        size = size or size_of(batch)
        known = await self._batch_runner.known_limits(self._kind)
        pending, self._pending = self._pending, []
        for rejection in pending:
            if not (size.covers(rejection.size) or known.covers(rejection.size)):
                known = sizes.rejected(known, rejection, self._batch_runner.fetcher.clock())
        await self._batch_runner.learn(sizes.accepted(known, size, gaps=has_gaps(batch)))

    async def rejected(self, batch: Batch, cause: str, size: Size | None = None) -> None:
        """Learn that *batch* was rejected, probably for its size, and that *size* would be rejected, too.

        If *size* is known to be accepted, its span is too long only for the number of positions of *batch*.
        """
        known, now = await self._batch_runner.known_limits(self._kind), self._batch_runner.fetcher.clock()
        if size and known.covers(size):
            size = replace(size, positions=len(batch.slices))
        rejection = self._note(batch, cause, size)
        if known.is_due(now):  # a larger size was tried and rejected, so the known limits still hold
            await self._batch_runner.learn(sizes.rejected(known, rejection, now))
        elif rejection not in self._pending:
            self._pending.append(rejection)

    async def no_longer_accepted(self, batch: Batch, cause: str) -> None:
        """Learn that *batch* was rejected although its halves were answered and its size was accepted before."""
        known = await self._batch_runner.known_limits(self._kind)
        await self._batch_runner.learn(
            sizes.rejected(known, self._note(batch, cause), self._batch_runner.fetcher.clock())
        )

    async def reset_after_content_error(self, series: Question, cause: str, window: Window | None = None) -> None:
        """Drop the rejections of requests with *series*, or with this *window* of it, because its content is to blame.

        Rejections with another *cause* stay.
        """
        wrong = [
            rejection
            for rejection, slices in self._slices.items()
            if rejection.cause == cause
            and any(s.series == series and (window is None or s.window.overlaps(window)) for s in slices)
        ]
        self._pending = [rejection for rejection in self._pending if rejection not in wrong]
        await self._batch_runner.learn(
            sizes.reset_after_content_error(await self._batch_runner.known_limits(self._kind), wrong)
        )

    def _note(self, batch: Batch, cause: str, size: Size | None = None) -> Rejection:
        rejection = Rejection(size or size_of(batch), cause, has_gaps(batch) and size is None)
        self._slices[rejection] = batch.slices
        return rejection


_RETRY_INTERVAL = timedelta(days=1)
"""The missing end at the same bucket is requested once in this time."""
_YOUNG = timedelta(days=2)
CUT_SHORT = "cut_short"
"""The cause on record."""


@dataclass(frozen=True, slots=True)
class AnsweredExtent:
    """How much of each window was answered, and the *rests* to request.

    *cut* is the smallest size that is certainly cut short.
    """

    size: Size
    rests: Sequence[Slice] = ()
    cut: Size | None = None


@dataclass(frozen=True, slots=True)
class _Rest:
    """The older or newer end of a window that is missing in an answer to *batch*."""

    slice_: Slice
    batch: Batch
    answered: timedelta
    is_older: bool

    @property
    def least_cut(self) -> Size:
        """The smallest size that may be cut short."""
        return _least_cut(self.batch, self.answered)

    def contains_values_of(self, slice_: Slice) -> bool:
        """Return whether *slice_* lies in the rest at its outer end, so that its values were missing."""
        if slice_.series != self.slice_.series or not slice_.window.overlaps(self.slice_.window):
            return False
        mine, other = self.slice_.window, slice_.window
        return other.end <= mine.end if self.is_older else other.start >= mine.start


class TruncatedAnswers:
    """Rests of answers. *requested_at* is the last request for the rest at a bucket; it outlives a run."""

    def __init__(self, requested_at: MutableMapping[tuple[Question, datetime], datetime]) -> None:
        self._requested_at = requested_at
        self._rests: list[_Rest] = []

    def note(
        self, batch: Batch, saved: SaveResult, timestamps: Mapping[Slice, Sequence[int]], now: datetime
    ) -> AnsweredExtent:
        """Return how much of *batch* was answered, by the *timestamps*, and which missing ends to request."""
        size, rests, ends = size_of(batch), [], missing_ends(batch, timestamps)
        is_certain = len({end.series for end in ends}) < len(ends)
        for end in ends if is_certain else saved.cut_off or _published_ends(batch, ends, now):
            whole = next(s for s in batch.slices if s.series == end.series and s.window.overlaps(end.window))
            is_older = end.window.start == whole.window.start
            span = whole.window.duration - end.window.duration
            size = Size(min(size.span, span), size.positions, size.length)
            edge = end.window.end if is_older else end.window.start
            requested_at = self._requested_at.get((end.series, edge))
            if requested_at is None or now - requested_at >= _RETRY_INTERVAL:
                self._requested_at[end.series, edge] = now
                rests.append(end)
                if not is_certain:
                    self._rests.append(_Rest(end, batch, span, is_older))
        return AnsweredExtent(size, rests, _least_cut(batch, size.span) if is_certain else None)

    def confirmed(self, timestamps: Mapping[Slice, Sequence[int]]) -> dict[Size, Batch]:
        """Return the requests whose answers were cut short, because *timestamps* of their missing ends were answered.

        The key is the smallest size that would be cut short, too. A larger size is not worth a try: it returns the same
        values, and an answer that lacks few of them does not show it.
        """
        if not self._rests:
            return {}
        filled = [slice_ for slice_, answered in timestamps.items() if answered]
        cut = [rest for rest in self._rests if any(map(rest.contains_values_of, filled))]
        self._rests = [rest for rest in self._rests if rest not in cut]
        return {rest.least_cut: rest.batch for rest in cut}


def _least_cut(batch: Batch, answered: timedelta) -> Size:
    """Return one bucket more than the *answered* span of each window of *batch*."""
    return Size(answered + batch.agg_interval.step, 1)


def missing_ends(batch: Batch, timestamps: Mapping[Slice, Sequence[int]]) -> list[Slice]:
    """Return the missing ends of an answer that looks cut short: equally many values per slice, all at the same end.

    That may be too little for the store to notice.
    """
    step, buckets = batch.agg_interval.seconds, batch.buckets // len(batch.slices)
    counts = {len(answered) for answered in timestamps.values()}
    if len(counts) != 1 or not 0 < (count := min(counts)) < buckets:
        return []
    ends = []
    for slice_, answered in timestamps.items():
        start, end = (int(moment.timestamp()) for moment in (slice_.window.start, slice_.window.end))
        first, last = answered[0], answered[-1] + step
        if last - first != count * step or (first > start) == (last < end):
            return []
        older, newer = Window(slice_.window.start, from_epoch(first)), Window(from_epoch(last), slice_.window.end)
        ends.append(Slice(slice_.series, older if first > start else newer))
    return ends


def _published_ends(batch: Batch, ends: Sequence[Slice], now: datetime) -> Sequence[Slice]:
    """Return *ends*, or nothing if all of them are so young that Radar may publish them later."""
    is_newer = bool(ends) and ends[0].window.start > batch.slices[0].window.start
    return () if is_newer and all(end.window.end > now - _YOUNG for end in ends) else ends
