"""Reads a list page by page: which page is requested next, and what the pages read so far are worth. Pure.

Each page begins with the last entry of the page before. If it does not, the list has changed meanwhile: entries may be
missing, so the reading is not whole. A page is the last one if it is shorter than a full page, or has nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.store import ListRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from collector.datasets.catalogue import CatalogueEntry
    from collector.radar.catalogue import ListPage

LIMITS = (1000, 500, 100, 50, 20, 10, 5)
"""How many entries are requested at once: the first, or after a rejection the next one."""
MAX_PAGES = 150
"""A list that has more pages is read on the next day from where the reading has stopped."""
_RELEARN_AFTER = timedelta(days=30)
_FEW = 3
_SMALL_PART = 0.2


@dataclass(frozen=True, slots=True)
class Walk:
    """A reading of a list: *entries* by slug, and the *offset* of the next page of at most *limit* entries.

    *full* is the size of a full page, None if unknown. *last* are the keys of the last page, *unreadable* those of the
    rows that cannot be read. *end* is why no other page is requested: `end`, or else why the reading is not whole; None
    as long as it goes on. It *is_confirmed* if a page behind the last entry has been requested.
    """

    limit: int
    full: int | None = None
    offset: int = 0
    started_at: int = 0
    pages: int = 0
    entries: Mapping[str, CatalogueEntry] = field(default_factory=dict)
    last: tuple[str, ...] = ()
    has_shifted: bool = False
    unreadable: frozenset[str] = frozenset()
    is_confirmed: bool = False
    end: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the entries are the whole list."""
        return self.end == "end" and not (self.has_shifted or self.unreadable or self.started_at)


def begin(record: ListRecord, now: datetime) -> Walk:
    """Return a reading that uses what the record of the last one says."""
    is_known = record.limit is not None and record.learned_at is not None
    if is_known and record.learned_at and timedelta(0) <= now - record.learned_at < _RELEARN_AFTER:
        limit = record.limit or LIMITS[0]
        return Walk(limit, limit if record.is_full else None, record.offset, record.offset)
    return Walk(LIMITS[0], offset=record.offset, started_at=record.offset)


def with_smaller_page(walk: Walk) -> Walk | None:
    """Return the reading with the next smaller page, because Radar rejects this one; None if there is none."""
    smaller = next((limit for limit in LIMITS if limit < walk.limit), None)
    return None if smaller is None else replace(walk, limit=smaller, full=None)


def after_page(walk: Walk, page: ListPage) -> Walk:
    """Return the reading after one more page."""
    rows = len(page.keys)
    has_new = not walk.entries.keys() | walk.unreadable >= {*page.keys}
    follows = not walk.last or (page.keys[:1] == walk.last[-1:])
    walk = replace(
        walk,
        pages=walk.pages + 1,
        entries={**{entry.slug: entry for entry in page.entries}, **walk.entries},
        has_shifted=walk.has_shifted or not follows,
        unreadable=walk.unreadable | page.unreadable,
    )
    if not has_new:
        is_end = rows <= 1 or not walk.last
        end = "end" if is_end else "each page is the same, whatever the offset is"
        return replace(walk, end=end, is_confirmed=True)
    full = walk.full
    if full is None and walk.last:
        full = max(rows, len(walk.last))  # the page before was not the last one, so it was full
    full = walk.limit if rows >= walk.limit else full
    overlap = 1 if rows > 1 else 0
    walk = replace(walk, full=full, offset=walk.offset + rows - overlap, last=page.keys if overlap else ())
    if full is not None and rows < full:
        return replace(walk, end="end")
    if walk.pages >= MAX_PAGES:
        return replace(walk, end=f"it has more than {MAX_PAGES} pages; the rest is read next time")
    return walk


def reopened(walk: Walk, listed: Collection[str]) -> Walk:
    """Return the reading that goes on behind its end if it lacks a *listed* entry: the page may have been cut short."""
    if walk.end != "end" or walk.is_confirmed or walk.entries.keys() >= set(listed):
        return walk
    return replace(walk, end=None, full=None)


def record_after(walk: Walk, record: ListRecord, listed: Collection[str], now: datetime) -> tuple[ListRecord, bool]:
    """Return the record after a reading, and whether the entries that it lacks are gone.

    If it lacks many of the *listed* entries, the next reading must lack them, too.
    """
    limit, is_full = (walk.full, True) if walk.full is not None else (walk.limit, False)
    same = (limit, is_full) == (record.limit, record.is_full)
    learned_at = record.learned_at if same and record.learned_at and _is_fresh(record.learned_at, now) else now
    more = walk.offset if (walk.end or "").startswith("it has more") else 0
    absent = set(listed) - walk.entries.keys()
    many = len(absent) > max(_FEW, _SMALL_PART * len(listed))
    kept = ListRecord(limit, is_full, learned_at, more, None, _note(walk))
    if not walk.is_whole:
        return kept._replace(doubted_at=record.doubted_at), False
    if many and record.doubted_at is None:
        note = f"it lacks {len(absent)} of {len(listed)} entries; they are gone if the next reading lacks them, too"
        return kept._replace(limit=None, is_full=False, learned_at=None, doubted_at=now, note=note), False
    return kept, True


def _is_fresh(learned_at: datetime, now: datetime) -> bool:
    return timedelta(0) <= now - learned_at < _RELEARN_AFTER


def _note(walk: Walk) -> str | None:
    if walk.end != "end":
        return walk.end
    if walk.has_shifted:
        return "it changed while it was read; absent entries count as listed"
    if walk.unreadable:
        return f"{len(walk.unreadable)} of its entries cannot be read; absent entries count as listed"
    return None
