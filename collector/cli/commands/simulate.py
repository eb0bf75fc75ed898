"""`collector simulate`: a local simulator of the Radar API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.cli.bootstrap import TIME
from collector.datasets import DEFAULT
from collector.errors import CollectorError, os_error_text
from collector.interval import AggInterval, Grid

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from collector.simulator import CatalogueOptions, Simulator, SimulatorOptions


_MOST_MADE_UP = 1_000
_BEFORE_DATA = {"400": 2001, "404": 7003, "422": 2002, "500": 2000}
"""The API's error code for each status."""


_NUMBER = "Have N {} in the list; 0: those of the data."


def _duration(text: str) -> timedelta:
    from collector.settings.values import parse_duration as parse

    try:
        return parse(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a duration such as 30s, 15m, 2h or 14d") from None


def _span(text: str) -> tuple[AggInterval, timedelta]:
    interval, _, span = text.partition("=")
    if interval not in tuple(AggInterval):
        raise click.BadParameter(f"{interval!r} is not one of {', '.join(AggInterval)}")
    return AggInterval(interval), _duration(span)


def _grid(text: str) -> tuple[AggInterval, Grid | None]:
    word, _, start = text.partition("=")
    if word not in tuple(AggInterval):
        raise click.BadParameter(f"{word!r} is not one of {', '.join(AggInterval)}")
    interval = AggInterval(word)
    if start == "range":
        return interval, None
    offset = _duration(start)
    if offset >= interval.step or offset % AggInterval.FIFTEEN_MINUTES.step:
        raise click.BadParameter(f"{start!r}: allowed: a multiple of 15m that is less than {interval}, or range")
    return interval, Grid(interval, offset)


def _more(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    parameter = DEFAULT.filter_named(name)
    if parameter is None or parameter.values:
        texts = [parameter.option for parameter in DEFAULT.parameters if not parameter.values]
        raise click.BadParameter(f"{name!r} is not one of {', '.join(texts)}")
    if not number.isdecimal() or int(number) > _MOST_MADE_UP:
        raise click.BadParameter(f"{number!r} is not a whole number up to {_MOST_MADE_UP}")
    return parameter.name, int(number)


def _days(text: str) -> tuple[datetime, datetime]:
    """Parse `START..END`; each of them may be empty."""
    from collector.simulator import Life

    start, dots, end = text.partition("..")
    if not dots:
        raise click.BadParameter(f"{text!r} is not START..END, as 2026-01-31..2026-02-28")
    times = [TIME.convert(moment, None, None) if moment else None for moment in (start, end)]
    always = Life()
    return times[0] or always.start, times[1] or always.end


def _life(text: str) -> tuple[str, tuple[datetime, datetime]]:
    value, _, days = text.rpartition("=")
    return value, _days(days)


def _wrong(text: str) -> tuple[datetime, datetime, int]:
    times, _, number = text.partition("=")
    if not number.isdecimal():
        raise click.BadParameter(f"{number!r} is not a whole number")
    return *_days(times), int(number)


def _range(text: str) -> str | None:
    from collector.contract.request_parser import parse_date_range
    from collector.contract.response import ApiError

    if text == "none":
        return None
    try:
        parse_date_range((text, "", ""), None, 0)
    except ApiError as refused:
        raise click.BadParameter(refused.message) from None
    return text


def _odd(_: click.Context, __: click.Parameter, lists: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of variations; `help` lists them and exits."""
    names = tuple(name for names in lists for name in names.replace(",", " ").split())
    if not names:
        return ()
    from collector.simulator import odd

    if "help" in names:
        click.echo(odd.listing(odd.VARIATIONS.values()))
        raise click.exceptions.Exit(0)
    try:
        odd.choose(names)
    except odd.NoVariation as error:
        raise click.BadParameter(str(error)) from None
    return names


@click.command("simulate")
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8787,
    show_default=True,
    help="Listen on this port; 0 takes a free one.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Choose the made-up history; each number gives another one."
)
@click.option("--token", envvar="COLLECTOR_SIMULATE_TOKEN", help="Accept only this token. Default: any token.")
@click.option(
    "--lag",
    type=_duration,
    metavar="DURATION",
    default="45m",
    show_default=True,
    help="Set lastUpdated this far behind the present.",
)
@click.option(
    "--revised-for",
    type=_duration,
    metavar="DURATION",
    default="3d",
    show_default=True,
    help="Revise values for this long after their bucket has closed; 0s: never.",
)
@click.option(
    "--data-since",
    type=TIME,
    metavar="T",
    help="Have no data before T: a date, an RFC 3339 time, or an age (7d). Default: no limit.",
)
@click.option("--retention", type=_duration, metavar="DURATION", help="Have no data that is older. Default: no limit.")
@click.option(
    "--before-data",
    type=click.Choice(["400", "404", "422", "500"]),
    help="Reject ranges before the data with this status. Default: leave the buckets out.",
)
@click.option("--partial", is_flag=True, help="Publish the newest bucket before it has closed.")
@click.option(
    "--max-span",
    type=_span,
    metavar="INTERVAL=DURATION",
    multiple=True,
    help="Limit the range of an interval, as 15m=7d; repeatable.",
)
@click.option(
    "--grid",
    "grids",
    type=_grid,
    metavar="INTERVAL=DURATION|range",
    multiple=True,
    help="Start buckets this much after Monday or midnight UTC, as 1w=3d, or at the start of the range; repeatable.",
)
@click.option(
    "--series-per-request",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Limit the series of one request.",
)
@click.option(
    "--default-range",
    type=_range,
    metavar="RANGE",
    default="7d",
    show_default=True,
    help="Use this range for a request without dates; none rejects it.",
)
@click.option("--messages", is_flag=True, help="Add an empty list of messages to every answer.")
@click.option("--too-costly", is_flag=True, help="Reject requests over a limit with 422/2002 instead of 400/2001.")
@click.option(
    "--rate-limit",
    type=click.IntRange(0),
    default=1200,
    show_default=True,
    help="Limit the requests in 5 minutes; 0: no limit.",
)
@click.option("--no-catalogue", is_flag=True, help="Have no lists of authorities and logs.")
@click.option("--owners", type=click.IntRange(0, 5000), default=0, metavar="N", help=_NUMBER.format("owners"))
@click.option("--logs", type=click.IntRange(0, 5000), default=0, metavar="N", help=_NUMBER.format("logs"))
@click.option(
    "--page-limit",
    type=click.IntRange(1),
    metavar="N",
    help="Cut the pages of both lists to N entries, as 5, 50 or 100. Default: no limit.",
)
@click.option("--reject-page", is_flag=True, help="Reject a larger page instead.")
@click.option(
    "--list-changes",
    type=_duration,
    metavar="DURATION",
    help="Let a log and an authority appear and a log retire this often, from now on. Default: never.",
)
@click.option("--normalization", default="RAW_VALUES", show_default=True, help="Send this normalization.")
@click.option("--unit", help=f"Send this unit. Default: that of the dataset ({DEFAULT.unit}).")
@click.option(
    "--ongoing", is_flag=True, help="Add an annotation without an end, which the API's contract does not allow."
)
@click.option("--most-groups", type=click.IntRange(2), help="Accept at most this limitPerGroup. Default: any.")
@click.option(
    "--too-many-groups",
    type=click.Choice(["refuse", "fewer"]),
    default="refuse",
    show_default=True,
    help="Reject a larger limitPerGroup, or list fewer groups.",
)
@click.option("--no-other", is_flag=True, help="Leave out the sum of the groups that are not listed.")
@click.option(
    "--positional-groups",
    type=click.Choice(["all", "first", "refuse"]),
    default="all",
    show_default=True,
    help="Answer all series of a request by dimension, or only the first, or reject several.",
)
@click.option(
    "--group-keys",
    type=click.Choice(["filter", "other"]),
    default="filter",
    show_default=True,
    help="Spell groups as the filter's values, or otherwise.",
)
@click.option(
    "--group-normalization",
    type=click.Choice(["RAW_VALUES", "PERCENTAGE"]),
    help="Send groups in this normalization. Default: the one that is requested.",
)
@click.option(
    "--more-values",
    type=_more,
    metavar="FILTER=N",
    multiple=True,
    help="Add N made-up values, as ca_owner=88; repeatable.",
)
@click.option(
    "--life",
    "lives",
    type=_life,
    metavar="VALUE=START..END",
    multiple=True,
    help="Let a value of a filter occur on these days only; repeatable.",
)
@click.option(
    "--wrong-groups",
    type=_wrong,
    metavar="START..END=N",
    help="Count N too many in the largest group in this time, so that the sum of the groups is not the total.",
)
@click.option(
    "--odd",
    metavar="NAME,…",
    multiple=True,
    callback=_odd,
    help="Send the same data in another form that the real API may have; `--odd help` lists all names.",
)
def simulate_command(host: str, port: int, **switches: Any) -> None:
    """Run a local simulator of the Radar API with made-up data.

    The first line on stdout is the base URL, for `base_url` under [radar]; requests are logged on stderr. It accepts
    any well-formed credentials. Ctrl-C stops it.

    \b
    Example: collector simulate --port 8787 --lag 0s --max-span 15m=1d
    Example: collector simulate --odd values-numbers,confidence-absent
    """
    import asyncio

    from collector import logs
    from collector.simulator import Simulator

    logs.configure("info", "text")
    simulator = Simulator(_options(**_lists(**switches)))
    try:
        asyncio.run(_until_signalled(simulator, host, port))
    except OSError as error:
        raise CollectorError(f"cannot listen on {host} port {port}: {os_error_text(error)}") from error


def _lists(
    *,
    no_catalogue: bool,
    owners: int,
    logs: int,
    page_limit: int | None,
    reject_page: bool,
    list_changes: timedelta | None,
    **others: Any,
) -> dict[str, Any]:
    """Return the switches with those of the catalogue as one: `lists`."""
    from collector.simulator import CatalogueOptions
    from collector.timestamps import utc_now

    over_limit: Any = "reject" if reject_page else "cut"
    lists = CatalogueOptions(
        owners, logs, page_limit, over_limit, utc_now().replace(microsecond=0), list_changes or None
    )
    return {**others, "lists": None if no_catalogue else lists}


def _options(
    *,
    max_span: tuple[tuple[AggInterval, timedelta], ...],
    grids: tuple[tuple[AggInterval, Grid | None], ...],
    partial: bool,
    too_costly: bool,
    rate_limit: int,
    ongoing: bool,
    before_data: str | None,
    lists: CatalogueOptions | None,
    no_other: bool,
    more_values: tuple[tuple[str, int], ...],
    lives: tuple[tuple[str, tuple[datetime, datetime]], ...],
    wrong_groups: tuple[datetime, datetime, int] | None,
    **same_name: Any,
) -> SimulatorOptions:
    from collector import simulator
    from collector.simulator import BAD_REQUEST, MAX_SPAN, TOO_COSTLY, ErrorCode, RateLimit, SimulatorOptions

    refusal = TOO_COSTLY if too_costly else BAD_REQUEST
    unfinished: Any = "partial" if partial else "omitted"
    return SimulatorOptions(
        **same_name,
        max_span={**MAX_SPAN, **dict(max_span)},
        grids=dict(grids),
        span_error=refusal,
        series_error=refusal,
        unfinished=unfinished,
        unfinished_coarse=unfinished,
        rate_limit=RateLimit(rate_limit) if rate_limit else None,
        ongoing_since=SimulatorOptions.ongoing_since if ongoing else None,
        catalogue=lists,
        other_group=not no_other,
        more_values=dict(more_values),
        lives={value: simulator.Life(*days) for value, days in lives},
        wrong_groups=simulator.WrongGroups(*wrong_groups) if wrong_groups else None,
        before_data=ErrorCode(int(before_data), _BEFORE_DATA[before_data]) if before_data else None,
    )


async def _until_signalled(simulator: Simulator, host: str, port: int) -> None:
    import asyncio
    import signal

    from collector.simulator import serve

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(simulator, host, port) as url:
        click.echo(url)
        await stop.wait()
