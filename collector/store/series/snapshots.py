"""Snapshots: complete answers of one pass about series whose values depend on the moment of the request.

Such a series has no rows in `points` or `date_ranges`. Reads use the newest snapshot, or the newest one at a moment.
"""

from __future__ import annotations

import json
import struct
import zlib
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.datasets import dataset_named, is_snapshot
from collector.profile import Reach
from collector.retry import pass_backoff
from collector.store.db import sql
from collector.store.db.column_types import Timestamp, epoch
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import profile_series, series, snapshot_points, snapshots
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from collector.model import Batch
    from collector.profile import Profile
    from collector.store.series.generations import Generation


_HEAD = struct.Struct("<6q")
_MICROSECONDS = 1_000_000


class Snapshot(NamedTuple):
    """One snapshot of a series, requested at *asked_at*: the buckets from *start* up to *end*.

    *last_updated* is the earliest one of its answers.
    """

    series_id: int
    asked_at: datetime
    start: datetime
    end: datetime
    last_updated: datetime
    points: int


def is_part(batch: Batch) -> bool:
    """Return whether the answer to *batch* is a part of snapshots. Raises ValueError if only some of its series are."""
    kinds = {is_snapshot(slice_.series) for slice_ in batch.slices}
    if len(kinds) > 1:
        raise ValueError("a batch asks for snapshots and for history at once")
    return kinds == {True}


def checksum(taken: Snapshot, timestamps: Sequence[int], values: Sequence[float]) -> int:
    """Return CRC-32 of a snapshot and of its points, ascending: all timestamps, then all values."""
    moments = (round(moment.timestamp() * _MICROSECONDS) for moment in (taken.asked_at, taken.last_updated))
    edges = (int(edge.timestamp()) for edge in (taken.start, taken.end))
    head = _HEAD.pack(taken.series_id, *moments, *edges, taken.points)
    count = len(timestamps)
    return zlib.crc32(struct.pack(f"<{count}q{count}d", *timestamps, *values), zlib.crc32(head))


def _last(as_of: Any = None) -> sa.Subquery:
    """(series_id, asked_at) of each series' newest snapshot, or of its newest one at *as_of*."""
    select = sa.select(snapshots.c.series_id, sa.func.max(snapshots.c.asked_at).label("asked_at"))
    if as_of is not None:
        select = select.where(snapshots.c.asked_at <= as_of)
    return select.group_by(snapshots.c.series_id).subquery()


def newest(
    connection: sa.Connection, ids: Collection[int] | None = None, as_of: datetime | None = None
) -> dict[int, Snapshot]:
    """Return the newest snapshot of the series *ids* (None: of all), or the newest at or before *as_of*."""
    bounds = {"ids": None if ids is None else list(ids), "as_of": as_of}
    parameters = {name: bound for name, bound in bounds.items() if bound is not None}
    rows = _newest(frozenset(parameters)).rows(connection, parameters)
    return {row.series_id: Snapshot(*row) for row in rows}


@cache
def _newest(names: frozenset[str]) -> DriverSelect:
    last = _last(sa.bindparam("as_of", type_=Timestamp) if "as_of" in names else None)
    same = sa.and_(snapshots.c.series_id == last.c.series_id, snapshots.c.asked_at == last.c.asked_at)
    select = sa.select(*(snapshots.c[name] for name in Snapshot._fields)).join_from(snapshots, last, same)
    of_ids = [snapshots.c.series_id.in_(sa.bindparam("ids", expanding=True))] if "ids" in names else []
    return DriverSelect(select.where(*of_ids))


def oldest(connection: sa.Connection, ids: Collection[int]) -> dict[int, datetime]:
    """Return when the oldest snapshot was requested that is kept of the question of each series, in any unit."""
    rows = connection.execute(_oldest(), {"ids": list(ids)})
    return {row.id: row.asked_at for row in rows}


@cache
def _oldest() -> Any:
    same, first = series.alias(), sa.func.min(snapshots.c.asked_at).label("asked_at")
    select = sa.select(series.c.id, first).join(same, same.c.digest == series.c.digest)
    select = select.join(snapshots, snapshots.c.series_id == same.c.id)
    return select.where(series.c.id.in_(sa.bindparam("ids", expanding=True))).group_by(series.c.id)


def current_snapshots(
    taken: Mapping[int, Snapshot], several: Mapping[int, Sequence[Generation]]
) -> dict[int, Snapshot]:
    """Return the current snapshot of each label, by the series_id that the label points to.

    *taken* are the newest ones by series_id, *several* the series in force of a question whose unit has changed.
    """
    current = dict(taken)
    for series_id, same in several.items():
        known = [taken[generation.id] for generation in same if generation.id in taken]
        if known:
            current[series_id] = max(known, key=lambda snapshot: snapshot.asked_at)
        else:
            current.pop(series_id, None)
    return current


def ends(connection: sa.Connection, ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Find the oldest and newest timestamp in the newest snapshot of each series; absent for no point."""
    last, table = _last(), snapshot_points
    inside = sa.and_(table.c.series_id == last.c.series_id, table.c.asked_at == last.c.asked_at)
    extremes = [
        sa.select(epoch(extreme(table.c.timestamp))).where(inside).correlate(last).scalar_subquery()
        for extreme in (sa.func.min, sa.func.max)
    ]
    rows = connection.execute(sa.select(last.c.series_id, *extremes).where(last.c.series_id.in_(ids)))
    return {series_id: (oldest, latest) for series_id, oldest, latest in rows if oldest is not None}


def end_of(extreme: Any) -> Any:
    """Select the *extreme* (min or max) timestamp in the newest snapshot of the enclosing statement's series."""
    table, other = snapshot_points, snapshots.alias()
    last = sa.select(sa.func.max(other.c.asked_at)).where(other.c.series_id == series.c.id).scalar_subquery()
    select = sa.select(extreme(table.c.timestamp)).where(table.c.series_id == series.c.id, table.c.asked_at == last)
    return select.correlate(series).scalar_subquery()


def delete(connection: sa.Connection, series_id: int, moments: Collection[datetime]) -> None:
    """Delete the snapshots of a series that were requested at *moments*."""
    for table in (snapshot_points, snapshots):
        connection.execute(sa.delete(table).where(table.c.series_id == series_id, table.c.asked_at.in_(list(moments))))


def count_wrong(connection: sa.Connection) -> tuple[int, list[str]]:
    """Compare every snapshot with its checksum; returns how many there are, and a sentence for each fault.

    Numbers of points are compared, too: that of each snapshot, and that of each series with its newest snapshot.
    """
    faults, number = _dangling_rows(connection), 0
    select = sa.select(snapshots, series.c.label).join_from(snapshots, series, series.c.id == snapshots.c.series_id)
    for row in connection.execute(select.order_by(snapshots.c.series_id, snapshots.c.asked_at)).all():
        number += 1
        taken = Snapshot(*(getattr(row, name) for name in Snapshot._fields))
        timestamps, values = _read(connection, taken)
        described = f"{row.label}: the snapshot of {rfc3339(taken.asked_at)}"
        if len(timestamps) != taken.points:
            faults.append(f"{described} had {taken.points} points, and has {len(timestamps)}")
        elif not _agrees(taken, timestamps, values, row.checksum):
            faults.append(f"{described} is not what it was (checksum)")
    last = _last()
    same = sa.and_(snapshots.c.series_id == last.c.series_id, snapshots.c.asked_at == last.c.asked_at)
    counted = sa.select(series.c.label, series.c.points, snapshots.c.points.label("taken"))
    counted = counted.join_from(snapshots, last, same).join(series, series.c.id == snapshots.c.series_id)
    for row in connection.execute(counted.where(series.c.points != snapshots.c.points)):
        faults.append(f"{row.label}: points of the newest snapshot: {row.taken}; counted: {row.points}")
    return number, faults


def _agrees(taken: Snapshot, timestamps: Sequence[int], values: Sequence[float], kept: int) -> bool:
    try:
        return checksum(taken, timestamps, values) == kept
    except (struct.error, TypeError):  # a damaged record may hold text, or nothing, instead of a number
        return False


def _read(connection: sa.Connection, taken: Snapshot) -> tuple[list[int], list[float]]:
    table = snapshot_points.c
    select = sa.select(epoch(table.timestamp), table.value).order_by(table.timestamp)
    same = (table.series_id == taken.series_id, table.asked_at == taken.asked_at)
    rows = connection.execute(select.where(*same)).all()
    return [row[0] for row in rows], [row[1] for row in rows]


def _dangling_rows(connection: sa.Connection) -> list[str]:
    known = sa.exists().where(series.c.id == snapshots.c.series_id).correlate(snapshots)
    same = sa.and_(
        snapshots.c.series_id == snapshot_points.c.series_id, snapshots.c.asked_at == snapshot_points.c.asked_at
    )
    whole = sa.exists().where(same).correlate(snapshot_points)
    counts = (
        (sa.select(sa.func.count()).select_from(snapshots).where(~known), "snapshots of a series that does not exist"),
        (
            sa.select(sa.func.count()).select_from(snapshot_points).where(~whole),
            "points of a snapshot that is not on record",
        ),
    )
    numbers = [(connection.execute(select).scalar_one(), described) for select, described in counts]
    return [f"{described}: {number}" for number, described in numbers if number]


def of_moving(dataset: str, filters: str) -> bool:
    """Return whether a series of *dataset* with these *filters*, as JSON, is a snapshot series."""
    return bool(dataset_named(dataset).snapshot_filters(json.loads(filters)))


_RANGE = "snapshot_range:{}"


def declare_reaches(connection: sa.Connection, profiles: Sequence[Profile]) -> None:
    """Store how far back each of *profiles* that takes snapshots wants them to reach."""
    for profile in profiles:
        if profile.takes_snapshots:
            reach = profile.reach
            since = rfc3339(reach.since) if reach.since else None
            text = json.dumps({"since": since, "lookback": reach.lookback.total_seconds()})
            sql.put_state(connection, _RANGE.format(profile.name), text)


def reaches(connection: sa.Connection, ids: Collection[int]) -> dict[int, list[Reach]]:
    """Find by series how far back the profiles that have it in use want it to reach."""
    labels = profile_series.c
    select = sa.select(labels.profile, labels.series_id).where(labels.series_id.in_(ids), labels.active)
    by_series: dict[int, list[Reach]] = {}
    known: dict[str, Reach | None] = {}
    for profile, series_id in connection.execute(select).all():
        if profile not in known:
            text = sql.get_state(connection, _RANGE.format(profile))
            known[profile] = _reach(json.loads(text)) if text else None
        reach = known[profile]
        by_series.setdefault(series_id, []).extend([reach] if reach else [])
    return by_series


def _reach(document: dict[str, Any]) -> Reach:
    since = document["since"]
    return Reach(utc(since) if since else None, timedelta(seconds=document["lookback"]))


def record_key(profile: str) -> str:
    """Name the fact that holds the record of *profile*."""
    return f"snapshot:{profile}"


class PassRecord(NamedTuple):
    """What is remembered of the passes that take the snapshots of a profile.

    *daily*: a pass takes several requests. *failures* is the number of failures in a row, *reason* the reason of the
    last one, *again_at* when to try again.
    """

    daily: bool = False
    failures: int = 0
    reason: str = ""
    again_at: datetime | None = None

    def after(self, reason: str | None, now: datetime, *, daily: bool) -> PassRecord:
        """Return the record after a pass.

        A pass of several requests that failed is repeated only after a growing pause.
        """
        if reason is None:
            return PassRecord(daily)
        failures = self.failures + 1
        pause = pass_backoff(failures) if daily else timedelta(0)
        return PassRecord(daily, failures, reason, now + pause)


def dump_record(record: PassRecord) -> str:
    """Write a record as JSON."""
    again_at = rfc3339(record.again_at) if record.again_at else None
    return json.dumps(
        {"daily": record.daily, "failures": record.failures, "reason": record.reason, "again_at": again_at}
    )


def load_record(text: str | None) -> PassRecord:
    """Read what `dump` wrote; without it, a record of nothing."""
    if not text:
        return PassRecord()
    document = json.loads(text)
    again_at = document["again_at"]
    return PassRecord(document["daily"], document["failures"], document["reason"], utc(again_at) if again_at else None)
