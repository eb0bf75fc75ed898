"""Print rows on stdout, as a table for people or as JSON for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from collector.model import rfc3339
from collector.text import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
    from collector.cli.table import lay_out

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
