"""Print rows on stdout: a table for people, JSON for programs.

A table that does not fit the terminal is printed as one block of lines for each row.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from collector.text import printable, printable_json
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from collector.store import Renamed, Store


def show(rows: Sequence[Mapping[str, Any]], output: str, *, empty: str = "nothing to show") -> None:
    """Print *rows*, which all have the same keys, as `table` or `json`; an empty table prints *empty* on stderr."""
    if output == "json":
        show_json(list(rows))
    elif rows:
        _table(rows)
    else:
        click.echo(empty, err=True)


def show_json(content: Any) -> None:
    """Print *content* as one JSON document with times as RFC 3339, in ASCII if stdout is not UTF-8."""
    is_utf8 = (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(printable_json(json.dumps(content, default=_plain, indent=2, ensure_ascii=not is_utf8)))


def say(sentence: str) -> None:
    """Print a *sentence* on stderr, without unprintable characters, because it may quote received text."""
    click.echo(printable(sentence), err=True)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:

    terminal = sys.stdout.isatty()  # text for a pipe is not wrapped
    width = shutil.get_terminal_size().columns if terminal else None
    strong = _bold if terminal and os.environ.get("TERM") != "dumb" else str
    click.echo("\n".join(lay_out(rows, cell, width, strong)))


def _bold(text: str) -> str:
    return click.style(text, bold=True)


def cell(value: Any) -> str:
    """Return one value as text for a table."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return rfc3339(value.replace(microsecond=0))
        case float():
            return number(value)
        case int():
            return f"{value:,}"
        case _:
            return printable(str(value))


def number(value: float) -> str:
    """Return a stored value exactly, and a whole number without a decimal point."""
    return str(int(value)) if value.is_integer() else repr(value)


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: `2d 3h`, `15m`, `40s`."""
    if seconds is None:
        return "-"
    rest = int(abs(seconds))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return ("-" if seconds < 0 else "") + " ".join(parts[:2] or ["0s"])


def size(count: int) -> str:
    """Return a number of bytes with its unit: `12 B`, `3.4 KiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - what a KiB is
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


_GAP = "  "
_MIN_WRAPPED_WIDTH = 24  # narrower text is hard to read


def cells_of(text: str) -> int:
    """Return how many cells of a terminal *text* takes: one for each character of ASCII."""
    if text.isascii() and text.isprintable():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


class _Column(NamedTuple):
    title: str
    cells: tuple[str, ...]
    right: bool

    @property
    def width(self) -> int:
        return max(map(cells_of, (self.title, *self.cells)))


def lay_out(
    rows: Sequence[Mapping[str, Any]],
    write: Callable[[Any], str],
    width: int | None,
    strong: Callable[[str], str] = str,
) -> Iterator[str]:
    """Yield the lines of *rows*, which all have the same keys, in *width* cells; None means any width.

    *write* returns the text of a value, *strong* marks titles. Long texts are wrapped if the rows are too wide. If the
    rows are still too wide, they become columns, as many as fit, and the next ones follow below.
    """
    columns = [_column(name, [row[name] for row in rows], write) for name in rows[0]]
    widths = _fitting(columns, width)
    if widths is None:
        yield from _side_by_side(columns, width or 0, strong)
        return
    rights = [column.right for column in columns]
    yield from map(strong, _lines([column.title for column in columns], widths, rights))
    for cells in zip(*(column.cells for column in columns), strict=True):
        yield from _lines(cells, widths, rights)


def _column(name: str, values: Sequence[Any], write: Callable[[Any], str]) -> _Column:
    present = [value for value in values if value is not None]
    right = bool(present) and all(isinstance(value, int | float | Decimal) for value in present)
    return _Column(name.replace("_", " "), tuple(map(write, values)), right)


def _fitting(columns: Sequence[_Column], width: int | None) -> list[int] | None:
    """Return the width of each column, with the widest texts wrapped, or None if the table still does not fit."""
    widths = [column.width for column in columns]
    while width is not None and _total(widths) > width:
        wrappable = [n for n, column in enumerate(columns) if widths[n] > _MIN_WRAPPED_WIDTH and not column.right]
        if not wrappable:
            return None
        widths[max(wrappable, key=widths.__getitem__)] -= 1
    return widths


def _side_by_side(columns: Sequence[_Column], width: int, strong: Callable[[str], str]) -> Iterator[str]:
    margin = max(cells_of(column.title) for column in columns)
    room = max(width - margin - len(_GAP), _MIN_WRAPPED_WIDTH)
    records = list(zip(*(column.cells for column in columns), strict=True))
    widths = [min(max(map(cells_of, record)), room) for record in records]
    for first, last in _groups(widths, room):
        if first:
            yield ""
        for column, cells in zip(columns, zip(*records[first:last], strict=True), strict=True):
            for line in _lines([column.title, *cells], [margin, *widths[first:last]], [False] * (last - first + 1)):
                yield strong(line[:margin]) + line[margin:]


def _groups(widths: Sequence[int], room: int) -> Iterator[tuple[int, int]]:
    """Split *widths* into groups that fit into *room*, each with at least one. Yields (first, last + 1) of each."""
    bounds = [0]
    for end in range(1, len(widths) + 1):
        if end - bounds[-1] > 1 and _total(widths[bounds[-1] : end]) > room:
            bounds.append(end - 1)
    return pairwise([*bounds, len(widths)])


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _lines(cells: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> Iterator[str]:
    """Yield the lines of one row: several if a cell is wrapped."""
    wrapped = [
        textwrap.wrap(cell, width) if cells_of(cell) > width else [cell]
        for cell, width in zip(cells, widths, strict=True)
    ]
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = (_pad(*part) for part in zip(parts, widths, rights, strict=True))
        yield _GAP.join(padded).rstrip()


def _pad(text: str, width: int, right: bool) -> str:  # noqa: FBT001 - one of three columns of values
    blanks = " " * (width - cells_of(text))
    return blanks + text if right else text + blanks


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
    from collector.errors import UsageError, did_you_mean

    rows = await store.list_series()
    known = sorted({row.profile for row in rows if row.profile})
    if profile not in known:
        names = ", ".join(known) or "none"
        if owners := [row.profile for row in rows if row.label == profile and row.profile]:
            raise UsageError(f"{profile!r} is a series of the profile {owners[0]!r}: name the profile")
        raise UsageError(f"the store has no profile {profile!r}{did_you_mean(profile, known)}; it has: {names}")
    for sentence in new_names(profile, await store.renamed([profile])):
        say(sentence)


async def check_series(store: Store, profiles: Sequence[str], labels: Sequence[str]) -> None:
    """Raise UsageError, with the known labels, for a label that no series of *profiles* has or had."""
    from collector.errors import UsageError, known_names
    from collector.store import PointQuery

    chosen = tuple(profiles)
    for label in labels:
        if not await store.selected(PointQuery(profiles=chosen, series=(label,))):
            known = {series.label for series in await store.selected(PointQuery(profiles=chosen))}
            owner = f"the profile {profiles[0]!r}" if len(profiles) == 1 else "the store"
            raise UsageError(f"{owner} has no series {label!r}; it has: {known_names(label, known)}")


def new_names(profile: str, followed: Sequence[Renamed]) -> list[str]:
    """Return the new names of the labels of *profile*, as one sentence if the whole profile was renamed."""
    moved = {renamed.new_profile for renamed in followed}
    if len(moved) == 1:
        [name] = moved
        if all(renamed.new_label == name + renamed.label.removeprefix(profile) for renamed in followed):
            return [f"{profile} is now {name}"]
    return [f"{renamed.label} is now {renamed.new_label}" for renamed in followed]
