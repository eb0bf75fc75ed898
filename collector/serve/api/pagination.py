"""Pages of a list. The cursor of the next page is opaque to clients."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from collector.serve.api.parameters import RequestRejected
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.serve.api.parameters import QueryParameters

MAX_ROWS = 1_000
_MAX_OFFSET = 2**53


def write_cursor(*position: str | int) -> str:
    """Return a position in a list as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str, *types: type) -> list[Any]:
    """Return the position of a cursor. Raises RequestRejected unless its parts are of *types*."""
    try:
        position = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise RequestRejected("after: not a cursor of this server") from None
    fits = isinstance(position, list) and [type(part) for part in position] == list(types)
    if not fits or any(isinstance(part, int) and not 0 <= part < _MAX_OFFSET for part in position):
        raise RequestRejected("after: not a cursor of this server")
    return list(position)


def read_offset(parameters: QueryParameters) -> int:
    """Return the number of rows of all pages before."""
    after = parameters.first("after")
    return int(read_cursor(after, int)[0]) if after is not None else 0


def page(name: str, rows: Sequence[Any], following: str | None) -> dict[str, Any]:
    """Return a page: its rows under *name*, and the cursor of the `next` page."""
    return {name: rows, "next": following}


def page_of(name: str, rows: Sequence[Any], parameters: QueryParameters) -> dict[str, Any]:
    """Return the requested page of a complete list."""
    offset, limit = read_offset(parameters), parameters.number("limit", MAX_ROWS, 100)
    part = rows[offset : offset + limit]
    return page(name, part, write_cursor(offset + limit) if offset + limit < len(rows) else None)


def to_json(value: Any) -> Any:
    """Return an aware time as RFC 3339, with its microseconds, for json.dumps."""
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def number(value: float) -> int | float:
    """Return a whole value as an integer, so that JSON has no decimal point."""
    return int(value) if value.is_integer() else value
