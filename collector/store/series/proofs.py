"""The rows of `proofs`: how the sum of all groups of a question compares with a total; decisions: `rules.proof`.

Whoever changes rows holds the lock PROOFS, taken after those of series.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.rules import proof
from collector.rules.proof import ProofRun
from collector.store.db.column_types import epoch
from collector.store.db.schema import proofs, series
from collector.store.db.sql import PROOFS, advisory_lock
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_COLUMNS = (proofs.c.series_id, proofs.c.total_id, epoch(proofs.c.start), epoch(proofs.c.end))
_READ = sa.select(*_COLUMNS, proofs.c.state, proofs.c.reread_at).order_by(proofs.c.series_id, proofs.c.start)
_OF_SUMS = _READ.where(proofs.c.series_id.in_(_IDS))
_AFFECTED = sa.select(proofs.c.series_id, proofs.c.total_id).distinct()
_AFFECTED = _AFFECTED.where(sa.or_(proofs.c.series_id.in_(_IDS), proofs.c.total_id.in_(_IDS)))
_AFFECTED = _AFFECTED.where(proofs.c.end > sa.bindparam("first"), proofs.c.start <= sa.bindparam("last"))


Rows = list[tuple[ProofRun, int]]


def lock(connection: sa.Connection, ids: Collection[int]) -> None:
    """Wait for transactions that save to the series *ids*, and for those that compare; they wait for this one, too."""
    select = sa.select(series.c.id).where(series.c.id.in_(ids)).order_by(series.c.id)
    connection.execute(select.with_for_update()).all()
    advisory_lock(connection, PROOFS)


def every_run(connection: sa.Connection) -> dict[int, Rows]:
    """Read all runs, by the series that holds the sum of all groups."""
    return _grouped(connection.execute(_READ))


def runs_of(connection: sa.Connection, ids: Collection[int]) -> dict[int, Rows]:
    """Read the runs of each series that holds the sum of all groups, each with the id of its total."""
    return _grouped(connection.execute(_OF_SUMS, {"ids": list(ids)}))


def _grouped(rows: Iterable[Any]) -> dict[int, Rows]:
    runs: dict[int, Rows] = defaultdict(list)
    for series_id, total_id, start, end, state, reread_at in rows:
        moment = None if reread_at is None else reread_at.timestamp()
        runs[series_id].append((ProofRun(start, end, state, moment), total_id))
    return runs


def write(connection: sa.Connection, series_id: int, before: Rows, after: Rows) -> None:
    """Replace the runs of a series."""
    old, new = set(before), set(after)
    deleted = [{"s": from_epoch(run.start)} for run, total_id in before if (run, total_id) not in new]
    same = proofs.c.series_id == series_id, proofs.c.start == sa.bindparam("s")
    if deleted:
        connection.execute(sa.delete(proofs).where(*same), deleted)
    rows = [
        {"series_id": series_id, "total_id": total_id, "start": from_epoch(run.start), "end": from_epoch(run.end)}
        | {"state": run.state, "reread_at": None if run.reread_at is None else from_epoch(run.reread_at)}
        for run, total_id in after
        if (run, total_id) not in old
    ]
    if rows:
        connection.execute(sa.insert(proofs), rows)


def reopen(connection: sa.Connection, changed: Iterable[tuple[int, int]]) -> None:
    """Mark the runs of buckets as changed: *changed* has the (series_id, timestamp) of values, of sums or of totals.

    The caller has locked those series.
    """
    timestamps: dict[int, set[int]] = defaultdict(set)
    for series_id, timestamp in changed:
        timestamps[series_id].add(timestamp)
    if not timestamps:
        return
    first, last = (extreme(map(extreme, timestamps.values())) for extreme in (min, max))
    parameters = {"ids": list(timestamps), "first": from_epoch(first), "last": from_epoch(last)}
    if not connection.execute(_AFFECTED, parameters).all():
        return
    advisory_lock(connection, PROOFS)
    affected = connection.execute(_AFFECTED, parameters).all()
    known, steps = runs_of(connection, {row.series_id for row in affected}), _steps(connection, affected)
    for series_id, before in known.items():
        totals = {total_id for _, total_id in before}
        buckets = sorted(set().union(*(timestamps.get(i, ()) for i in (series_id, *totals))))
        for total_id in totals:
            rows = [row for row in before if row[1] == total_id]
            after = proof.reopened([run for run, _ in rows], buckets, steps[series_id])
            write(connection, series_id, rows, [(run, total_id) for run in after])


def _steps(connection: sa.Connection, affected: Iterable[Any]) -> dict[int, int]:
    select = sa.select(series.c.id, series.c.agg_interval).where(series.c.id.in_([row.series_id for row in affected]))
    return {row.id: AggInterval(row.agg_interval).seconds for row in connection.execute(select)}


def delete_before(connection: sa.Connection, ids: Collection[int], end: datetime) -> None:
    """Delete what is known of buckets before *end*, of the series *ids*, which the caller has locked."""
    advisory_lock(connection, PROOFS)
    cutoff = int(end.timestamp())
    for series_id, before in runs_of(connection, ids).items():
        old = [row for row in before if row[0].start < cutoff]
        kept = [(run._replace(start=cutoff), total_id) for run, total_id in old if run.end > cutoff]
        write(connection, series_id, old, kept)


def of_series(ids: Collection[int]) -> sa.ColumnElement[bool]:
    """Choose the rows about these series, as sums or as totals."""
    return sa.or_(proofs.c.series_id.in_(ids), proofs.c.total_id.in_(ids))
