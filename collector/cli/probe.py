"""`collector probe`: what the API does not publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from collector.cli.options import config_option, format_option

if TYPE_CHECKING:
    from collector.collect.probe import Finding
    from collector.settings import Settings


@click.command("probe")
@config_option
@format_option
def command(config: str | None, output: str) -> None:
    """Ask the API a handful of questions: units, normalization, delay, how large a request may be.

    At most 20 requests, inside the budget. The limits found are remembered in the store, and nothing else: no points.

    \b
    Example: collector probe --format json
    """
    import asyncio
    from dataclasses import asdict

    from collector.cli.output import show
    from collector.cli.start import asking, start

    findings = asyncio.run(_probe(asking(start(config))))
    show([asdict(finding) for finding in findings], output)


async def _probe(settings: Settings) -> list[Finding]:
    from collector.cli.collect import collecting
    from collector.collect.probe import Prober

    async with collecting(settings, "probe") as (_, gatherer):
        return await Prober(gatherer).probe()
