"""Reads the answers about the catalogue: a page of a list, and the details of one entry.

Nothing in them is trusted: an entry without a usable slug, or that is too large, is left out, and an answer without any
entry that can be read is rejected. Unknown keys stay, and an unknown word is text like any other. A known key may be
spelt in another case or with other punctuation; a list or object of entries may have another key if it is the only one.
"""

from __future__ import annotations

import hashlib
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from collector.datasets.catalogue import CatalogueEntry, EntryDetails
from collector.radar.classify import classify_response, quote
from collector.radar.errors import ANSWERED, Misdirected, NotFound, Unavailable, Untrusted
from collector.radar.response_layout import sole_object
from collector.radar.response_points import folded, member

if TYPE_CHECKING:
    from collector.datasets.catalogue import CatalogueList
    from collector.radar.client import RadarResponse

MAX_BODY_BYTES = 16_777_216
_MAX_ENTRY_CHARACTERS = 65_536
_MAX_SLUG_LENGTH = 100
_NO_SUCH_OBJECT = 7003
_NO_SUCCESS = frozenset({"false", "0"})


class ListPage(NamedTuple):
    """The entries of one page, and the *keys* of its rows: the slug, or a digest of a row that cannot be read."""

    entries: tuple[CatalogueEntry, ...]
    keys: tuple[str, ...]

    @property
    def unreadable(self) -> set[str]:
        """The keys of the rows that cannot be read."""
        return {*self.keys} - {entry.slug for entry in self.entries}


def read_page(response: RadarResponse, known: CatalogueList, *, is_first: bool = True) -> ListPage:
    """Return a page of a list. Raises the RadarError that the response stands for if it is none.

    Of the first page one entry must be readable.
    """
    rows = _rows(_result(response), known)
    if rows is None:
        raise Untrusted(f"there is no list {known.rows_key} in the result", status=response.status)
    entries: dict[str, CatalogueEntry] = {}
    keys = []
    for content in rows:
        row = _with_known_keys(content, known)
        slug, text = _slug(row, known), _canonical(row)
        if slug is None or text is None:
            keys.append(_digest(content))
        else:
            keys.append(slug)
            entries.setdefault(slug, CatalogueEntry(slug, text))
    if keys and not entries and is_first:
        raise Untrusted(f"none of {len(keys)} entries of {known.rows_key} can be read", status=response.status)
    return ListPage(tuple(entries.values()), tuple(keys))


def read_details(response: RadarResponse, known: CatalogueList, slug: str) -> EntryDetails:
    """Return the details of one entry. Raises NotFound if Radar does not know it, else as `read_page`."""
    if _is_unknown(response):
        raise NotFound(f"Radar has no {known.noun} {slug}", status=response.status)
    row = _with_known_keys(_row(_result(response), known), known)
    if (_slug(row, known) or "").casefold() != slug.casefold():
        raise Untrusted(f"the details are of {quote(_slug(row, known))}, not of {slug}", status=response.status)
    assert isinstance(row, dict), "it has a slug"
    measures = {key: value for key, value in row.items() if key in known.measure_keys}
    content = _canonical({key: value for key, value in row.items() if key not in measures})
    if content is None:
        raise Untrusted(f"the details of {slug} cannot be kept", status=response.status)
    return EntryDetails(slug, content, _canonical(measures) if measures else None)


def _rows(result: Any, known: CatalogueList) -> list[Any] | None:
    """Return the list of entries: at its key, or the only list of objects."""
    if isinstance(result, list):
        return result
    rows = member(result, known.rows_key)
    lists = [rows] if isinstance(rows, list) else [content for content in result.values() if _has_objects(content)]
    return lists[0] if len(lists) == 1 else None


def _has_objects(content: Any) -> bool:
    return isinstance(content, list) and any(isinstance(row, dict) for row in content)


def _row(result: Any, known: CatalogueList) -> Any:
    """Return the entry of an answer with details: at its key, the result itself, or its only object."""
    if not isinstance(result, dict):
        return sole_object(result)
    row = member(result, known.row_key)
    if row is None and member(result, known.slug_key) is not None:
        return result
    objects = [content for content in result.values() if isinstance(content, dict)]
    return objects[0] if row is None and len(objects) == 1 else row


def _with_known_keys(row: Any, known: CatalogueList) -> Any:
    """Return *row* with its known keys in the API's spelling."""
    if not isinstance(row, dict) or known.slug_key in row:
        return row
    spelling = {folded(key): key for key in known.keys}
    named = {spelling.get(folded(key), key): content for key, content in row.items()}
    return named if len(named) == len(row) else row


def _result(response: RadarResponse) -> dict[str, Any] | list[Any]:
    if response.trouble:
        raise response.trouble
    body = response.body
    if response.status not in ANSWERED or body is None or body.lstrip().startswith(b"<"):
        _reject(response)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable("the body is not JSON", status=response.status) from None
    if not isinstance(document, dict) or str(document.get("success")).lower() in _NO_SUCCESS:
        _reject(response)
    result = document.get("result")
    if not isinstance(result, dict | list):
        raise Untrusted("there is no result", status=response.status)
    return result


def _reject(response: RadarResponse) -> NoReturn:
    raise classify_response(response.status, response.headers, response.body, response.received_at)


def _is_unknown(response: RadarResponse) -> bool:
    """Return whether Radar says that it has no such object: 404 without an envelope, or its code for that."""
    if response.status != HTTPStatus.NOT_FOUND or response.body is None or not response.body.lstrip().startswith(b"{"):
        return False
    error = classify_response(response.status, response.headers, response.body, response.received_at)
    return isinstance(error, Misdirected) and error.code in (None, _NO_SUCH_OBJECT)


def _slug(row: object, known: CatalogueList) -> str | None:
    slug = row.get(known.slug_key) if isinstance(row, dict) else None
    is_usable = isinstance(slug, str) and slug.strip() == slug and slug.isprintable()
    return slug if is_usable and slug and len(slug) <= _MAX_SLUG_LENGTH else None


def _digest(row: object) -> str:
    """Return a text that is equal for equal rows, and no slug."""
    return "\0" + hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _canonical(row: object) -> str | None:
    """Return a row as JSON that is equal for equal rows; None for one that cannot be kept."""
    try:
        text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return text if len(text) <= _MAX_ENTRY_CHARACTERS else None
