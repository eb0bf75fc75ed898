"""`collector replay`: refused bodies, read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.cli.remote import Remote
    from collector.collect.replay import ReplayOutcome
    from collector.settings import Settings
    from collector.store import KeptBody, Reader

_LARGEST_ID = 10**18 - 1


@click.command("replay")
@click.argument("ids", nargs=-1, metavar="[ID]...", type=click.IntRange(1, _LARGEST_ID))
@click.option("--dry-run", is_flag=True, help="Only say what would be filled; works beside a running collector.")
@config_option
@format_option
def command(ids: tuple[int, ...], config: str | None, output: str, *, dry_run: bool) -> None:
    """Read refused answers again with this version, and fill buckets that are still absent; nothing is overwritten.

    Use it after an upgrade. ID is a request of `collector fetches --kept`; by default all that were not replayed are
    read. What is filled is known from now on, so --as-of an earlier moment does not show it. While a daemon owns the
    store, the daemon does it.

    \b
    Example: collector replay --dry-run
    """
    import asyncio
    from dataclasses import asdict

    from collector.cli.output import show
    from collector.cli.remote import here_or_handed
    from collector.cli.start import start

    settings = start(config, required=False)
    if dry_run:
        outcomes = asyncio.run(_rehearse(settings, ids))
    else:
        outcomes = here_or_handed(
            settings, lambda: asyncio.run(_replay(settings, ids)), lambda remote: _hand_over(settings, ids, remote)
        )
    rows = [asdict(one) for one in outcomes]
    shown = rows if output == "json" else [_columns(row, dry_run=dry_run) for row in rows]
    show(shown, output, empty="no refused answer waits to be read again")


def _columns(row: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    filled = "would be filled" if dry_run else "filled"
    return {"body": str(row["body"]), "kind": row["kind"], filled: row["filled"], "reason": row["reason"]}


async def chosen(store: Reader, ids: Sequence[int]) -> list[KeptBody]:
    """Return the bodies that wait, or those of *ids* among them; UsageError for one that cannot be replayed."""
    from collector.errors import UsageError

    if not ids:
        return await store.bodies(waiting=True)
    kept = {one.fetch_id: one for one in await store.bodies()}
    for fetch_id in ids:
        if fetch_id not in kept or not kept[fetch_id].replayable:
            raise UsageError(f"request {fetch_id} cannot be replayed: {_why_not(kept.get(fetch_id))}")
    return [kept[fetch_id] for fetch_id in dict.fromkeys(ids)]


def _why_not(kept: KeptBody | None) -> str:
    if kept is None:
        return "its body is not kept; `collector fetches --kept` lists those that are"
    if kept.replayed_by is not None:
        return f"that was done, and is on record as request {kept.replayed_by}"
    if not kept.refused:
        return "its answer was taken, or was no answer but an error of Radar's"
    return "only a part of its body is kept"


async def _rehearse(settings: Settings, ids: Sequence[int]) -> list[ReplayOutcome]:
    from collector.collect.replay import rehearse
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        return [await rehearse(store, kept, store.clock()) for kept in await chosen(store, ids)]


async def _replay(settings: Settings, ids: Sequence[int]) -> list[ReplayOutcome]:
    from collector.collect.replay import replay
    from collector.store import Store
    from collector.store.migrate import check
    from collector.store.upkeep import current

    database = settings.database
    url = database.url.reveal()
    if await current(url) is None:  # a store that is not there is not created
        check(None)
    async with Store.open(url, owner="replay", upgrade=database.upgrade, timescale=database.timescale) as store:
        return [await replay(store, kept, store.clock()) for kept in await chosen(store, ids)]


def _hand_over(settings: Settings, ids: Sequence[int], remote: Remote) -> list[ReplayOutcome]:
    """Have the daemon read one body after the other, by its own version."""
    import asyncio

    from collector.collect.replay import ReplayOutcome
    from collector.store import Store

    async def waiting() -> list[KeptBody]:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            return await chosen(store, ids)

    click.echo(f"handed to the daemon at {remote.url}", err=True)
    return [ReplayOutcome(**remote.replay(kept.fetch_id)) for kept in asyncio.run(waiting())]
