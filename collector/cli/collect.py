"""`collector collect`: one pass now."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from collector.cli.options import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from collector.collect.collect import Collected
    from collector.collect.gather import Gatherer
    from collector.profile import Profile
    from collector.settings import Settings
    from collector.store import Store


@click.command("collect")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@config_option
@format_option
@click.pass_context
def command(ctx: click.Context, profiles: tuple[str, ...], config: str | None, output: str) -> None:
    """Make one pass now, as a cron job would: read what is new, read young values again, fill gaps.

    Exit code 1 when a part of it failed; what was collected is stored all the same. Paused profiles are left out.

    \b
    Example: collector collect all by-owner
    """
    import asyncio

    from collector.cli.output import show
    from collector.cli.start import active, asking, chosen, start
    from collector.store import StoreOwned

    settings = asking(start(config))
    if not profiles and not settings.active:
        click.echo("all profiles are paused (enabled = false), so there is nothing to collect", err=True)
        ctx.exit(0)
    wanted = active(chosen(settings.profiles, profiles), profiles)
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


async def one_pass(settings: Settings, profiles: Sequence[Profile]) -> Collected:
    """Collect and heal *profiles* once; SIGINT and SIGTERM end it after the requests under way."""
    from collector.collect.collect import collect_and_heal
    from collector.collect.confirm import confirm

    async with collecting(settings, "collect") as (store, gatherer):
        collected = await collect_and_heal(profiles, store.clock(), store, gatherer)
        if not collected.stopped:
            await confirm(profiles, store.clock(), store, gatherer)
        return collected


def is_by_hand() -> bool:
    """Tell whether a person waits for the answers: cron gives a command no terminal."""
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


@asynccontextmanager
async def collecting(settings: Settings, owner: str) -> AsyncIterator[tuple[Store, Gatherer]]:
    """Own the store, or be one of its replicas, and be ready to ask.

    SIGINT, SIGTERM and SIGHUP end the asking after the requests under way.
    """
    import asyncio
    import signal

    from collector.collect.fetch import Fetcher
    from collector.collect.gather import Gatherer
    from collector.collect.replica import enlisted
    from collector.radar.client import RadarClient
    from collector.store import Store

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = settings.database
    async with (
        Store.open(database.url.reveal(), owner=owner, upgrade=database.upgrade, timescale=database.timescale) as store,
        enlisted(store, settings.profiles, database.lease, stop, owner),
        RadarClient(settings.radar, store.clock) as radar,
    ):
        await store.interrupt(store.clock())
        await store.declare(settings.profiles, store.clock())
        if is_by_hand():
            await store.try_credentials_at_once(radar.fingerprint)  # the operator may just have mended them
        limit = settings.radar.requests_per_5min
        yield (
            store,
            Gatherer(
                Fetcher(radar, store, limit=limit, stop=stop, clock=store.clock),
                settings.radar.concurrency,
                by_hand=is_by_hand(),
            ),
        )
