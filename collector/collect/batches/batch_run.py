"""One run over slices of one dataset and interval, in rounds: choose a size, pack, send, and decide about failures.

    pending slices  →  next shape, batches (pure, `planning`)  →  fetch
    failure  →  verdict (pure, `request_size.judge`)  →  a smaller size | later | bisect | quarantine

Requests of a proven size are sent concurrently. A larger one is sent alone, because its outcome decides the next size.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING

from collector.collect.batches.edges import EdgeFinder, EdgeRequests
from collector.collect.batches.fetcher import Handling, ShuttingDown
from collector.collect.batches.interpretation import GridMoved
from collector.collect.batches.pending_slices import (
    BatchResult,
    FailedSlices,
    PendingSlices,
    Quarantine,
    RelativeSeries,
)
from collector.collect.batches.sentinel import Sentinel
from collector.collect.batches.size_learner import CUT_SHORT, SizeLearner, TruncatedAnswers
from collector.collect.planning import packing
from collector.collect.planning.request_limits import Size, smallest
from collector.collect.planning.request_size import Verdict, judge, may_be_too_large, next_shape, work_of
from collector.errors import CollectorError
from collector.model import Batch, Slice, Window
from collector.radar.errors import (
    Forbidden,
    InFuture,
    Misdirected,
    OffGrid,
    RadarError,
    Refused,
    RelativeValues,
    TooCostly,
    Unavailable,
    Untrusted,
)
from collector.retry import FAILURES_BEFORE_CONTACT_CHECK, backoff, batch_attempts, contact_attempts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.collect.batches.batch_runner import BatchRunner, Names, OnProgress
    from collector.collect.batches.fetcher import SavedAnswer
    from collector.collect.planning.packing import Shape
    from collector.collect.planning.request_limits import RequestLimits
    from collector.store import SaveResult

_MAX_BUCKETS_IN_FLIGHT = 100_000
"""The buckets of all answers in flight, because memory must stay bounded even if requests may be very large."""
USUAL = Handling()
_REJECTIONS_BEFORE_EDGE_SEARCH = 5
"""After so many rejections in a row that the size may explain, look whether the history begins later."""
_UNANSWERED_BATCHES = 3
"""After so many batches in a row without an answer, Radar is down. The rest, of any interval, is not requested now."""
_YOUNG = timedelta(days=2)
"""No edge of history lies behind buckets that are younger."""


class BatchRun:
    """The slices of one dataset and interval: which are pending, in rounds, and the result so far."""

    def __init__(
        self,
        batch_runner: BatchRunner,
        slices: Sequence[Slice],
        names: Names,
        on_progress: OnProgress | None,
        *,
        background: bool,
    ) -> None:
        self.result = BatchResult()
        self.most_requests = inf
        self.end: CollectorError | None = None
        self.handling = USUAL
        self.sentinel = Sentinel({})
        self._batch_runner = batch_runner
        self._fetcher = batch_runner.fetcher
        self._names = names
        self._on_progress = on_progress
        self._background = background
        self._slices = slices
        self._kind = slices[0].series.request_kind
        self._pending = PendingSlices(())
        self._learner = SizeLearner(batch_runner, self._kind)
        self._quarantine = Quarantine(batch_runner, self.result, self._learner)
        self._truncated = TruncatedAnswers(batch_runner.rest_requested_at)
        self._relative = RelativeSeries()
        self._edges: EdgeFinder
        self._to_resend: list[Batch] = []
        self._bisected: set[Batch] = set()
        self._missing_once: set[Slice] = set()
        self._future_once: set[Batch] = set()
        self._rejected: set[Batch] = set()
        self._rejected_in_a_row = 0
        self._unanswered: list[tuple[Batch, Unavailable]] = []
        self._unanswered_in_a_row: list[Batch] = []
        self._contact_checks: list[Batch] = []
        self._contact_is_doubtful = False

    async def run(self) -> None:
        """Request all slices. *result* accounts for each of them."""
        await self._batch_runner.judge.recall()
        queries = {slice_.series for slice_ in self._slices}
        self._relative = RelativeSeries(await self._fetcher.store.relative_queries(queries))
        requests = EdgeRequests(self._fetcher, self._names, self.handling, self._on_send, self._save_edge_answer)
        self._edges = EdgeFinder(requests, self._batch_runner.edge_lock, self._shape)
        slices = await self._edges.open(self._slices)
        self._pending = PendingSlices(await self._quarantine.admit(slices))
        if slices and self._kind in self._batch_runner.unanswered_kinds:
            # look for the edge first, because each unanswered request counts towards the circuit breaker
            self._batch_runner.unanswered_kinds.discard(self._kind)
            if await self._edges.look_ahead(self._pending.slices()):
                self._clip_at_edges()
        while batches := await self._choose_batches():
            await self._send(deque(batches))
            if self.end or self.result.stopped:
                break
        await self._fail_remaining()

    def _clip_at_edges(self, *more: Slice) -> None:
        """Drop the part of the pending slices, and of *more*, that lies before an edge."""
        pending = self._pending.slices()
        self._pending.take(pending)
        self._pending.add(self._edges.clip([*pending, *more]))

    async def _shape(self) -> Shape:
        return (await self._learner.limits()).shape

    async def _save_edge_answer(self, batch: Batch, saved: SaveResult) -> None:
        self._count(saved)
        if self._on_progress:
            await self._on_progress(batch, saved)

    async def _choose_batches(self) -> list[Batch]:
        """Choose the batches of the next round, which are sent concurrently. Quarantined series come last.

        If a batch is of unproven size, only the largest is sent: its outcome may save requests of the others.
        """
        limits, quarantined = await self._learner.limits(), self._batch_runner.quarantined
        present = await self._fetcher.clock_watch.present()
        slices = self._pending.slices()
        ready = self.sentinel.ready(packing.until(slices, present))
        if ready != slices:
            self._pending.keep(ready)
            slices = self._pending.slices()
        if self._unanswered and not slices and not self._to_resend:
            await self._bisect_unanswered()
        healthy = [slice_ for slice_ in slices if slice_.series not in quarantined]
        batches = self._pack(healthy, limits) if healthy else []
        batches = batches or packing.pack_separately(slices, limits.accepted_shape, quarantined, self._relative.series)
        if self._relative.series:
            self._pending.keep(self._relative.left(slices, batches, quarantined))
        if self._contact_is_doubtful and healthy and not limits.accepted:
            return await self._contact_check(healthy)
        unproven = [batch for batch in batches if healthy and not limits.proves(batch)]
        chosen = [max(unproven, key=lambda batch: (batch.buckets, len(batch.slices)))] if unproven else batches
        chosen = self.sentinel.first(chosen) if healthy else chosen
        self._pending.take(slice_ for batch in chosen for slice_ in batch.slices)
        to_resend, self._to_resend = self._to_resend, []
        return [*to_resend, *chosen]

    async def _contact_check(self, slices: Sequence[Slice]) -> list[Batch]:
        """Return a request for the newest buckets of *slices*, after a pause, to see whether Radar answers at all."""
        newest = max(slices, key=lambda slice_: slice_.window.end)
        window, span = newest.window, smallest(newest.series.agg_interval).span
        batch = Batch((Slice(newest.series, Window(max(window.start, window.end - span), window.end)),))
        self._contact_checks.append(batch)
        try:
            await self._fetcher.pause(backoff(FAILURES_BEFORE_CONTACT_CHECK), self.handling.cancelled)
        except ShuttingDown:
            self.result.stopped = True
            return []
        return [batch]

    def _pack(self, slices: Sequence[Slice], limits: RequestLimits) -> list[Batch]:
        relative = self._relative.series
        absolute = [slice_ for slice_ in slices if slice_.series not in relative]
        batches = packing.pack(absolute, next_shape(limits, work_of(absolute))) if absolute else []
        if len(absolute) == len(slices):
            return batches
        # a longer span is tried only when it is due, because each rejection would shorten the window that is kept
        is_settled = limits.is_explored and not limits.is_due(self._fetcher.clock())
        shape = limits.accepted_shape if is_settled else limits.shape
        others = [slice_ for slice_ in slices if slice_.series in relative]
        return batches + packing.pack_separately(others, shape, (), relative)

    async def _send(self, batches: deque[Batch]) -> None:
        """Send *batches* concurrently, until one ends the run. What was not sent is kept for the next round."""

        async def work() -> None:
            while batches and not self.end and not self.result.stopped:
                if self.handling.cancelled and self.handling.cancelled.is_set():
                    self.result.stopped = True
                    break
                if self._background:
                    await self._batch_runner.wait_for_foreground()
                if self.result.requests >= self.most_requests:
                    self.end = TooCostly("more requests would be needed than are meant for it")
                elif batches:
                    await self._send_batch(batches.popleft())

        at_once = max(1, _MAX_BUCKETS_IN_FLIGHT // max(batch.buckets for batch in batches))
        await asyncio.gather(*(work() for _ in range(min(self._batch_runner.concurrency, at_once, len(batches)))))
        self._to_resend += batches

    async def _send_batch(self, batch: Batch) -> None:
        """Fetch a batch, unless an edge found meanwhile clips it. Each outcome decides what happens to its slices."""
        left = self._edges.clip(batch.slices)
        if left != list(batch.slices):
            self._pending.add(left)
            return
        self.sentinel.sending(batch)
        profiles = sorted({name for slice_ in batch.slices for name in self._names[slice_.series]})
        tries = self._tries(batch, await self._learner.limits())
        try:
            answer = await self._fetcher.fetch(batch, profiles, self._on_send, self.handling, tries)
        except ShuttingDown:
            self._to_resend.append(batch)
            self.result.stopped = True
        except InFuture as error:
            await self._in_future(batch, error)
        except OffGrid as error:
            await self._off_grid(batch, error, profiles)
        except RelativeValues as error:
            await self._relative_or_unknown(batch, error)
        except (Refused, Untrusted, Unavailable, Misdirected) as error:
            await self._failed(batch, error)
        except CollectorError as error:
            self._to_resend.append(batch)
            self.end = error
        else:
            await self._answered(batch, answer)

    async def _in_future(self, batch: Batch, error: InFuture) -> None:
        """Request buckets up to Radar's present. Retry once if its clock is yet to be confirmed by a second reply."""
        closed = packing.until(batch.slices, await self._fetcher.clock_watch.present())
        if closed != list(batch.slices):
            self._pending.add(closed)
        elif batch in self._future_once:
            await self._failed(batch, error)
        else:
            self._future_once.add(batch)
            self._to_resend.append(batch)

    async def _off_grid(self, batch: Batch, error: OffGrid, profiles: Sequence[str]) -> None:
        """Learn from an answer off the grid. If the grid moved, the run ends, to be planned again; else quarantine."""
        try:
            moved = await self._batch_runner.grids.learn(batch, error, profiles, self._on_send)
        except ShuttingDown:
            self._to_resend.append(batch)
            self.result.stopped = True
        except CollectorError as failure:
            self._to_resend.append(batch)
            self.end = failure
        else:
            if moved:
                self._to_resend.append(batch)
                interval = batch.agg_interval
                self.end = GridMoved(f"the buckets of {interval} start elsewhere than was known; asked again there")
            for slice_ in batch.slices if not moved else ():
                await self._quarantine.add(slice_, error, self._pending)

    async def _relative_or_unknown(self, batch: Batch, error: RelativeValues) -> None:
        """Retry as before if the normalization is found to be absolute; otherwise request each series alone."""
        word, span = error.unknown_word, (await self._shape()).span
        if not word or not await self._batch_runner.judge.is_absolute(word, batch.slices[0], span):
            self._relative.add(slice_.series for slice_ in batch.slices)
        self._pending.add(batch.slices)

    def _tries(self, batch: Batch, limits: RequestLimits) -> int:
        """Return how often *batch* is sent if it gets no answer: once if it may be too large."""
        if batch in self._contact_checks:
            return contact_attempts(len(self._contact_checks))
        is_quarantined = self._is_quarantined(batch)
        doubtful = may_be_too_large(limits, batch, teaches_nothing=is_quarantined)
        return batch_attempts(may_be_too_large=doubtful, has_failed=batch in self._bisected or is_quarantined)

    def _is_quarantined(self, batch: Batch) -> bool:
        return len(batch.slices) == 1 and batch.slices[0].series in self._batch_runner.quarantined

    def _on_send(self) -> None:
        self.result.requests += 1

    async def _answered(self, batch: Batch, answer: SavedAnswer) -> None:
        """Count the points of an answer, and learn from it: size, grid, edge, quarantine, normalization."""
        saved, normalization = answer.saved, answer.answer.meta.normalization
        if self.handling.keep:
            self.handling.keep(answer.fetch_id, answer.batch, answer.answer)
        self.sentinel.answered(batch, self._fetcher.clock(), answer.answer.meta.last_updated)
        self._edges.answered(batch)
        self._rejected_in_a_row = 0
        self._unanswered_in_a_row.clear()
        self._contact_is_doubtful = False
        if self._contact_checks:
            await self._quarantine_unanswered_checks()
        answered = await self._answered_part(batch, saved) if saved.missing else batch
        self._count(saved)
        if any(part.values for part in saved.by_series.values()):
            await self._batch_runner.grids.agree(batch.agg_interval)
        await self._learn_size(answered, answer)
        if self._on_progress:
            await self._on_progress(answered, saved)
        self._relative.answered(batch, self._pending, is_relative=self._fetcher.is_relative(normalization))

    async def _learn_size(self, batch: Batch, answer: SavedAnswer) -> None:
        """Learn the sizes that are accepted or cut short, and request the missing ends of windows."""
        timestamps = answer.timestamps
        extent = self._truncated.note(batch, answer.saved, timestamps, self._fetcher.clock())
        for least, truncated in self._truncated.confirmed(timestamps).items():
            await self._learner.rejected(truncated, CUT_SHORT, least)
        if extent.cut:
            await self._learner.rejected(batch, CUT_SHORT, extent.cut)
        await self._learner.accepted(batch, extent.size)
        await self._quarantine.answered(batch)
        self._pending.add(extent.rests)

    def _count(self, saved: SaveResult) -> None:
        self._unanswered_in_a_row.clear()
        self.result.saved += saved
        self.result.batches += 1
        for query, part in saved.by_series.items():
            for name in self._names[query]:
                self._fetcher.observer.saved(name, part)

    async def _answered_part(self, batch: Batch, saved: SaveResult) -> Batch:
        """Return the answered part of *batch*. If only the first series were answered, their number is limited.

        A slice that is missing for the second time, or from the middle, is requested alone.
        """
        missing = {*saved.missing}
        answered = batch.without({number for number, slice_ in enumerate(batch.slices) if slice_ in missing})
        if batch.slices[: len(answered.slices)] == answered.slices and missing.isdisjoint(self._missing_once):
            await self._learner.rejected(batch, CUT_SHORT, Size(batch.duration, len(answered.slices) + 1))
            self._pending.add(missing)
        else:
            self._batch_runner.quarantined |= {slice_.series for slice_ in missing}
            self._to_resend += [Batch((slice_,)) for slice_ in batch.slices if slice_ in missing]
        self._missing_once |= missing
        return answered

    async def _failed(self, batch: Batch, error: Refused | Untrusted | Unavailable | Misdirected) -> None:
        """Decide what happens to a batch that failed: retry later, a smaller size, bisection, or quarantine."""
        fetcher, limits = self._fetcher, await self._learner.limits()
        teaches_nothing = self._is_quarantined(batch) or batch in self._rejected
        verdict = judge(limits, batch, error, teaches_nothing=teaches_nothing, is_down=fetcher.circuit_is_open)
        if verdict is not Verdict.SMALLER and await fetcher.groups.is_to_blame(batch, error):
            for series in {slice_.series for slice_ in batch.slices}:
                await self._learner.reset_after_content_error(series, error.outcome)
            self._rejected.clear()  # because those sizes are tried again, with fewer groups
            self._to_resend.append(batch)
            return
        self._rejected_in_a_row += 1
        may_be_size = verdict is Verdict.SMALLER
        enough = isinstance(error, Misdirected) or self._rejected_in_a_row >= _REJECTIONS_BEFORE_EDGE_SEARCH
        is_present = batch in self._contact_checks and batch.slices[0].window.end > fetcher.clock() - _YOUNG
        was_down = fetcher.circuit_is_open
        may_be_edge = (enough or not may_be_size) and not is_present and not isinstance(error, Untrusted)
        if may_be_edge and await self._is_before_edge(batch, error, any_size=not may_be_size):
            return
        is_back = was_down and not fetcher.circuit_is_open
        if is_back and isinstance(error, Unavailable) and self._edges.reaches(batch):
            self._to_resend.append(batch)  # because the edge search has shown that only the outage was to blame
        elif isinstance(error, Misdirected):
            self._to_resend.append(batch)
            self.end = error
        elif verdict is Verdict.SMALLER:
            self._rejected.add(batch)
            await self._learner.rejected(batch, error.outcome)
            self._pending.add(batch.slices)
            self._relative.rejected(batch, self._pending)
            self._contact_is_doubtful = isinstance(error, Unavailable)
        elif isinstance(error, Unavailable):
            self._not_answered(batch, error)
        elif verdict is Verdict.BISECT:
            self._bisect(batch, error)
        else:
            await self._quarantine.add(batch.slices[0], error, self._pending)

    async def _is_before_edge(self, batch: Batch, error: RadarError, *, any_size: bool) -> bool:
        """Return whether *batch* failed because Radar's history begins later. If so, drop the older buckets."""
        left = await self._edges.explain(batch, error, any_size=any_size)
        if left is None:
            return False
        for series in {slice_.series for slice_ in batch.slices}:
            await self._learner.reset_after_content_error(series, error.outcome)
        self._clip_at_edges(*left)
        return True

    def _bisect(self, batch: Batch, error: RadarError) -> None:
        halves = self._quarantine.bisect(batch, error.outcome)
        self._bisected |= {*halves}
        self._to_resend += halves

    def _not_answered(self, batch: Batch, error: Unavailable) -> None:
        self._unanswered.append((batch, error))
        self._unanswered_in_a_row.append(batch)
        if batch in self._contact_checks and (dropped := self._pending.pop({batch.slices[0].series})):
            self._fail(dropped, error)
        newest = self._unanswered_in_a_row[-_UNANSWERED_BATCHES:]
        in_all = set.intersection(*({slice_.series for slice_ in unanswered.slices} for unanswered in newest))
        one_is_to_blame = self._quarantine.others_are_answered and in_all
        if self._fetcher.circuit_is_open or (len(newest) == _UNANSWERED_BATCHES and not one_is_to_blame):
            self.end = error

    async def _bisect_unanswered(self) -> None:
        """When nothing else is pending: bisect unanswered batches, because one slice may be to blame.

        If Radar is down, this ends with the third batch.
        """
        unanswered, self._unanswered = self._unanswered, []
        for batch, error in unanswered:
            if len(batch.slices) > 1:
                self._bisect(batch, error)
            elif self._quarantine.others_are_answered:
                await self._quarantine.add(batch.slices[0], error, self._pending)
            else:
                self._fail(batch.slices, error)

    async def _quarantine_unanswered_checks(self) -> None:
        """Quarantine the series of unanswered contact checks, because Radar answers now and the size was minimal."""
        checks = [(batch, error) for batch, error in self._unanswered if batch in self._contact_checks]
        self._unanswered = [(batch, error) for batch, error in self._unanswered if batch not in self._contact_checks]
        for batch, error in checks:
            await self._quarantine.add(batch.slices[0], error, self._pending)

    async def _fail_remaining(self) -> None:
        """Record a failure for each slice that was not answered.

        If only its path is refused, or does not exist for a dimension, its series pause, because other paths may be
        answered.
        """
        for batch, error in self._unanswered:
            self._batch_runner.unanswered_kinds.add(batch.request_kind)
            self._fail(batch.slices, error)
        for slice_, reason in self._edges.withheld:
            self._fail([slice_], reason)
        remaining = [*self._pending.slices(), *packing.slices_of(self._to_resend)]
        if isinstance(self.end, Forbidden) or (isinstance(self.end, Misdirected) and self._kind.dimension):
            await self._quarantine.pause_path({slice_.series for slice_ in remaining}, self.end)
        if remaining and self.end:
            self._fail(remaining, self.end)

    def _fail(self, slices: Sequence[Slice], error: CollectorError) -> None:
        self.result.failures.append(FailedSlices(tuple(slices), error))
