"""`collector fetches`: requests, their outcomes, and kept bodies."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option, format_option, limit_option, period_options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from datetime import datetime

    from collector.store import Store

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
    from collector.cli.list_command import list_rows

    if body:
        if fetch_id is None:
            raise click.UsageError("--body needs the ID of a request; `collector fetches --kept` lists them.")
        _print_body(config, fetch_id)
        return

    def read(store: Store) -> Awaitable[Sequence[object]]:
        return store.list_fetches(profile=profile, start=start, end=end, limit=limit + 1, id=fetch_id, kept=kept)

    list_rows(config, output, read, _columns, profile, limit)


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
        kept = {one.fetch_id: one for one in await store.bodies()}
        known = await store.list_fetches(id=fetch_id)
    if content is None:
        problem = f"the body of request {fetch_id} is not kept" if known else f"there is no request {fetch_id}"
        others = f"bodies are kept of the requests {_listed(list(kept))}" if kept else "no body is kept"
        raise CollectorError(f"{problem}; {others}")
    one = kept[fetch_id]
    if one.whole:
        return content, None
    return content, f"only a part of the body of request {fetch_id} is kept"


_IDS_SHOWN = 20


def _listed(ids: Sequence[int]) -> str:
    """Return the newest *ids* as text, ascending."""
    shown = ", ".join(map(str, ids[-_IDS_SHOWN:]))
    return f"{shown} and {len(ids) - _IDS_SHOWN} older ones" if len(ids) > _IDS_SHOWN else shown


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
        "body": "kept" if row["body"] else None,
        "reason": row["message"],
    }
