"""`collector fetches`: what was asked, what became of it, and what came."""

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
@click.option("--body", is_flag=True, help="Print the body of the response to request ID, if it is kept.")
@click.option("--kept", is_flag=True, help="Only requests whose response is kept.")
@click.option("--profile", metavar="NAME", help="For this profile only.")
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
    """List requests, the newest first, with the reason why one brought nothing; with ID only that one.

    The body of a response is kept if it was refused, or if it shows a deviation for the first time. --body prints it as
    it came, but for our credentials.

    \b
    Example: collector fetches --profile all --start 2h
    """
    from collector.cli.list_command import list_rows

    if body:
        if fetch_id is None:
            raise click.UsageError("--body takes the ID of a request; `collector fetches --kept` lists them.")
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
    """Read a kept body, and what is to be said of it; CollectorError with the IDs that have one if it has none."""
    from collector.errors import CollectorError
    from collector.store import Store

    async with Store.open(url, owner=None) as store:
        content = await store.body(fetch_id)
        kept = {one.fetch_id: one for one in await store.bodies()}
        known = await store.list_fetches(id=fetch_id)
    if content is None:
        what = "is kept" if known else "is kept, and there is no such request"
        have = f"kept are those of {_listed(list(kept))}" if kept else "none is kept at all"
        raise CollectorError(f"no body of request {fetch_id} {what}; {have}")
    one = kept[fetch_id]
    if one.whole:
        return content, None
    return content, f"only a part of the body of request {fetch_id} is kept"


_IDS_SHOWN = 20


def _listed(ids: Sequence[int]) -> str:
    """Write the newest *ids*, ascending."""
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
