"""Where the buckets of each interval start, as far as it was learned from answers; on the usual grid unless on record.

A series has buckets of one grid. When another grid comes into force, series that Radar has answered for keep their
history under a digest that names the old grid, and their labels point to a new series. Coming back is the same.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval, Grid
from collector.store.db import sql
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import profile_series, refusals, series
from collector.store.db.schema import state as state_table
from collector.store.db.sql import GRIDS, LABELS, advisory_lock, upsert
from collector.store.series import evidence, generations
from collector.store.series.proposals import UNANSWERED
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.model import Batch

_PREFIX = "grid:"
_INTERVALS = {_PREFIX + interval: interval for interval in AggInterval}
_RECORDS = DriverSelect(
    sa.select(state_table.c.key, state_table.c.value).where(sa.or_(*(state_table.c.key == key for key in _INTERVALS)))
)


class LearnedGrid(NamedTuple):
    """The *grid* of an interval, in force *since* (None: always), and *before* that another one.

    *proposed* is another grid that an answer had, requested at *proposed_at*.
    """

    grid: Grid
    since: datetime | None = None
    before: Grid | None = None
    proposed: Grid | None = None
    proposed_at: datetime | None = None


def dump(known: LearnedGrid) -> str:
    """Write a record as JSON, offsets in seconds."""
    return json.dumps(
        {
            "offset": known.grid.seconds,
            "since": rfc3339(known.since) if known.since else None,
            "before": known.before.seconds if known.before else None,
            "proposed": known.proposed.seconds if known.proposed else None,
            "proposed_at": rfc3339(known.proposed_at) if known.proposed_at else None,
        }
    )


def load(interval: AggInterval, text: str | None) -> LearnedGrid:
    """Read what `dump` wrote; None is the usual grid."""
    if text is None:
        return LearnedGrid(Grid(interval))
    record = json.loads(text)
    offsets = (record.get(key) for key in ("offset", "before", "proposed"))
    current, before, proposed = (
        None if offset is None else Grid(interval, timedelta(seconds=offset)) for offset in offsets
    )
    since, proposed_at = (utc(record[key]) if record.get(key) else None for key in ("since", "proposed_at"))
    return LearnedGrid(current or Grid(interval), since, before, proposed, proposed_at)


def learned(connection: sa.Connection) -> dict[AggInterval, LearnedGrid]:
    """Read what is known of every interval."""
    texts = {_INTERVALS[key]: value for key, value in _RECORDS.rows(connection, {})}
    return {interval: load(interval, texts.get(interval)) for interval in AggInterval}


def in_force(connection: sa.Connection) -> dict[AggInterval, Grid]:
    """Read the grid of every interval."""
    return {interval: known.grid for interval, known in learned(connection).items()}


def has_history(connection: sa.Connection, interval: AggInterval) -> bool:
    """Return whether any bucket of *interval* is stored on the grid in force."""
    stored = sa.select(series.c.id).where(series.c.agg_interval == interval.value, series.c.points > 0)
    rows = connection.execute(stored.where(~generations.is_former(series.c.digest)).limit(1))
    return rows.first() is not None


def former(connection: sa.Connection) -> list[AggInterval]:
    """List the intervals of which history on a former grid is kept."""
    kept = sa.select(series.c.agg_interval).where(generations.is_former(series.c.digest), series.c.points > 0)
    return [AggInterval(word) for word in connection.execute(kept.distinct()).scalars()]


def propose(connection: sa.Connection, grid: Grid | None, interval: AggInterval, asked_at: datetime) -> None:
    """Record the other grid of an answer that was requested at *asked_at*, None for none.

    The first such answer counts.
    """
    known = load(interval, sql.get_state(connection, _PREFIX + interval))
    if grid is None:
        changed = known._replace(proposed=None, proposed_at=None)
    elif known.proposed == grid:
        return
    else:
        changed = known._replace(proposed=grid, proposed_at=asked_at)
    if changed != known:
        sql.put_state(connection, _PREFIX + interval, dump(changed))


def of_stale(connection: sa.Connection, batches: Iterable[Batch]) -> list[Batch]:
    """Return the batches with windows on a grid that is not in force, and lock the grids until the transaction ends."""
    advisory_lock(connection, GRIDS, shared=True)
    grids = in_force(connection)
    return [batch for batch in batches if not grids[batch.agg_interval].holds(batch.slices[0].window.start)]


def move(connection: sa.Connection, grid: Grid, now: datetime) -> bool:
    """Bring *grid* into force; False if it is already. The pauses of the interval's questions end."""
    advisory_lock(connection, LABELS)
    advisory_lock(connection, GRIDS)
    known = load(grid.interval, sql.get_state(connection, _PREFIX + grid.interval))
    if known.grid == grid:
        return False
    moved = LearnedGrid(grid, now, known.grid)
    sql.put_state(connection, _PREFIX + grid.interval, dump(moved))
    rows = connection.execute(sa.select(series).where(series.c.agg_interval == grid.interval.value)).all()
    _delete_findings(connection, rows)
    current = [row for row in rows if generations.former_offset(row.digest) is None and _has_answers(row)]
    back = [row for row in rows if generations.former_offset(row.digest) == grid.seconds]
    _put_away(connection, current, known.grid)
    for row in back:
        taken_back = {"digest": generations.question(row.digest)}
        connection.execute(sa.update(series).where(series.c.id == row.id).values(taken_back))
    _relabel(connection, current, now)
    return True


def _has_answers(row: Any) -> bool:
    return row.in_force_at is not None or row.points > 0


def _put_away(connection: sa.Connection, rows: Sequence[Any], grid: Grid) -> None:
    """Store series under digests that name their *grid*. Earlier versions leave in_force_at empty: labels show it."""
    labelled = sa.select(profile_series.c.series_id).where(profile_series.c.series_id.in_([row.id for row in rows]))
    in_use = set(connection.execute(labelled).scalars())
    for row in rows:
        since = row.in_force_at or (row.created_at if row.id in in_use else None)
        kept = {"digest": generations.former(row.digest, grid), "in_force_at": since, "proposed_at": None}
        connection.execute(sa.update(series).where(series.c.id == row.id).values(kept))


def _delete_findings(connection: sa.Connection, rows: Sequence[Any]) -> None:
    """Delete the pauses and edges of the series, because they are about other buckets."""
    for digest in {generations.question(row.digest) for row in rows}:
        connection.execute(sa.delete(refusals).where(refusals.c.digest.startswith(digest, autoescape=True)))
        evidence.delete_edge(connection, digest)


def _relabel(connection: sa.Connection, former: Sequence[Any], now: datetime) -> None:
    """Point the labels of *former* series to the series of the same question on the grid in force."""
    for row in former:
        digest = generations.question(row.digest)
        current = sa.select(series.c.id).where(series.c.digest == digest)
        newest_first = series.c.in_force_at.desc().nulls_last(), series.c.id.desc()
        series_id = connection.execute(current.order_by(*newest_first).limit(1)).scalar()
        if series_id is None:
            series_id = _add_series(connection, row, digest, now)
        connection.execute(
            sa.update(profile_series).where(profile_series.c.series_id == row.id).values(series_id=series_id)
        )


def _add_series(connection: sa.Connection, row: Any, digest: str, now: datetime) -> int:
    """Put a series on record that Radar has not answered for, with the question of *row*."""
    copied = {
        name: getattr(row, name) for name in ("label", "dataset", "dimension", "group", "agg_interval", "filters")
    }
    fresh = {"normalization": UNANSWERED[0], "unit": UNANSWERED[1], "points": 0, "created_at": now}
    insert = upsert(connection, series).values({**copied, **fresh, "digest": digest, "settle": row.settle})
    return int(connection.execute(insert.returning(series.c.id)).scalar_one())
