"""`collector query`: the local history in the API's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import TIME, config_option
from collector.datasets import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from collector.contract.response import ApiError
    from collector.settings import Settings


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every filter of the API; each one is repeatable."""
    for parameter in reversed(list(DEFAULT.filters.values())):
        allowed = "|".join(parameter.values) if len(parameter.values) in range(1, 4) else "TEXT"
        option = f"--{parameter.option.replace('_', '-')}"
        function = click.option(
            option, parameter.name, multiple=True, metavar=allowed, help=f"Filter by {parameter.option}."
        )(function)
    return function


@click.command("query")
@click.option(
    "--agg-interval",
    "aggInterval",
    metavar="15m|1h|1d|1w",
    help="Use buckets of this width. Default: chosen by the range.",
)
@click.option(
    "--format",
    "format",
    type=click.Choice(["JSON", "CSV"], case_sensitive=False),
    default="JSON",
    show_default=True,
    help="Print JSON or CSV.",
)
@click.option("--name", "name", multiple=True, help="Name the series. Default: serie_0, serie_1, …")
@click.option(
    "--date-range",
    "dateRange",
    multiple=True,
    metavar="RANGE",
    help="Return this range up to now: 1d to 364d, 1w to 52w, or 7dControl.",
)
@click.option("--date-start", "dateStart", type=TIME, multiple=True, metavar="T", help="Start at T.")
@click.option("--date-end", "dateEnd", type=TIME, multiple=True, metavar="T", help="End with the bucket of T.")
@_filter_options
@click.option("--as-of", "asOf", type=TIME, metavar="T", help="Return the values that were known at T. Default: now.")
@config_option
def query_command(config: str | None, **parameters: Any) -> None:
    """Query the local history in the API's form.

    The i-th value of every option belongs to series i; "" leaves the filter out there. A comma separates values that
    are combined by OR. A comma before a blank, or written as %2C, is a part of the value.

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
    from collector.contract.response import ApiError
    from collector.report.gaps import absence_sentences
    from collector.serve.radar_api import query_history
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        try:
            answered = await query_history(store, raw_query, store.clock())
        except ApiError as refused:
            raise _error(refused) from None
        is_json = answered.content_type == "application/json"
        with open_output(STDOUT) as stream:
            for chunk in answered.chunks():
                stream.write(chunk.encode())
            stream.write(b"\n" if is_json else b"")
        for sentence in () if is_json else absence_sentences(answered.absent):
            say(sentence)


def _error(refused: ApiError) -> Exception:
    """Return CollectorError (exit code 1) if there is no history for the query, otherwise UsageError (exit code 2)."""
    from collector.errors import CollectorError, UsageError

    error_class = CollectorError if refused.error_code.status == 404 else UsageError  # noqa: PLR2004 - HTTP's Not Found
    return error_class(refused.message)


def _written(parameters: Mapping[str, Any]) -> str:
    """Return the options as a query string of the API."""
    from urllib.parse import urlencode

    pairs = []
    for name, value_or_values in parameters.items():
        values = value_or_values if isinstance(value_or_values, tuple) else (value_or_values,)
        pairs += [(name, _text(name, value)) for value in values if value is not None]
    return urlencode(pairs)


def _text(name: str, value: str | datetime) -> str:
    from collector.timestamps import rfc3339

    if not isinstance(value, str):
        return rfc3339(value)
    return value.replace(", ", "%2C ") if name in DEFAULT.filters else value
