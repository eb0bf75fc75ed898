"""The digest of a question, and of its series on a grid that is no longer in force.

A series has buckets of one grid. The digest of one on a former grid has the offset of that grid behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collector.interval import Grid

_SEPARATOR = "@"
_LENGTH = 64


def former(digest: str, grid: Grid) -> str:
    """Give the digest under which the history on a former *grid* is kept."""
    return f"{digest}{_SEPARATOR}{grid.seconds}"


def question(digest: str) -> str:
    """Give the digest of the question, whatever the grid."""
    return digest.partition(_SEPARATOR)[0]


def former_offset(digest: str) -> int | None:
    """Give the offset in seconds of the former grid that a digest names; None for the grid in force."""
    _, _, offset = digest.partition(_SEPARATOR)
    return int(offset) if offset else None


def question_of(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """Select `question` of a column."""
    return sa.func.substr(column, 1, _LENGTH, type_=sa.Text)


def is_former(column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Choose the series on a former grid."""
    found: Any = sa.func.length(column) > _LENGTH
    return found  # type: ignore[no-any-return]
