"""`collector probe`: what the API does not publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.cli.probe_files import Folder
    from collector.collect.probe import Exchange, ProbeReport
    from collector.settings import Settings


@click.command("probe")
@click.option(
    "--save",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep every body, and the report as JSON, in DIR, which must be new or empty.",
)
@config_option
@format_option
@click.pass_context
def command(ctx: click.Context, config: str | None, output: str, save: Path | None) -> None:
    """Ask the API for what is not published: its form, units, delay, grid, limits, and how far back it goes.

    At most 30 requests, inside the budget; it goes on after refusals and odd answers, and names them. The store
    remembers the limits that were found, where buckets start, and the difference of the clocks, but no points. It
    needs credentials only: neither a configuration file nor a profile. Exit code 1 if something that the collector
    needs is not settled.

    \b
    Example: collector probe --save probe-1
    """
    import asyncio

    from collector.cli.output import show_json
    from collector.cli.probe_files import Folder, redacted
    from collector.cli.probe_text import print_report
    from collector.cli.start import start, with_credentials

    settings = with_credentials(start(config, required=False))
    folder = Folder.create(save, settings.secrets) if save else None
    report = asyncio.run(_probe(settings, _hear(folder)))
    content = report.to_json(settings.radar.base_url)
    for request in content["requests"]:
        request["file"] = folder.names.get(request["number"]) if folder else None
    clean: dict[str, Any] = redacted(content, settings.secrets)
    if folder:
        folder.write_report(clean)
    if output == "json":
        show_json(clean)
    else:
        print_report(clean)
    ctx.exit(0 if clean["settled"] else 1)


def _hear(folder: Folder | None) -> Callable[[Exchange], None]:
    from collector.cli.output import say
    from collector.collect.probe import MOST_REQUESTS

    def hear(exchange: Exchange) -> None:
        if folder:
            folder.keep(exchange)
        status = f"HTTP {exchange.status}, " if exchange.status else ""
        came = f"{exchange.outcome} ({status}{exchange.seconds * 1000:.0f} ms)"
        say(f"{exchange.number}/{MOST_REQUESTS} {exchange.request.name}: {came}")

    return hear


async def _probe(settings: Settings, hear: Callable[[Exchange], None]) -> ProbeReport:
    from collector.cli.collect import collecting
    from collector.collect.probe import Prober

    async with collecting(settings, "probe") as (_, gatherer):
        return await Prober(gatherer, hear).probe()
