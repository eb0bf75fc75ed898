"""What a process knows of the windows of a job that it is at, and tells the record every other second at most."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from collector.store import CompletedWindows, JobProgress, JobStatus, StoreUnavailable
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from collector.collect.batches.batch_result import BatchResult
    from collector.model import Batch, Question, Slice, Window
    from collector.store import BackfillJob, ClaimedWindows, SaveResult, Store

_REPORT_EVERY = 2.0


class Checkpoint:
    """The progress of one share of a job; *heard* hears how the job stands."""

    def __init__(self, share: ClaimedWindows, store: Store, heard: Callable[[JobStatus], None]) -> None:
        self._job = share.job
        self._open = dict.fromkeys(share.mine)
        self._store = store
        self._heard = heard
        self._answered: dict[Question, list[Window]] = defaultdict(list)
        self._shown = JobProgress()
        self._noted = 0
        self._written = time.monotonic()

    async def note(self, batch: Batch, saved: SaveResult) -> None:
        """Take down that *batch* was answered; the store has counted it with the answer."""
        for piece in batch.slices:
            self._answered[piece.series].append(piece.window)
        self._noted += 1
        self._shown = _sum(
            self._shown,
            JobProgress(
                buckets_done=batch.buckets,
                requests=1,
                windows=len(batch.slices),
                points_inserted=saved.inserted,
                points_revised=saved.revised,
                points_unchanged=saved.unchanged,
            ),
        )
        self._heard(JobStatus("running", _sum(self._job.status.progress, self._shown)))
        if time.monotonic() - self._written > _REPORT_EVERY:
            await self._settle(self._done()[: len(self._open) - 1], {})  # with the last of them `close` counts the rest

    async def close(self, result: BatchResult) -> BackfillJob:
        """Settle what was asked for; gives the job as it stands.

        What a stop, buckets that start elsewhere, or a store that cannot be had (StoreUnavailable), kept from being
        asked stays as it is. After a stop, *buckets_done* includes the answered parts of such windows, which are not on
        record as done.
        """
        failures = result.failures
        unavailable = next((one.error for one in failures if isinstance(one.error, StoreUnavailable)), None)
        unanswered = result.requests - self._noted
        if unanswered and not unavailable:  # otherwise it is not known here which of them the store has counted
            self._job = await self._store.add_progress(self._job, JobProgress(requests=unanswered))
        if result.stopped or result.moved or unavailable:
            await self._settle(self._done(), {})
        else:
            await self._settle([*self._open], {piece: str(one.error) for one in failures for piece in one.slices})
        if unavailable:
            raise unavailable
        return self._with_parts() if result.stopped else self._job

    def _with_parts(self) -> BackfillJob:
        """Count the answered buckets of the windows that are still open."""
        left = sum(
            part.duration // row.series.agg_interval.step
            for row in self._open
            for part in subtract(row.window, self._answered[row.series])
        )
        parts = JobProgress(buckets_done=sum(row.buckets for row in self._open) - left)
        standing = self._job.status
        return replace(self._job, status=replace(standing, progress=_sum(standing.progress, parts)))

    async def _settle(self, done: Sequence[Slice], failed: Mapping[Slice, str]) -> None:
        self._written = time.monotonic()
        if not done:
            return
        buckets = sum(row.buckets for row in done)
        counts = JobProgress(buckets_done=buckets)
        self._shown = JobProgress(buckets_done=max(self._shown.buckets_done - buckets, 0))
        for row in done:
            del self._open[row]
        self._job = await self._store.complete_windows(CompletedWindows(self._job.id, done, failed, counts))
        self._heard(JobStatus("running", _sum(self._job.status.progress, self._shown)))

    def _done(self) -> list[Slice]:
        return [row for row in self._open if not subtract(row.window, self._answered[row.series])]


def _sum(one: JobProgress, other: JobProgress) -> JobProgress:
    more = asdict(other)
    return replace(one, **{name: number + more[name] for name, number in asdict(one).items() if number is not None})
