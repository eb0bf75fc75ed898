"""Commands that list rows: `annotations`, `gaps`, `revisions`, `fetches` and `series`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import config_option, format_option, limit_option, period_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from datetime import datetime

    from collector.settings import Settings
    from collector.store import SeriesDeletion, SeriesRow, Store
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
    from collector.cli.output import list_rows

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
    from collector.cli.output import new_names, say
    from collector.report.gaps import find_gaps
    from collector.store import Store

    configured = {known.name for known in settings.profiles}
    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        followed = await store.renamed([profile]) if profile and profile not in configured else []
        names = [renamed.new_profile for renamed in followed if renamed.new_profile in configured]
        names = names or ([profile] if profile else [])
        gaps = await find_gaps(store, select_profiles(settings.profiles, names), store.clock())
    for sentence in new_names(profile or "", followed):
        say(sentence)
    labels = {renamed.new_label for renamed in followed}
    gaps = [gap for gap in gaps if gap.series in labels or not labels]
    shown = [gap for gap in gaps if (start is None or gap.end > start) and (end is None or gap.start < end)]
    return [asdict(gap) for gap in shown]


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
    from collector.cli.output import list_rows

    async def read(store: Store) -> Sequence[object]:
        selection = await store.of_profile(profile)
        chosen: Filters = {"profile": selection.profile, "labels": selection.labels, "start": start, "end": end}
        chosen |= {"limit": limit + 1, "newest_first": True}
        return await store.list_revisions(**chosen)

    list_rows(config, output, read, _revision_columns, profile, limit)


def _revision_columns(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("series", "timestamp", "value", "new_value", "seen_at", "replaced_at")}


_LARGEST_ID = 10**18 - 1


@click.command("fetches")
@click.argument("fetch_id", metavar="[ID]", type=click.IntRange(1, _LARGEST_ID), required=False)
@click.option("--body", is_flag=True, help="Print the kept body of the response to request ID.")
@click.option("--kept", is_flag=True, help="Show only requests whose body is kept.")
@click.option("--profile", metavar="NAME", help="Show this profile only. Default: all.")
@period_options
@limit_option(50)
@config_option
@format_option
def fetches_command(
    fetch_id: int | None,
    profile: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    config: str | None,
    output: str,
    *,
    body: bool,
    kept: bool,
) -> None:
    """List requests, the newest first, with outcome and reason; with ID only that request.

    A body is kept if it was rejected, or if it is the first one with a deviation. --body prints it as it was received,
    with credentials masked.

    \b
    Example: collector fetches --profile all --start 2h
    """
    from collector.cli.output import list_rows

    if body:
        if fetch_id is None:
            raise click.UsageError("--body needs the ID of a request; `collector fetches --kept` lists them.")
        _print_body(config, fetch_id)
        return

    def read(store: Store) -> Awaitable[Sequence[object]]:
        return store.list_fetches(profile=profile, start=start, end=end, limit=limit + 1, id=fetch_id, kept=kept)

    list_rows(config, output, read, _fetch_columns, profile, limit)


def _print_body(config: str | None, fetch_id: int) -> None:
    import asyncio

    from collector.cli.atomic_file import STDOUT, open_output
    from collector.cli.bootstrap import load_settings

    settings = load_settings(config, required=False)
    content, note = asyncio.run(_read_body(settings.database.url.reveal(), fetch_id))
    if note:
        click.echo(note, err=True)
    with open_output(STDOUT) as stream:
        stream.write(content)


async def _read_body(url: str, fetch_id: int) -> tuple[bytes, str | None]:
    """Return a kept body and a note or None. Raises CollectorError, with the IDs of kept bodies, if it is not kept."""
    from collector.errors import CollectorError
    from collector.store import Store

    async with Store.open(url, owner=None) as store:
        content = await store.body(fetch_id)
        bodies = {body.fetch_id: body for body in await store.bodies()}
        rows = await store.list_fetches(id=fetch_id)
    if content is None:
        problem = f"the body of request {fetch_id} is not kept" if rows else f"there is no request {fetch_id}"
        others = f"bodies are kept of the requests {_listed(list(bodies))}" if bodies else "no body is kept"
        raise CollectorError(f"{problem}; {others}")
    body = bodies[fetch_id]
    if body.whole:
        return content, None
    return content, f"only a part of the body of request {fetch_id} is kept"


_IDS_SHOWN = 20


def _listed(ids: Sequence[int]) -> str:
    """Return the newest *ids* as text, ascending."""
    shown = ", ".join(map(str, ids[-_IDS_SHOWN:]))
    return f"{shown} and {len(ids) - _IDS_SHOWN} older ones" if len(ids) > _IDS_SHOWN else shown


def _fetch_columns(row: dict[str, Any]) -> dict[str, Any]:
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
        "body": "kept" if row["body"] else None,
        "reason": row["message"],
    }


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
    from collector.cli.output import list_rows

    async def read(store: Store) -> Sequence[SeriesRow]:
        selection = await store.of_profile(profile)
        return await store.list_series(profile=selection.profile, labels=selection.labels)

    list_rows(config, output, read, _series_columns, profile)


def _series_columns(row: dict[str, Any]) -> dict[str, Any]:
    filters = "; ".join(f"{name}={', '.join(values)}" for name, values in row["filters"].items())
    label = row["label"] if row["active"] else f"{row['label']} (retired)"
    if row["dimension"]:
        filters = "; ".join(filter(None, [f"{row['dimension']} ({row['group_state']})", filters]))
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

    from collector.cli.bootstrap import load_settings, run_here_or_in_daemon

    settings = load_settings(config)
    series_id = asyncio.run(_find(settings, series))
    deleted = asyncio.run(_forget(settings, series_id, dry_run=True))
    if not dry_run:
        rows = run_here_or_in_daemon(
            settings,
            lambda: asyncio.run(_forget(settings, series_id, dry_run=False)).rows,
            lambda daemon: daemon.forget(series_id)["rows"],
        )
        deleted = deleted._replace(rows=rows)
    _show(deleted, output, dry_run=dry_run)


async def _forget(settings: Settings, series_id: int, *, dry_run: bool) -> SeriesDeletion:
    from collector.store import Store

    owner = None if dry_run else f"series forget {series_id}"
    async with Store.open(settings.database.url.reveal(), owner=owner, upgrade=False) as store:
        return await store.delete_series(series_id, settings.profiles, dry_run=dry_run)


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
