"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from collector.cli.main import CONFIG_HELP
from collector.model import rfc3339, utc_now
from collector.moments import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Moment(click.ParamType[datetime]):
    """A moment in UTC: RFC 3339 with a zone, a date (its midnight), `now`, or an age such as `36h` or `14d`."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read *value*; click reports what is wrong with it and what is allowed."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(str(value), utc_now())
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


MOMENT = Moment()


def _inherit(ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    return value if value is not None else ctx.find_root().obj


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config FILE`, which may also stand before the command's name."""
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
        help="A table for people, JSON for programs.",
    )(function)


def period_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--start T` and `--end T`: from *start* on, and before *end*; refuse a period that is empty."""

    @functools.wraps(function)
    def checked(*args: Any, start: datetime | None, end: datetime | None, **others: Any) -> Any:
        if start is not None and end is not None and start >= end:
            words = "is after" if start > end else "leaves an empty range before"
            raise click.UsageError(f"--start {rfc3339(start)} {words} --end {rfc3339(end)}.")
        return function(*args, start=start, end=end, **others)

    start = click.option(
        "--start", type=MOMENT, metavar="T", help="From T on: a date, an RFC 3339 time, or an age (7d)."
    )
    end = click.option("--end", type=MOMENT, metavar="T", help="Before T.")
    return start(end(checked))


MOST_ROWS = 1_000_000_000  # a number that both databases take


def limit_option(default: int) -> Decorator:
    """Add `--limit N`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, MOST_ROWS),
        default=default,
        show_default=True,
        metavar="N",
        help="At most N rows.",
    )
