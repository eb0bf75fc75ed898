"""Results of the Python interface: light tables that other libraries can take over."""

from __future__ import annotations

import sys
from html import escape
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SHOWN = 20


class Table:
    """Rows with named columns. Iteration yields tuples; `table["name"]` is a column.

    *notes* are sentences about the content, such as what a share is of. Times are aware datetimes in UTC; an absent
    value is None.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], notes: Sequence[str] = ()) -> None:
        self._columns = dict(columns)
        self.notes = tuple(notes)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """All rows as tuples."""
        return list(self)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self._columns.values(), strict=True)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __getitem__(self, name: str) -> list[Any]:
        try:
            return list(self._columns[name])
        except KeyError:
            raise KeyError(f"{name!r}; the columns are {', '.join(self._columns)}") from None

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each row as a dict."""
        return [dict(zip(self._columns, row, strict=True)) for row in self]

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame. Raises UsageError if pandas is not installed."""
        return _library("pandas").DataFrame(self._columns)

    def to_arrow(self) -> Any:
        """Return a pyarrow.Table. Raises UsageError if pyarrow is not installed."""
        return _library("pyarrow").table(self._columns)

    def to_polars(self) -> Any:
        """Return a polars.DataFrame. Raises UsageError if polars is not installed."""
        return _library("polars").DataFrame(self._columns, strict=False)

    def __repr__(self) -> str:
        rows = [self.columns, *([_text(cell) for cell in row] for row in islice(self, _SHOWN))]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, self._summary])

    def _repr_html_(self) -> str:
        """Return the first rows for a notebook."""
        head = "".join(f"<th>{escape(name)}</th>" for name in self._columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(_text(cell))}</td>' for cell in row)}</tr>" for row in islice(self, _SHOWN)
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in (*self.notes, self._summary))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    @property
    def _summary(self) -> str:
        shown = min(len(self), _SHOWN)
        return f"[{len(self)} rows]" if shown == len(self) else f"[{shown} of {len(self)} rows]"


def _text(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _library(name: str) -> Any:
    if find_spec(name) is None:
        raise UsageError(f"{name} is not installed; install it: {sys.executable} -m pip install {name}")
    return import_module(name)
