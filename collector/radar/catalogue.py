"""Reads the answers about the catalogue: a page of a list, and the details of one entry.

Nothing in them is trusted: an entry without a usable slug, or that is too large, is left out, and an answer without any
entry that can be read is rejected. Unknown keys stay, and an unknown word is text like any other.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from collector.datasets.catalogue import CatalogueEntry, EntryDetails
from collector.radar.classify import classify_response, quote
from collector.radar.errors import ANSWERED, Misdirected, NotFound, Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.datasets.catalogue import CatalogueList
    from collector.radar.client import RadarResponse

MAX_BODY_BYTES = 16_777_216
_MAX_ENTRY_CHARACTERS = 65_536
_MAX_SLUG_LENGTH = 100
_NO_SUCH_OBJECT = 7003


class ListPage(NamedTuple):
    """The entries of one page, the number of its *rows*, and how many of these could not be read."""

    entries: tuple[CatalogueEntry, ...]
    rows: int
    unreadable: int


def read_page(response: RadarResponse, known: CatalogueList) -> ListPage:
    """Return a page of a list. Raises the RadarError that the response stands for if it is none."""
    rows = _result(response).get(known.rows_key)
    if not isinstance(rows, list):
        raise Untrusted(f"there is no list {known.rows_key} in the result", status=response.status)
    entries: dict[str, CatalogueEntry] = {}
    unreadable = 0
    for row in rows:
        slug, text = _slug(row, known), _canonical(row)
        if slug is None or text is None:
            unreadable += 1
        else:
            entries.setdefault(slug, CatalogueEntry(slug, text))
    if unreadable and not entries:
        raise Untrusted(f"none of {unreadable} entries of {known.rows_key} can be read", status=response.status)
    return ListPage(tuple(entries.values()), len(rows), unreadable)


def read_details(response: RadarResponse, known: CatalogueList, slug: str) -> EntryDetails:
    """Return the details of one entry. Raises NotFound if Radar does not know it, else as `read_page`."""
    if _is_unknown(response):
        raise NotFound(f"Radar has no {known.noun} {slug}", status=response.status)
    row = _result(response).get(known.row_key)
    if _slug(row, known) != slug:
        raise Untrusted(f"the details are of {quote(_slug(row, known))}, not of {slug}", status=response.status)
    assert isinstance(row, dict), "it has a slug"
    measures = {key: value for key, value in row.items() if key in known.measure_keys}
    content = _canonical({key: value for key, value in row.items() if key not in measures})
    if content is None:
        raise Untrusted(f"the details of {slug} cannot be kept", status=response.status)
    return EntryDetails(slug, content, _canonical(measures) if measures else None)


def _result(response: RadarResponse) -> Mapping[str, Any]:
    if response.trouble:
        raise response.trouble
    body = response.body
    if response.status not in ANSWERED or body is None or body.lstrip().startswith(b"<"):
        _reject(response)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable("the body is not JSON", status=response.status) from None
    if not isinstance(document, dict) or document.get("success") is False:
        _reject(response)
    result = document.get("result")
    if not isinstance(result, dict):
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


def _canonical(row: object) -> str | None:
    """Return a row as JSON that is equal for equal rows; None for one that cannot be kept."""
    try:
        text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return text if len(text) <= _MAX_ENTRY_CHARACTERS else None
