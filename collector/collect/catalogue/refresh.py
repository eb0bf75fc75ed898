"""Brings one list of the catalogue, or the details of one entry, up to date."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.collect.catalogue import walk as walks
from collector.collect.catalogue.request import fetch_path
from collector.model import PathRequest
from collector.radar.catalogue import read_details, read_page
from collector.radar.errors import NotFound, Refused
from collector.store import CatalogueChanges, load_record, record_key

if TYPE_CHECKING:
    from collector.collect.batches.fetcher import Fetcher
    from collector.collect.catalogue.walk import Walk
    from collector.datasets.catalogue import CatalogueList

_MAX_WALKS = 2
_PAGES_AT_ONCE = 3
_PAUSE_SECONDS = 0.5
"""Between the pages of a list that has many."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of one reading of a list: the number of its *entries* and *pages*, its *changes*, a *note* or None.

    If it *is_doubted*, so many entries were absent that the next reading must confirm it.
    """

    entries: int
    changes: CatalogueChanges
    pages: int
    note: str | None = None
    is_doubted: bool = False


async def refresh_list(fetcher: Fetcher, known: CatalogueList) -> Refreshed:
    """Read a list to its end and save it. It is read once more if it changes meanwhile.

    Raises a RadarError if a page cannot be read; then nothing is saved.
    """
    store = fetcher.store
    record = load_record(await store.get_state(record_key(known.name)))
    listed = [entry.slug for entry in await store.catalogue_entries(known.name) if entry.gone_at is None]
    pages = 0
    for _ in range(_MAX_WALKS):
        walk = await _walk(fetcher, known, walks.begin(record, fetcher.clock()), listed)
        pages += walk.pages
        if not walk.has_shifted:
            break
    now = fetcher.clock()
    new_record, is_whole = walks.record_after(walk, record, listed, now)
    entries = [*walk.entries.values()]
    changes = await store.save_list(known.name, entries, now, new_record, is_whole=is_whole)
    is_doubted = new_record.doubted_at is not None
    return Refreshed(len(entries), changes, pages, new_record.note, is_doubted)


async def _walk(fetcher: Fetcher, known: CatalogueList, walk: Walk, listed: list[str]) -> Walk:
    while walk.end is None:
        if walk.pages >= _PAGES_AT_ONCE:
            await fetcher.pause(_PAUSE_SECONDS)
        query = f"limit={walk.limit}&offset={walk.offset}&format=JSON"
        request = PathRequest(path=known.url_path, query=query)
        try:
            page = await fetch_path(fetcher, request, partial(read_page, known=known, is_first=not walk.pages))
        except Refused:
            smaller = walks.with_smaller_page(walk)
            if smaller is None:
                raise
            walk = smaller
            continue
        walk = walks.after_page(walk, page)
        if walk.end is not None:
            walk = walks.reopened(walk, listed)
            listed = []  # because once is enough
    return walk


async def refresh_entry(fetcher: Fetcher, known: CatalogueList, slug: str) -> bool:
    """Request the details of one entry and save them. Returns False if Radar does not know it.

    Raises a RadarError if there is no answer.
    """
    request = PathRequest(path=f"{known.url_path}/{quote(slug, safe='')}", query="format=JSON")
    try:
        details = await fetch_path(fetcher, request, partial(read_details, known=known, slug=slug))
    except NotFound:
        await fetcher.store.save_absence(known.name, slug, fetcher.clock())
        return False
    await fetcher.store.save_details(known.name, details, fetcher.clock())
    return True
