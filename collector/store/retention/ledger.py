"""Requests and due moments that are no longer kept on record."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import AggInterval, Normalization
from collector.store import checksums
from collector.store.db.schema import absences, date_ranges, fetch_profiles, fetches, fires, series
from collector.store.ledger import bodies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


_FETCHES_AT_ONCE = 500
_FIRES_AT_ONCE = 5_000
_LATER = timedelta(days=60)
"""How much later a date range may end than those it makes superfluous: bounds the search."""


def forgettable(
    connection: sa.Connection, moment: datetime, edges: Mapping[AggInterval, datetime], after: int
) -> tuple[list[int], int] | None:
    """Choose of a few fetches with an id above *after* those that ended before *moment* and that nothing depends on.

    Nothing depends on a fetch that brought no answer; nor on one of whose buckets all are older than *edges*; nor on
    one that changed nothing and whose windows a later answer covers. The newest answer of each profile stays, and so do
    those that prove a gap and those whose body is kept.
    Gives the ids, and the last id that was looked at; None where there was none.
    """
    older = sa.select(fetches.c.id).where(fetches.c.id > after, fetches.c.finished_at < moment)
    ids = connection.execute(older.order_by(fetches.c.id).limit(_FETCHES_AT_ONCE)).scalars().all()
    if not ids:
        return None
    ends = sa.select(sa.func.max(date_ranges.c.end)).where(date_ranges.c.fetch_id.in_(ids))
    last = connection.execute(ends).scalar()
    mine = sa.and_(date_ranges.c.fetch_id == fetches.c.id, *_younger(edges))
    changed_nothing = sa.and_(
        *(sa.func.coalesce(fetches.c[name], 0) == 0 for name in ("inserted", "revised", "vanished")),
        sa.func.upper(fetches.c.normalization).in_([normalization.value for normalization in Normalization]),
        ~sa.exists().where(mine, ~_superseded(last + _LATER)).correlate(fetches) if last else sa.true(),
    )
    unused = sa.or_(~sa.exists().where(mine).correlate(fetches), changed_nothing)
    found = connection.execute(sa.select(fetches.c.id).where(fetches.c.id.in_(ids), unused))
    needed = _newest_answers(connection) | _proofs(connection, ids)
    needed |= bodies.kept_fetches(connection, ids)
    return [fetch_id for fetch_id in found.scalars() if fetch_id not in needed], ids[-1]


def _younger(edges: Mapping[AggInterval, datetime]) -> list[Any]:
    """Choose date ranges that will still be there when the points before *edges* are deleted."""
    of_interval = [
        sa.and_(series.c.agg_interval == interval.value, date_ranges.c.end <= edge) for interval, edge in edges.items()
    ]
    ended = sa.exists().where(series.c.id == date_ranges.c.series_id, sa.or_(sa.false(), *of_interval))
    return [~ended.correlate(date_ranges)] if edges else []


def _superseded(before: datetime) -> sa.Exists:
    """Tell whether a later request covered the same buckets, with an answer that was no older."""
    later, answer = date_ranges.alias(), fetches.alias()
    covers = sa.exists().where(
        later.c.series_id == date_ranges.c.series_id,
        later.c.end >= date_ranges.c.end,
        later.c.end < before,
        later.c.start <= date_ranges.c.start,
        later.c.fetch_id > date_ranges.c.fetch_id,
        later.c.overruled.is_(None),
        answer.c.id == later.c.fetch_id,
        answer.c.last_updated >= fetches.c.last_updated,
    )
    return covers.correlate(date_ranges, fetches)


def _proofs(connection: sa.Connection, fetch_ids: Sequence[int]) -> set[int]:
    """Those of the fetches whose answer is a proof of a gap."""
    found = sa.select(absences.c.fetch_id).where(absences.c.fetch_id.in_(fetch_ids)).distinct()
    return set(connection.execute(found).scalars())


def _newest_answers(connection: sa.Connection) -> set[int]:
    newest = sa.select(sa.func.max(fetch_profiles.c.fetch_id)).join(fetches, fetches.c.id == fetch_profiles.c.fetch_id)
    newest = newest.where(fetches.c.outcome == "ok").group_by(fetch_profiles.c.profile)
    return set(connection.execute(newest).scalars())


def forget(connection: sa.Connection, fetch_ids: Sequence[int]) -> int:
    """Delete fetches, with their date ranges; gives how many there were."""
    if not fetch_ids:
        return 0
    chosen = fetches.c.id.in_(fetch_ids)
    found = connection.execute(sa.select(fetches.c.id, fetches.c.profiles).where(chosen)).all()
    links = [{"p": profile, "f": row.id} for row in found for profile in set(json.loads(row.profiles))]
    if links:
        link = (fetch_profiles.c.profile == sa.bindparam("p"), fetch_profiles.c.fetch_id == sa.bindparam("f"))
        connection.execute(sa.delete(fetch_profiles).where(*link), links)
    connection.execute(sa.delete(date_ranges).where(date_ranges.c.fetch_id.in_(fetch_ids)))
    connection.execute(sa.delete(fetches).where(chosen))
    return len(found)


def fire_edges(connection: sa.Connection, moment: datetime) -> dict[str, datetime]:
    """Tell for each profile before which due moment its fires go: *moment*, and the newest one stays."""
    newest = sa.select(fires.c.profile, sa.func.max(fires.c.due).label("due")).group_by(fires.c.profile)
    return {row.profile: min(row.due, moment) for row in connection.execute(newest)}


def delete_fires(connection: sa.Connection, profile: str, edge: datetime) -> int:
    """Delete a few of the fires of *profile* that were due before *edge*, the oldest; gives how many."""
    older = sa.and_(fires.c.profile == profile, fires.c.due < edge)
    dues = sa.select(fires.c.due).where(older).order_by(fires.c.due)
    cut = connection.execute(dues.offset(_FIRES_AT_ONCE).limit(1)).scalar()
    few = older if cut is None else sa.and_(older, fires.c.due < cut)
    deleted = connection.execute(sa.delete(fires).where(few).returning(fires.c.due, fires.c.outcome))
    gone = [checksums.fire(profile, *row) for row in deleted]
    checksums.seal(connection, gone=gone)
    return len(gone)
