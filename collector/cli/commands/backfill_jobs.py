"""`collector backfill --list` and `--cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collector.settings import Settings
    from collector.store import BackfillJob, JobStatus

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

    wanted, standing = job.wanted, job.standing
    return {
        "id": job.id,
        "profiles": list(wanted.profiles),
        "start": wanted.start,
        "end": wanted.end,
        "force": wanted.force,
        "state": standing.state,
        "message": standing.message,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        **asdict(standing.progress),
    }


def _row(job: BackfillJob) -> dict[str, Any]:
    progress = job.standing.progress
    done = f"{progress.buckets_done / progress.buckets:.0%}" if progress.buckets else None
    return {
        "id": job.id,
        "state": job.standing.state,
        "profiles": ", ".join(job.wanted.profiles),
        "start": job.wanted.start,
        "end": job.wanted.end,
        "done": done,
        "requests": progress.requests,
        "inserted": progress.points_inserted,
        "created": job.created_at,
        "message": job.standing.message,
    }


def cancel_job(settings: Settings, job_id: int) -> None:
    """Cancel a job, here or in the daemon that owns the store.

    Raises UsageError if there is no such job, CollectorError if it has ended.
    """
    import asyncio

    from collector.cli.daemon_client import run_here_or_in_daemon

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
    if job.standing.over:
        raise CollectorError(f"backfill {job_id} has already ended: {job.standing.state}")
    return job.standing
