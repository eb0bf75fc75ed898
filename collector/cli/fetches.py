"""`collector fetches`: what was asked, and what became of it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option, limit_option, period_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from datetime import datetime

    from collector.store import Store


@click.command("fetches")
@click.option("--profile", metavar="NAME", help="For this profile only.")
@period_options
@limit_option(50)
@config_option
@format_option
def command(
    profile: str | None, start: datetime | None, end: datetime | None, limit: int, config: str | None, output: str
) -> None:
    """List requests, the newest first, with the reason why one brought nothing.

    \b
    Example: collector fetches --profile all --start 2h
    """
    from collector.cli.listing import list_rows

    def read(store: Store) -> Awaitable[Sequence[object]]:
        return store.list_fetches(profile=profile, start=start, end=end, limit=limit + 1)

    list_rows(config, output, read, _columns, profile, limit)


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    took = row["finished_at"] - row["started_at"] if row["finished_at"] else None
    counts = [row[name] for name in ("inserted", "revised", "unchanged")]
    return {
        "id": row["id"],
        "started_at": row["started_at"],
        "seconds": None if took is None else Decimal(f"{took.total_seconds():.3f}"),
        "outcome": row["outcome"],
        "request": row["request"],
        "profiles": ", ".join(row["profiles"]),
        "new/revised/same": "/".join(map(str, counts)) if None not in counts else "-",
        "reason": row["message"],
    }
