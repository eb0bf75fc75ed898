"""`collector series` and `collector series forget`: list and delete series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.settings import Settings
    from collector.store import SeriesDeletion, SeriesRow, Store


@click.group("series", invoke_without_command=True)
@click.option("--profile", metavar="NAME", help="Show this profile only. Default: all.")
@config_option
@format_option
@click.pass_context
def series_command(ctx: click.Context, profile: str | None, config: str | None, output: str) -> None:
    """List the stored series with interval, filters, normalization and unit.

    \b
    Example: collector series --profile by-owner
    """
    if ctx.invoked_subcommand:
        ctx.find_root().obj = config  # so that `series --config FILE forget …` works
        return
    from collector.cli.list_command import list_rows

    async def read(store: Store) -> Sequence[SeriesRow]:
        named = await store.of_profile(profile)
        return await store.list_series(profile=named.profile, labels=named.labels)

    list_rows(config, output, read, _columns, profile)


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    filters = "; ".join(f"{name}={', '.join(values)}" for name, values in row["filters"].items())
    label = row["label"] if row["active"] else f"{row['label']} (retired)"
    kept = ("agg_interval", "normalization", "unit", "points", "first_point", "last_point")
    return {"id": row["id"], "label": label, "filters": filters or "-", **{name: row[name] for name in kept}}


@series_command.command("forget", short_help="Delete a series that no profile has any more.")
@click.argument("series", metavar="LABEL|ID")
@click.option("--dry-run", is_flag=True, help="Print the number of rows, and delete nothing.")
@config_option
@format_option
def forget(series: str, config: str | None, output: str, *, dry_run: bool) -> None:
    """Delete a series that no configured profile has, in all its units, with its history.

    The series of a paused profile is not deleted. Requests and fires stay on record. If a daemon owns the store, it
    deletes the series. Only a backup can restore it.

    \b
    Example: collector series forget by-owner/Sectigo --dry-run
    """
    import asyncio
    from dataclasses import replace

    from collector.cli.bootstrap import load_settings
    from collector.cli.daemon_client import run_here_or_in_daemon

    settings = load_settings(config)
    series_id = asyncio.run(_find(settings, series))
    deleted = asyncio.run(_forget(settings, series_id, dry_run=True))
    if not dry_run:
        rows = run_here_or_in_daemon(
            settings,
            lambda: asyncio.run(_forget(settings, series_id, dry_run=False)).rows,
            lambda daemon: daemon.forget(series_id)["rows"],
        )
        deleted = replace(deleted, rows=rows)
    _show(deleted, output, dry_run=dry_run)


async def _forget(settings: Settings, series_id: int, *, dry_run: bool) -> SeriesDeletion:
    from collector.store import Store

    owner = None if dry_run else f"series forget {series_id}"
    async with Store.open(settings.database.url.reveal(), owner=owner, upgrade=False) as store:
        return await store.forget_series(series_id, settings.profiles, dry_run=dry_run)


async def _find(settings: Settings, series: str) -> int:
    """Return the id of a series by its id, or by a label that only one question has or had."""
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        rows = await store.list_series()
    if series.isdecimal() and any(row.id == int(series) for row in rows):
        return int(series)
    return _choose(series, [row for row in rows if row.label == series], [row.label for row in rows])


def _choose(label: str, rows: Sequence[SeriesRow], labels: Sequence[str]) -> int:
    from collector.errors import UsageError, did_you_mean

    if not rows:
        raise UsageError(f"there is no series {label!r}{did_you_mean(label, labels)}; `collector series` lists them")
    questions = {(row.agg_interval, str(sorted(row.filters.items()))): row.id for row in rows}
    if len(questions) > 1:
        ids = ", ".join(str(series_id) for series_id in sorted(questions.values()))
        raise UsageError(f"several series have the label {label!r}; use the id of one: {ids}")
    return next(iter(questions.values()))


def _show(deleted: SeriesDeletion, output: str, *, dry_run: bool) -> None:
    from collector.cli.output import show_json

    if output == "json":
        show_json({"label": deleted.label, "ids": list(deleted.ids), "rows": dict(deleted.rows), "dry_run": dry_run})
        return
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in deleted.rows.items() if number)
    click.echo(f"{deleted.label}: {'would be deleted' if dry_run else 'deleted'}: {counts}")
