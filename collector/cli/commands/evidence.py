"""`collector replay` and `collector report`: kept bodies, and a file for an issue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from collector.cli.atomic_file import STDOUT, open_output
from collector.cli.bootstrap import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.cli.bootstrap import DaemonClient
    from collector.collect.kept_bodies import ReplayOutcome
    from collector.settings import Settings
    from collector.settings.loading import LoadedSettings
    from collector.store import KeptBody, Reader


_LARGEST_ID = 10**18 - 1


@click.command("replay")
@click.argument("ids", nargs=-1, metavar="[ID]...", type=click.IntRange(1, _LARGEST_ID))
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print what would be filled, and store nothing; a running collector may own the store.",
)
@config_option
@format_option
def replay_command(ids: tuple[int, ...], config: str | None, output: str, *, dry_run: bool) -> None:
    """Parse rejected answers again with this version, and fill buckets that are still missing.

    Use it after an upgrade. It never overwrites a point. ID is a request of `collector fetches --kept`; without ID, all
    answers that were not replayed are parsed. The filled points are known from now on, so --as-of with an earlier time
    does not show them. If a daemon owns the store, it does the work.

    \b
    Example: collector replay --dry-run
    """
    import asyncio
    from dataclasses import asdict

    from collector.cli.bootstrap import load_settings, run_here_or_in_daemon
    from collector.cli.output import show

    settings = load_settings(config, required=False)
    if dry_run:
        outcomes = asyncio.run(_rehearse(settings, ids))
    else:
        outcomes = run_here_or_in_daemon(
            settings, lambda: asyncio.run(_replay(settings, ids)), lambda daemon: _hand_over(settings, ids, daemon)
        )
    rows = [asdict(outcome) for outcome in outcomes]
    columns = rows if output == "json" else [_columns(row, dry_run=dry_run) for row in rows]
    show(columns, output, empty="there is no rejected answer to replay")


def _columns(row: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    filled = "would be filled" if dry_run else "filled"
    return {"body": str(row["body"]), "kind": row["kind"], filled: row["filled"], "reason": row["reason"]}


async def select_bodies(store: Reader, ids: Sequence[int]) -> list[KeptBody]:
    """Return the bodies that were not replayed, or those of *ids*. Raises UsageError if one cannot be replayed."""
    from collector.errors import UsageError

    if not ids:
        return await store.bodies(waiting=True)
    bodies = {body.fetch_id: body for body in await store.bodies()}
    for fetch_id in ids:
        if fetch_id not in bodies or not bodies[fetch_id].replayable:
            raise UsageError(f"request {fetch_id} cannot be replayed: {_why_not(bodies.get(fetch_id))}")
    return [bodies[fetch_id] for fetch_id in dict.fromkeys(ids)]


def _why_not(body: KeptBody | None) -> str:
    if body is None:
        return "its body is not kept; `collector fetches --kept` lists the kept ones"
    if body.replayed_by is not None:
        return f"it was already replayed, as request {body.replayed_by}"
    if not body.refused:
        return "its answer was accepted, or it is an error response of Radar"
    return "only a part of its body is kept"


async def _rehearse(settings: Settings, ids: Sequence[int]) -> list[ReplayOutcome]:
    from collector.collect.kept_bodies import rehearse
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        return [await rehearse(store, body, store.clock()) for body in await select_bodies(store, ids)]


async def _replay(settings: Settings, ids: Sequence[int]) -> list[ReplayOutcome]:
    from collector.collect.kept_bodies import replay
    from collector.store import Store
    from collector.store.admin.commands import current
    from collector.store.db.migrate import check

    database = settings.database
    url = database.url.reveal()
    if current(url) is None:  # a missing store is not created
        check(None)
    async with Store.open(url, owner="replay", upgrade=database.upgrade, timescale=database.timescale) as store:
        return [await replay(store, body, store.clock()) for body in await select_bodies(store, ids)]


def _hand_over(settings: Settings, ids: Sequence[int], daemon: DaemonClient) -> list[ReplayOutcome]:
    """Replay the bodies in the daemon, one by one, with its version."""
    import asyncio

    from collector.collect.kept_bodies import ReplayOutcome
    from collector.store import Store

    async def waiting() -> list[KeptBody]:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return await select_bodies(store, ids)

    click.echo(f"sent to the daemon at {daemon.url}", err=True)
    return [ReplayOutcome(**daemon.replay(body.fetch_id)) for body in asyncio.run(waiting())]


@click.command("report")
@click.option("-o", "--output", "target", default=STDOUT, metavar="FILE", help="Write to FILE. Default: stdout.")
@config_option
def report_command(target: str, config: str | None) -> None:
    """Write one JSON document to attach to an issue: version, settings, learned limits, deviations, example bodies.

    It contains no secrets, but names of profiles, filters and texts from Radar; read it before you publish it. A
    running collector may own the store. If the store cannot be read, the document has the reason instead.

    \b
    Example: collector report -o report.json
    """
    import asyncio

    from collector.report.diagnostics import NOTE, about_program, secrets_of, settings_rows, without_secrets, write
    from collector.settings.loading import read_settings
    from collector.text import printable_json
    from collector.timestamps import utc_now

    now = utc_now()
    loaded = read_settings(config, os.environ, {}, now, required=False)
    document = (
        about_program() | {"created_at": now, "settings": settings_rows(loaded)} | asyncio.run(_read_store(loaded))
    )
    text = write(without_secrets(document, secrets_of(loaded)))
    with open_output(target) as stream:
        stream.write(printable_json(text).encode())
    if target != STDOUT:
        click.echo(f"{target} written. {NOTE}", err=True)


async def _read_store(loaded: LoadedSettings) -> dict[str, Any]:
    from collector.errors import CollectorError
    from collector.report.diagnostics import about_store
    from collector.store import Store

    try:
        async with Store.open(loaded.settings.database.url.reveal(), owner=None) as store:
            return await about_store(store, loaded, store.clock())
    except CollectorError as error:
        return {"store": {"error": str(error)}}
