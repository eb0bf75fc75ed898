"""Delete what is older than the operator wants to keep, in small transactions, so that collecting hardly waits.

Each transaction leaves a store in which all checksums agree. The cutoff is stored before the first point is deleted.
What is older than it was deleted on purpose: it is no gap, and nobody requests it again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.interval import AggInterval, Grid
from collector.model import Normalization
from collector.store import checksums
from collector.store.db import schema, state
from collector.store.db.schema import absences, date_ranges, fetch_profiles, fetches, fires, revisions, series
from collector.store.errors import StoreCorrupt
from collector.store.ledger import bodies
from collector.store.retention import points
from collector.store.series import grids, snapshots
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.settings import RetentionSettings
    from collector.store.db.database import Database

    Edges = dict[AggInterval, datetime]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was deleted, or would be; and a sentence for each series that was left alone because it is damaged."""

    points: int = 0
    revisions: int = 0
    fetches: int = 0
    fires: int = 0
    damaged: tuple[str, ...] = ()

    def __add__(self, other: Pruned) -> Pruned:
        added = {name: number + other.counts[name] for name, number in self.counts.items()}
        return Pruned(**added, damaged=self.damaged + other.damaged)

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in ("points", "revisions", "fetches", "fires")}


def edges(retention: RetentionSettings, now: datetime, known: Mapping[AggInterval, Grid]) -> Edges:
    """From which bucket on points are kept, by interval; absent where all are."""
    found = ((interval, known.get(interval) or Grid(interval), span) for interval, span in retention.points.items())
    return {interval: grid.floor(now - span) for interval, grid, span in found}


async def prune(database: Database, retention: RetentionSettings, now: datetime) -> Pruned:
    """Delete what is older than *retention* says at *now*; a repeated call goes on where one was interrupted.

    A series that is damaged is left alone and told of, for the others can do without.
    """
    ends = edges(retention, now, await database.read_in_thread(grids.in_force))
    await database.write(lambda connection: _remember(connection, ends))
    known = await database.read_in_thread(_series)
    gone = Pruned()
    for series_id, interval in known:
        try:
            if edge := ends.get(AggInterval(interval)):
                gone += await _points(database, series_id, edge)
                gone += await _snapshots(database, series_id, edge)
            if retention.revisions:
                gone += await _revisions(database, series_id, now - retention.revisions)
        except StoreCorrupt as error:
            log.error("prune", extra={"outcome": "refused", "reason": str(error)})  # noqa: TRY400 - no traceback
            gone += Pruned(damaged=(str(error),))
    if retention.fetches:
        gone += await _fetches(database, now - retention.fetches, ends)
    if retention.fires:
        gone += await _fires(database, now - retention.fires)
    return gone


def _series(connection: sa.Connection) -> list[tuple[int, str]]:
    found = connection.execute(sa.select(series.c.id, series.c.agg_interval).order_by(series.c.id))
    return [(row.id, row.agg_interval) for row in found]


def _remember(connection: sa.Connection, ends: Edges) -> None:
    for interval in AggInterval:
        known = state.get(connection, key(interval))
        if interval in ends or known:
            state.put(connection, key(interval), rfc3339(ends[interval]) if interval in ends else "")


async def _points(database: Database, series_id: int, edge: datetime) -> Pruned:
    gone = Pruned()
    while found := await database.write(partial(points.delete_points, series_id=series_id, edge=edge)):
        gone += Pruned(points=found[0], revisions=found[1])
    return gone


async def _snapshots(database: Database, series_id: int, edge: datetime) -> Pruned:
    """Delete the snapshots that were asked for before *edge*, but for the newest one."""
    count = 0
    few = partial(snapshots.delete_outdated, series_id=series_id, moment=edge)
    while (found := await database.write(few)) is not None:
        count += found
    return Pruned(points=count)


async def _revisions(database: Database, series_id: int, moment: datetime) -> Pruned:
    count, after = 0, 0
    few = partial(points.delete_revisions, series_id=series_id, moment=moment)
    while found := await database.write(partial(few, after=after)):
        count, after = count + found[0], found[1]
    return Pruned(revisions=count)


async def _fetches(database: Database, moment: datetime, ends: Edges) -> Pruned:
    def few(connection: sa.Connection, after: int) -> tuple[int, int] | None:
        found = forgettable(connection, moment, ends, after)
        return (forget(connection, found[0]), found[1]) if found else None

    count, after = 0, 0
    while found := await database.write(partial(few, after=after)):
        count, after = count + found[0], found[1]
    return Pruned(fetches=count)


async def _fires(database: Database, moment: datetime) -> Pruned:
    dues = await database.read_in_thread(lambda connection: fire_edges(connection, moment))
    count = 0
    for profile, edge in dues.items():
        while found := await database.write(partial(delete_fires, profile=profile, edge=edge)):
            count += found
    return Pruned(fires=count)


def prunable(connection: sa.Connection, retention: RetentionSettings, now: datetime) -> Pruned:
    """Count what `prune` would delete."""
    ends = edges(retention, now, grids.in_force(connection))
    past = [
        [sa.and_(series.c.agg_interval == interval.value, table.c.timestamp < edge) for interval, edge in ends.items()]
        for table in (schema.points, revisions)
    ]
    if retention.revisions:
        past[1].append(revisions.c.replaced_at < now - retention.revisions)
    fetched, after = 0, 0
    while retention.fetches and (found := forgettable(connection, now - retention.fetches, ends, after)):
        fetched, after = fetched + len(found[0]), found[1]
    dues = fire_edges(connection, now - retention.fires) if retention.fires else {}
    due = [sa.and_(fires.c.profile == profile, fires.c.due < edge) for profile, edge in dues.items()]
    taken = [snapshots.count_outdated(connection, interval.value, edge) for interval, edge in ends.items()]
    return Pruned(
        _count(connection, schema.points.join(series, series.c.id == schema.points.c.series_id), past[0]) + sum(taken),
        _count(connection, revisions.join(series, series.c.id == revisions.c.series_id), past[1]),
        fetched,
        _count(connection, fires, due),
    )


def _count(connection: sa.Connection, table: sa.FromClause, parts: Sequence[sa.ColumnElement[bool]]) -> int:
    counted = sa.select(sa.func.count()).select_from(table).where(sa.or_(sa.false(), *parts))
    return int(connection.execute(counted).scalar_one())


def key(interval: AggInterval) -> str:
    """Name the fact that says it for one width of buckets."""
    return f"kept_from:{interval.value}"


def kept_from(connection: sa.Connection, interval: AggInterval) -> datetime | None:
    """Read the first bucket of this width that is kept; None where all are."""
    found = state.get(connection, key(interval))
    return utc(found) if found else None


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
