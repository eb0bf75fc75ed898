"""`collector series`: what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.store import SeriesRow, Store


@click.command("series")
@click.option("--profile", metavar="NAME", help="Of this profile only.")
@config_option
@format_option
def command(profile: str | None, config: str | None, output: str) -> None:
    """List the series that are kept, with the identity that decides their values.

    \b
    Example: collector series --profile by-owner
    """
    from collector.cli.listing import list_rows

    async def read(store: Store) -> Sequence[SeriesRow]:
        named = await store.of_profile(profile)
        return await store.list_series(profile=named.profile, labels=named.labels)

    list_rows(config, output, read, _columns, profile)


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    filters = "; ".join(f"{name}={', '.join(values)}" for name, values in row["filters"].items())
    label = row["label"] if row["active"] else f"{row['label']} (retired)"
    kept = ("agg_interval", "normalization", "unit", "points", "first_point", "last_point")
    return {"id": row["id"], "label": label, "filters": filters or "-", **{name: row[name] for name in kept}}
