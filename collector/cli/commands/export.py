"""`collector export`: points for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from collector.cli.options import TIME, config_option, period_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from collector.settings import Settings
    from collector.store import Block


@click.command("export")
@click.argument("profiles", nargs=-1, metavar="[PROFILE]...")
@period_options
@click.option("--as-of", type=TIME, metavar="T", help="Export the values that were known at T. Default: now.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["csv", "jsonl", "json", "parquet"]),
    default="csv",
    show_default=True,
    help="Write this format; parquet needs the extra `parquet`.",
)
@click.option(
    "-o",
    "--output",
    "target",
    default="-",
    metavar="FILE",
    help="Write to FILE, complete or not at all. Default: -, which is stdout.",
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
    """Export points as profile, series, timestamp, value. Without PROFILE, all profiles are exported.

    All formats except CSV also contain the unit of every point. For CSV, a line on stderr says if the unit of a series
    changes.

    \b
    Example: collector export by-owner --start 2026-01-01 --format jsonl -o owners.jsonl
    """
    import asyncio
    import sys

    from collector.cli.bootstrap import load_settings
    from collector.report.export import LICENCE

    if output == "parquet" and target == "-" and sys.stdout.isatty():
        raise click.UsageError("Parquet cannot be printed on a terminal; write it to a file with -o.")
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
    """Write the points to *target*. Returns their number."""
    from contextlib import aclosing

    from collector.cli.atomic_file import open_output
    from collector.cli.export_gaps import ExportGaps
    from collector.cli.list_command import check_profile
    from collector.cli.output import say
    from collector.model import rfc3339
    from collector.report.export import FORMATS
    from collector.report.warnings import UnitWatch
    from collector.store import Store

    written, watch = 0, UnitWatch()
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
        say(f"no point was known at {rfc3339(times[2])}")
    for profile, moment in sorted({(profile, moment) for (profile, _), moment in asked.items()}):
        say(f"{profile}: the snapshot of {rfc3339(moment)}")
    for sentence in gaps.sentences():
        say(sentence)
    return written
