"""`collector annotations`: Cloudflare's remarks on the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option, limit_option, period_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from datetime import datetime

    from collector.store import Store


@click.command("annotations")
@period_options
@limit_option(100)
@config_option
@format_option
def command(start: datetime | None, end: datetime | None, limit: int, config: str | None, output: str) -> None:
    """List Cloudflare's remarks on the data, the newest first, with when each was seen and whether it was withdrawn.

    \b
    Example: collector annotations --start 2026-01-01
    """
    from collector.cli.listing import list_rows

    def read(store: Store) -> Awaitable[Sequence[object]]:
        return store.list_annotations(start=start, end=end, limit=limit + 1, newest_first=True)

    list_rows(config, output, read, _columns, limit=limit)


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    end = row["start_date"] if row["is_instantaneous"] else row["end_date"]
    kept = ("event_type", "data_source", "description", "first_seen_at", "withdrawn_at")
    return {"start_date": row["start_date"], "end_date": end, **{name: row[name] for name in kept}}
