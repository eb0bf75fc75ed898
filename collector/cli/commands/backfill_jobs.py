"""The jobs of `collector backfill`: listed, and cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collector.settings import Settings
    from collector.store import Backfill, Standing

_SHOWN = 100


def list_jobs(settings: Settings, output: str) -> None:
    """Print the newest jobs on record, the newest first."""
    import asyncio

    from collector.cli.output import show
    from collector.store import Store

    async def read() -> list[Backfill]:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return await store.list_backfills(_SHOWN)

    document = _document if output == "json" else _row
    show([document(job) for job in asyncio.run(read())], output, empty="there is no job")


def _document(job: Backfill) -> dict[str, Any]:
    """Write a job as `/api/v1/backfills` does."""
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


def _row(job: Backfill) -> dict[str, Any]:
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
    """End a job, here or by the daemon that owns the store; CollectorError if there is none, or it is over."""
    import asyncio

    from collector.cli.daemon_client import run_here_or_in_daemon

    run_here_or_in_daemon(
        settings, lambda: asyncio.run(_cancel(settings, job_id)), lambda daemon: daemon.cancel(job_id)
    )
    click.echo(f"backfill {job_id} is cancelled; what it has fetched is kept", err=True)


async def _cancel(settings: Settings, job_id: int) -> None:
    from collector.store import Store

    url = settings.database.url.reveal()
    async with Store.open(url, owner=None) as store:  # a store that is not there is not created
        _check(job_id, await store.backfill(job_id))
    async with Store.open(url, owner=f"backfill --cancel {job_id}", upgrade=False) as store:
        await store.cancel_backfill(job_id, store.clock())


def _check(job_id: int, job: Backfill | None) -> Standing:
    from collector.errors import CollectorError, UsageError

    if job is None:
        raise UsageError(f"there is no backfill {job_id}: `collector backfill --list` shows them")
    if job.standing.over:
        raise CollectorError(f"backfill {job_id} is over: {job.standing.state}")
    return job.standing
