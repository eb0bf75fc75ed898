"""`collector query`: the local history, asked as the API is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.options import MOMENT, config_option
from collector.datasets import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from collector.contract.errors import ApiError
    from collector.settings import Settings


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add every filter of the API, each of which may be given several times."""
    for parameter in reversed(list(DEFAULT.filters.values())):
        allowed = "|".join(parameter.values) if len(parameter.values) in range(1, 4) else "TEXT"
        option = f"--{parameter.option.replace('_', '-')}"
        function = click.option(option, parameter.name, multiple=True, metavar=allowed)(function)
    return function


@click.command("query")
@click.option("--agg-interval", "aggInterval", metavar="15m|1h|1d|1w", help="Width of a bucket; else by the range.")
@click.option(
    "--format", "format", type=click.Choice(["JSON", "CSV"], case_sensitive=False), default="JSON", show_default=True
)
@click.option("--name", "name", multiple=True, help="Name of a series; else serie_0, serie_1…")
@click.option("--date-range", "dateRange", multiple=True, metavar="RANGE", help="1d to 364d, 1w to 52w, or 7dControl.")
@click.option("--date-start", "dateStart", type=MOMENT, multiple=True, metavar="T", help="From T on.")
@click.option("--date-end", "dateEnd", type=MOMENT, multiple=True, metavar="T", help="To T, its bucket included.")
@_filter_options
@click.option("--as-of", "asOf", type=MOMENT, metavar="T", help="What was known at T.")
@config_option
def query_command(config: str | None, **parameters: Any) -> None:
    """Ask the local history as the API would answer.

    The i-th value of every option makes series i; "" leaves a filter out there. A comma between values is OR, unless
    a blank follows it or it is written %2C: then it belongs to the value.

    \b
    Example: collector query --date-start 6h --date-end now --agg-interval 1h --format CSV
    """
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.report.export import LICENCE

    settings = load_settings(config, required=False)
    asyncio.run(_query(settings, _written(parameters)))
    click.echo(LICENCE, err=True)


async def _query(settings: Settings, raw_query: str) -> None:
    from collector.cli.atomic_file import STDOUT, open_output
    from collector.cli.output import say
    from collector.contract.errors import ApiError
    from collector.serve.radar_api import ask
    from collector.serve.radar_api.absent import sentences
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        try:
            answered = await ask(store, raw_query, store.clock())
        except ApiError as refused:
            raise _error(refused) from None
        is_json = answered.content_type == "application/json"
        with open_output(STDOUT) as stream:
            for piece in answered.pieces():
                stream.write(piece.encode())
            stream.write(b"\n" if is_json else b"")
        for sentence in () if is_json else sentences(answered.absent):
            say(sentence)


def _error(refused: ApiError) -> Exception:
    """A refusal ends the command with 2, having no history for what was asked with 1."""
    from collector.errors import CollectorError, UsageError

    found = CollectorError if refused.error_code.status == 404 else UsageError  # noqa: PLR2004 - HTTP's Not Found
    return found(refused.message)


def _written(parameters: Mapping[str, Any]) -> str:
    """Write options as the query string that the API would get."""
    from urllib.parse import urlencode

    pairs = []
    for name, given in parameters.items():
        values = given if isinstance(given, tuple) else (given,)
        pairs += [(name, _text(name, value)) for value in values if value is not None]
    return urlencode(pairs)


def _text(name: str, value: str | datetime) -> str:
    from collector.model import rfc3339

    if not isinstance(value, str):
        return rfc3339(value)
    return value.replace(", ", "%2C ") if name in DEFAULT.filters else value
