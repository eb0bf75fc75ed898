"""The options of the words that derive values from points, shared by `export`, `plot`, `stats` and `top`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.analysis.periods import Per
from collector.analysis.words import COMPARISONS, MOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.analysis.words import Words

_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "per": click.option(
        "--per",
        type=click.Choice([per.value for per in Per]),
        help="Sum the values per hour, day, week (from Monday), month, quarter or year, in UTC.",
    ),
    "share": click.option("--share", is_flag=True, default=None, help="Add the share in percent of the profile's sum."),
    "of": click.option("--of", metavar="PROFILE", help="Add the share in percent of PROFILE instead."),
    "within": click.option(
        "--within",
        metavar="FILTER",
        help="Shares and ranks among the series with one value of FILTER, such as ca_owner; with --of, of those there.",
    ),
    "top": click.option(
        "--top",
        type=click.IntRange(1, MOST),
        metavar="N",
        help="Keep the N largest series by their sum over the range, and the rest as one.",
    ),
    "rank": click.option("--rank", is_flag=True, default=None, help="Add the rank in the profile; 1 is the largest."),
    "compare": click.option(
        "--compare",
        metavar="WHAT",
        help=f"Add the value of another time: {', '.join(COMPARISONS)} (the mean of the same time in the four weeks"
        " before), or the date at which that time begins.",
    ),
    "growth": click.option(
        "--growth", is_flag=True, default=None, help="Add the change against it in percent. Default: against previous."
    ),
    "cumulative": click.option(
        "--cumulative", is_flag=True, default=None, help="Add the sum since the start of the range."
    ),
    "mean": click.option(
        "--mean", type=click.IntRange(1, MOST), metavar="N", help="Add the mean of the last N periods or buckets."
    ),
}


def words_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of these words, or of all."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names or tuple(_OPTIONS)):
            function = _OPTIONS[name](function)
        return function

    return add


def read_words(values: dict[str, Any]) -> Words:
    """Return the words of the options *values*. Raises UsageError for an invalid one."""
    from collector.analysis.words import make_words
    from collector.timestamps import utc_now

    return make_words(values, utc_now())
