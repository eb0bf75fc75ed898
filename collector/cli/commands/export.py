"""`collector export`: points for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from collector.cli.options import MOMENT, config_option, period_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from collector.settings import Settings
    from collector.store import Block


@click.command("export")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@period_options
@click.option("--as-of", type=MOMENT, metavar="T", help="What was known at T.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["csv", "jsonl", "json", "parquet"]),
    default="csv",
    show_default=True,
    help="Parquet needs the extra `parquet`.",
)
@click.option(
    "-o",
    "--output",
    "target",
    default="-",
    metavar="FILE",
    help="Write to FILE, whole or not at all; without it, or with -, to stdout.",
)
@config_option
def export_command(
    profiles: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    output: str,
    target: str,
    config: str | None,
) -> None:
    """Write points as profile, series, timestamp, value; those of all profiles where none is named.

    All formats but CSV have the unit of every point, too. If the unit of a series changes within the points, a line on
    stderr says so for CSV.

    \b
    Example: collector export by-owner --start 2026-01-01 --format jsonl -o owners.jsonl
    """
    import asyncio
    import sys

    from collector.cli.bootstrap import load_settings
    from collector.report.export import LICENCE

    if output == "parquet" and target == "-" and sys.stdout.isatty():
        raise click.UsageError("Parquet is nothing for a terminal: name a file with -o.")
    settings = load_settings(config, required=False)
    points = asyncio.run(_export(settings, profiles, (start, end, as_of), output, target))
    if target != "-":
        click.echo(f"{target}: {points:,} points", err=True)
    click.echo(LICENCE, err=True)


async def _export(
    settings: Settings,
    profiles: tuple[str, ...],
    times: tuple[datetime | None, datetime | None, datetime | None],
    output: str,
    target: str,
) -> int:
    """Write the points to *target*; gives their number."""
    from contextlib import aclosing

    from collector.cli.atomic_file import open_output
    from collector.cli.export_gaps import ExportGaps
    from collector.cli.list_command import check_profile
    from collector.cli.output import say
    from collector.model import rfc3339
    from collector.report.export import FORMATS
    from collector.report.warnings import Watch
    from collector.store import Store

    written, watch = 0, Watch()
    asked: dict[tuple[str, str], datetime] = {}

    async def counted() -> AsyncGenerator[Block, None]:
        nonlocal written
        async with aclosing(store.export_blocks(profiles, *times, asked=asked)) as blocks:
            async for block in blocks:
                written += len(block.points)
                gaps.see(block.profile, block.label, block.points)
                if output == "csv" and (change := watch.seen(block)):
                    say(change)
                yield block

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        for profile in profiles:
            await check_profile(store, profile)
        gaps = await ExportGaps.of(store, profiles, times)
        async with aclosing(counted()) as blocks:
            encode = FORMATS[output]
            with open_output(target) as stream:
                async for part in encode(blocks, asked):
                    stream.write(part)
    if times[2] and not written:
        say(f"nothing of this was known at {rfc3339(times[2])}")
    for profile, moment in sorted({(profile, moment) for (profile, _), moment in asked.items()}):
        say(f"{profile}: the snapshot that was asked for at {rfc3339(moment)}")
    for sentence in gaps.sentences():
        say(sentence)
    return written
