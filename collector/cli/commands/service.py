"""`collector run`: the service."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import click

from collector.cli.options import config_option
from collector.errors import CollectorError, UsageError, os_error_text
from collector.text import printable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from collector.settings import Settings


@click.command("run")
@config_option
def run_command(config: str | None) -> None:
    """Be the service: scheduler, fetcher, healing and HTTP server, until SIGTERM.

    SIGHUP reads the configuration anew; a bad one keeps the old. One that comes while the service starts is not lost.

    \b
    Example: collector run --config /etc/collector/config.toml
    """
    from collector.cli import signals

    signals.serve()

    import asyncio

    from collector.cli.bootstrap import load_settings, require_profiles
    from collector.daemon import run

    signals.is_told_to_reload()  # the configuration is read now anyway
    settings = load_settings(config)
    asyncio.run(run(require_profiles(settings), lambda: require_profiles(load_settings(config)), told_before=signals))


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
def demo_command(ctx: click.Context, port: int, *, once: bool, data: str | None) -> None:
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
            raise CollectorError(f"the folder {folder} cannot be created: {os_error_text(error)}") from error
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
        raise CollectorError(f"{path} cannot be written: {os_error_text(error)}") from error
    settings = load(str(path), environ={"CLOUDFLARE_API_TOKEN": "demo"})
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    logs.quiet("collector.simulator")
    return settings


async def _once(settings: Settings) -> int:
    from collector.cli.commands.collect import one_pass
    from collector.cli.commands.status import print_status

    _say_simulated(settings)
    collected = await one_pass(settings, settings.profiles)
    await print_status(settings, "table")
    return 0 if collected.complete else 1


def _say_simulated(settings: Settings) -> None:
    click.echo(f"demo: simulated data, from a simulator at {settings.radar.base_url}", err=True)


async def _keep_on(settings: Settings, folder: Path) -> int:
    import signal

    from collector.cli import signals
    from collector.daemon import run

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


_TIMEOUT = 5.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not bound


@click.command("healthcheck")
@config_option
@click.pass_context
def healthcheck_command(ctx: click.Context, config: str | None) -> None:
    """Exit 0 when the running daemon is ready, 1 with the reasons when it is not.

    \b
    Example: collector healthcheck && echo ready
    """
    from collector.cli.bootstrap import load_settings

    server = load_settings(config, required=False).server
    if not server.enabled:
        raise UsageError("server.enabled is false, so there is nothing to ask; `collector status` reads the store")
    reasons = _ask_readiness(_WILDCARDS.get(server.host, server.host), server.port)
    for reason in reasons:
        click.echo(f"not ready: {printable(reason)}", err=True)
    if not reasons:
        click.echo("ready")
    ctx.exit(1 if reasons else 0)


def _ask_readiness(host: str, port: int) -> list[str]:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = json.loads(connection.getresponse().read(65_536))
        return [] if answer["ready"] else [str(reason) for reason in answer["reasons"]]
    except (OSError, http.client.HTTPException) as error:
        return [f"no answer from {host}:{port}: {os_error_text(error) if isinstance(error, OSError) else error}"]
    except (ValueError, KeyError, TypeError):
        return [f"what answers at {host}:{port} is not the collector"]
    finally:
        connection.close()
