"""Fires: every due moment of every profile, with its one outcome; and how far lastUpdated usually lags."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store import checksums
from collector.store.db.schema import fires
from collector.store.db.sql import upsert, values_table
from collector.store.ledger.upstream import MAX_CLOCK_SKEW

if TYPE_CHECKING:
    from collections.abc import Sequence


_EARLIEST_DUE = datetime(2025, 1, 1, tzinfo=UTC)
"""The collector did not exist before, so an earlier due time was written by a clock that was not set."""


_INSERT = sa.insert(fires)


class Fire(NamedTuple):
    """What became of a due moment of a profile: `collected`, `failed` or `coalesced`, and why."""

    profile: str
    due: datetime
    outcome: str
    finished_at: datetime
    message: str | None = None


def record(connection: sa.Connection, outcomes: Sequence[Fire]) -> None:
    """Record outcomes. The first one of a due time counts, unless a fast clock has written it."""
    known = _known(connection, outcomes)
    trusted_until = min((fire.finished_at for fire in outcomes), default=_EARLIEST_DUE) + MAX_CLOCK_SKEW
    kept = {key for key, fire in known.items() if fire.finished_at <= trusted_until}
    new = [fire for fire in outcomes if (fire.profile, fire.due) not in kept]
    if new:
        connection.execute(_insert(connection), [{name: getattr(fire, name) for name in Fire._fields} for fire in new])
        replaced = [known[fire.profile, fire.due] for fire in new if (fire.profile, fire.due) in known]
        checksums.update_set_checksums(connection, map(_checksum, new), map(_checksum, replaced))


def _insert(connection: sa.Connection) -> Any:
    """Return an INSERT that replaces a fire, which on SQLite the view does itself."""
    if connection.dialect.name == "sqlite":
        return _INSERT
    insert = upsert(connection, fires)
    changed = {name: insert.excluded[name] for name in ("outcome", "finished_at", "message")}
    return insert.on_conflict_do_update(index_elements=["profile", "due"], set_=changed)


def _known(connection: sa.Connection, outcomes: Sequence[Fire]) -> dict[tuple[str, datetime], Fire]:
    if not outcomes:
        return {}
    dues, names = [fire.due for fire in outcomes], values_table([fire.profile for fire in outcomes])
    known = sa.select(fires).join_from(names, fires, fires.c.profile == names.c.name)
    known = known.where(fires.c.due.between(min(dues), max(dues)))
    return {(row.profile, row.due): Fire(*row) for row in connection.execute(known)}


def _checksum(fire: Fire) -> tuple[str, int]:
    return checksums.fire(fire.profile, fire.due, fire.outcome)


def last(connection: sa.Connection, profile: str, now: datetime | None = None) -> Fire | None:
    """Find the newest due moment of *profile* on record; with *now*, none that a wrong clock wrote."""
    newest = sa.select(fires).where(fires.c.profile == profile).order_by(fires.c.due.desc()).limit(1)
    if now is not None:
        newest = newest.where(*believed(now))
    row = connection.execute(newest).one_or_none()
    return Fire(*row) if row else None


def last_of(connection: sa.Connection, profiles: Sequence[str]) -> dict[str, Fire]:
    """Return the newest fire on record by profile; a profile without a fire is absent."""
    if not profiles:
        return {}
    names = values_table(profiles)
    newest = sa.select(sa.func.max(fires.c.due)).where(fires.c.profile == names.c.name)
    due = newest.correlate(names).scalar_subquery()
    select = sa.select(fires).join_from(names, fires, sa.and_(fires.c.profile == names.c.name, fires.c.due == due))
    return {row.profile: Fire(*row) for row in connection.execute(select)}


def believed(now: datetime) -> list[sa.ColumnElement[bool]]:
    """Return the conditions for fires that a correct clock has written, as far as *now* shows."""
    return [fires.c.due.between(_EARLIEST_DUE, now), fires.c.finished_at <= now + MAX_CLOCK_SKEW]
