"""`collector report`: one file for an issue."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import config_option
from collector.cli.writing import STDOUT, writing

if TYPE_CHECKING:
    from collector.settings.loading import LoadedSettings


@click.command("report")
@click.option("-o", "--output", "target", default=STDOUT, metavar="FILE", help="Write to FILE instead of stdout.")
@config_option
def command(target: str, config: str | None) -> None:
    """Write one JSON document to attach to an issue: version, settings, what was learned, deviations, example bodies.

    It holds no secrets, but names of profiles, filters and texts that Radar sent; read it first. It works beside a
    running collector. Without a store that can be read it says why, and has the rest.

    \b
    Example: collector report -o report.json
    """
    import asyncio

    from collector.model import utc_now
    from collector.serve.report import NOTE, about_program, secrets_of, settings_rows, without_secrets, write
    from collector.settings.loading import read
    from collector.text import printable_json

    now = utc_now()
    loaded = read(config, os.environ, {}, now, required=False)
    document = about_program() | {"created_at": now, "settings": settings_rows(loaded)} | asyncio.run(_store(loaded))
    text = write(without_secrets(document, secrets_of(loaded)))
    with writing(target) as stream:
        stream.write(printable_json(text).encode())
    if target != STDOUT:
        click.echo(f"{target} written. {NOTE}", err=True)


async def _store(loaded: LoadedSettings) -> dict[str, Any]:
    from collector.errors import CollectorError
    from collector.serve.report import about_store
    from collector.store import Store

    try:
        async with Store.open(loaded.settings.database.url.reveal(), owner=None) as store:
            return await about_store(store, loaded, store.clock())
    except CollectorError as error:
        return {"store": {"error": str(error)}}
