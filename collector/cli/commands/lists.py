"""`collector annotations`, `collector gaps` and `collector revisions`: lists of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option, limit_option, period_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from datetime import datetime

    from collector.settings import Settings
    from collector.store import Store
    from collector.store.read.listing import Filters


@click.command("annotations")
@period_options
@limit_option(100)
@config_option
@format_option
def annotations_command(
    start: datetime | None, end: datetime | None, limit: int, config: str | None, output: str
) -> None:
    """List Cloudflare's annotations of the data, the newest first, with first sight and withdrawal.

    \b
    Example: collector annotations --start 2026-01-01
    """
    from collector.cli.list_command import list_rows

    def read(store: Store) -> Awaitable[Sequence[object]]:
        return store.list_annotations(start=start, end=end, limit=limit + 1, newest_first=True)

    list_rows(config, output, read, _annotation_columns, limit=limit)


def _annotation_columns(row: dict[str, Any]) -> dict[str, Any]:
    end = row["start_date"] if row["is_instantaneous"] else row["end_date"]
    kept = ("event_type", "data_source", "description", "first_seen_at", "withdrawn_at")
    return {"start_date": row["start_date"], "end_date": end, **{name: row[name] for name in kept}}


@click.command("gaps")
@click.option("--profile", metavar="NAME", help="Show this profile only. Default: all.")
@period_options
@config_option
@format_option
def gaps_command(
    profile: str | None, start: datetime | None, end: datetime | None, config: str | None, output: str
) -> None:
    """List expected buckets that are not stored; reason `missing`, or `upstream` if Radar does not have them.

    \b
    Example: collector gaps --profile all --format json
    """
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import show

    rows = asyncio.run(_gaps(load_settings(config), profile, start, end))
    show(rows, output, empty="there are no gaps")


async def _gaps(
    settings: Settings, profile: str | None, start: datetime | None, end: datetime | None
) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from collector.cli.bootstrap import select_profiles
    from collector.cli.list_command import new_names
    from collector.cli.output import say
    from collector.report.gaps import find_gaps
    from collector.store import Store

    known = {one.name for one in settings.profiles}
    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        followed = await store.renamed([profile]) if profile and profile not in known else []
        names = [one.new_profile for one in followed if one.new_profile in known] or ([profile] if profile else [])
        found = await find_gaps(store, select_profiles(settings.profiles, names), store.clock())
    for sentence in new_names(profile or "", followed):
        say(sentence)
    labels = {one.new_label for one in followed}
    found = [gap for gap in found if gap.series in labels or not labels]
    kept = [gap for gap in found if (start is None or gap.end > start) and (end is None or gap.start < end)]
    return [asdict(gap) for gap in kept]


@click.command("revisions")
@click.option("--profile", metavar="NAME", help="Show this profile only. Default: all.")
@period_options
@limit_option(100)
@config_option
@format_option
def revisions_command(
    profile: str | None, start: datetime | None, end: datetime | None, limit: int, config: str | None, output: str
) -> None:
    """List values that were later replaced, the newest first, with the new value and both times.

    \b
    Example: collector revisions --profile all --start 2d
    """
    from collector.cli.list_command import list_rows

    async def read(store: Store) -> Sequence[object]:
        named = await store.of_profile(profile)
        chosen: Filters = {"profile": named.profile, "labels": named.labels, "start": start, "end": end}
        chosen |= {"limit": limit + 1, "newest_first": True}
        return await store.list_revisions(**chosen)

    list_rows(config, output, read, _revision_columns, profile, limit)


def _revision_columns(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("series", "timestamp", "value", "new_value", "seen_at", "replaced_at")}
