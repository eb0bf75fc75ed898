"""`collector backfill`: history on demand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click

from collector.cli.options import MOMENT, config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.cli.progress import Watching
    from collector.cli.remote import Remote
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import Backfill, Progress, Standing, Store, Wanted


class Outcome(NamedTuple):
    """How a backfill ended here, what it has stored (None: not known), and why it did not come to its end."""

    state: str
    progress: Progress | None
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
@click.option("--start", type=MOMENT, metavar="T", help="From T on: a date, an RFC 3339 time, an age (90d).")
@click.option("--end", type=MOMENT, metavar="T", help="Before T; else up to now.")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost.")
@click.option("--force", is_flag=True, help="Ask for what is there, too.")
@click.option("--list", "listing", is_flag=True, help="List the jobs on record, the newest first.")
@click.option(
    "--cancel", type=click.IntRange(1, _LARGEST_ID), metavar="ID", help="End a job; what it has fetched is kept."
)
@config_option
@format_option
@click.pass_context
def command(
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
    """Fetch history: only what is missing, the newest first, inside the request budget.

    It can be interrupted at any time and goes on where it stopped. While a daemon owns the store the job is its.

    \b
    Example: collector backfill all --start 2026-01-01 --dry-run
    """
    import asyncio

    from collector.cli.estimate import estimate, show_estimate
    from collector.cli.jobs import cancel_job, list_jobs
    from collector.cli.start import asking, chosen
    from collector.cli.start import start as load_settings

    if listing or cancel is not None:
        if profiles or start or end or dry_run or force or (listing and cancel is not None):
            raise click.UsageError("--list and --cancel ID stand alone, but for --config and --format.")
        settings = load_settings(config, required=False)
        list_jobs(settings, output) if cancel is None else cancel_job(settings, cancel)
        return
    if start is None:
        raise click.UsageError("Missing option '--start'; --list and --cancel ID need none.")
    settings = asking(load_settings(config))
    picked = _with_history(chosen(settings.profiles, profiles), profiles)
    wanted = _wanted(picked, start, end, force=force)
    if dry_run:
        show_estimate(asyncio.run(estimate(settings, picked, wanted)), settings, output)
        return
    ctx.exit(_run(settings, wanted, output))


def _with_history(profiles: Sequence[Profile], named: Sequence[str]) -> list[Profile]:
    from collector.errors import UsageError
    from collector.profile import with_history

    try:
        return with_history(profiles, named)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _wanted(profiles: Sequence[Profile], start: datetime, end: datetime | None, *, force: bool) -> Wanted:
    from collector.errors import UsageError
    from collector.model import utc_now
    from collector.store import wanted

    try:
        return wanted([profile.name for profile in profiles], start, end, utc_now(), force=force)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _run(settings: Settings, wanted: Wanted, output: str) -> int:
    """Do the job here, or have the daemon do it; gives the exit code."""
    import asyncio
    import time

    from collector.cli.progress import showing
    from collector.cli.remote import here_or_handed

    def here() -> Outcome:
        with showing() as shown:
            return asyncio.run(_here(settings, wanted, shown))

    began = time.monotonic()
    outcome = here_or_handed(settings, here, lambda remote: _hand_over(settings, wanted, remote))
    _show_result(outcome, time.monotonic() - began, output)
    return 0 if outcome.state == "done" and outcome.message is None else 1


def _hand_over(settings: Settings, wanted: Wanted, remote: Remote) -> Outcome:
    """Have the daemon do the job, and watch it; SIGTERM and Ctrl-C end the watching, and say so at once."""
    import asyncio
    import signal

    from collector.errors import CollectorError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    job = None
    try:
        job = remote.submit(wanted)
        click.echo(
            f"handed to the daemon at {remote.url} as backfill {job}; Ctrl-C stops watching, not the job", err=True
        )
        standing = _follow(settings, remote, job)
        return Outcome(standing.state, standing.progress, standing.message)
    except KeyboardInterrupt:
        if job is None:
            raise CollectorError(
                "stopped while the daemon was asked: `collector backfill --list` shows its jobs"
            ) from None
        message = f"no longer watched; the daemon goes on, and `collector backfill --cancel {job}` ends the job"
    except CollectorError as error:
        if job is None:
            raise
        message = str(error)
    click.echo(f"collector: {message}", err=True)
    outcome = asyncio.run(_afterwards(settings, job, message))
    return outcome._replace(message=None if outcome.message == message else outcome.message)


def _follow(settings: Settings, remote: Remote, job_id: int) -> Standing:
    """Show how a job of the daemon stands, up to its end."""
    import asyncio

    from collector.cli.progress import showing

    with showing() as shown:
        for standing, ahead in remote.follow(job_id):
            shown.stands(standing, ahead)
            asyncio.run(_read_budget(settings, shown))
    return standing


async def _here(settings: Settings, wanted: Wanted, shown: Watching) -> Outcome:
    """Do the job; if the store fails on the way, tell what it has when it can be read again."""
    from collector.store import StoreError

    created: list[int] = []
    try:
        standing = await _work(settings, wanted, shown, created)
    except StoreError as error:
        if not created:
            raise
        return await _afterwards(settings, created[0], str(error))
    return Outcome(standing.state, standing.progress, standing.message)


async def _afterwards(settings: Settings, job_id: int, message: str) -> Outcome:
    """Read how a job stands that came to no end here, and why; without counts if the store cannot be read."""
    from collector.collect.backfill import gaps_left
    from collector.store import Store, StoreError

    try:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            job = await store.backfill(job_id)
            if job is None:
                return Outcome("interrupted", None, message)
            chosen = [profile for profile in settings.profiles if profile.name in job.wanted.profiles]
            gaps = await gaps_left(chosen, job.wanted, store, store.clock())
            return Outcome("interrupted", replace(job.standing.progress, gaps_remaining=gaps), message)
    except StoreError:
        return Outcome("interrupted", None, f"{message}; the counts are unknown because the store cannot be read")


async def _work(settings: Settings, wanted: Wanted, shown: Watching, created: list[int]) -> Standing:
    """Do the job, whose id is put into *created* once it is on record."""
    import asyncio

    from collector.cli.collect import collecting
    from collector.collect.backfill import Backfiller, gaps_left
    from collector.store import Standing

    async with collecting(settings, "backfill") as (store, gatherer):
        job = await _adopt(store, wanted) or await store.create_backfill(wanted, store.clock(), "stopped")
        created.append(job.id)
        shown.stands(job.standing)  # what earlier runs did
        limit = settings.radar.requests_per_5min
        watching = asyncio.create_task(_watch_budget(store, limit, shown))
        try:
            standing = await Backfiller(store, gatherer, shown.stands).run(job, settings.profiles)
        finally:
            watching.cancel()
        await _tell_budget(store, limit, shown)
        if standing and standing.running:
            done, of = standing.progress.buckets_done, standing.progress.buckets
            message = f"{done:,} of {of:,} buckets were asked for; the same command goes on from here"
            picked = [profile for profile in settings.profiles if profile.name in wanted.profiles]
            gaps = await gaps_left(picked, wanted, store, store.clock())
            stopped = Standing("stopped", standing.progress, message)
            await store.stop_backfill(job, stopped, store.clock(), gaps)
        known = await store.backfill(job.id)
        return known.standing if known else job.standing


async def _watch_budget(store: Store, limit: int, shown: Watching) -> None:
    import asyncio

    while True:
        await _tell_budget(store, limit, shown)
        await asyncio.sleep(1)


async def _tell_budget(store: Store, limit: int, shown: Watching) -> None:
    """Others use it, too, so the store tells; while it cannot, nothing new is shown."""
    from contextlib import suppress

    from collector.store import StoreError

    with suppress(StoreError):
        shown.spent(await store.budget(store.clock(), limit))


async def _read_budget(settings: Settings, shown: Watching) -> None:
    """Read it beside the daemon that owns the store: its own status would cost it far more."""
    from contextlib import suppress

    from collector.store import Store, StoreError

    with suppress(StoreError):
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            await _tell_budget(store, settings.radar.requests_per_5min, shown)


async def _adopt(store: Store, wanted: Wanted) -> Backfill | None:
    """Go on with the same job where it was left; only SQLite's owner can know that nobody else is at it."""
    if store.backend != "sqlite":
        return None
    for job in await store.list_backfills(100):
        left = not job.standing.ended or job.standing.state == "stopped"
        same = (job.wanted.profiles, job.wanted.start, job.wanted.force) == (
            wanted.profiles,
            wanted.start,
            wanted.force,
        )
        if left and same:
            return await store.extend_backfill(job, wanted)
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
