"""The `collector` command: finds a subcommand by name and imports it only when it is run, so that --help is fast."""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any, NamedTuple

import click

from collector import __version__
from collector.cli import signals
from collector.cli.streams import standard_streams
from collector.errors import CollectorError
from collector.text import printable


class _Command(NamedTuple):
    module: str
    summary: str


_COMMANDS = {
    "demo": _Command("service", "The whole thing with no account: simulator, store, daemon, dashboard."),
    "run": _Command("service", "The service: scheduler, fetcher, healing, HTTP server."),
    "collect": _Command("collect", "One pass now, as a cron job would call it."),
    "backfill": _Command("backfill", "Fetch history: only what is missing."),
    "status": _Command("status", "Per profile: newest point, lag, gaps, failures; the store; the budget."),
    "series": _Command("series", "List the series that are kept."),
    "fetches": _Command("fetches", "List requests and their outcomes."),
    "replay": _Command("evidence", "Read refused answers again after an upgrade, and fill what is absent."),
    "report": _Command("evidence", "Write one file without secrets to attach to an issue."),
    "annotations": _Command("lists", "List Cloudflare's remarks on the data."),
    "gaps": _Command("lists", "List buckets that should be there and are not."),
    "revisions": _Command("lists", "List values that were later replaced."),
    "query": _Command("query", "Ask the local history as the API would answer."),
    "export": _Command("export", "Write points as CSV, JSON lines, JSON or Parquet."),
    "plot": _Command("charts", "A chart in the terminal, or a picture."),
    "grafana": _Command("charts", "Dashboards for Grafana and alert rules for Prometheus."),
    "db": _Command("db", "Migrations and upkeep of the store."),
    "config": _Command("config", "Check, show or write the configuration."),
    "docs": _Command("docs", "Print the reference: settings, commands, routes, metrics, the store."),
    "probe": _Command("probe", "Ask the real API what is not published: form, units, limits, delays, history."),
    "simulate": _Command("simulate", "A local stand-in of the Radar API, for trying and testing."),
    "healthcheck": _Command("service", "Exit 0 when the running daemon is ready."),
}
"""Commands in the order of the help; the function is `<name>_command` in `collector.cli.commands.<module>`."""

_SERVICES = ("demo", "run")
"""Commands that decide themselves what a signal does while they start."""

CONFIG_HELP = "Configuration file; else $COLLECTOR_CONFIG, ./config.toml, /etc/collector/config.toml."


class _LazyGroup(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name not in _SERVICES:
            signals.release()
        module = importlib.import_module(f"collector.cli.commands.{_COMMANDS[cmd_name].module}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=_COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, known.summary) for name, known in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CollectorError as error:
            advice = f"; {error.advice}" if error.advice else ""
            click.echo("collector: " + printable(f"{error}{advice}", keep="\n"), err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="collector")
@click.option("--config", "config", metavar="FILE", help=CONFIG_HELP)
@click.pass_context
def command(ctx: click.Context, config: str | None) -> None:
    """Keep Cloudflare Radar's certificate-transparency time series as history in a database of your own.

    \b
    Example: collector demo
    """
    ctx.obj = config


_OF_SESSIONS = ("PGDATESTYLE", "PGGEQO", "PGTZ")
"""Variables that libpq turns into settings of a session; a value that the server does not know ends the connection."""


def ignore_local_time() -> None:
    """Let no library of this process depend on `TZ`, or on what libpq would ask for a session.

    Under `TZ=right/…` the C library subtracts leap seconds even from UTC, and so would APScheduler and aiohttp.
    """
    os.environ["TZ"] = "UTC0"
    time.tzset()
    for name in _OF_SESSIONS:
        os.environ.pop(name, None)


def main() -> None:
    """Run the command line; the exit code is 0 done, 1 something failed, 2 usage or configuration."""
    ignore_local_time()
    with standard_streams():
        command(prog_name="collector")
    sys.exit(0)
