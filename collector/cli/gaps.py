"""`collector gaps`: what should be there and is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option, period_options

if TYPE_CHECKING:
    from datetime import datetime

    from collector.settings import Settings


@click.command("gaps")
@click.option("--profile", metavar="NAME", help="Of this profile only.")
@period_options
@config_option
@format_option
def command(profile: str | None, start: datetime | None, end: datetime | None, config: str | None, output: str) -> None:
    """List buckets that should be there and are not: `missing`, or `upstream` where Radar itself has none.

    \b
    Example: collector gaps --profile all --format json
    """
    import asyncio

    from collector.cli.output import show
    from collector.cli.start import start as load_settings

    rows = asyncio.run(_gaps(load_settings(config), profile, start, end))
    show(rows, output, empty="no gaps")


async def _gaps(
    settings: Settings, profile: str | None, start: datetime | None, end: datetime | None
) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from collector.cli.start import chosen
    from collector.serve.gaps import all_gaps
    from collector.store import Store

    profiles = chosen(settings.profiles, [profile] if profile else [])
    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        found = await all_gaps(store, profiles, store.clock())
    kept = [gap for gap in found if (start is None or gap.end > start) and (end is None or gap.start < end)]
    return [asdict(gap) for gap in kept]
