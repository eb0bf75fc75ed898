"""History on demand: plan the missing windows of a job, and request them in the background until none is open.

Replicas share the windows of a job: each claims some, requests them, and claims the next. A window that was answered
since the job was created is not requested again, so an interrupted job can be resumed by any replica.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from collector.collect.batches.beginnings import check_beginnings
from collector.collect.batches.fetcher import Handling
from collector.collect.one_pass import named
from collector.collect.planning import packing
from collector.collect.refetch import gap_slices, whole_cells
from collector.collect.snapshots import lasting
from collector.errors import CollectorError
from collector.model import Question, Slice, Window
from collector.store import CompletedWindows, ExpectedWindow, JobProgress, JobStatus, StoreError, StoreUnavailable
from collector.timestamps import check_date
from collector.windows import hull, subtract

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.batches.pending_slices import BatchResult
    from collector.model import Batch
    from collector.profile import Profile
    from collector.store import BackfillJob, BackfillRequest, ClaimedWindows, SaveResult, Store

log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0
"""The interval of checks whether the job was cancelled, in seconds."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a backfill: requests by the known limits, and minutes at the request budget.

    *points* are at most so many, and at most *points_per_group* for each group that is not known yet.
    """

    windows: int
    requests: int
    points: int
    minutes: float
    points_per_group: int = 0

    def document(self) -> dict[str, float]:
        """Return the fields as JSON has them: without *points_per_group* if it is zero."""
        return {name: value for name, value in asdict(self).items() if value or name != "points_per_group"}


async def unanswered(
    profiles: Sequence[Profile], job: BackfillRequest, since: datetime, batch_runner: BatchRunner, now: datetime
) -> list[Slice]:
    """Return the slices to request: gaps, or with *force* all, unless an answer has covered them since *since*."""
    store = batch_runner.fetcher.store
    expected = await _wanted(profiles, job, store, now)
    if not job.force:
        return await gap_slices(expected, now, store, batch_runner, explicit_since=since)
    windows, within = {}, {each.query: each.window for each in expected}
    for query, window in within.items():
        windows[query] = subtract(window, await store.covered_windows(query, window, since))
    return await whole_cells(windows, within, batch_runner)


async def _wanted(
    profiles: Sequence[Profile], job: BackfillRequest, store: Store, now: datetime
) -> list[ExpectedWindow]:
    """Return the window that *job* requests of each series, up to the newest bucket closed at *now*."""
    expected, present = [], now - await store.ahead()
    for profile in lasting(await store.placed(profiles)):
        grid = profile.grid
        wanted = Window(grid.floor(job.start), min(grid.floor(job.end), grid.floor(present)))
        if wanted.start < wanted.end:
            expected += [ExpectedWindow(series.query, wanted, profile.settle) for series in profile.series]
    return expected


async def remaining_gaps(profiles: Sequence[Profile], job: BackfillRequest, store: Store, now: datetime) -> int:
    """Count the missing buckets of *job*, as far as Radar has published.

    Buckets that Radar lacks are included. A series of several profiles counts once.
    """
    left, counted, present = 0, set[Question](), now - await store.ahead()
    for profile in lasting(await store.placed(profiles)):
        grid = profile.grid
        published = grid.floor(present - await store.upstream_lag(profile.name))
        wanted = Window(grid.floor(job.start), min(grid.floor(job.end), published))
        queries = {series.query for series in profile.series} - counted if wanted.start < wanted.end else set()
        counted |= queries
        for query in queries:
            gaps = await store.gaps(query, wanted, profile.settle)
            left += sum(gap.window.duration // grid.interval.step for gap in gaps)
    return left


async def pack_slices(slices: Sequence[Slice], batch_runner: BatchRunner) -> list[Batch]:
    """Pack *slices* by the known limits; of a relative series only the newest window."""
    relative = await batch_runner.fetcher.store.relative_queries({slice_.series for slice_ in slices})
    batches: list[Batch] = []
    for kind in packing.request_kinds(slices):
        shape = (await batch_runner.limits(kind)).shape
        batches += packing.pack_separately(
            (slice_ for slice_ in slices if slice_.series.request_kind == kind), shape, (), relative
        )
    return batches


async def estimate(slices: Sequence[Slice], batch_runner: BatchRunner, limit: int) -> Estimate:
    """Return the cost of *slices* at *limit* requests in five minutes."""
    batches = await pack_slices(slices, batch_runner)
    windows = sum(len(batch.slices) for batch in batches)
    slices = packing.slices_of(batches)
    known = await batch_runner.fetcher.store.count_groups({s.series for s in slices if s.series.has_groups})
    points = per_group = 0
    for slice_ in slices:
        if slice_.series in known or not slice_.series.has_groups:
            points += slice_.buckets * (known[slice_.series].groups if slice_.series in known else 1)
        else:
            per_group += slice_.buckets
    return Estimate(windows, len(batches), points, 5 * len(batches) / limit, per_group)


def _reason(error: Exception) -> str:
    """Return why a job failed. An error that is not a CollectorError is a bug, so its class is included."""
    return str(error) if isinstance(error, CollectorError) else f"{type(error).__name__}: {error}"


class BackfillRunner:
    """Runs backfill jobs, one at a time. *on_progress* is called with their status.

    If it *shares* jobs, it claims a part of the windows at a time and leaves the others to other replicas.
    """

    def __init__(
        self,
        store: Store,
        batch_runner: BatchRunner,
        on_progress: Callable[[JobStatus], None] = lambda _status: None,
        *,
        shares: bool = False,
    ) -> None:
        self._store = store
        self._batch_runner = batch_runner
        self._fetcher = batch_runner.fetcher
        self._on_progress = on_progress
        self._shares = shares

    async def run(self, job: BackfillJob, profiles: Sequence[Profile]) -> JobStatus | None:
        """Run *job* until no window is open. Returns its status; None if other replicas hold its last windows.

        The status is `running` if the service stopped; the job is resumed later. Only StoreUnavailable is raised. After
        any other error, the job ends as `failed`, with the reason.
        """
        cancelled = asyncio.Event()
        watch = asyncio.create_task(self._watch(job.id, cancelled))
        try:
            check_date(job.wanted.start, self._fetcher.clock())
            return await self._run_if_known(job, profiles, cancelled)
        except StoreUnavailable:
            raise
        except Exception as error:  # a job must not end the service, now and at every later start
            log.debug("backfill", exc_info=True)
            return await self._fail(job, _reason(error))
        finally:
            watch.cancel()

    async def _watch(self, job_id: int, cancelled: asyncio.Event) -> None:
        """Set *cancelled* when the job was cancelled, perhaps by another process."""
        while not cancelled.is_set():
            await asyncio.sleep(_LOOK_EVERY)
            with suppress(StoreError):
                job = await self._store.backfill(job_id)
                if job and job.status.state == "cancelled":
                    cancelled.set()

    async def _fail(self, job: BackfillJob, reason: str) -> JobStatus:
        standing = JobStatus("failed", job.status.progress, reason)
        await self._store.stop_backfill(job, standing, self._fetcher.clock())
        return standing

    async def _run_if_known(
        self, job: BackfillJob, profiles: Sequence[Profile], cancelled: asyncio.Event
    ) -> JobStatus | None:
        chosen = [profile for profile in profiles if profile.name in job.wanted.profiles]
        paused = [profile.name for profile in chosen if not profile.enabled]
        if paused:
            return await self._fail(job, f"paused by enabled = false: {', '.join(paused)}")
        unknown = sorted(set(job.wanted.profiles) - {profile.name for profile in chosen})
        if not unknown:
            return await self._run(job, chosen, cancelled)
        if not await self._is_others(job):
            return await self._fail(job, f"no such profile: {', '.join(unknown)}")
        return None

    async def _is_others(self, job: BackfillJob) -> bool:
        """Return whether another replica has all profiles of *job*."""
        return any({*job.wanted.profiles} <= {*other.profiles} for other in await self._store.list_replicas())

    async def _run(self, job: BackfillJob, profiles: Sequence[Profile], cancelled: asyncio.Event) -> JobStatus | None:
        while True:
            planned = not job.status.running
            if planned:
                job = await self._plan(job, profiles)
            share = await self._claim(job, profiles)
            job = share.job
            if not await self._is_on_grid(share):
                job = await self._store.requeue_backfill(job)
            elif share.mine:
                again = share.again and not planned
                handling = Handling(force=job.wanted.force, job_id=job.id, cancelled=cancelled)
                job, stopped = await self._work(share, profiles, handling, again=again)
                if stopped:
                    return await self._stopped(job, cancelled)
            elif share.left or job.status.ended:
                return None
            elif job.status.running:
                return await self._end(job, profiles)

    async def _is_on_grid(self, share: ClaimedWindows) -> bool:
        """Return whether the grid is the one that the job was planned for."""
        grids = await self._store.grids()
        return all(grids[slice_.series.agg_interval].holds(slice_.window.start) for slice_ in share.mine)

    async def _stopped(self, job: BackfillJob, cancelled: asyncio.Event) -> JobStatus:
        known = await self._store.backfill(job.id) if cancelled.is_set() else None
        return known.status if known else job.status

    async def _plan(self, job: BackfillJob, profiles: Sequence[Profile]) -> BackfillJob:
        slices = await unanswered(profiles, job.wanted, job.created_at, self._batch_runner, self._fetcher.clock())
        cut = packing.slices_of(await pack_slices(slices, self._batch_runner))
        job = await self._store.enqueue_windows(job, cut, alone=not self._shares)
        self._on_progress(job.status)
        return job

    async def _claim(self, job: BackfillJob, profiles: Sequence[Profile]) -> ClaimedWindows:
        queries = [series.query for profile in profiles for series in profile.series]
        if not self._shares:
            return await self._store.claim_windows(job, queries, self._fetcher.clock(), None)
        self._batch_runner.reload_limits()
        limits = {kind: await self._batch_runner.limits(kind) for kind in {query.request_kind for query in queries}}
        at_once = 2 * self._batch_runner.concurrency

        def choose(free: Sequence[Slice], replicas: int) -> tuple[Sequence[Slice], Sequence[Slice]]:
            return packing.take_chunk(free, limits, at_once if replicas == 1 else max(at_once // replicas, 1))

        return await self._store.claim_windows(job, queries, self._fetcher.clock(), choose)

    async def _work(
        self, share: ClaimedWindows, profiles: Sequence[Profile], handling: Handling, *, again: bool
    ) -> tuple[BackfillJob, bool]:
        """Request the claimed windows. Returns the job, and whether the service stops."""
        checkpoint = Checkpoint(share, self._store, self._on_progress)
        slices = await self._not_answered(share, again=again)
        result = await self._batch_runner.run(
            slices, named(profiles), checkpoint.note, background=True, handling=handling
        )
        return await checkpoint.close(result), result.stopped

    async def _not_answered(self, share: ClaimedWindows, *, again: bool) -> list[Slice]:
        """Return the claimed slices that were not answered since the job was created.

        Windows that were partly answered are requested whole, unless they were claimed before (*again*). A relative
        series is left out if any of its windows was answered.
        """
        wanted = share.job.wanted
        windows: dict[Question, list[Window]] = defaultdict(list)
        for slice_ in share.mine:
            windows[slice_.series].append(slice_.window)
        relative, slices = await self._store.relative_queries(windows), []
        for query, mine in windows.items():
            all_of_it = hull([*mine, Window(wanted.start, wanted.end)])
            answered = await self._store.covered_windows(query, all_of_it, share.job.created_at)
            for window in mine if not (answered and query in relative) else ():
                parts = subtract(window, answered)
                slices += [Slice(query, part) for part in (parts if again or not parts else [window])]
        return slices

    async def _why_no_history(self, profiles: Sequence[Profile]) -> str | None:
        """Return a sentence about the profiles whose values are relative to one answer; None if there are none."""
        relative = await self._store.relative_queries(
            [series.query for profile in profiles for series in profile.series]
        )
        names = [profile.name for profile in profiles if any(series.query in relative for series in profile.series)]
        if not names:
            return None
        return (
            f"values that are relative to one answer make no history, so only the newest answer is kept of: "
            f"{', '.join(names)}; `collector status` says more"
        )

    async def _end(self, job: BackfillJob, profiles: Sequence[Profile]) -> JobStatus | None:
        now = self._fetcher.clock()
        if reason := await self._why_no_history(profiles):
            standing = JobStatus("done", job.status.progress, reason)
            await self._store.stop_backfill(
                job, standing, now, await remaining_gaps(profiles, job.wanted, self._store, now)
            )
            return standing
        # an edge is found by the data behind it, which may be newer than the job
        until_now = replace(job.wanted, end=now)
        expected = await _wanted(profiles, until_now, self._store, now)
        await check_beginnings(expected, named(profiles), self._batch_runner)
        ended = await self._store.finish_backfill(
            job, await remaining_gaps(profiles, job.wanted, self._store, now), now
        )
        if ended:
            self._on_progress(ended.status)
        return ended.status if ended else None


_REPORT_EVERY = 2.0


class Checkpoint:
    """The progress of a job's claimed windows, written at most every other second; *on_progress* gets the status."""

    def __init__(self, share: ClaimedWindows, store: Store, on_progress: Callable[[JobStatus], None]) -> None:
        self._job = share.job
        self._open = dict.fromkeys(share.mine)
        self._store = store
        self._on_progress = on_progress
        self._answered: dict[Question, list[Window]] = defaultdict(list)
        self._shown = JobProgress()
        self._noted = 0
        self._written = time.monotonic()

    async def note(self, batch: Batch, saved: SaveResult) -> None:
        """Note that *batch* was answered; the store has counted it with the answer."""
        for slice_ in batch.slices:
            self._answered[slice_.series].append(slice_.window)
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
        self._on_progress(JobStatus("running", _sum(self._job.status.progress, self._shown)))
        if time.monotonic() - self._written > _REPORT_EVERY:
            await self._settle(self._done()[: len(self._open) - 1], {})  # with the last of them `close` counts the rest

    async def close(self, result: BatchResult) -> BackfillJob:
        """Complete the requested windows. Returns the job.

        Windows that were not requested because of a stop, a moved grid or StoreUnavailable stay open. After a stop,
        *buckets_done* includes the answered parts of open windows, which are not recorded as done.
        """
        failures = result.failures
        unavailable = next((failure.error for failure in failures if isinstance(failure.error, StoreUnavailable)), None)
        unanswered = result.requests - self._noted
        if unanswered and not unavailable:  # otherwise it is not known here which of them the store has counted
            self._job = await self._store.add_progress(self._job, JobProgress(requests=unanswered))
        if result.stopped or result.moved or unavailable:
            await self._settle(self._done(), {})
        else:
            await self._settle(
                [*self._open], {slice_: str(failure.error) for failure in failures for slice_ in failure.slices}
            )
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
        self._on_progress(JobStatus("running", _sum(self._job.status.progress, self._shown)))

    def _done(self) -> list[Slice]:
        return [row for row in self._open if not subtract(row.window, self._answered[row.series])]


def _sum(progress: JobProgress, other: JobProgress) -> JobProgress:
    more = asdict(other)
    return replace(
        progress, **{name: number + more[name] for name, number in asdict(progress).items() if number is not None}
    )
