"""Pages of a list: a cursor says where the next one begins, and means nothing to the caller."""

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


def write_cursor(*place: str | int) -> str:
    """Write a place down."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str, *types: type) -> list[Any]:
    """Read a place of these types; Refused for what is none."""
    try:
        place = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise RequestRejected("after: not a cursor that was given here") from None
    fits = isinstance(place, list) and [type(part) for part in place] == list(types)
    if not fits or any(isinstance(part, int) and not 0 <= part < _MAX_OFFSET for part in place):
        raise RequestRejected("after: not a cursor that was given here")
    return list(place)


def read_offset(parameters: QueryParameters) -> int:
    """How many rows the pages before have given."""
    after = parameters.first("after")
    return int(read_cursor(after, int)[0]) if after is not None else 0


def page(name: str, rows: Sequence[Any], following: str | None) -> dict[str, Any]:
    """Write a page: its rows under *name*, and the cursor of the `next` one."""
    return {name: rows, "next": following}


def page_of(name: str, rows: Sequence[Any], parameters: QueryParameters) -> dict[str, Any]:
    """Give the page that is asked of a list that is all there."""
    offset, limit = read_offset(parameters), parameters.number("limit", MAX_ROWS, 100)
    part = rows[offset : offset + limit]
    return page(name, part, write_cursor(offset + limit) if offset + limit < len(rows) else None)


def to_json(value: Any) -> Any:
    """Write a moment for JSON, to the microsecond as it is."""
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def number(value: float) -> int | float:
    """Write a value without a point where it is whole."""
    return int(value) if value.is_integer() else value
