"""Deletes what is older than the operator wants to keep: in small transactions, so that whoever collects hardly waits.

Each of them leaves a store in which all checksums agree. From where on points are kept is written down before the
first one goes: what was deleted is no gap, and nobody asks for it again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.interval import AggInterval, Grid
from collector.model import rfc3339
from collector.store.db import schema, state
from collector.store.db.schema import fires, revisions, series
from collector.store.errors import StoreCorrupt
from collector.store.retention import cutoff, ledger, points
from collector.store.series import grids, snapshots

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
        known = state.get(connection, cutoff.key(interval))
        if interval in ends or known:
            state.put(connection, cutoff.key(interval), rfc3339(ends[interval]) if interval in ends else "")


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
        found = ledger.forgettable(connection, moment, ends, after)
        return (ledger.forget(connection, found[0]), found[1]) if found else None

    count, after = 0, 0
    while found := await database.write(partial(few, after=after)):
        count, after = count + found[0], found[1]
    return Pruned(fetches=count)


async def _fires(database: Database, moment: datetime) -> Pruned:
    dues = await database.read_in_thread(lambda connection: ledger.fire_edges(connection, moment))
    count = 0
    for profile, edge in dues.items():
        while found := await database.write(partial(ledger.delete_fires, profile=profile, edge=edge)):
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
    while retention.fetches and (found := ledger.forgettable(connection, now - retention.fetches, ends, after)):
        fetched, after = fetched + len(found[0]), found[1]
    dues = ledger.fire_edges(connection, now - retention.fires) if retention.fires else {}
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
