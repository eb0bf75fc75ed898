"""Read the catalogue: Radar's lists of authorities and logs, as they are known now or were known at a moment."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.datasets.catalogue import LISTS, is_safe_slug
from collector.store.db import sql
from collector.store.db.schema import catalogue, catalogue_requests, work_items
from collector.store.ledger.replicas import CATALOGUE
from collector.store.write.catalogue import DETAILS, ENTRY, MEASURES, PARTS, load_record, record_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.datasets.catalogue import Item


class EntryVersion(NamedTuple):
    """What was known of one *part* of an entry from *valid_from* to *valid_to*; None: until now."""

    slug: str
    part: str
    valid_from: datetime
    valid_to: datetime | None
    content: Item


class KnownEntry(NamedTuple):
    """An entry of a list with what is known of it.

    *first_seen* is when it was listed first, *changed_at* since when the list says what it says, *gone_at* since when
    it is no longer listed. *details* and *measures* are None as long as they were not collected.
    """

    slug: str
    item: Item
    first_seen: datetime
    changed_at: datetime
    gone_at: datetime | None = None
    details: Item | None = None
    measures: Item | None = None


class ListState(NamedTuple):
    """A list and its collection: how many entries it has, and how many of these have details.

    *collected_since* is when it was first read, *success* when it was last read, *failures* how often in a row it
    could not be, *reason* why, *again* when it is tried again. *note* is a sentence about the last reading.
    """

    name: str
    entries: int
    detailed: int
    collected_since: datetime | None
    success: datetime | None = None
    failures: int = 0
    reason: str | None = None
    again: datetime | None = None
    note: str | None = None


def entries(
    connection: sa.Connection, list_name: str, as_of: datetime | None = None, slug: str | None = None
) -> list[KnownEntry]:
    """List the entries of a list as of a moment, also those that are gone, in the order of their slugs."""
    versions: dict[str, list[EntryVersion]] = defaultdict(list)
    for version in history(connection, list_name, as_of, slug, newest_only=True):
        versions[version.slug].append(version)
    first = _first_seen(connection, list_name, as_of, slug)
    return [
        known for name in sorted(versions) if name in first and (known := _known_entry(versions[name], first[name]))
    ]


def _known_entry(versions: Sequence[EntryVersion], first_seen: datetime) -> KnownEntry | None:
    newest = {version.part: version for version in versions}
    entry = newest.get(ENTRY)
    if entry is None:
        return None
    known = KnownEntry(entry.slug, entry.content, first_seen, entry.valid_from, entry.valid_to)
    details, measures = newest.get(DETAILS), newest.get(MEASURES)
    return known._replace(details=details.content if details else None, measures=measures.content if measures else None)


def _within(list_name: str, as_of: datetime | None, slug: str | None) -> list[sa.ColumnElement[bool]]:
    bounds = [catalogue.c.list == list_name]
    bounds += [catalogue.c.valid_from <= as_of] if as_of is not None else []
    return bounds + ([catalogue.c.slug == slug] if slug is not None else [])


def _first_seen(
    connection: sa.Connection, list_name: str, as_of: datetime | None, slug: str | None
) -> dict[str, datetime]:
    first = sa.select(catalogue.c.slug, sa.func.min(catalogue.c.valid_from)).where(catalogue.c.part == ENTRY)
    rows = connection.execute(first.where(*_within(list_name, as_of, slug)).group_by(catalogue.c.slug))
    return {row[0]: row[1] for row in rows}


def history(  # noqa: PLR0913 - what the versions are chosen by
    connection: sa.Connection,
    list_name: str,
    as_of: datetime | None = None,
    slug: str | None = None,
    parts: Sequence[str] = PARTS,
    *,
    newest_only: bool = False,
) -> list[EntryVersion]:
    """List the versions of the entries that were known at a moment, by slug, part and time."""
    columns = [catalogue.c[name] for name in ("slug", "part", "valid_from", "valid_to", "content")]
    select = sa.select(*columns).where(*_within(list_name, as_of, slug), catalogue.c.part.in_(parts))
    if newest_only:
        newest = sa.select(catalogue.c.slug, catalogue.c.part, sa.func.max(catalogue.c.valid_from).label("newest"))
        newest = newest.where(*_within(list_name, as_of, slug)).group_by(catalogue.c.slug, catalogue.c.part)
        last = newest.subquery()
        same = sa.and_(
            last.c.slug == catalogue.c.slug,
            last.c.part == catalogue.c.part,
            last.c.newest == catalogue.c.valid_from,
        )
        select = select.join(last, same)
    ordered = select.order_by(catalogue.c.slug, catalogue.c.part, catalogue.c.valid_from)
    return [_version(row, as_of) for row in connection.execute(ordered)]


def _version(row: Any, as_of: datetime | None) -> EntryVersion:
    is_over = row.valid_to is not None and (as_of is None or row.valid_to <= as_of)
    content: dict[str, Any] = json.loads(row.content)
    return EntryVersion(row.slug, row.part, row.valid_from, row.valid_to if is_over else None, content)


def collected_since(connection: sa.Connection, list_name: str) -> datetime | None:
    """Return when a list was first read; None if never."""
    first = sa.select(sa.func.min(catalogue.c.valid_from)).where(catalogue.c.list == list_name)
    moment: datetime | None = connection.execute(first).scalar()
    return moment or connection.execute(_success(list_name)).scalar()


def _success(list_name: str) -> Any:
    return sa.select(work_items.c.success_at).where(work_items.c.kind == CATALOGUE, work_items.c.name == list_name)


def list_states(connection: sa.Connection) -> list[ListState]:
    """Return the state of each list."""
    rows = connection.execute(sa.select(work_items).where(work_items.c.kind == CATALOGUE))
    items = {row.name: row for row in rows}
    return [_list_state(connection, name, items.get(name)) for name in LISTS]


def _list_state(connection: sa.Connection, name: str, row: Any) -> ListState:
    current = sa.and_(catalogue.c.list == name, catalogue.c.valid_to.is_(None))
    count = sa.select(catalogue.c.part, sa.func.count()).where(current).group_by(catalogue.c.part)
    counts: Mapping[str, int] = dict(map(tuple, connection.execute(count)))
    state = ListState(name, counts.get(ENTRY, 0), counts.get(DETAILS, 0), collected_since(connection, name))
    note = load_record(sql.get_state(connection, record_key(name))).note
    if row is None:
        return state._replace(note=note)
    return state._replace(
        success=row.success_at,
        failures=row.failures,
        reason=row.reason,
        again=row.again_at,
        note=note,
    )


def next_details(connection: sa.Connection, number: int) -> list[tuple[str, str]]:
    """Return (list, slug) of the *number* entries whose details should be requested next.

    First those that were never requested, then those whose entry changed since, then those of the oldest request.
    """
    asked = sa.and_(catalogue_requests.c.list == catalogue.c.list, catalogue_requests.c.slug == catalogue.c.slug)
    is_changed = sa.case((catalogue.c.valid_from > catalogue_requests.c.asked_at, 0), else_=1)
    rank = sa.case((catalogue_requests.c.asked_at.is_(None), -1), else_=is_changed)
    select = sa.select(catalogue.c.list, catalogue.c.slug).join(catalogue_requests, asked, isouter=True)
    select = select.where(catalogue.c.part == ENTRY, catalogue.c.valid_to.is_(None))
    # logs first, because there are fewer of them and their states change more often
    ordered = select.order_by(rank, catalogue_requests.c.asked_at, catalogue.c.list.desc(), catalogue.c.slug)
    chosen: list[tuple[str, str]] = []
    for list_name, slug in connection.execute(ordered):
        if len(chosen) == number:
            break
        if is_safe_slug(slug):
            chosen.append((list_name, slug))
    return chosen
