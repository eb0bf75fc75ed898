"""Rows as text: a table if it fits the terminal, otherwise each row as a column next to the titles."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_GAP = "  "
_MIN_WRAPPED_WIDTH = 24  # narrower text is hard to read


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cells: tuple[str, ...]
    right: bool

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.title, *self.cells)))


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
    known = [value for value in values if value is not None]
    right = bool(known) and all(isinstance(value, int | float | Decimal) for value in known)
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
    margin = max(cell_len(column.title) for column in columns)
    room = max(width - margin - len(_GAP), _MIN_WRAPPED_WIDTH)
    records = list(zip(*(column.cells for column in columns), strict=True))
    widths = [min(max(map(cell_len, record)), room) for record in records]
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
        textwrap.wrap(cell, width) if cell_len(cell) > width else [cell]
        for cell, width in zip(cells, widths, strict=True)
    ]
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = (_pad(*part) for part in zip(parts, widths, rights, strict=True))
        yield _GAP.join(padded).rstrip()


def _pad(text: str, width: int, right: bool) -> str:  # noqa: FBT001 - one of three columns of values
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks
