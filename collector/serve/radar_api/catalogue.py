"""The routes `ct/authorities` and `ct/logs` of `/client/v4`, answered from the catalogue.

What was not collected is refused with the reason. `as_of` is an extension, as in the time series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.contract.catalogue import NOT_FOUND, entry_reply, list_reply, parse_format, parse_page
from collector.contract.request_parser import decode_query
from collector.contract.response import ApiError, ErrorCode, bad_request
from collector.report.catalogue import absence
from collector.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.contract.response import HttpReply
    from collector.datasets.catalogue import CatalogueList
    from collector.store import KnownEntry, ReadView, Store

_AS_OF = ("as_of", "asOf")
_NOT_COLLECTED = ErrorCode(404, 7003)


async def answer_list(store: Store, known: CatalogueList, raw_query: str, now: datetime) -> HttpReply:
    """Return a page of a list, in the order in which slugs sort. Raises ApiError if it cannot be answered."""
    pairs = decode_query(raw_query)
    page, as_of = parse_page(pairs), _as_of(pairs, now)

    def read(view: ReadView) -> HttpReply:
        entries = [entry for entry in view.catalogue_entries(known.name, as_of) if entry.gone_at is None]
        if not entries and (why := absence(view, known, as_of)):
            raise ApiError(_NOT_COLLECTED, why)
        return list_reply(known, [entry.item for entry in entries], page)

    return await store.with_read_view(read)


async def answer_entry(store: Store, known: CatalogueList, slug: str, raw_query: str, now: datetime) -> HttpReply:
    """Return an entry with its details. Raises ApiError if it cannot be answered."""
    pairs = decode_query(raw_query)
    format_, as_of = parse_format(pairs), _as_of(pairs, now)

    def read(view: ReadView) -> HttpReply:
        if why := absence(view, known, as_of):
            raise ApiError(_NOT_COLLECTED, why)
        entries = view.catalogue_entries(known.name, as_of, slug)
        if not entries or entries[0].gone_at is not None:
            return NOT_FOUND
        return entry_reply(known, _whole(known, entries[0]), format_)

    return await store.with_read_view(read)


def _whole(known: CatalogueList, entry: KnownEntry) -> dict[str, Any]:
    """Return all that is known of an entry; what the list says is newer than the details."""
    if entry.details is None:
        raise ApiError(
            _NOT_COLLECTED,
            f"the details of the {known.noun} {entry.slug} have not been collected yet; "
            f"`collector {known.name} --refresh {entry.slug}` reads them now",
        )
    return {**entry.details, **(entry.measures or {}), **entry.item}


def _as_of(pairs: Sequence[tuple[str, str]], now: datetime) -> datetime | None:
    texts = [text for name, text in pairs if name in _AS_OF]
    if not texts:
        return None
    try:
        moment = parse_time(texts[-1], now)
    except ValueError as error:
        raise bad_request(f"as_of: {error}") from None
    if moment > now:
        raise bad_request("as_of: must not lie in the future")
    return moment
