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

    from collector.cli.listing import new_names
    from collector.cli.output import say
    from collector.cli.start import chosen
    from collector.serve.gaps import all_gaps
    from collector.store import Store

    known = {one.name for one in settings.profiles}
    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        followed = await store.renamed([profile]) if profile and profile not in known else []
        names = [one.new_profile for one in followed if one.new_profile in known] or ([profile] if profile else [])
        found = await all_gaps(store, chosen(settings.profiles, names), store.clock())
    for sentence in new_names(profile or "", followed):
        say(sentence)
    labels = {one.new_label for one in followed}
    found = [gap for gap in found if gap.series in labels or not labels]
    kept = [gap for gap in found if (start is None or gap.end > start) and (end is None or gap.start < end)]
    return [asdict(gap) for gap in kept]
