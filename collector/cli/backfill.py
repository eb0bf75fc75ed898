"""`collector backfill`: history on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from collector.cli.options import MOMENT, config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.cli.progress import Watching
    from collector.collect.backfill import Estimate
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import Backfill, Standing, Store, Wanted


@click.command("backfill")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@click.option(
    "--start", type=MOMENT, metavar="T", required=True, help="From T on: a date, an RFC 3339 time, an age (90d)."
)
@click.option("--end", type=MOMENT, metavar="T", help="Before T; else up to now.")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost.")
@click.option("--force", is_flag=True, help="Ask for what is there, too.")
@config_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    profiles: tuple[str, ...],
    start: datetime,
    end: datetime | None,
    *,
    dry_run: bool,
    force: bool,
    config: str | None,
    output: str,
) -> None:
    """Fetch history: only what is missing, the newest first, inside the request budget.

    It can be interrupted at any time and goes on where it stopped. While a daemon owns the store the job is its.

    \b
    Example: collector backfill all --start 2026-01-01 --dry-run
    """
    import asyncio

    from collector.cli.start import asking, chosen
    from collector.cli.start import start as load_settings

    settings = asking(load_settings(config))
    picked = _with_history(chosen(settings.profiles, profiles), profiles)
    wanted = _wanted(picked, start, end, force=force)
    if dry_run:
        _show_estimate(asyncio.run(_estimate(settings, picked, wanted)), settings, output)
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
    from collector.cli.remote import Remote
    from collector.store import StoreOwned

    began = time.monotonic()
    with showing() as shown:
        try:
            standing = asyncio.run(_here(settings, wanted, shown))
        except StoreOwned as owned:
            if owned.url is None:
                raise
            token = settings.server.token
            remote = Remote(owned.url, token.reveal() if token else None)
            job = remote.submit(wanted)
            click.echo(
                f"handed to the daemon at {owned.url} as backfill {job}; Ctrl-C stops watching, not the job", err=True
            )
            for standing in remote.follow(job):
                shown.stands(standing)
                asyncio.run(_read_budget(settings, shown))
    _show_result(standing, time.monotonic() - began, output)
    return 0 if standing.state == "done" else 1


async def _here(settings: Settings, wanted: Wanted, shown: Watching) -> Standing:
    import asyncio

    from collector.cli.collect import collecting
    from collector.collect.backfill import Backfiller

    async with collecting(settings, "backfill") as (store, gatherer):
        job = await _adopt(store, wanted) or await store.create_backfill(wanted, store.clock(), "stopped")
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
            await store.stop_backfill(job, "stopped", message, store.clock())
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


async def _estimate(settings: Settings, profiles: Sequence[Profile], wanted: Wanted) -> Estimate:
    """Plan against the store as it is; where there is none yet, against an empty one that is thrown away."""
    import tempfile

    from collector.store import Store, StoreMissing

    try:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return await _plan(settings, profiles, wanted, store)
    except StoreMissing:
        with tempfile.TemporaryDirectory() as folder:
            async with Store.open(f"sqlite:///{folder}/empty.db", owner="backfill --dry-run") as store:
                return await _plan(settings, profiles, wanted, store)


async def _plan(settings: Settings, profiles: Sequence[Profile], wanted: Wanted, store: Store) -> Estimate:
    import asyncio

    from collector.collect.backfill import estimate, unanswered
    from collector.collect.fetch import Fetcher
    from collector.collect.gather import Gatherer
    from collector.model import utc_now
    from collector.radar.client import RadarClient

    limit, now = settings.radar.requests_per_5min, utc_now()
    fetcher = Fetcher(RadarClient(settings.radar), store, limit=limit, stop=asyncio.Event())
    gatherer = Gatherer(fetcher, settings.radar.concurrency)
    return await estimate(await unanswered(profiles, wanted, now, gatherer, now), gatherer, limit)


def _show_estimate(cost: Estimate, settings: Settings, output: str) -> None:
    from dataclasses import asdict

    from collector.cli.output import show_json

    if output == "json":
        show_json(asdict(cost))
        return
    click.echo(f"windows   {cost.windows:,}")
    click.echo(f"requests  {cost.requests:,}  (as far as Radar's limits are known)")
    click.echo(f"points    {cost.points:,}  (at most)")
    click.echo(f"minutes   {cost.minutes:.1f}  (at {settings.radar.requests_per_5min} requests in 5 minutes)")


def _show_result(standing: Standing, seconds: float, output: str) -> None:
    import json

    progress = standing.progress
    names = ("requests", "windows", "points_inserted", "points_revised", "points_unchanged", "windows_failed")
    counts = {name: getattr(progress, name) for name in (*names, "gaps_remaining")} | {"seconds": round(seconds, 3)}
    if output == "json":
        click.echo(json.dumps(counts))
    else:
        for name, count in counts.items():
            click.echo(f"{name.replace('_', ' '):17} {count:,}")
    if standing.message:
        click.echo(f"collector: backfill {standing.state}: {standing.message}", err=True)
