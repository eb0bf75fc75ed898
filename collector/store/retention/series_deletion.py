"""Deletes a question that no profile wants any more: its series in all units, and everything that is stored of them.

Requests and due moments stay on record: they are the ledger of the budget and of the profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.errors import CollectorError
from collector.store import checksums
from collector.store.db import schema
from collector.store.db.sql import LABELS, advisory_lock
from collector.store.ledger import bodies, replicas
from collector.store.series import edges, generations

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


_OF_SERIES = (
    schema.points,
    schema.revisions,
    schema.vanished,
    schema.date_ranges,
    schema.finality,
    schema.absences,
    schema.snapshots,
    schema.snapshot_points,
    schema.profile_series,
    schema.series,
)
_series, _labels = schema.series, schema.profile_series


class SeriesWanted(CollectorError):
    """A profile still wants the series."""


class SeriesUnknown(CollectorError):
    """There is no such series."""


@dataclass(frozen=True, slots=True)
class SeriesDeletion:
    """What was deleted, or would be: rows by table, of the series with these *ids*, called *label* last."""

    label: str
    ids: tuple[int, ...]
    rows: Mapping[str, int]


def forget(
    connection: sa.Connection, series_id: int, wanted: Mapping[str, str], replica_id: int, *, dry_run: bool
) -> SeriesDeletion:
    """Delete the question of *series_id*, or with *dry_run* count what would be; SeriesUnknown if there is none.

    *wanted* maps the digest of what the configured profiles ask for to a label. SeriesWanted if that is among it, or if
    a profile of another replica has it in use.
    """
    advisory_lock(connection, LABELS)
    found = sa.select(_series.c.digest, _series.c.label).where(_series.c.id == series_id)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise SeriesUnknown(f"there is no series {series_id}: `collector series` lists them")
    asked = generations.question(row.digest)
    same = sa.select(_series.c.id).where(generations.question_of(_series.c.digest) == asked).order_by(_series.c.id)
    ids = [*connection.execute(same).scalars()]
    label = wanted.get(asked) or _label_of_others(connection, ids, replica_id)
    if label:
        raise SeriesWanted(f"series {series_id} is not deleted, because a profile still wants it as {label!r}")
    rows = {}
    for table in _OF_SERIES:
        column = table.c.id if table is _series else table.c.series_id
        rows[table.name] = _rows(connection, table, column.in_(ids), dry_run=dry_run)
    if number := bodies.forget_series(connection, asked, dry_run=dry_run):
        rows["bodies"] = number
    if not dry_run:
        _delete_traces(connection, asked, ids)
    return SeriesDeletion(row.label, tuple(ids), rows)


def _label_of_others(connection: sa.Connection, ids: Sequence[int], replica_id: int) -> str | None:
    """Find a label under which a profile of another replica has one of the series in use."""
    others = replicas.profiles_of_others(connection, replica_id)
    used = sa.and_(_labels.c.series_id.in_(ids), _labels.c.active, _labels.c.profile.in_(sorted(others)))
    return connection.execute(sa.select(_labels.c.label).where(used).limit(1)).scalar()


def _rows(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool], *, dry_run: bool) -> int:
    if dry_run:
        counted = sa.select(sa.func.count()).select_from(table).where(which)
        return int(connection.execute(counted).scalar_one())
    return connection.execute(sa.delete(table).where(which)).rowcount


def _delete_traces(connection: sa.Connection, digest: str, ids: Collection[int]) -> None:
    """Delete what names the series without being history: its edge, pauses, windows of jobs, seals."""
    pauses, windows = schema.refusals, schema.backfill_windows
    edges.forget(connection, digest)
    connection.execute(sa.delete(pauses).where(pauses.c.digest.startswith(digest)))
    connection.execute(sa.delete(windows).where(windows.c.series == digest))
    parts = [checksums.mark(series_id, 0)[0] for series_id in ids]
    connection.execute(sa.delete(schema.seals).where(schema.seals.c.part.in_(parts)))
