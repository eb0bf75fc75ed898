"""Commands about the catalogue: `authorities`, `logs` and `values`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import TIME, config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from collector.datasets import FilterParameter
    from collector.datasets.catalogue import CatalogueList
    from collector.settings import Settings
    from collector.store import ReadView

    Document = dict[str, Any]

_SHOWN_SLUG = 16
_MAX_VALUE = 60


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that both lists have."""
    as_of = click.option("--as-of", type=TIME, metavar="T", help="Show what was known at T. Default: now.")
    search = click.option("--search", metavar="TEXT", help="Show only entries with TEXT in slug, name or owner.")
    every = click.option("--all", "with_gone", is_flag=True, help="Show also entries that are no longer listed.")
    refresh = click.option("--refresh", is_flag=True, help="First read the list, or the details of SLUG, from Radar.")
    slug = click.argument("slug", metavar="[SLUG]", required=False)
    return slug(as_of(search(every(refresh(config_option(format_option(function)))))))


@click.command("authorities")
@_options
def authorities_command(**options: Any) -> None:
    """List the certificate authorities that Radar knows; with SLUG one of them, with details and changes.

    SLUG is a SHA-256 fingerprint, its beginning, or a name. The list is read once a day, the details in rotation.

    \b
    Example: collector authorities --search digicert
    """
    from collector.datasets.catalogue import AUTHORITIES

    _run(AUTHORITIES, _authority_columns, **options)


@click.command("logs")
@_options
def logs_command(**options: Any) -> None:
    """List the certificate logs that Radar knows; with SLUG one of them, with details and changes of its state.

    SLUG is the slug of a log, its beginning, or its description. The list is read once a day, the details in rotation.

    \b
    Example: collector logs --as-of 30d
    """
    from collector.datasets.catalogue import LOGS

    _run(LOGS, _log_columns, **options)


def _authority_columns(row: Document) -> Document:
    kept = {"slug": row["slug"][:_SHOWN_SLUG], "name": row["name"], "owner": row["holder"], "state": row["state"]}
    return kept | dict(row["trust"]) | _seen(row)


def _log_columns(row: Document) -> Document:
    return {
        "slug": row["slug"],
        "description": row["name"],
        "operator": row["holder"],
        "api": row["entry"].get("api"),
        "state": row["state"],
        "since": row["state_since"] or row["state_seen_at"],
        **_seen(row),
    }


def _seen(row: Document) -> Document:
    return {"first_seen": row["first_seen"], "gone_at": row["gone_at"]}


def _run(
    known: CatalogueList,
    columns: Callable[[Document], Document],
    slug: str | None,
    as_of: datetime | None,
    search: str | None,
    config: str | None,
    output: str,
    *,
    with_gone: bool,
    refresh: bool,
) -> None:
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import say, show, show_json
    from collector.report.catalogue import absence, entry_document, list_documents

    if refresh and as_of is not None:
        raise click.UsageError(
            "--refresh reads what is known now, and --as-of shows an earlier moment; use one of them."
        )
    settings = load_settings(config, required=False)
    if refresh:
        _refresh(settings, known, slug)
    if slug is not None:
        document = asyncio.run(_read(settings, lambda view: entry_document(view, known, slug, as_of)))
        show_json(document) if output == "json" else _show_entry(document)
        return

    def read(view: ReadView) -> tuple[list[Document], str | None]:
        rows = list_documents(view, known, as_of, search=search, with_gone=with_gone)
        return rows, absence(view, known, as_of) if not rows else None

    rows, why = asyncio.run(_read(settings, read))
    if why and output == "json":
        say(why)
    empty = why or (f"no entry contains {search!r}" if search else f"the list of {known.name} is empty")
    show(rows if output == "json" else [*map(columns, rows)], output, empty=empty)


async def _read(settings: Settings, work: Callable[[ReadView], Any]) -> Any:
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        return await store.with_read_view(work)


def _refresh(settings: Settings, known: CatalogueList, slug: str | None) -> None:
    """Read a list or the details of an entry from Radar; if a daemon owns the store, it does that."""
    import asyncio
    from dataclasses import asdict

    from collector.cli.bootstrap import require_credentials, run_here_or_in_daemon
    from collector.cli.output import say
    from collector.store import StoreMissing

    require_credentials(settings)
    try:
        found = slug and asyncio.run(_find(settings, known, slug))
    except StoreMissing:
        found = slug
    result = run_here_or_in_daemon(
        settings,
        lambda: asdict(asyncio.run(_refresh_here(settings, known, found))),
        lambda daemon: daemon.refresh_catalogue(known.name, found),
    )
    if slug is None:
        changes = ", ".join(f"{len(slugs)} {what}" for what, slugs in result["changes"].items())
        note = f"; {result['note']}" if result["note"] else ""
        say(f"{result['entries']} {known.name} in {result['pages']} requests: {changes}{note}")


async def _find(settings: Settings, known: CatalogueList, slug: str) -> str:
    from collector.report.catalogue import find_slug

    found: str = await _read(settings, lambda view: find_slug(view, known, slug))
    return found


async def _refresh_here(settings: Settings, known: CatalogueList, slug: str | None) -> Any:
    from collector.cli.bootstrap import open_collector
    from collector.collect.batches.fetcher import ShuttingDown
    from collector.collect.catalogue import refresh_now
    from collector.errors import CollectorError

    async with open_collector(settings, f"{known.name} --refresh") as (_, batch_runner):
        try:
            return await refresh_now(batch_runner.fetcher, known.name, slug)
        except ShuttingDown as error:
            raise CollectorError(str(error)) from None


def _show_entry(document: Document) -> None:
    """Print an entry as two tables: what is known now, and what has changed."""
    from collector.cli.output import say, show

    known = {**document["entry"], **(document["details"] or {}), **(document["measures"] or {})}
    moments = {key: document[key] for key in ("first_seen", "changed_at", "state_seen_at", "gone_at")}
    rows = [{"key": key, "value": _value(value)} for key, value in {**known, **moments}.items()]
    show(rows, "table")
    if document["details"] is None:
        say("its details have not been collected yet; --refresh reads them now")
    click.echo()
    show([{**row, "old": _value(row["old"]), "new": _value(row["new"])} for row in document["changes"]], "table")


def _value(value: object) -> object:
    """Return a value of a received document for a table: lists of objects by what identifies them."""
    import json

    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        names = [str(next(iter(row.values()), "")) for row in value]
        return f"{len(names)}: " + ", ".join(name[:_SHOWN_SLUG] for name in names[:_MAX_LISTED]) + _more(names)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)[:_MAX_VALUE]
    return value


_MAX_LISTED = 3


def _more(names: Sequence[str]) -> str:
    return ", …" if len(names) > _MAX_LISTED else ""


@click.command("values")
@click.argument("name", metavar="FILTER")
@click.option("--as-of", type=TIME, metavar="T", help="Show what was known at T. Default: now.")
@config_option
@format_option
def values_command(name: str, as_of: datetime | None, config: str | None, output: str) -> None:
    """List the known values of FILTER, such as ca_owner, the largest newest count first.

    They are known by the API's contract, by the lists of authorities and logs, and by series in the store that have
    only this filter. Count and share are of the newest bucket; the share is the part of the series without filters.

    \b
    Example: collector values ca_owner
    """
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import show
    from collector.datasets import DEFAULT
    from collector.datasets.catalogue import list_of_filter
    from collector.report.catalogue import absence, value_documents

    parameter = _parameter(name)
    settings = load_settings(config, required=False)
    known = list_of_filter(parameter.name)

    def read(view: ReadView) -> tuple[list[Document], str | None]:
        return value_documents(view, DEFAULT, parameter, as_of), absence(view, known, as_of) if known else None

    rows, why = asyncio.run(_read(settings, read))
    if why:
        click.echo(why, err=True)
    empty = f"no value of {parameter.option} is known; a profile with it makes it known"
    show(rows if output == "json" else [*map(_value_columns, rows)], output, empty=empty)


def _parameter(name: str) -> FilterParameter:
    from collector.datasets import DEFAULT
    from collector.errors import UsageError, did_you_mean

    parameter = DEFAULT.filter_named(name)
    if parameter is None:
        options = [known.option for known in DEFAULT.parameters]
        raise UsageError(f"there is no filter {name!r}{did_you_mean(name, options)}; allowed: {', '.join(options)}")
    return parameter


def _value_columns(row: Mapping[str, Any]) -> Document:
    share = None if row["share"] is None else f"{row['share']:.2%}"
    volume = row["volume"]
    return {
        "value": row["value"],
        "newest": int(volume) if volume is not None and volume == int(volume) else volume,
        "share": share,
        "interval": row["agg_interval"],
        "bucket": row["bucket"],
        "first_seen": row["first_seen"],
        "last_seen": row["last_seen"],
        "listed": "no longer" if row["listed_until"] else "yes" if row["listed_since"] else None,
    }
