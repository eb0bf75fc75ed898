"""`collector demo`: the whole thing with no account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from collector.errors import CollectorError, system_words

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from collector.settings import Settings

_CONFIG = """\
# What `collector demo` runs with: a simulator in place of Radar, so the numbers are made up.
[radar]
base_url = "{base_url}"
[database]
url = "{store}"
[server]
port = {port}
[log]
level = "{level}"
[[profiles]]
name = "all"
agg_interval = "15m"
since = {week_ago}
[[profiles]]
name = "by-owner"
agg_interval = "1h"
since = {week_ago}
[profiles.each]
ca_owner = ["Internet Security Research Group", "Google Trust Services LLC", "DigiCert, Inc.", "Sectigo Limited"]
[[profiles]]
name = "short-lived"
agg_interval = "1d"
since = {year_ago}
[profiles.filters]
duration = ["LTE_3D", "GT_3D_LTE_7D", "GT_7D_LTE_10D"]
"""


@click.command("demo")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port of the HTTP server.")
@click.option("--once", is_flag=True, help="Collect, print the status table, and exit.")
@click.option("--data", type=click.Path(file_okay=False), help="Folder that keeps the store; else it goes at the end.")
@click.pass_context
def command(ctx: click.Context, port: int, *, once: bool, data: str | None) -> None:
    """Run the whole thing with no account: built-in simulator, SQLite, daemon, HTTP server.

    \b
    Example: collector demo --once
    """
    from collector.cli import signals

    signals.release() if once else signals.serve()

    import asyncio
    import contextlib
    import tempfile
    from pathlib import Path

    with contextlib.ExitStack() as stack:
        folder = Path(data or stack.enter_context(tempfile.TemporaryDirectory(prefix="collector-demo-"))).absolute()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CollectorError(f"the folder {folder} cannot be created: {system_words(error)}") from error
        ctx.exit(asyncio.run(_demo(folder, port, once=once)))


async def _demo(folder: Path, port: int, *, once: bool) -> int:
    from collector.model import utc_now
    from collector.simulator import Simulator, serve

    async with serve(Simulator()) as base_url:
        settings = _settings(folder, base_url, port, utc_now(), once=once)
        return await (_once(settings) if once else _keep_on(settings, folder))


def _settings(folder: Path, base_url: str, port: int, now: datetime, *, once: bool) -> Settings:
    """Write the demo's configuration down, where it can be read and tried, and load it."""
    from datetime import timedelta

    from collector import logs
    from collector.settings import load
    from collector.settings.urls import sqlite_url

    store = sqlite_url(folder / "demo.db")
    days = {"week_ago": (now - timedelta(days=7)).date(), "year_ago": (now - timedelta(days=365)).date()}
    level = "warning" if once else "info"
    path = folder / "config.toml"
    try:
        path.write_text(_CONFIG.format(base_url=base_url, store=store, port=port, level=level, **days))
    except OSError as error:
        raise CollectorError(f"{path} cannot be written: {system_words(error)}") from error
    settings = load(str(path), environ={"CLOUDFLARE_API_TOKEN": "demo"})
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    logs.quiet("collector.simulator")
    return settings


async def _once(settings: Settings) -> int:
    from collector.cli.collect import one_pass
    from collector.cli.status import print_status

    _say_simulated(settings)
    collected = await one_pass(settings, settings.profiles)
    await print_status(settings, "table")
    return 0 if collected.complete else 1


def _say_simulated(settings: Settings) -> None:
    click.echo(f"demo: simulated data, from a simulator at {settings.radar.base_url}", err=True)


async def _keep_on(settings: Settings, folder: Path) -> int:
    import signal

    from collector.cli import signals
    from collector.collect.daemon import run

    def announce(address: str) -> None:
        _say_simulated(settings)
        click.echo(f"demo: the dashboard is {address}/", err=True)
        click.echo(f"demo: collector status --config {folder}/config.toml; Ctrl-C ends it", err=True)

    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def hang_up() -> Settings:
        """End as on SIGTERM when the terminal is closed: there is no configuration to read again."""
        if not nohup:
            signal.raise_signal(signal.SIGTERM)
        return settings

    await run(settings, hang_up, told_before=signals, announce=announce)
    return 0
