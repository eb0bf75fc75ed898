"""`collector run`, `collector demo` and `collector healthcheck`: run the service, and check it."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import click

from collector.cli.bootstrap import config_option
from collector.errors import CollectorError, UsageError, os_error_text
from collector.text import printable

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from collector.settings import Settings


@click.command("run")
@config_option
def run_command(config: str | None) -> None:
    """Run the service (scheduler, fetcher, healing, HTTP server) until SIGTERM.

    SIGHUP reloads the configuration. If the new one is invalid, the service keeps the old one. A SIGHUP during the
    start is not lost.

    \b
    Example: collector run --config /etc/collector/config.toml
    """
    from collector.cli import signals

    signals.serve()

    import asyncio

    from collector.cli.bootstrap import load_settings, require_profiles
    from collector.daemon import run
    from collector.memory import use_one_heap

    use_one_heap()
    signals.take_reload_request()  # because the configuration is read now
    settings = load_settings(config)
    gc.freeze()  # because modules stay, so that no collection needs to search them while the service runs
    asyncio.run(run(require_profiles(settings), lambda: require_profiles(load_settings(config)), told_before=signals))


_CONFIG = """\
# The configuration of `collector demo`. A simulator replaces Radar, so the numbers are not real.
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
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Serve HTTP on this port; 0 takes a free one.",
)
@click.option("--once", is_flag=True, help="Collect once, print the status table, and exit.")
@click.option(
    "--data", type=click.Path(file_okay=False), help="Keep the store in this folder. Default: a temporary folder."
)
@click.pass_context
def demo_command(ctx: click.Context, port: int, *, once: bool, data: str | None) -> None:
    """Run everything with no account: built-in simulator, SQLite store, daemon, HTTP server.

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
            raise CollectorError(f"cannot create the folder {folder}: {os_error_text(error)}") from error
        ctx.exit(asyncio.run(_demo(folder, port, once=once)))


async def _demo(folder: Path, port: int, *, once: bool) -> int:
    from collector.simulator import CatalogueOptions, Simulator, SimulatorOptions, serve
    from collector.timestamps import utc_now

    async with serve(Simulator(SimulatorOptions(catalogue=CatalogueOptions()))) as base_url:
        settings = _write_settings(folder, base_url, port, utc_now(), once=once)
        return await (_run_once(settings) if once else _run_daemon(settings, folder))


def _write_settings(folder: Path, base_url: str, port: int, now: datetime, *, once: bool) -> Settings:
    """Write the configuration to *folder*, so that other commands can use it, and load it."""
    from datetime import timedelta

    from collector import logs
    from collector.settings import load
    from collector.settings.values import sqlite_url

    store = sqlite_url(folder / "demo.db")
    days = {"week_ago": (now - timedelta(days=7)).date(), "year_ago": (now - timedelta(days=365)).date()}
    level = "warning" if once else "info"
    path = folder / "config.toml"
    try:
        path.write_text(_CONFIG.format(base_url=base_url, store=store, port=port, level=level, **days))
    except OSError as error:
        raise CollectorError(f"cannot write {path}: {os_error_text(error)}") from error
    settings = load(str(path), environ={"CLOUDFLARE_API_TOKEN": "demo"})
    logs.configure(settings.log.level, settings.log.format, settings.secrets)
    logs.quiet("collector.simulator")
    return settings


async def _run_once(settings: Settings) -> int:
    from collector.cli.commands.collect import one_pass
    from collector.cli.commands.status import print_status

    _print_notice(settings)
    collected = await one_pass(settings, settings.profiles)
    await print_status(settings, "table")
    return 0 if collected.complete else 1


def _print_notice(settings: Settings) -> None:
    click.echo(f"demo: simulated data from the simulator at {settings.radar.base_url}", err=True)


async def _run_daemon(settings: Settings, folder: Path) -> int:
    import signal

    from collector.cli import signals
    from collector.daemon import run

    def announce(address: str) -> None:
        _print_notice(settings)
        click.echo(f"demo: the dashboard is at {address}/", err=True)
        click.echo(f"demo: try collector status --config {folder}/config.toml; stop with Ctrl-C", err=True)

    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def stop_on_hangup() -> Settings:
        """Stop as on SIGTERM when the terminal is closed, because there is no configuration to reload."""
        if not nohup:
            signal.raise_signal(signal.SIGTERM)
        return settings

    await run(settings, stop_on_hangup, told_before=signals, announce=announce)
    return 0


_TIMEOUT_SECONDS = 5.0
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a request is sent there, nothing is bound


@click.command("healthcheck")
@config_option
@click.pass_context
def healthcheck_command(ctx: click.Context, config: str | None) -> None:
    """Exit with code 0 if the running daemon is ready, otherwise with code 1 and the reasons.

    \b
    Example: collector healthcheck && echo ready
    """
    from collector.cli.bootstrap import load_settings

    server = load_settings(config, required=False).server
    if not server.enabled:
        raise UsageError(
            "server.enabled is false, so the daemon has no HTTP server to ask; `collector status` reads the store"
        )
    reasons = _ask_readiness(_WILDCARDS.get(server.host, server.host), server.port)
    for reason in reasons:
        click.echo(f"not ready: {printable(reason)}", err=True)
    if not reasons:
        click.echo("ready")
    ctx.exit(1 if reasons else 0)


def _ask_readiness(host: str, port: int) -> list[str]:
    import http.client

    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = json.loads(connection.getresponse().read(65_536))
        return [] if answer["ready"] else [str(reason) for reason in answer["reasons"]]
    except (OSError, http.client.HTTPException) as error:
        return [f"no answer from {host}:{port}: {os_error_text(error) if isinstance(error, OSError) else error}"]
    except (ValueError, KeyError, TypeError):
        return [f"the server at {host}:{port} is not the collector"]
    finally:
        connection.close()
