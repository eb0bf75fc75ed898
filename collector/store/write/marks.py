"""Marks of the operator. A mark with the same content is one row, however often it is added."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.analysis.marks import Mark
from collector.store.db.column_types import clean
from collector.store.db.schema import marks as table
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_COLUMNS = tuple(table.c[name] for name in ("id", "start_date", "end_date", "text", "url"))


def digest(start: datetime, end: datetime | None, text: str, url: str | None) -> str:
    """Return SHA-256 of the content of a mark."""
    content = [rfc3339(start), rfc3339(end) if end else None, text, url]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def add(connection: sa.Connection, mark: Mark, now: datetime) -> Mark:
    """Store a mark unless it is stored. Returns it with its id."""
    text, url = clean(mark.text), clean(mark.url) if mark.url else None
    key = digest(mark.start, mark.end, text, url)
    known = connection.execute(sa.select(*_COLUMNS).where(table.c.digest == key)).first()
    if known is not None:
        return _mark(known)
    row = {"digest": key, "start_date": mark.start, "end_date": mark.end, "text": text, "url": url, "created_at": now}
    number = connection.execute(sa.insert(table).values(row).returning(table.c.id)).scalar_one()
    return replace(mark, id=number, text=text, url=url)


def remove(connection: sa.Connection, mark_id: int) -> bool:
    """Delete a mark. Returns whether there was one."""
    return connection.execute(sa.delete(table).where(table.c.id == mark_id)).rowcount > 0


def listed(connection: sa.Connection) -> list[Mark]:
    """List the marks by start."""
    select = sa.select(*_COLUMNS).order_by(table.c.start_date, table.c.id)
    return [_mark(row) for row in connection.execute(select)]


def findings(connection: sa.Connection) -> Iterator[str]:
    """Yield a sentence for each mark that is not what was stored."""
    for row in connection.execute(sa.select(*_COLUMNS, table.c.digest).order_by(table.c.id)):
        try:
            same = digest(row.start_date, row.end_date, row.text, row.url) == row.digest
        except (OverflowError, ValueError, TypeError):  # a damaged time
            same = False
        if not same:
            yield f"mark {row.id} is not what it was (digest)"


def _mark(row: Any) -> Mark:
    return Mark(id=row.id, start=row.start_date, end=row.end_date, text=row.text, url=row.url)
