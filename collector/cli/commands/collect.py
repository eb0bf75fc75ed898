"""`collector collect`: one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from collector.cli.bootstrap import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.one_pass import PassResult
    from collector.profile import Profile
    from collector.settings import Settings


@click.command("collect")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@config_option
@format_option
@click.pass_context
def collect_command(ctx: click.Context, profiles: tuple[str, ...], config: str | None, output: str) -> None:
    """Collect the profiles once: fetch new points, re-read points that may still be revised, fill gaps.

    The exit code is 1 if a part failed; the other parts are stored. Without PROFILE, all profiles that are not paused
    are collected, and what is due of the lists of authorities and logs. A failure of these leaves the exit code at 0.

    \b
    Example: collector collect all by-owner
    """
    import asyncio

    from collector.cli.bootstrap import load_settings, require_profiles, select_profiles, skip_paused
    from collector.cli.output import show
    from collector.store import StoreLocked

    settings = require_profiles(load_settings(config))
    if not profiles and not settings.active:
        click.echo("all profiles are paused (enabled = false); nothing was collected", err=True)
        ctx.exit(0)
    chosen = skip_paused(select_profiles(settings.profiles, profiles), profiles)
    try:
        with_catalogue = settings.catalogue.enabled and not profiles
        collected = asyncio.run(one_pass(settings, chosen, with_catalogue=with_catalogue))
    except StoreLocked as owned:
        owned.advice = "the daemon collects automatically; to collect by hand, stop it first"
        raise
    rows = [
        {"profile": name, "outcome": "failed" if reason else "collected", "reason": reason}
        for name, reason in collected.reasons.items()
    ]
    show(rows, output)
    counts = ", ".join(f"{count} {what}" for what, count in collected.saved.counts.items())
    click.echo(f"points: {counts}" + ("; stopped early" if collected.stopped else ""), err=True)
    ctx.exit(0 if collected.complete else 1)


async def one_pass(settings: Settings, profiles: Sequence[Profile], *, with_catalogue: bool = False) -> PassResult:
    """Collect and heal *profiles* once, then what is due of the catalogue.

    After SIGINT or SIGTERM no new request is sent.
    """
    from collector.cli.bootstrap import open_collector
    from collector.collect.confirm import confirm
    from collector.collect.one_pass import collect
    from collector.collect.proof import prove

    async with open_collector(settings, "collect") as (store, batch_runner):
        collected = await collect(profiles, store.clock(), store, batch_runner, gaps=True)
        if not collected.stopped:
            await confirm(profiles, store.clock(), store, batch_runner)
            await prove(profiles, store.clock(), store, batch_runner)
        if with_catalogue and not collected.stopped:
            await _catalogue(batch_runner)
        return collected


async def _catalogue(batch_runner: BatchRunner) -> None:
    from collector.cli.output import say
    from collector.collect.batches.fetcher import ShuttingDown
    from collector.collect.catalogue import refresh_due

    try:
        for problem in await refresh_due(batch_runner.fetcher):
            say(f"catalogue: {problem}")
    except ShuttingDown:
        say("catalogue: stopped early")
