"""Commands that answer about a range: `stats`, `top` and `cite`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collector.analysis.words import MOST
from collector.cli.bootstrap import TIME, config_option, period_options, series_option
from collector.cli.words import words_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from collector.analysis.words import Words
    from collector.report.analysis.cite import Citation
    from collector.settings import Settings
    from collector.store import PointQuery, ReadView

    Rows = list[dict[str, Any]]

_as_of_option = click.option(
    "--as-of", type=TIME, metavar="T", help="Use the values that were known at T. Default: now."
)
_format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Print a table, or JSON or CSV for programs.",
)


@click.command("stats")
@click.argument("profile")
@series_option
@period_options
@words_options("per", "of", "within")
@_as_of_option
@_format_option
@config_option
def stats_command(
    profile: str,
    series: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    output: str,
    config: str | None,
    **values: Any,
) -> None:
    """Print figures about each series of PROFILE over a range. Default range: all that is stored of the profile.

    `total` is the sum of the known buckets, `known` of `expected` ones. `mean` to `newest` are of buckets, or of whole
    periods with --per. `growth previous` is the change in percent against the range of the same length before,
    `growth year` against the same dates a year before. `share` is in percent. `young` buckets may still be revised.
    `reason` says why a figure is absent: it is refused rather than estimated if buckets are missing.

    \b
    Example: collector stats by-owner --start 2026-01-01 --end 2026-02-01
    """
    from collector.report.analysis.stats import COLUMNS, answer_stats
    from collector.store import PointQuery

    chosen = PointQuery(profiles=(profile,), series=series, start=start, end=end, as_of=as_of)
    _answer(config, chosen, values, (answer_stats, COLUMNS, output))


@click.command("top")
@click.argument("profile")
@period_options
@click.option(
    "-n",
    "--top",
    "top",
    type=click.IntRange(1, MOST),
    default=10,
    show_default=True,
    metavar="N",
    help="Show N series.",
)
@words_options("of", "within", "compare", "growth")
@_as_of_option
@_format_option
@config_option
def top_command(
    profile: str,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    output: str,
    config: str | None,
    **values: Any,
) -> None:
    """Print the largest series of PROFILE by their sum over a range, with rank and share, and the rest as one row.

    With --compare also the sum, share and rank of another range of the same length, and the growth against it. With
    --growth, the series that grew most in percent come first. Where a group of a dimension is unknown in some buckets,
    `at most` is the most that its total may be.

    \b
    Example: collector top by-owner --start 2026-01-01 --end 2026-02-01 --compare 52w
    Example: collector top by-owner -n 3 --start 2026-01-01 --end 2026-04-01 --growth
    """
    from collector.cli.words import read_words
    from collector.report.analysis.top import answer_top, top_columns
    from collector.store import PointQuery

    columns = top_columns(read_words(values))
    chosen = PointQuery(profiles=(profile,), start=start, end=end, as_of=as_of)
    _answer(config, chosen, values, (answer_top, columns, output))


def _answer(
    config: str | None,
    chosen: PointQuery,
    values: dict[str, Any],
    how: tuple[Callable[[ReadView, PointQuery, Words], Rows], Sequence[str], str],
) -> None:
    """Print the rows that an answer about *chosen* has; *how* has its function, its columns and the format."""
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import say, show
    from collector.cli.words import read_words
    from collector.report.analysis.counted import figure_notes
    from collector.report.analysis.output import plain_rows
    from collector.report.export import LICENCE

    answer, columns, output = how
    words, settings = read_words(values), load_settings(config, required=False)

    def work(view: ReadView) -> tuple[Rows, list[str]]:
        found = answer(view, chosen, words)
        return found, figure_notes(view, chosen, found)

    rows, notes = asyncio.run(_read(settings, chosen, work))
    rows = [{name: row[name] for name in columns} for row in rows]
    if output == "csv":
        _show_csv(rows, columns)
    else:
        show(_short(rows) if output == "table" else plain_rows(rows), output)
    for note in notes:
        say(note)
    click.echo(LICENCE, err=True)


async def _read(
    settings: Settings, chosen: PointQuery, work: Callable[[ReadView], tuple[Rows, list[str]]]
) -> tuple[Rows, list[str]]:
    from collector.cli.output import check_profile, check_series
    from collector.store import Store

    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        for profile in chosen.profiles:
            await check_profile(store, profile)
        await check_series(store, chosen.profiles, chosen.series)
        return await store.with_read_view(work)


def _show_csv(rows: Rows, columns: Sequence[str]) -> None:
    from collector.report.analysis.output import rows_as_csv

    click.echo("".join(rows_as_csv(rows, columns)), nl=False)


_ALIKE = ("profile", "unit", "start", "end", "compared_start", "compared_end", "asked_at", "reason", "rest")


def _short(rows: Rows) -> Rows:
    """Return the rows of a table: rounded, without empty columns. What is alike in all rows is one line on stderr."""
    from collector.cli.output import say

    if not rows:
        return rows
    kept = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    if all(row.get("at_most") in {None, row.get("total")} for row in rows):
        kept = [name for name in kept if name != "at_most"]
    alike = [name for name in kept if name in _ALIKE and len({row[name] for row in rows}) == 1]
    if len(rows) > 1:
        kept = [name for name in kept if name not in alike]
        say("; ".join(f"{name.replace('_', ' ')} {_cell(rows[0][name])}" for name in alike))
    return [{name: _rounded(row[name]) for name in kept} for row in rows]


def _cell(value: Any) -> str:
    from collector.cli.output import cell

    return cell(value)


def _rounded(value: Any) -> Any:
    """Return a number with at most two decimals; JSON and CSV have all of them."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 2)
    return value


@click.command("cite")
@click.argument("series", metavar="SERIES")
@period_options
@_as_of_option
@click.option(
    "--base-url",
    metavar="URL",
    default="",
    envvar="COLLECTOR_BASE_URL",
    help="Begin the permalink with this public address of the server. Default: the link is relative.",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "bibtex", "json"]),
    default="text",
    show_default=True,
    help="Print a sentence, an entry of BibTeX, or JSON.",
)
@config_option
def cite_command(
    series: str,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    base_url: str,
    output: str,
    config: str | None,
) -> None:
    """Print the sum of SERIES over a range in a form to cite, with its dates, the licence and a permalink.

    SERIES is a label as in `collector series`. The value is the one known at --as-of. The permalink returns it again.

    \b
    Example: collector cite all --start 2026-01-01 --end 2026-02-01 --format bibtex
    """
    import asyncio

    from collector.cli.bootstrap import load_settings
    from collector.cli.output import say, show_json
    from collector.text import printable

    citation = asyncio.run(_cite(load_settings(config, required=False), series, (start, end, as_of), base_url))
    if output == "json":
        show_json(citation.document)
    else:
        click.echo(printable(citation.bibtex if output == "bibtex" else citation.sentence, keep="\n"))
    if citation.known < citation.expected:
        say(f"{citation.expected - citation.known} of {citation.expected} buckets of the range are not known")


async def _cite(
    settings: Settings, series: str, times: tuple[datetime | None, datetime | None, datetime | None], address: str
) -> Citation:
    from collector.report.analysis.cite import cite
    from collector.store import PointQuery, Store

    start, end, as_of = times
    async with Store.open(settings.database.url.reveal(), owner=None) as store:
        moment = as_of or store.clock()
        chosen = PointQuery(series=(series,), start=start, end=end)
        return await store.with_read_view(lambda view: cite(view, chosen, moment, address))
