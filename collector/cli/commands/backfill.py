"""`collector backfill`: fetch history, estimate the cost, list and cancel jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from collector.cli.bootstrap import TIME, config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.cli.bootstrap import DaemonClient
    from collector.cli.progress import ProgressView
    from collector.collect.backfill import Estimate
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import BackfillJob, BackfillRequest, JobProgress, JobStatus, Store


class Outcome(NamedTuple):
    """Final state of a backfill, its progress (None if unknown), and the reason if it did not finish."""

    state: str
    progress: JobProgress | None
    message: str | None


_COUNTS = (
    "requests",
    "windows",
    "points_inserted",
    "points_revised",
    "points_unchanged",
    "points_ignored",
    "windows_failed",
    "gaps_remaining",
)


_LARGEST_ID = 10**18 - 1  # as in the routes of the HTTP server


@click.command("backfill")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@click.option("--start", type=TIME, metavar="T", help="Start at T: a date, an RFC 3339 time, or an age (90d).")
@click.option("--end", type=TIME, metavar="T", help="End before T. Default: now.")
@click.option("--dry-run", is_flag=True, help="Print the windows, requests, points and minutes, and fetch nothing.")
@click.option("--force", is_flag=True, help="Fetch points again that are already stored.")
@click.option("--list", "listing", is_flag=True, help="List the newest 100 jobs, the newest first.")
@click.option("--cancel", type=click.IntRange(1, _LARGEST_ID), metavar="ID", help="Cancel job ID; its points are kept.")
@config_option
@format_option
@click.pass_context
def backfill_command(
    ctx: click.Context,
    profiles: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    *,
    dry_run: bool,
    force: bool,
    listing: bool,
    cancel: int | None,
    config: str | None,
    output: str,
) -> None:
    """Fetch missing history, the newest first, inside the request budget.

    You can interrupt the command at any time; the same command continues where it stopped. If a daemon owns the store,
    it runs the job. Without PROFILE, all profiles are fetched.

    \b
    Example: collector backfill all --start 2026-01-01 --dry-run
    """
    import asyncio

    from collector.cli.bootstrap import load_settings, require_profiles, select_profiles

    if listing or cancel is not None:
        if profiles or start or end or dry_run or force or (listing and cancel is not None):
            raise click.UsageError("--list and --cancel ID allow no other argument than --config and --format.")
        settings = load_settings(config, required=False)
        list_jobs(settings, output) if cancel is None else cancel_job(settings, cancel)
        return
    if start is None:
        raise click.UsageError("Missing option '--start', which only --list and --cancel ID do not need.")
    settings = require_profiles(load_settings(config))
    chosen_profiles = _with_history(select_profiles(settings.profiles, profiles), profiles)
    request = _backfill_request(chosen_profiles, start, end, force=force)
    if dry_run:
        show_estimate(asyncio.run(estimate(settings, chosen_profiles, request)), settings, output)
        return
    ctx.exit(_run(settings, request, output))


def _with_history(profiles: Sequence[Profile], names: Sequence[str]) -> list[Profile]:
    from collector.errors import UsageError
    from collector.profile import with_history

    try:
        return with_history(profiles, names)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _backfill_request(
    profiles: Sequence[Profile], start: datetime, end: datetime | None, *, force: bool
) -> BackfillRequest:
    from collector.errors import UsageError
    from collector.store import backfill_request
    from collector.timestamps import utc_now

    try:
        return backfill_request([profile.name for profile in profiles], start, end, utc_now(), force=force)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _run(settings: Settings, request: BackfillRequest, output: str) -> int:
    """Run the job here, or in the daemon that owns the store. Returns the exit code."""
    import asyncio
    import time

    from collector.cli.bootstrap import run_here_or_in_daemon
    from collector.cli.progress import progress_view

    def run_here() -> Outcome:
        with progress_view() as view:
            return asyncio.run(_run_here(settings, request, view))

    began = time.monotonic()
    outcome = run_here_or_in_daemon(settings, run_here, lambda daemon: _hand_over(settings, request, daemon))
    _show_result(outcome, time.monotonic() - began, output)
    return 0 if outcome.state == "done" and outcome.message is None else 1


def _hand_over(settings: Settings, request: BackfillRequest, daemon: DaemonClient) -> Outcome:
    """Send the job to the daemon and show its progress. SIGTERM and Ctrl-C stop the display, not the job."""
    import asyncio
    import signal

    from collector.errors import CollectorError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    job = None
    try:
        job = daemon.submit(request)
        click.echo(
            f"sent to the daemon at {daemon.url} as backfill {job}; Ctrl-C stops the display, not the job", err=True
        )
        status = _follow(settings, daemon, job)
        return Outcome(status.state, status.progress, status.message)
    except KeyboardInterrupt:
        if job is None:
            raise CollectorError(
                "stopped while the job was sent; `collector backfill --list` shows the jobs of the daemon"
            ) from None
        message = f"display stopped; the daemon continues, and `collector backfill --cancel {job}` cancels the job"
    except CollectorError as error:
        if job is None:
            raise
        message = str(error)
    click.echo(f"collector: {message}", err=True)
    outcome = asyncio.run(_interrupted_outcome(settings, job, message))
    return outcome._replace(message=None if outcome.message == message else outcome.message)


def _follow(settings: Settings, daemon: DaemonClient, job_id: int) -> JobStatus:
    """Show the progress of a job of the daemon until it ends. Returns its last status."""
    import asyncio

    from collector.cli.progress import progress_view

    with progress_view() as view:
        for status, ahead in daemon.follow(job_id):
            view.show_job(status, ahead)
            asyncio.run(_read_budget(settings, view))
    return status


async def _run_here(settings: Settings, request: BackfillRequest, view: ProgressView) -> Outcome:
    """Run the job. If the store fails, return the progress that is on record."""
    from collector.store import StoreError

    created: list[int] = []
    try:
        status = await _run_job(settings, request, view, created)
    except StoreError as error:
        if not created:
            raise
        return await _interrupted_outcome(settings, created[0], str(error))
    return Outcome(status.state, status.progress, status.message)


async def _interrupted_outcome(settings: Settings, job_id: int, message: str) -> Outcome:
    """Return the outcome of a job that did not finish here, without counts if the store cannot be read."""
    from collector.collect.backfill import remaining_gaps
    from collector.store import Store, StoreError

    try:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            job = await store.backfill(job_id)
            if job is None:
                return Outcome("interrupted", None, message)
            profiles = [profile for profile in settings.profiles if profile.name in job.wanted.profiles]
            gaps = await remaining_gaps(profiles, job.wanted, store, store.clock())
            return Outcome("interrupted", replace(job.status.progress, gaps_remaining=gaps), message)
    except StoreError:
        return Outcome("interrupted", None, f"{message}; the counts are unknown, because the store cannot be read")


async def _run_job(settings: Settings, request: BackfillRequest, view: ProgressView, created: list[int]) -> JobStatus:
    """Run the job. *created* receives its id when it is on record."""
    import asyncio

    from collector.cli.bootstrap import open_collector
    from collector.collect.backfill import BackfillRunner, remaining_gaps
    from collector.store import JobStatus

    async with open_collector(settings, "backfill") as (store, batch_runner):
        job = await _resume(store, request) or await store.create_backfill(request, store.clock(), "stopped")
        created.append(job.id)
        view.show_job(job.status)  # the progress of earlier runs
        limit = settings.radar.requests_per_5min
        watching = asyncio.create_task(_watch_budget(store, limit, view))
        try:
            status = await BackfillRunner(store, batch_runner, view.show_job).run(job, settings.profiles)
        finally:
            watching.cancel()
        await _show_budget(store, limit, view)
        if status and status.running:
            done, of = status.progress.buckets_done, status.progress.buckets
            message = f"{done:,} of {of:,} buckets are done; the same command continues from here"
            profiles = [profile for profile in settings.profiles if profile.name in request.profiles]
            gaps = await remaining_gaps(profiles, request, store, store.clock())
            stopped = JobStatus("stopped", status.progress, message)
            await store.stop_backfill(job, stopped, store.clock(), gaps)
        recorded = await store.backfill(job.id)
        return recorded.status if recorded else job.status


async def _watch_budget(store: Store, limit: int, view: ProgressView) -> None:
    import asyncio

    while True:
        await _show_budget(store, limit, view)
        await asyncio.sleep(1)


async def _show_budget(store: Store, limit: int, view: ProgressView) -> None:
    """Show the budget from the store, because other processes use it too; skip this while the store fails."""
    from contextlib import suppress

    from collector.store import StoreError

    with suppress(StoreError):
        view.show_budget(await store.budget(store.clock(), limit))


async def _read_budget(settings: Settings, view: ProgressView) -> None:
    """Show the budget from the store, because the status route of the daemon costs far more."""
    from contextlib import suppress

    from collector.store import Store, StoreError

    with suppress(StoreError):
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            await _show_budget(store, settings.radar.requests_per_5min, view)


async def _resume(store: Store, request: BackfillRequest) -> BackfillJob | None:
    """Return an unfinished job with the same request, extended to its end; only on SQLite.

    On Postgres another replica may be running the job; on SQLite the owner is alone.
    """
    if store.backend != "sqlite":
        return None
    for job in await store.list_backfills(100):
        unfinished = not job.status.ended or job.status.state == "stopped"
        same = (job.wanted.profiles, job.wanted.start, job.wanted.force) == (
            request.profiles,
            request.start,
            request.force,
        )
        if unfinished and same:
            return await store.extend_backfill(job, request)
    return None


def _show_result(outcome: Outcome, seconds: float, output: str) -> None:
    import json

    counts = {name: getattr(outcome.progress, name, None) for name in _COUNTS} | {"seconds": round(seconds, 3)}
    if output == "json":
        click.echo(json.dumps(counts))
    else:
        for name, count in counts.items():
            click.echo(f"{name.replace('_', ' '):17} {'unknown' if count is None else f'{count:,}'}")
    if outcome.message:
        click.echo(f"collector: backfill {outcome.state}: {outcome.message}", err=True)


async def estimate(settings: Settings, profiles: Sequence[Profile], request: BackfillRequest) -> Estimate:
    """Estimate the cost with the store as it is, or with a temporary empty store if there is none."""
    import tempfile
    from pathlib import Path

    from collector import logs
    from collector.settings.values import sqlite_url
    from collector.store import Store, StoreMissing

    try:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return await _plan(settings, profiles, request, store)
    except StoreMissing:
        logs.quiet("collector.store.db.migrate")  # the operator's store is not migrated
        with tempfile.TemporaryDirectory() as folder:
            async with Store.open(sqlite_url(Path(folder) / "empty.db"), owner="backfill --dry-run") as store:
                return await _plan(settings, profiles, request, store)


async def _plan(settings: Settings, profiles: Sequence[Profile], request: BackfillRequest, store: Store) -> Estimate:
    import asyncio

    from collector.collect.backfill import estimate as cost_of
    from collector.collect.backfill import unanswered
    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.batches.fetcher import Fetcher
    from collector.radar.client import RadarClient
    from collector.timestamps import utc_now

    limit, now = settings.radar.requests_per_5min, utc_now()
    fetcher = Fetcher(RadarClient(settings.radar), store, limit=limit, stop=asyncio.Event())
    batch_runner = BatchRunner(fetcher, settings.radar.concurrency)
    return await cost_of(await unanswered(profiles, request, now, batch_runner, now), batch_runner, limit)


def show_estimate(cost: Estimate, settings: Settings, output: str) -> None:
    """Print the estimated cost of a backfill."""
    from collector.cli.output import show_json

    if output == "json":
        show_json(cost.document())
        return
    click.echo(f"windows   {cost.windows:,}")
    click.echo(f"requests  {cost.requests:,}  (estimated from the known limits of Radar)")
    groups = f", and {cost.points_per_group:,} for each group that Radar lists" if cost.points_per_group else ""
    click.echo(f"points    {cost.points:,}  (at most{groups})")
    click.echo(f"minutes   {cost.minutes:.1f}  (at {settings.radar.requests_per_5min} requests in 5 minutes)")


_MAX_JOBS = 100


def list_jobs(settings: Settings, output: str) -> None:
    """Print the newest jobs, the newest first."""
    import asyncio

    from collector.cli.output import show
    from collector.store import Store

    async def read() -> list[BackfillJob]:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return await store.list_backfills(_MAX_JOBS)

    document = _document if output == "json" else _row
    show([document(job) for job in asyncio.run(read())], output, empty="there are no jobs")


def _document(job: BackfillJob) -> dict[str, Any]:
    """Return a job in the form of `/api/v1/backfills`."""
    from dataclasses import asdict

    request, status = job.wanted, job.status
    return {
        "id": job.id,
        "profiles": list(request.profiles),
        "start": request.start,
        "end": request.end,
        "force": request.force,
        "state": status.state,
        "message": status.message,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        **asdict(status.progress),
    }


def _row(job: BackfillJob) -> dict[str, Any]:
    progress = job.status.progress
    done = f"{progress.buckets_done / progress.buckets:.0%}" if progress.buckets else None
    return {
        "id": job.id,
        "state": job.status.state,
        "profiles": ", ".join(job.wanted.profiles),
        "start": job.wanted.start,
        "end": job.wanted.end,
        "done": done,
        "requests": progress.requests,
        "inserted": progress.points_inserted,
        "created": job.created_at,
        "message": job.status.message,
    }


def cancel_job(settings: Settings, job_id: int) -> None:
    """Cancel a job, here or in the daemon that owns the store.

    Raises UsageError if there is no such job, CollectorError if it has ended.
    """
    import asyncio

    from collector.cli.bootstrap import run_here_or_in_daemon

    run_here_or_in_daemon(
        settings, lambda: asyncio.run(_cancel(settings, job_id)), lambda daemon: daemon.cancel(job_id)
    )
    click.echo(f"backfill {job_id} is cancelled; its points are kept", err=True)


async def _cancel(settings: Settings, job_id: int) -> None:
    from collector.store import Store

    url = settings.database.url.reveal()
    async with Store.open(url, owner=None) as store:  # a missing store is not created
        _check(job_id, await store.backfill(job_id))
    async with Store.open(url, owner=f"backfill --cancel {job_id}", upgrade=False) as store:
        await store.cancel_backfill(job_id, store.clock())


def _check(job_id: int, job: BackfillJob | None) -> JobStatus:
    from collector.errors import CollectorError, UsageError

    if job is None:
        raise UsageError(f"there is no backfill {job_id}; `collector backfill --list` shows the jobs")
    if job.status.over:
        raise CollectorError(f"backfill {job_id} has already ended: {job.status.state}")
    return job.status
