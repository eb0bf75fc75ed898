"""One run over slices of one dataset and interval, in rounds: choose a size, pack, send, and decide about failures.

    pending slices  →  next shape, batches (pure, `planning`)  →  fetch
    failure  →  verdict (pure, `request_size.judge`)  →  a smaller size | later | bisect | quarantine

Requests of a proven size are sent concurrently. A larger one is sent alone, because its outcome decides the next size.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from collector.collect.batches.edges import Asking, EdgeFinder
from collector.collect.batches.fetcher import Handling, ShuttingDown
from collector.collect.batches.interpretation import moved_to
from collector.collect.batches.pending_slices import (
    BatchResult,
    Contact,
    FailedSlices,
    Pool,
    Quarantine,
    RelativeSeries,
)
from collector.collect.batches.size_learner import CUT, CutAnswers, SizeLearner
from collector.collect.planning import packing
from collector.collect.planning.packing import pack_separately
from collector.collect.planning.request_limits import Size
from collector.collect.planning.request_size import Verdict, judge, may_be_too_large, next_shape, work_of
from collector.errors import CollectorError
from collector.model import Batch
from collector.radar.errors import (
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
from collector.retry import FAILURES_BEFORE_CONTACT_CHECK, backoff, batch_attempts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.collect.batches.batch_runner import BatchRunner, Names, Progress
    from collector.collect.planning.packing import Shape
    from collector.collect.planning.request_limits import RequestLimits
    from collector.model import Answer, Slice
    from collector.store import SaveResult

_BUCKETS_AT_ONCE = 100_000
"""So many buckets in the answers under way: what bounds the memory when requests may be very large."""
USUAL = Handling()
_REJECTED_BEFORE_EDGE = 5
"""After so many rejections in a row that the size may explain, it is asked whether the history begins later."""
_DOWN = 3
"""So many batches in a row without an answer: Radar is down, and the rest, of any interval, is not asked now."""


class BatchRun:
    """The slices of one dataset and interval: what is left to ask for, in rounds, and what came of it."""

    def __init__(
        self, batch_runner: BatchRunner, slices: Sequence[Slice], names: Names, progress: Progress, *, background: bool
    ) -> None:
        self.result = BatchResult()
        self.most_requests = inf
        self.end: CollectorError | None = None
        self.handling = USUAL
        self._batch_runner = batch_runner
        self._names = names
        self._progress = progress
        self._background = background
        self._wanted = slices
        self._pool = Pool(())
        self._learner = SizeLearner(batch_runner, slices[0].series.request_kind)
        self._quarantine = Quarantine(batch_runner, self.result, self._learner)
        self._cut = CutAnswers(batch_runner.cut_off)
        self._as_they_are: list[Batch] = []
        self._parts: set[Batch] = set()
        self._apart = RelativeSeries()
        self._contact = Contact()
        self._missed: set[Slice] = set()
        self._in_doubt: set[Batch] = set()
        self._rejected: set[Batch] = set()
        self._silent: list[tuple[Batch, Unavailable]] = []
        self._silent_in_a_row: list[Batch] = []
        self._edges: EdgeFinder
        self._rejected_in_a_row = 0

    async def run(self) -> None:
        """Ask for everything, and account for all of it in *gathered*."""
        await self._batch_runner.judge.recall()
        self._apart = RelativeSeries(
            await self._batch_runner.fetcher.store.relative_queries({one.series for one in self._wanted})
        )
        await self._open_edges()
        self._pool = Pool(await self._quarantine.admit(self._wanted))
        await self._look_for_edge()
        while batches := await self._round():
            await self._send(deque(batches))
            if self.end or self.result.stopped:
                break
        self._give_up()

    async def _open_edges(self) -> None:
        asking = Asking(self._batch_runner.fetcher, self._names, self.handling, self._sending, self._found_beside_edge)
        self._edges = EdgeFinder(asking, self._batch_runner.edge_lock, self._shape)
        self._wanted = await self._edges.open(self._wanted)

    async def _look_for_edge(self) -> None:
        """Look for the edge of history first if the last time there was no answer: each attempt counts as silence."""
        kind = self._wanted[0].series.request_kind if self._wanted else None
        if kind and kind in self._batch_runner.unanswered:
            self._batch_runner.unanswered.discard(kind)
            if await self._edges.look_ahead(self._pool.slices()):
                self._cut_at_edges()

    def _cut_at_edges(self, *more: Slice) -> None:
        """Leave out of what is left, and of *more*, what lies before an edge."""
        left = self._pool.slices()
        self._pool.take(left)
        self._pool.add(self._edges.clip([*left, *more]))

    async def _shape(self) -> Shape:
        return (await self._learner.limits()).shape

    async def _found_beside_edge(self, batch: Batch, saved: SaveResult) -> None:
        self._count(saved)
        await self._progress(batch, saved)

    async def _round(self) -> list[Batch]:
        """Choose what can be sent side by side: of unproven size only the largest, to learn from; the quarantined last.

        Nothing else is sent beside an unproven one: what it teaches may save a request of it.
        """
        limits, alone = await self._learner.limits(), self._batch_runner.alone
        self._pool.keep(packing.until(self._pool.slices(), await self._batch_runner.fetcher.present()))
        slices = self._pool.slices()
        if not slices and not self._as_they_are:
            await self._bisect_silent()
        healthy = [slice_ for slice_ in slices if slice_.series not in alone]
        batches = self._packed(healthy, limits) or pack_separately(
            slices, limits.accepted_shape, alone, self._apart.series
        )
        if self._apart.series:
            self._pool.keep(self._apart.left(slices, batches, alone))
        question = None if limits.accepted else self._contact.question(healthy)
        if question:
            return await self._after_pause(question)
        unproven = [batch for batch in batches if healthy and not limits.proves(batch)]
        chosen = [max(unproven, key=_size)] if unproven else batches
        self._pool.take(slice_ for batch in chosen for slice_ in batch.slices)
        as_they_are, self._as_they_are = self._as_they_are, []
        return [*as_they_are, *chosen]

    async def _after_pause(self, question: Batch) -> list[Batch]:
        """Wait as before any other repetition of what got no answer."""
        try:
            await self._batch_runner.fetcher.pause(backoff(FAILURES_BEFORE_CONTACT_CHECK), self.handling.cancelled)
        except ShuttingDown:
            self.result.stopped = True
            return []
        return [question]

    def _packed(self, slices: Sequence[Slice], limits: RequestLimits) -> list[Batch]:
        if not slices:
            return []
        apart = self._apart.series
        others = [one for one in slices if one.series not in apart]
        batches = pack_separately(others, next_shape(limits, work_of(others)), (), ()) if others else []
        # a longer span is tried only when it is time to: each try in vain would shorten the window that stands
        is_settled = limits.is_explored and not limits.is_due(self._batch_runner.fetcher.clock())
        shape = limits.accepted_shape if is_settled else limits.shape
        return batches + pack_separately([one for one in slices if one.series in apart], shape, (), apart)

    async def _send(self, batches: deque[Batch]) -> None:
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
                    await self._one(batches.popleft())

        at_once = max(1, _BUCKETS_AT_ONCE // max(batch.buckets for batch in batches))
        await asyncio.gather(*(work() for _ in range(min(self._batch_runner.concurrency, at_once, len(batches)))))
        self._as_they_are += batches

    async def _one(self, batch: Batch) -> None:
        """Ask for a batch, unless an edge that was found meanwhile cuts it."""
        left = self._edges.clip(batch.slices)
        if left != list(batch.slices):
            self._pool.add(left)
            return
        profiles = sorted({name for slice_ in batch.slices for name in self._names[slice_.series]})
        fetcher, tries = self._batch_runner.fetcher, self._tries(batch, await self._learner.limits())
        found: dict[Slice, Sequence[int]] = {}
        normalizations: set[str] = set()

        def keep(fetch_id: int, asked: Batch, answer: Answer) -> None:
            found.update(zip(asked.slices, (points.timestamps for points in answer.series), strict=True))
            normalizations.add(answer.meta.normalization)
            self.handling.keep(fetch_id, asked, answer)

        try:
            saved = await fetcher.fetch(batch, profiles, self._sending, replace(self.handling, keep=keep), tries)
        except ShuttingDown:
            self._as_they_are.append(batch)
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
            self._as_they_are.append(batch)
            self.end = error
        else:
            self._edges.answered(batch)
            self._rejected_in_a_row = 0
            await self._accepted(batch, saved, found)
            self._apart.answered(batch, self._pool, is_relative=any(map(fetcher.is_relative, normalizations)))

    async def _in_future(self, batch: Batch, error: InFuture) -> None:
        """Ask up to Radar's present; the same once more, if its clock is yet to be confirmed by a second reply."""
        closed = packing.until(batch.slices, await self._batch_runner.fetcher.present())
        if closed != list(batch.slices):
            self._pool.add(closed)
        elif batch in self._in_doubt:
            await self._failed(batch, error)
        else:
            self._in_doubt.add(batch)
            self._as_they_are.append(batch)

    async def _off_grid(self, batch: Batch, error: OffGrid, profiles: Sequence[str]) -> None:
        """Learn from an answer off the grid: what is left must be planned anew, or pauses."""
        try:
            moved = await self._batch_runner.grids.learn(batch, error, profiles, self._sending)
        except ShuttingDown:
            self._as_they_are.append(batch)
            self.result.stopped = True
        except CollectorError as broken:
            self._as_they_are.append(batch)
            self.end = broken
        else:
            if moved:
                self._as_they_are.append(batch)
                self.end = moved_to(batch.agg_interval)
            for slice_ in batch.slices if not moved else ():
                await self._quarantine.add(slice_, error, self._pool)

    async def _relative_or_unknown(self, batch: Batch, error: RelativeValues) -> None:
        """Ask again as before if the normalization turns out to be absolute; else each series alone."""
        word, span = error.unknown_word, (await self._learner.limits()).shape.span
        if not word or not await self._batch_runner.judge.is_absolute(word, batch.slices[0], span):
            self._apart.add(slice_.series for slice_ in batch.slices)
        self._pool.add(batch.slices)

    def _tries(self, batch: Batch, limits: RequestLimits) -> int:
        """Return how often a batch is sent that gets no answer: one that may be too large only once."""
        if tries := self._contact.tries(batch):
            return tries
        is_quarantined = self._is_quarantined(batch)
        doubtful = may_be_too_large(limits, batch, teaches_nothing=is_quarantined)
        return batch_attempts(may_be_too_large=doubtful, has_failed=batch in self._parts or is_quarantined)

    def _is_quarantined(self, batch: Batch) -> bool:
        return len(batch.slices) == 1 and batch.slices[0].series in self._batch_runner.alone

    def _sending(self) -> None:
        self.result.requests += 1

    async def _accepted(self, asked: Batch, saved: SaveResult, found: Mapping[Slice, Sequence[int]]) -> None:
        self._silent_in_a_row.clear()
        self._contact.answered()
        await self._blame_unanswered()
        batch = await self._answered_part(asked, saved)
        self._count(saved)
        if any(part.values for part in saved.by_series.values()):
            await self._batch_runner.grids.agree(batch.agg_interval)
        whole = self._cut.note(batch, saved, found, self._batch_runner.fetcher.clock())
        for least, cut in self._cut.confirmed(found).items():
            await self._learner.rejected(cut, CUT, least)
        if whole.cut:
            await self._learner.rejected(batch, CUT, whole.cut)
        await self._learner.accepted(batch, whole.size)
        await self._quarantine.answered(batch)
        self._pool.add(whole.rests)
        await self._progress(batch, saved)

    def _count(self, saved: SaveResult) -> None:
        self._silent_in_a_row.clear()
        self.result.saved += saved
        self.result.batches += 1
        for query, part in saved.by_series.items():
            for name in self._names[query]:
                self._batch_runner.fetcher.observer.saved(name, part)

    async def _answered_part(self, asked: Batch, saved: SaveResult) -> Batch:
        """Return what of *asked* was answered. If only the first series came, there is a limit on their number.

        A slice that is missing again, or from the midst, is asked for alone.
        """
        missing = {*saved.missing}
        if not missing:
            return asked
        batch = asked.without({number for number, slice_ in enumerate(asked.slices) if slice_ in missing})
        if asked.slices[: len(batch.slices)] == batch.slices and missing.isdisjoint(self._missed):
            await self._learner.rejected(asked, CUT, Size(asked.duration, len(batch.slices) + 1))
            self._pool.add(missing)
        else:
            self._batch_runner.alone |= {slice_.series for slice_ in missing}
            self._as_they_are += [Batch((slice_,)) for slice_ in asked.slices if slice_ in missing]
        self._missed |= missing
        return batch

    async def _failed(self, batch: Batch, error: Refused | Untrusted | Unavailable | Misdirected) -> None:
        fetcher, limits = self._batch_runner.fetcher, await self._learner.limits()
        teaches_nothing = self._is_quarantined(batch) or batch in self._rejected
        verdict = judge(limits, batch, error, teaches_nothing=teaches_nothing, is_down=fetcher.is_silent)
        self._rejected_in_a_row += 1
        may_be_size = verdict is Verdict.SMALLER
        enough = isinstance(error, Misdirected) or self._rejected_in_a_row >= _REJECTED_BEFORE_EDGE
        asks_edge = (enough or not may_be_size) and not self._contact.is_about_present(batch, fetcher.clock())
        was_down = fetcher.is_silent
        if asks_edge and await self._is_before_edge(batch, error, any_size=not may_be_size):
            return
        is_back = was_down and not fetcher.is_silent
        if is_back and isinstance(error, Unavailable) and self._edges.reaches(batch):
            self._as_they_are.append(batch)  # the search has shown that only the outage was to blame
        elif isinstance(error, Misdirected):
            self._as_they_are.append(batch)
            self.end = error
        elif verdict is Verdict.SMALLER:
            self._rejected.add(batch)
            await self._learner.rejected(batch, error.outcome)
            self._pool.add(batch.slices)
            self._apart.rejected(batch, self._pool)
            self._contact.is_doubtful = isinstance(error, Unavailable)
        elif isinstance(error, Unavailable):
            self._unanswered(batch, error)
        elif verdict is Verdict.BISECT:
            self._bisect(batch, error)
        else:
            await self._quarantine.add(batch.slices[0], error, self._pool)

    async def _is_before_edge(self, batch: Batch, error: RadarError, *, any_size: bool) -> bool:
        """Tell whether a batch failed because Radar's history begins later; then only what it has is asked for."""
        if isinstance(error, Untrusted):
            return False
        left = await self._edges.explain(batch, error, any_size=any_size)
        if left is not None:
            for series in {slice_.series for slice_ in batch.slices}:
                await self._learner.exonerate(series, error.outcome)
            self._cut_at_edges(*left)
        return left is not None

    def _bisect(self, batch: Batch, error: RadarError) -> None:
        halves = self._quarantine.bisect(batch, error.outcome)
        self._parts |= {*halves}
        self._as_they_are += halves

    def _unanswered(self, batch: Batch, error: Unavailable) -> None:
        self._silent.append((batch, error))
        self._silent_in_a_row.append(batch)
        if left := self._pool.pop(self._contact.unanswered_series(batch)):
            self._fail(Batch(tuple(left)), error)
        last = [{slice_.series for slice_ in one.slices} for one in self._silent_in_a_row[-_DOWN:]]
        one_is_to_blame = self._quarantine.others_are_answered and set.intersection(*last)
        if self._batch_runner.fetcher.is_silent or (len(last) == _DOWN and not one_is_to_blame):
            self.end = error

    async def _bisect_silent(self) -> None:
        """When all else is done: a batch without an answer may hold one slice that Radar cannot serve.

        Where it is down altogether, this ends with the third batch.
        """
        silent, self._silent = self._silent, []
        for batch, error in silent:
            if len(batch.slices) > 1:
                self._bisect(batch, error)
            elif self._quarantine.others_are_answered:
                await self._quarantine.add(batch.slices[0], error, self._pool)
            else:
                self._fail(batch, error)

    async def _blame_unanswered(self) -> None:
        """Radar answers: a series for which it did not answer the smallest request is to blame, and no size is."""
        blamed = [one for one in self._silent if self._contact.is_question(one[0])]
        self._silent = [one for one in self._silent if one not in blamed]
        for batch, error in blamed:
            await self._quarantine.add(batch.slices[0], error, self._pool)

    def _give_up(self) -> None:
        """Account for what was not asked any more."""
        for batch, error in self._silent:
            self._batch_runner.unanswered.add(batch.request_kind)
            self._fail(batch, error)
        for slice_, reason in self._edges.withheld:
            self._fail(Batch((slice_,)), reason)
        left = [*self._pool.slices(), *(slice_ for batch in self._as_they_are for slice_ in batch.slices)]
        if left and self.end:
            self._fail(Batch(tuple(left)), self.end)

    def _fail(self, batch: Batch, error: CollectorError) -> None:
        self.result.failures.append(FailedSlices(batch.slices, error))


def _size(batch: Batch) -> tuple[int, int]:
    return batch.buckets, len(batch.slices)
