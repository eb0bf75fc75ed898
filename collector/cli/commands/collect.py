"""`collector collect`: one pass now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from collector.cli.options import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.collect.one_pass import PassResult
    from collector.profile import Profile
    from collector.settings import Settings


@click.command("collect")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@config_option
@format_option
@click.pass_context
def collect_command(ctx: click.Context, profiles: tuple[str, ...], config: str | None, output: str) -> None:
    """Make one pass now, as a cron job would: read what is new, read young values again, fill gaps.

    Exit code 1 when a part of it failed; what was collected is stored all the same. Paused profiles are left out.

    \b
    Example: collector collect all by-owner
    """
    import asyncio

    from collector.cli.bootstrap import load_settings, require_profiles, select_profiles, skip_paused
    from collector.cli.output import show
    from collector.store import StoreOwned

    settings = require_profiles(load_settings(config))
    if not profiles and not settings.active:
        click.echo("all profiles are paused (enabled = false), so there is nothing to collect", err=True)
        ctx.exit(0)
    wanted = skip_paused(select_profiles(settings.profiles, profiles), profiles)
    try:
        collected = asyncio.run(one_pass(settings, wanted))
    except StoreOwned as owned:
        owned.advice = "a daemon collects by itself; for a pass by hand end that process first"
        raise
    rows = [
        {"profile": name, "outcome": "failed" if reason else "collected", "reason": reason}
        for name, reason in collected.reasons.items()
    ]
    show(rows, output)
    counts = ", ".join(f"{count} {what}" for what, count in collected.saved.counts.items())
    click.echo(f"points: {counts}" + ("; stopped before the end" if collected.stopped else ""), err=True)
    ctx.exit(0 if collected.complete else 1)


async def one_pass(settings: Settings, profiles: Sequence[Profile]) -> PassResult:
    """Collect and heal *profiles* once; SIGINT and SIGTERM end it after the requests under way."""
    from collector.cli.bootstrap import open_collector
    from collector.collect.confirm import confirm
    from collector.collect.one_pass import collect_and_heal

    async with open_collector(settings, "collect") as (store, batch_runner):
        collected = await collect_and_heal(profiles, store.clock(), store, batch_runner)
        if not collected.stopped:
            await confirm(profiles, store.clock(), store, batch_runner)
        return collected
