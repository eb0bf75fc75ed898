"""`collector marks`: dates with a text, drawn on charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import config_option, format_option, period_options

if TYPE_CHECKING:
    from datetime import datetime

    from collector.analysis.marks import Mark
    from collector.settings import Settings

_LARGEST_ID = 10**18 - 1


@click.group("marks")
def marks_command() -> None:
    """Add, list or remove marks: dates with a text that `plot` and the page draw beside Cloudflare's annotations.

    If a daemon owns the store, it does the work.

    \b
    Example: collector marks add 2026-04-15 "new policy" --url https://example.org/policy
    """


@marks_command.command("add", short_help="Add a mark.")
@click.argument("date")
@click.argument("text")
@click.option("--end", metavar="DATE", help="Mark the time until DATE. Default: only the moment DATE.")
@click.option("--url", metavar="URL", help="Add an address that says more.")
@config_option
@format_option
def add(date: str, text: str, end: str | None, url: str | None, config: str | None, output: str) -> None:
    """Add a mark at DATE: a date in UTC, or an RFC 3339 time. A mark that is there already is not added again.

    \b
    Example: collector marks add 2026-03-01 "load test" --end 2026-03-03
    """
    import asyncio

    from collector.analysis.marks import make_mark
    from collector.cli.bootstrap import load_settings, run_here_or_in_daemon
    from collector.cli.output import show

    settings = load_settings(config, required=False)
    try:
        mark = make_mark(date, text, end, url)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    added = run_here_or_in_daemon(
        settings,
        lambda: asyncio.run(_add(settings, mark)),
        lambda daemon: daemon.add_mark({"date": date, "text": text, "end": end, "url": url}),
    )
    show([added], output)


async def _add(settings: Settings, mark: Mark) -> dict[str, Any]:
    from collector.report.marks import mark_document
    from collector.store import Store

    database = settings.database
    async with Store.open(database.url.reveal(), owner="marks add", upgrade=database.upgrade) as store:
        return mark_document(await store.add_mark(mark, store.clock()))


@marks_command.command("list", short_help="List the marks.")
@period_options
@click.option("--policy", is_flag=True, help="Add the shipped list of policies for public certificates.")
@config_option
@format_option
def list_(start: datetime | None, end: datetime | None, config: str | None, output: str, *, policy: bool) -> None:
    """List the marks by date, with their ids.

    \b
    Example: collector marks list --policy
    """
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import show
    from collector.report.marks import mark_document, read_marks
    from collector.store import Store

    settings = load_settings(config, required=False)

    async def read() -> list[dict[str, Any]]:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return [mark_document(mark) for mark in await read_marks(store, start, end, policy=policy)]

    show(asyncio.run(read()), output, empty="there are no marks")


@marks_command.command("remove", short_help="Remove a mark.")
@click.argument("mark_id", metavar="ID", type=click.IntRange(1, _LARGEST_ID))
@config_option
def remove(mark_id: int, config: str | None) -> None:
    """Remove the mark ID.

    \b
    Example: collector marks remove 3
    """
    import asyncio

    from collector.cli.bootstrap import load_settings, run_here_or_in_daemon
    from collector.errors import UsageError

    settings = load_settings(config, required=False)
    removed = run_here_or_in_daemon(
        settings,
        lambda: asyncio.run(_remove(settings, mark_id)),
        lambda daemon: bool(daemon.remove_mark(mark_id)),
    )
    if not removed:
        raise UsageError(f"there is no mark {mark_id}; `collector marks list` lists them")
    click.echo(f"mark {mark_id} removed")


async def _remove(settings: Settings, mark_id: int) -> bool:
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner="marks remove", upgrade=False) as store:
        return await store.remove_mark(mark_id)
