"""What the requests of one run teach about their size, and when it is put on record.

A rejection is on record only after a smaller request was answered: a Radar that is down, or one series that is always
refused, teaches nothing about sizes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from collector.collect.planning import request_limits as sizes
from collector.collect.planning.request_limits import Rejection, has_gaps, size_of

if TYPE_CHECKING:
    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.planning.request_limits import RequestLimits, Size
    from collector.model import Batch, Question, RequestKind, Slice, Window


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
