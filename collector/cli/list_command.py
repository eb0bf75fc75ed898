"""Shared code of the commands that list rows of the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from collector.store import Renamed, Store


def list_rows(
    config: str | None,
    output: str,
    read: Callable[[Store], Awaitable[Sequence[Any]]],
    columns: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
    profile: str | None = None,
    limit: int | None = None,
) -> None:
    """Print the dataclass rows that *read* returns; a table only has the *columns*.

    At most *limit* rows are printed. *read* returns one row more if there are more, and then stderr says so. Raises
    UsageError for a *profile* that is not in the store.
    """
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import show
    from collector.store import Store

    settings = load_settings(config, required=False)

    async def found() -> list[dict[str, Any]]:
        async with Store.open(settings.database.url.reveal(), owner=None) as store:
            if profile is not None:
                await check_profile(store, profile)
            return [asdict(row) for row in await read(store)]

    rows = asyncio.run(found())
    more = limit is not None and len(rows) > limit
    rows = rows[:limit]
    show(rows if output == "json" else [columns(row) for row in rows], output)
    if more:
        click.echo(f"only the first {limit} rows are shown; use --limit, --start and --end to show others", err=True)


async def check_profile(store: Store, profile: str) -> None:
    """Print the new name of a renamed profile. Raises UsageError, with a suggestion, for an unknown profile."""
    from collector.cli.output import say
    from collector.errors import UsageError, did_you_mean

    known = sorted({row.profile for row in await store.list_series() if row.profile})
    if profile not in known:
        names = ", ".join(known) or "none"
        raise UsageError(f"the store has no profile {profile!r}{did_you_mean(profile, known)}; it has: {names}")
    for sentence in new_names(profile, await store.renamed([profile])):
        say(sentence)


def new_names(profile: str, followed: Sequence[Renamed]) -> list[str]:
    """Return the new names of the labels of *profile*, as one sentence if the whole profile was renamed."""
    moved = {one.new_profile for one in followed}
    if len(moved) == 1:
        [name] = moved
        if all(one.new_label == name + one.label.removeprefix(profile) for one in followed):
            return [f"{profile} is now {name}"]
    return [f"{one.label} is now {one.new_label}" for one in followed]
