"""The `collector` command. It imports a subcommand only when it is used, so that `--help` is fast."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple

import click

from collector import __version__
from collector.cli import signals
from collector.cli.signals import standard_streams
from collector.errors import CollectorError
from collector.text import printable


class _Command(NamedTuple):
    module: str
    summary: str


_COMMANDS = {
    "demo": _Command("service", "Run everything with no account: simulator, store, daemon, dashboard."),
    "run": _Command("service", "Run the service: scheduler, fetcher, healing, HTTP server."),
    "collect": _Command("collect", "Collect the profiles once, as a cron job would."),
    "backfill": _Command("backfill", "Fetch missing history."),
    "status": _Command("status", "Show newest point, lag, gaps and failures per profile, the store, the budget."),
    "series": _Command("lists", "List the stored series, or delete one."),
    "fetches": _Command("lists", "List requests and their outcomes."),
    "replay": _Command("evidence", "Parse rejected answers again after an upgrade, and fill missing buckets."),
    "report": _Command("evidence", "Write one file without secrets to attach to an issue."),
    "annotations": _Command("lists", "List Cloudflare's annotations of the data."),
    "gaps": _Command("lists", "List expected buckets that are not stored."),
    "proof": _Command("proof", "Compare the groups of a dimension with the total."),
    "revisions": _Command("lists", "List values that were later replaced."),
    "authorities": _Command("catalogue", "List the certificate authorities that Radar knows, with their history."),
    "logs": _Command("catalogue", "List the certificate logs that Radar knows, with their states."),
    "values": _Command("catalogue", "List the known values of a filter, with newest count and share."),
    "query": _Command("query", "Query the local history in the API's form."),
    "export": _Command("export", "Export points as CSV, JSON lines, JSON or Parquet."),
    "stats": _Command("analysis", "Print totals, means, extremes, growth, share and rank of each series."),
    "top": _Command("analysis", "Print the largest series of a profile, with shares, and the rest."),
    "cite": _Command("analysis", "Print a figure in a form to cite, with a permalink."),
    "marks": _Command("marks", "Add, list or remove dates that are marked on charts."),
    "plot": _Command("charts", "Draw a chart in the terminal, or as a picture."),
    "grafana": _Command("charts", "Print or install dashboards for Grafana, and alert rules for Prometheus."),
    "db": _Command("db", "Migrate, verify, back up, copy, prune or compact the store."),
    "config": _Command("config", "Check, show or write the configuration."),
    "docs": _Command("config", "Print the reference: settings, commands, routes, metrics, the store."),
    "probe": _Command("probe", "Find out what the API does not publish: form, units, limits, delays, history."),
    "simulate": _Command("simulate", "Run a local simulator of the Radar API."),
    "healthcheck": _Command("service", "Exit with code 0 if the running daemon is ready."),
}
"""Commands in the order of the help; the function is `<name>_command` in `collector.cli.commands.<module>`."""

_SERVICES = ("demo", "run")
"""Commands that set their own signal handlers while they start."""

_NEW_OBJECTS = 50_000
"""After so many new objects a command that is no service looks for garbage. Imports create Python's 700 more than a
hundred times, and hardly any garbage."""

_BRIEF = ("status", "config", "docs", "healthcheck")
"""Commands that end so soon that collecting their garbage costs more than it frees."""

_NARROWEST, _WIDEST, _USUAL = 50, 100, 80
"""Columns: click's minimum, our maximum, and click's choice without a terminal."""
_STDOUT = 1

CONFIG_HELP = "Read this configuration file. Default: $COLLECTOR_CONFIG, ./config.toml, /etc/collector/config.toml."


class _LazyGroup(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name not in _SERVICES:
            signals.release()
            gc.set_threshold(_NEW_OBJECTS)
        module = importlib.import_module(f"collector.cli.commands.{_COMMANDS[cmd_name].module}")
        if cmd_name not in _BRIEF:
            gc.enable()
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


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST})
@click.version_option(__version__, prog_name="collector")
@click.option("--config", "config", metavar="FILE", help=CONFIG_HELP)
@click.pass_context
def command(ctx: click.Context, config: str | None) -> None:
    """Keep Cloudflare Radar's certificate-transparency time series as history in a database of your own.

    \b
    Example: collector demo
    """
    ctx.obj = config


_SESSION_VARIABLES = ("PGDATESTYLE", "PGGEQO", "PGTZ")
"""Variables that libpq sends as session settings; the server closes the connection if it rejects a value."""


def ignore_local_time() -> None:
    """Set `TZ` to UTC and remove the session variables of libpq, so that no library depends on them.

    Under `TZ=right/…` the C library subtracts leap seconds even from UTC, and APScheduler and aiohttp with it.
    """
    os.environ["TZ"] = "UTC0"
    time.tzset()
    for name in _SESSION_VARIABLES:
        os.environ.pop(name, None)


def ignore_plugins() -> None:
    """Load no plugin of pydantic that another package brings: it would be shown every secret of the settings.

    Besides, pydantic searches all installed packages for one.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def help_width() -> int:
    """Return the columns of help texts as click computes them, but without shutil, which imports three compressors."""
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns <= 0:
        with suppress(OSError):  # stdout is no terminal
            columns = os.get_terminal_size(_STDOUT).columns
    return max(min(columns if columns > 0 else _USUAL, _WIDEST) - 2, _NARROWEST)


def main() -> None:
    """Run the command line. The exit code is 0 for done, 1 for a failure, 2 for wrong usage or configuration."""
    ignore_local_time()
    ignore_plugins()
    with standard_streams():
        command(prog_name="collector", terminal_width=help_width())
    sys.exit(0)
