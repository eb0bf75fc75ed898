"""The server side of `ct/authorities` and `ct/logs`: their parameters and answers, and the error for an unknown slug.

The published contract does not say what their CSV looks like. Here it has a column for each key, and JSON in the cell
of a value that is no text and no number.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collector.contract.request_parser import FORMATS
from collector.contract.response import HttpReply, bad_request, quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.datasets.catalogue import CatalogueList, Item

DEFAULT_LIMIT = 5
NOT_FOUND = HttpReply(404, b'{"error":"Not Found."}')
"""What the contract has for an unknown slug: no envelope."""
_CSV_TYPE = "text/csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MAX_NUMBER = 10**18 - 1


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The parameters of a list: at most *limit* entries behind the first *offset*, as `JSON` or `CSV`."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0
    format: str = "JSON"


def parse_page(pairs: Sequence[tuple[str, str]]) -> PageRequest:
    """Return the parameters of a list; unknown ones are ignored. Raises ApiError for a bad value."""
    limit = _number(pairs, "limit", DEFAULT_LIMIT, least=1)
    return PageRequest(limit, _number(pairs, "offset", 0, least=0), parse_format(pairs))


def parse_format(pairs: Sequence[tuple[str, str]]) -> str:
    """Return `JSON` or `CSV`. Raises ApiError for another format."""
    text = _last(pairs, "format") or FORMATS[0]
    if text.upper() not in FORMATS:
        raise bad_request(f"format: expected one of {', '.join(FORMATS)}, received {quote(text)}")
    return text.upper()


def _number(pairs: Sequence[tuple[str, str]], name: str, default: int, *, least: int) -> int:
    text = _last(pairs, name)
    if text is None:
        return default
    is_short = text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_NUMBER))
    if not is_short or int(text) < least:
        raise bad_request(f"{name}: expected an integer from {least} to {_MAX_NUMBER}, received {quote(text)}")
    return int(text)


def _last(pairs: Sequence[tuple[str, str]], name: str) -> str | None:
    return next((text for key, text in reversed(pairs) if key == name), None)


def list_reply(known: CatalogueList, items: Sequence[Item], page: PageRequest) -> HttpReply:
    """Return one page of the whole list *items*."""
    rows = items[page.offset : page.offset + page.limit]
    return csv_reply(rows) if page.format == "CSV" else json_reply({known.rows_key: list(rows)})


def entry_reply(known: CatalogueList, item: Item, format_: str) -> HttpReply:
    """Return one entry with its details."""
    return csv_reply([item]) if format_ == "CSV" else json_reply({known.row_key: item})


def json_reply(result: Mapping[str, Any]) -> HttpReply:
    """Return *result* in the envelope."""
    return HttpReply(body=json.dumps({"success": True, "errors": [], "result": result}, ensure_ascii=False).encode())


def csv_reply(items: Sequence[Item]) -> HttpReply:
    """Return *items* as CSV, without any text that a spreadsheet takes for a formula."""
    columns = list(dict.fromkeys(key for item in items for key in item))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([_cell(item.get(name)) for name in columns] for item in items)
    return HttpReply(body=text.getvalue().encode(), content_type=_CSV_TYPE)


def _cell(value: object) -> object:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float():
            return value
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
