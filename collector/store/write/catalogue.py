"""Write the catalogue: what Radar's lists of authorities and logs say, each version with the time of its validity.

An unchanged list writes nothing. A lock lets one process at a time write.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.db import sql
from collector.store.db.column_types import clean
from collector.store.db.schema import catalogue, catalogue_requests, fetches, work_items
from collector.store.db.sql import CATALOGUE, advisory_lock, upsert
from collector.store.ledger.replicas import CATALOGUE as ITEM_KIND
from collector.store.ledger.replicas import NO_REPLICA
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.datasets.catalogue import CatalogueEntry, EntryDetails

ENTRY, DETAILS, MEASURES = PARTS = ("entry", "details", "measures")
OK, NOT_FOUND = "ok", "not_found"
_TICK = timedelta(microseconds=1)
_STATE_KEY = "catalogue:{}"


@dataclass(frozen=True, slots=True)
class CatalogueChanges:
    """The slugs of the entries that appeared, changed and went with one reading of a list."""

    appeared: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """The numbers by name."""
        return {"appeared": len(self.appeared), "changed": len(self.changed), "gone": len(self.gone)}


class ListRecord(NamedTuple):
    """What is remembered of the readings of a list.

    *limit* is the largest page that Radar has accepted, and *is_full*: a page of that many entries has come, so that a
    shorter one is the last. They were learned at *learned_at*. *offset* is where the next reading goes on if the list
    was too long for one. *doubted_at* is when so many entries were absent that one more reading must confirm it.
    *note* is a sentence for the operator about the last reading.
    """

    limit: int | None = None
    is_full: bool = False
    learned_at: datetime | None = None
    offset: int = 0
    doubted_at: datetime | None = None
    note: str | None = None


def load_record(text: str | None) -> ListRecord:
    """Read the record of a list from the table `state`."""
    if text is None:
        return ListRecord()
    content = json.loads(text)
    moments = {name: utc(content[name]) if content.get(name) else None for name in ("learned_at", "doubted_at")}
    return ListRecord(**(content | moments))


def dump_record(record: ListRecord) -> str:
    """Write the record of a list as text."""
    moments = {"learned_at": record.learned_at, "doubted_at": record.doubted_at}
    content = {"limit": record.limit, "is_full": record.is_full, "offset": record.offset, "note": record.note}
    return json.dumps(content | {name: rfc3339(moment) if moment else None for name, moment in moments.items()})


def record_key(list_name: str) -> str:
    """Return the key of a list's record in the table `state`."""
    return _STATE_KEY.format(list_name)


def checksum(list_name: str, slug: str, part: str, valid_from: datetime, content: str) -> int:
    """Return the checksum of a row."""
    words = [list_name, slug, part, str(round(valid_from.timestamp() * 1_000_000)), content]
    return zlib.crc32("\0".join(words).encode("utf-8", "surrogatepass"))


def end_request(connection: sa.Connection, fetch_id: int, size: int, now: datetime) -> None:
    """Record that a request about the catalogue has an answer of *size* bytes."""
    under_way = sa.and_(fetches.c.id == fetch_id, fetches.c.outcome == "started")
    values = {"finished_at": now, "outcome": "ok", "status": 200, "bytes": size}
    connection.execute(sa.update(fetches).where(under_way).values(values))


def save_list(  # noqa: PLR0913 - a reading of a list, and what becomes of it
    connection: sa.Connection,
    list_name: str,
    entries: Sequence[CatalogueEntry],
    now: datetime,
    record: ListRecord,
    *,
    is_whole: bool,
) -> CatalogueChanges:
    """Save what a list says at *now*; what an entry said before stays as its history.

    If the reading *is_whole*, entries that it lacks are gone, with their details.
    """
    advisory_lock(connection, CATALOGUE)
    now = _after_all(connection, list_name, now)
    known = _open_rows(connection, list_name, (ENTRY,))
    said = {clean(entry.slug): clean(entry.content) for entry in entries}
    appeared = tuple(slug for slug in said if (slug, ENTRY) not in known)
    changed = tuple(slug for slug, text in said.items() if (slug, ENTRY) in known and known[slug, ENTRY] != text)
    gone = tuple(slug for slug, _ in known if slug not in said) if is_whole else ()
    _close(connection, list_name, changed, (ENTRY,), now)
    _close(connection, list_name, gone, PARTS, now)
    _insert(connection, list_name, [(slug, ENTRY, said[slug]) for slug in (*appeared, *changed)], now)
    if load_record(sql.get_state(connection, record_key(list_name))) != record:
        sql.put_state(connection, record_key(list_name), dump_record(record))
    return CatalogueChanges(appeared, changed, gone)


def save_details(connection: sa.Connection, list_name: str, details: EntryDetails, now: datetime) -> bool:
    """Save the details of one entry that is listed. Returns whether they have changed, apart from the measures."""
    advisory_lock(connection, CATALOGUE)
    _record_request(connection, list_name, details.slug, now, OK)
    slug = clean(details.slug)
    moment = _after_all(connection, list_name, now)
    known = _open_rows(connection, list_name, PARTS, slug)
    if (slug, ENTRY) not in known:
        return False
    texts = {DETAILS: details.content, MEASURES: details.measures}
    new = [(slug, part, clean(text)) for part, text in texts.items() if text is not None]
    new = [row for row in new if known.get((slug, row[1])) != row[2]]
    _close(connection, list_name, [slug], [part for _, part, _ in new], moment)
    _insert(connection, list_name, new, moment)
    return any(part == DETAILS for _, part, _ in new)


def save_absence(connection: sa.Connection, list_name: str, slug: str, now: datetime, outcome: str = NOT_FOUND) -> None:
    """Record that a request for the details of an entry brought none; what is known of it stays."""
    _record_request(connection, list_name, slug, now, outcome)


def _record_request(connection: sa.Connection, list_name: str, slug: str, now: datetime, outcome: str) -> None:
    values = {"asked_at": now, "outcome": outcome}
    insert = upsert(connection, catalogue_requests).values(list=list_name, slug=slug, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["list", "slug"], set_=values))


def finish_item(connection: sa.Connection, name: str, now: datetime, failure: tuple[str, datetime] | None) -> None:
    """Record the outcome of a work item of the catalogue and release it; *failure* is the reason, and when to retry."""
    this = sa.and_(work_items.c.kind == ITEM_KIND, work_items.c.name == name)
    values: dict[str, Any] = {"replica_id": NO_REPLICA, "success_at": now, "failures": 0, "reason": None}
    values["again_at"] = None
    if failure:
        del values["success_at"]
        values |= {"failures": work_items.c.failures + 1, "reason": failure[0], "again_at": failure[1]}
    connection.execute(sa.update(work_items).where(this).values(values))


def _after_all(connection: sa.Connection, list_name: str, now: datetime) -> datetime:
    """Return *now*, or a moment after all that is recorded if the clock was set back."""
    newest = [sa.func.max(catalogue.c.valid_from), sa.func.max(catalogue.c.valid_to)]
    moments = connection.execute(sa.select(*newest).where(catalogue.c.list == list_name)).one()
    after: list[datetime] = [moment + _TICK for moment in moments if moment]
    return max([now, *after])


def _open_rows(
    connection: sa.Connection, list_name: str, parts: Sequence[str], slug: str | None = None
) -> Mapping[tuple[str, str], str]:
    columns = catalogue.c.slug, catalogue.c.part, catalogue.c.content
    current = sa.and_(catalogue.c.list == list_name, catalogue.c.part.in_(parts), catalogue.c.valid_to.is_(None))
    select = sa.select(*columns).where(current)
    if slug is not None:
        select = select.where(catalogue.c.slug == slug)
    return {(row.slug, row.part): row.content for row in connection.execute(select)}


_SLUGS_AT_ONCE = 500


def _close(
    connection: sa.Connection, list_name: str, slugs: Sequence[str], parts: Sequence[str], now: datetime
) -> None:
    for first in range(0, len(slugs), _SLUGS_AT_ONCE):
        these = catalogue.c.slug.in_(slugs[first : first + _SLUGS_AT_ONCE])
        current = sa.and_(catalogue.c.list == list_name, catalogue.c.part.in_(parts), catalogue.c.valid_to.is_(None))
        connection.execute(sa.update(catalogue).where(current, these).values(valid_to=now))


def _insert(connection: sa.Connection, list_name: str, new: Sequence[tuple[str, str, str]], now: datetime) -> None:
    rows = [
        {
            "list": list_name,
            "slug": slug,
            "part": part,
            "valid_from": now,
            "content": content,
            "checksum": checksum(list_name, slug, part, now, content),
        }
        for slug, part, content in new
    ]
    if rows:
        connection.execute(sa.insert(catalogue), rows)


def findings(connection: sa.Connection) -> list[str]:
    """Return a sentence for each row that is not what was written, and for each entry with overlapping versions."""
    order = catalogue.c.list, catalogue.c.slug, catalogue.c.part, catalogue.c.valid_from
    problems, before = [], None
    for row in connection.execute(sa.select(catalogue).order_by(*order)):
        what = f"{row.list} {row.slug}, {row.part} of {rfc3339(row.valid_from)}"
        if checksum(row.list, row.slug, row.part, row.valid_from, row.content) != row.checksum:
            problems.append(f"{what}: not what it was (checksum)")
        if row.valid_to is not None and row.valid_to <= row.valid_from:
            problems.append(f"{what}: it ends before it begins")
        key = (row.list, row.slug, row.part)
        if before and before[0] == key and (before[1] is None or before[1] > row.valid_from):
            problems.append(f"{what}: the version before it is still valid")
        before = (key, row.valid_to)
    return problems
