"""`collector revisions`: values that were later replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option, limit_option, period_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.store import Store
    from collector.store.listing import Filters


@click.command("revisions")
@click.option("--profile", metavar="NAME", help="Of this profile only.")
@period_options
@limit_option(100)
@config_option
@format_option
def command(
    profile: str | None, start: datetime | None, end: datetime | None, limit: int, config: str | None, output: str
) -> None:
    """List values that were later replaced, the newest first: the old and the new one, and when each was seen.

    \b
    Example: collector revisions --profile all --start 2d
    """
    from collector.cli.listing import list_rows

    async def read(store: Store) -> Sequence[object]:
        named = await store.of_profile(profile)
        chosen: Filters = {"profile": named.profile, "labels": named.labels, "start": start, "end": end}
        chosen |= {"limit": limit + 1, "newest_first": True}
        return await store.list_revisions(**chosen)

    list_rows(config, output, read, _columns, profile, limit)


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("series", "timestamp", "value", "new_value", "seen_at", "replaced_at")}
