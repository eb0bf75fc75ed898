"""Options that several commands share."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from collector.cli.main import CONFIG_HELP
from collector.model import rfc3339, utc_now
from collector.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class TimeParam(click.ParamType[datetime]):
    """A time: RFC 3339 with a zone, a date (its midnight in UTC), `now`, or an age such as `36h` or `14d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return *value* as a time in UTC; click reports an invalid value with the allowed forms."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(str(value), utc_now())
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


TIME = TimeParam()


def _inherit(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    return value if value is not None else ctx.find_root().obj


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config FILE`; the option is also allowed before the name of the command."""
    return click.option(
        "--config",
        metavar="FILE",
        callback=_inherit,
        help=CONFIG_HELP,
    )(function)


def format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--format table|json`."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="Print a table, or JSON for programs.",
    )(function)


def period_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--start T` and `--end T`, the half-open range [start, end). An empty range is a usage error."""

    @functools.wraps(function)
    def checked(*args: Any, start: datetime | None, end: datetime | None, **others: Any) -> Any:
        if start is not None and end is not None and start >= end:
            relation = "is after" if start > end else "is equal to"
            raise click.UsageError(
                f"--start {rfc3339(start)} {relation} --end {rfc3339(end)}; --start must be before --end."
            )
        return function(*args, start=start, end=end, **others)

    start = click.option(
        "--start",
        type=TIME,
        metavar="T",
        help="Start at T: a date, an RFC 3339 time, or an age (7d). Default: the oldest.",
    )
    end = click.option("--end", type=TIME, metavar="T", help="End before T. Default: the newest.")
    return start(end(checked))


MAX_ROWS = 1_000_000_000  # both databases accept this number


def limit_option(default: int) -> Decorator:
    """Add `--limit N`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, MAX_ROWS),
        default=default,
        show_default=True,
        metavar="N",
        help="Show at most N rows.",
    )
