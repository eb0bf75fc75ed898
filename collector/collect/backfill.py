"""History on demand: plan what is missing, gather it behind the fires, and keep the record of how far it has come.

A job is the same call however often it is made: what was answered since it was created is not asked again, so an
interrupted job goes on where it stopped and ends with the same store.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from collector.collect import plan
from collector.collect.collect import named
from collector.collect.missing import missing, whole_cells
from collector.model import AggInterval, Window
from collector.store import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from collector.collect.gather import Gathered, Gatherer
    from collector.model import Batch, SeriesQuery, Slice
    from collector.profile import Profile
    from collector.store import Backfill, Saved, Store, Wanted

_REPORT_EVERY = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a backfill will cost: requests as far as is known now, and minutes at the request budget."""

    windows: int
    requests: int
    points: int
    minutes: float


async def unanswered(
    profiles: Sequence[Profile], job: Wanted, since: datetime, gatherer: Gatherer, now: datetime
) -> list[Slice]:
    """Decide what to ask for: holes, or with *force* all that no answer from *since* on has covered."""
    store = gatherer.fetcher.store
    holes: dict[SeriesQuery, list[Window]] = defaultdict(list)
    within: dict[SeriesQuery, Window] = {}
    for profile in profiles:
        interval = profile.agg_interval
        wanted = Window(interval.floor(job.start), min(interval.floor(job.end), plan.closed_until(interval, now)))
        for series in profile.series if wanted.start < wanted.end else ():
            within[series.query] = wanted
            if job.force:
                holes[series.query] = plan.without(wanted, await store.answered(series.query, wanted, since))
            else:
                holes[series.query] = await missing(profile, series.query, wanted, store, now)
    return await whole_cells(holes, within, gatherer)


async def gaps_left(profiles: Sequence[Profile], job: Wanted, store: Store, now: datetime) -> int:
    """Count the buckets that are still missing, though Radar has published that far."""
    left = 0
    for profile in profiles:
        interval = profile.agg_interval
        published = interval.floor(now - await store.upstream_lag(profile.name))
        wanted = Window(interval.floor(job.start), min(interval.floor(job.end), published))
        for series in profile.series if wanted.start < wanted.end else ():
            holes = await store.holes(series.query, wanted, profile.settle)
            left += sum(hole.window.duration // interval.step for hole in holes if hole.reason == "missing")
    return left


async def estimate(slices: Sequence[Slice], gatherer: Gatherer, limit: int) -> Estimate:
    """Tell what *slices* will cost at *limit* requests in five minutes."""
    batches: list[Batch] = []
    for interval in AggInterval:
        shape = (await gatherer.limits(interval)).shape
        batches += plan.pack((piece for piece in slices if piece.series.agg_interval == interval), shape)
    windows = sum(len(batch.slices) for batch in batches)
    points = sum(batch.buckets for batch in batches)
    return Estimate(windows, len(batches), points, 5 * len(batches) / limit)


class Backfiller:
    """Runs backfill jobs, one at a time, and reports how they stand; *heard* listens in."""

    def __init__(
        self, store: Store, gatherer: Gatherer, heard: Callable[[Standing], None] = lambda _standing: None
    ) -> None:
        self._store = store
        self._gatherer = gatherer
        self._fetcher = gatherer.fetcher
        self._heard = heard

    async def run(self, job: Backfill, profiles: Sequence[Profile]) -> Standing:
        """Do *job*; a Standing of `running` means that the process was told to stop and the job goes on another day."""
        chosen = [profile for profile in profiles if profile.name in job.wanted.profiles]
        unknown = sorted(set(job.wanted.profiles) - {profile.name for profile in chosen})
        if unknown:
            standing = Standing("failed", job.standing.progress, f"no such profile: {', '.join(unknown)}")
            await self._store.report_backfill(job.id, standing, self._fetcher.clock())
            return standing
        return await self._run(job, chosen)

    async def _run(self, job: Backfill, profiles: Sequence[Profile]) -> Standing:
        now = self._fetcher.clock()
        slices = await unanswered(profiles, job.wanted, job.created_at, self._gatherer, now)
        diary = _Diary(job, self._store, self._fetcher.clock, self._heard)
        diary.expect(slices)
        await diary.write("running")
        gathered = await self._gatherer.gather_all(slices, named(profiles), diary.note, background=True)
        return await diary.close(gathered, await gaps_left(profiles, job.wanted, self._store, now))


class _Diary:
    """The progress of one job, written down every other second at most."""

    def __init__(
        self, job: Backfill, store: Store, clock: Callable[[], datetime], heard: Callable[[Standing], None]
    ) -> None:
        self._job = job
        self._store = store
        self._clock = clock
        self._heard = heard
        self._progress = job.standing.progress
        self._written = 0.0

    def expect(self, slices: Iterable[Slice]) -> None:
        done = self._progress.buckets_done
        self._progress = replace(self._progress, buckets=done + sum(map(_buckets, slices)))

    async def note(self, batch: Batch, saved: Saved) -> None:
        known = self._progress
        self._progress = replace(
            known,
            buckets_done=known.buckets_done + batch.buckets,
            requests=known.requests + 1,
            windows=known.windows + len(batch.slices),
            points_inserted=known.points_inserted + saved.inserted,
            points_revised=known.points_revised + saved.revised,
            points_unchanged=known.points_unchanged + saved.unchanged,
        )
        self._heard(Standing("running", self._progress))
        if time.monotonic() - self._written > _REPORT_EVERY:
            await self.write("running")

    async def write(self, state: str, message: str | None = None) -> Standing:
        self._written = time.monotonic()
        standing = Standing(state, self._progress, message)
        await self._store.report_backfill(self._job.id, standing, self._clock())
        self._heard(standing)
        return standing

    async def close(self, gathered: Gathered, gaps: int) -> Standing:
        failed = sum(len(failure.slices) for failure in gathered.failures)
        requests = self._job.standing.progress.requests + gathered.requests
        self._progress = replace(self._progress, requests=requests, windows_failed=failed, gaps_remaining=gaps)
        if gathered.stopped:
            return await self.write("running")
        reason = str(gathered.failures[0].error) if gathered.failures else None
        return await self.write("failed" if reason else "done", reason)


def _buckets(piece: Slice) -> int:
    return piece.window.duration // piece.series.agg_interval.step
