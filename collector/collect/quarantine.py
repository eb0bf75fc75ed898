"""Requests that failed although their size is accepted: bisected until one slice is left, which is quarantined.

A quarantined series is asked alone, with a pause that grows and is on record, so that it never keeps the others from
being answered.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.batch_result import FailedSlices
from collector.collect.plan import halves
from collector.model import Batch, rfc3339
from collector.radar.errors import Paused
from collector.store import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.collect.batch_result import BatchResult
    from collector.collect.batch_runner import BatchRunner
    from collector.collect.pool import Pool
    from collector.collect.size_learner import SizeLearner
    from collector.model import SeriesQuery, Slice
    from collector.radar.errors import RadarError

_LATELY = timedelta(hours=1)
_WINDOWS_TO_TRY = 2
"""So many windows of a series that was never answered fail before its other windows are left alone, too."""


class Quarantine:
    """The slices of one run that fail by themselves; failures go to *gathered*."""

    def __init__(self, batch_runner: BatchRunner, result: BatchResult, learner: SizeLearner) -> None:
        self._batch_runner = batch_runner
        self._gathered = result
        self._learner = learner
        self._refused_before: set[str] = set()
        self._bisected: list[tuple[Batch, str, set[Slice]]] = []
        self._failed_windows: Counter[SeriesQuery] = Counter()
        self._answered: set[SeriesQuery] = set()

    async def admit(self, slices: Iterable[Slice]) -> list[Slice]:
        """Return what may be asked for now; the rest fails as Paused. A series that was refused is asked alone."""
        fetcher = self._batch_runner.fetcher
        now, admitted = fetcher.clock(), []
        refused = {one.key: one for one in await fetcher.store.refusals()}
        self._refused_before = set(refused)
        for slice_ in slices:
            known = [refused[key] for key in keys_of(slice_, now) if key in refused]
            last = next((one for one in known if one.pauses(now, by_hand=self._batch_runner.by_hand)), None)
            if known:
                self._batch_runner.alone.add(slice_.series)
            if last is None:
                admitted.append(slice_)
                continue
            again = rfc3339(last.again_at.replace(microsecond=0))
            reason = f"{last.reason}; the same question is asked again at {again}"
            self._gathered.failures.append(FailedSlices((slice_,), Paused(reason, again_at=last.again_at)))
        return admitted

    def bisect(self, batch: Batch, cause: str) -> list[Batch]:
        """Return the halves of *batch*."""
        self._bisected.append((batch, cause, set(batch.slices)))
        return halves(batch)

    async def add(self, slice_: Slice, error: RadarError, pool: Pool, *, pause: bool = True) -> None:
        """Quarantine the series of *slice_*, which failed alone; with *pause* its question is not repeated at once."""
        fetcher, series = self._batch_runner.fetcher, slice_.series
        if pause:
            now = fetcher.clock()
            await fetcher.store.refuse(slice_, error.outcome, str(error), now)
            self._refused_before.add(keys_of(slice_, now)[0])
        self._batch_runner.alone.add(series)
        await self._learner.exonerate(series, error.outcome, slice_.window if series in self._answered else None)
        self._failed_windows[series] += 1
        failed = [slice_]
        if series not in self._answered and self._failed_windows[series] >= _WINDOWS_TO_TRY:
            failed += pool.pop({series})
        self._gathered.failures.append(FailedSlices(tuple(failed), error))

    async def answered(self, batch: Batch) -> None:
        """End the quarantine and the pauses of what was answered; a batch whose parts all were was too large."""
        self._batch_runner.answered_at = now = self._batch_runner.fetcher.clock()
        self._answered |= {slice_.series for slice_ in batch.slices}
        if len(batch.slices) == 1:
            self._batch_runner.alone.discard(batch.slices[0].series)
        keys = {keys_of(slice_, now)[0] for slice_ in batch.slices} & self._refused_before
        if keys:
            await self._batch_runner.fetcher.store.forget_refusals(keys)
            self._refused_before -= keys
        for whole, cause, left in self._bisected:
            left -= {*batch.slices}
            if not left:
                await self._learner.not_accepted_any_more(whole, cause)
        self._bisected = [one for one in self._bisected if one[2]]

    @property
    def others_are_answered(self) -> bool:
        """Tell whether Radar has answered lately, so that one question without an answer is its own fault."""
        at = self._batch_runner.answered_at
        return at is not None and self._batch_runner.fetcher.clock() - at <= _LATELY
