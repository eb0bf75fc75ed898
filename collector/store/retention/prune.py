"""Retention: delete what is older than `[retention]` keeps, in small transactions, so that collecting hardly waits.

Each transaction leaves a store in which all checksums agree. The cutoff is stored before the first point is deleted.
Buckets before it were deleted on purpose: they are no gaps, and are not requested again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval, Grid
from collector.model import Normalization
from collector.store import checksums
from collector.store.db import schema, sql
from collector.store.db.schema import (
    absences,
    fetch_profiles,
    fetches,
    fires,
    profile_series,
    revisions,
    series,
    unfolded_ranges,
)
from collector.store.ledger import bodies
from collector.store.retention import points
from collector.store.series import coverage, folding, folds, grids, snapshots
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from collector.settings import RetentionSettings
    from collector.store.db.database import Database

    Cutoffs = Mapping[AggInterval, datetime]

log = logging.getLogger(__name__)

_CUTOFF_KEY = "kept_from:{}"


@dataclass(frozen=True, slots=True)
class Pruned:
    """The numbers of rows deleted, or to be deleted; and a sentence for each series skipped because it is damaged."""

    points: int = 0
    revisions: int = 0
    fetches: int = 0
    fires: int = 0
    damaged: tuple[str, ...] = ()

    def __add__(self, other: Pruned) -> Pruned:
        sums = {name: number + other.counts[name] for name, number in self.counts.items()}
        return Pruned(**sums, damaged=tuple(dict.fromkeys(self.damaged + other.damaged)))

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in ("points", "revisions", "fetches", "fires")}


def cutoffs(
    retention: RetentionSettings, now: datetime, grids: Mapping[AggInterval, Grid]
) -> dict[AggInterval, datetime]:
    """Return the first bucket that is kept, by interval; absent if all points are kept."""
    return {
        interval: (grids.get(interval) or Grid(interval)).floor(now - span)
        for interval, span in retention.points.items()
    }


def stored_cutoff(connection: sa.Connection, interval: AggInterval) -> datetime | None:
    """Read the cutoff of the last pruning: the first bucket of *interval* that is kept; None if all are."""
    text = sql.get_state(connection, _CUTOFF_KEY.format(interval.value))
    return utc(text) if text else None


def _store_cutoffs(connection: sa.Connection, current: Cutoffs) -> None:
    """Store the cutoffs; an interval that had one before and has none now gets an empty record."""
    for interval in AggInterval:
        key = _CUTOFF_KEY.format(interval.value)
        if interval in current:
            sql.put_state(connection, key, rfc3339(current[interval]))
        elif sql.get_state(connection, key):
            sql.put_state(connection, key, "")


async def prune(database: Database, retention: RetentionSettings, now: datetime) -> Pruned:
    """Delete what is older than *retention* keeps at *now*. A repeated call continues where one was interrupted.

    Damage is reported in the result. It stops nothing.
    """
    current = cutoffs(retention, now, await database.read_in_thread(grids.in_force))
    await database.write(lambda connection: _store_cutoffs(connection, current))
    pruned = Pruned()
    fetch_cutoff = now - retention.fetches if retention.fetches else None
    for agg_interval, first_kept in current.items():
        pruned += await _prune_points(database, agg_interval, first_kept, fetch_cutoff)
    for series_id, interval in await database.read_in_thread(_list_series):
        if cutoff := current.get(AggInterval(interval)):
            pruned += await _prune_snapshots(database, series_id, cutoff)
    if retention.revisions:
        pruned += await _prune_revisions(database, now - retention.revisions)
    await database.write(lambda connection: _keep_considered(connection, fetch_cutoff))
    if fetch_cutoff:
        pruned += await _prune_fetches(database, fetch_cutoff)
    for agg_interval in AggInterval if fetch_cutoff or current else ():
        await database.write(partial(points.delete_unused_sets, interval=agg_interval))
    if retention.fires:
        pruned += await _prune_fires(database, now - retention.fires)
    for finding in pruned.damaged:
        log.error("prune", extra={"outcome": "damaged", "reason": finding})
    return pruned


def _list_series(connection: sa.Connection) -> list[tuple[int, str]]:
    rows = connection.execute(sa.select(series.c.id, series.c.agg_interval).order_by(series.c.id))
    return [(row.id, row.agg_interval) for row in rows]


async def _prune_points(
    database: Database, interval: AggInterval, cutoff: datetime, fetch_cutoff: datetime | None
) -> Pruned:
    """Delete the points of *interval* before *cutoff*, and the fetches that nothing needs without them."""

    def delete_some(connection: sa.Connection) -> Pruned | None:
        deleted = points.delete_points(connection, interval, cutoff)
        if deleted is None:
            return None
        old = _ended_before(connection, deleted.fetch_ids, fetch_cutoff)
        number = delete_fetches(connection, deletable_fetches(connection, old, {}))
        return Pruned(deleted.points, deleted.revisions, number, damaged=tuple(deleted.damaged))

    pruned = Pruned()
    while step := await database.write(delete_some):
        pruned += step
    return pruned


def _ended_before(connection: sa.Connection, fetch_ids: Collection[int], cutoff: datetime | None) -> list[int]:
    """Choose the fetches that ended before *cutoff*; none if it is None."""
    if cutoff is None:
        return []
    ended = sa.select(fetches.c.id).where(fetches.c.id.in_(fetch_ids), fetches.c.finished_at < cutoff)
    return list(connection.execute(ended.order_by(fetches.c.id)).scalars())


async def _prune_snapshots(database: Database, series_id: int, cutoff: datetime) -> Pruned:
    count = 0
    delete_some = partial(delete_snapshots, series_id=series_id, cutoff=cutoff)
    while (deleted := await database.write(delete_some)) is not None:
        count += deleted
    return Pruned(points=count)


async def _prune_revisions(database: Database, cutoff: datetime) -> Pruned:
    count, after = 0, None
    while old := await database.read_in_thread(partial(points.old_revisions, cutoff=cutoff, after=after)):
        count += await database.write(partial(points.delete_revisions, old=old, cutoff=cutoff))
        after = old[-1]
    return Pruned(revisions=count)


async def _prune_fetches(database: Database, cutoff: datetime) -> Pruned:
    """Delete what is not needed of the fetches that have become old since the last time."""

    def read(connection: sa.Connection) -> tuple[int, OldFetches | None]:
        after = _considered(connection, cutoff)
        return after, old_fetches(connection, cutoff, {}, after)

    def write(connection: sa.Connection, old: OldFetches, after: int) -> int:
        coverage.lock(connection)
        deleted = delete_fetches(connection, old.delete)
        cut_fetches(connection, old.rest)
        if _considered(connection, cutoff) >= after:  # folding may have moved it back meanwhile
            considered = f"{max([*old.delete, *old.rest])} {rfc3339(cutoff)}"
            sql.put_state(connection, folding.CONSIDERED_KEY, considered)
        return deleted

    count = 0
    after, old = await database.read_in_thread(read)
    while old:
        count += await database.write(partial(write, old=old, after=after))
        after, old = await database.read_in_thread(read)
    return Pruned(fetches=count)


def _keep_considered(connection: sa.Connection, cutoff: datetime | None) -> None:
    """Keep the record of the last fetch that was considered, unless fetches are kept for longer now.

    Then some of those before it may lose their last points, and must be considered again when they are old enough.
    """
    if cutoff is None or not _considered(connection, cutoff):
        points.consider_again(connection)


def _considered(connection: sa.Connection, cutoff: datetime) -> int:
    """Return the last fetch that was considered when fetches were pruned; 0 for none, or for a later cutoff."""
    fetch_id, _, before = (sql.get_state(connection, folding.CONSIDERED_KEY) or "").partition(" ")
    return int(fetch_id) if before and utc(before) <= cutoff else 0


async def _prune_fires(database: Database, cutoff: datetime) -> Pruned:
    by_profile = await database.read_in_thread(lambda connection: fire_cutoffs(connection, cutoff))
    count = 0
    for profile, due in by_profile.items():
        while deleted := await database.write(partial(delete_fires, profile=profile, cutoff=due)):
            count += deleted
    return Pruned(fires=count)


def prunable(connection: sa.Connection, retention: RetentionSettings, now: datetime) -> Pruned:
    """Count what `prune` would delete."""
    current = cutoffs(retention, now, grids.in_force(connection))
    older_points, older_revisions = (
        [
            sa.and_(series.c.agg_interval == interval.value, table.c.timestamp < cutoff)
            for interval, cutoff in current.items()
        ]
        for table in (schema.points, revisions)
    )
    if retention.revisions:
        older_revisions.append(revisions.c.replaced_at < now - retention.revisions)
    number = len(_prunable_fetches(connection, now - retention.fetches, current)) if retention.fetches else 0
    due_before = fire_cutoffs(connection, now - retention.fires) if retention.fires else {}
    older_fires = [sa.and_(fires.c.profile == profile, fires.c.due < due) for profile, due in due_before.items()]
    in_snapshots = sum(_count_snapshot_points(connection, *item) for item in current.items())
    return Pruned(
        _count(connection, schema.points.join(series, series.c.id == schema.points.c.series_id), older_points)
        + in_snapshots,
        _count(connection, revisions.join(series, series.c.id == revisions.c.series_id), older_revisions),
        number,
        _count(connection, fires, older_fires),
    )


def _prunable_fetches(connection: sa.Connection, cutoff: datetime, point_cutoffs: Cutoffs) -> set[int]:
    """Return the fetches that `prune` would delete: since the last time, and those whose last points go."""
    after, delete = _considered(connection, cutoff), set[int]()
    ending = _ended_before(connection, _fetches_of_old_points(connection, point_cutoffs), cutoff)
    delete |= {*deletable_fetches(connection, ending, point_cutoffs)}
    while old := old_fetches(connection, cutoff, point_cutoffs, after):
        after = max([*old.delete, *old.rest])
        delete |= {*old.delete}
    return delete


def _fetches_of_old_points(connection: sa.Connection, point_cutoffs: Cutoffs) -> set[int]:
    ending = sa.select(unfolded_ranges.c.fetch_id).join(series, series.c.id == unfolded_ranges.c.series_id).distinct()
    fetch_ids = set(connection.execute(ending.where(_ends_before(point_cutoffs))).scalars())
    for interval, cutoff in point_cutoffs.items():
        ids = connection.execute(sa.select(series.c.id).where(series.c.agg_interval == interval.value)).scalars().all()
        fetch_ids |= folds.fetch_ids(folds.rows(connection, ids, schema.folded_answers.c.end <= cutoff))
    return fetch_ids


def _ends_before(point_cutoffs: Cutoffs) -> sa.ColumnElement[bool]:
    """Choose the date ranges that go with the points before *point_cutoffs*, joined with their series."""
    of_interval = (
        sa.and_(series.c.agg_interval == interval.value, unfolded_ranges.c.end <= cutoff)
        for interval, cutoff in point_cutoffs.items()
    )
    return sa.or_(sa.false(), *of_interval)


def _count(connection: sa.Connection, table: sa.FromClause, any_of: Sequence[sa.ColumnElement[bool]]) -> int:
    counted = sa.select(sa.func.count()).select_from(table).where(sa.or_(sa.false(), *any_of))
    return int(connection.execute(counted).scalar_one())


_SNAPSHOTS_AT_ONCE = 10


def delete_snapshots(connection: sa.Connection, series_id: int, cutoff: datetime) -> int | None:
    """Delete some snapshots of a series that were requested before *cutoff*, never the newest one.

    Returns the number of their points; None if there was nothing to delete.
    """
    select = sa.select(schema.snapshots.c.asked_at, schema.snapshots.c.points).where(_is_old_snapshot(cutoff))
    select = select.where(schema.snapshots.c.series_id == series_id)
    rows = connection.execute(select.order_by(schema.snapshots.c.asked_at).limit(_SNAPSHOTS_AT_ONCE)).all()
    if not rows:
        return None
    snapshots.delete(connection, series_id, [row.asked_at for row in rows])
    return sum(int(row.points) for row in rows)


def _is_old_snapshot(cutoff: datetime) -> sa.ColumnElement[bool]:
    this, newer = schema.snapshots, schema.snapshots.alias()
    followed = sa.exists().where(newer.c.series_id == this.c.series_id, newer.c.asked_at > this.c.asked_at)
    return sa.and_(this.c.asked_at < cutoff, followed.correlate(this))


def _count_snapshot_points(connection: sa.Connection, interval: AggInterval, cutoff: datetime) -> int:
    table = schema.snapshots
    select = sa.select(sa.func.coalesce(sa.func.sum(table.c.points), 0)).where(_is_old_snapshot(cutoff))
    select = select.join_from(table, series, series.c.id == table.c.series_id)
    return int(connection.execute(select.where(series.c.agg_interval == interval.value)).scalar_one())


_FETCHES_AT_ONCE = 100
_FIRES_AT_ONCE = 5_000
_LATER = timedelta(days=60)
"""How much later a date range may end than those it makes superfluous: bounds the search."""


class OldFetches(NamedTuple):
    """Fetches that ended before a cutoff: those to *delete*, and the *rest*, whose details are deleted."""

    delete: Sequence[int]
    rest: Sequence[int]


def old_fetches(connection: sa.Connection, cutoff: datetime, point_cutoffs: Cutoffs, after: int) -> OldFetches | None:
    """Read some fetches with an id above *after* that ended before *cutoff*; None if there are none.

    They end at the first one that ended later, or not yet, so that the next ones can be read by their id.
    """
    table = fetches.c
    following = sa.select(table.id, table.finished_at, table.started_at).where(table.id > after).order_by(table.id)
    rows = connection.execute(following.limit(_FETCHES_AT_ONCE))
    ids = [row.id for row in takewhile(lambda row: (row.finished_at or row.started_at) < cutoff, rows)]
    if not ids:
        return None
    delete = deletable_fetches(connection, ids, point_cutoffs)
    return OldFetches(delete, sorted({*ids} - {*delete}))


def deletable_fetches(connection: sa.Connection, ids: Sequence[int], point_cutoffs: Cutoffs) -> list[int]:
    """Choose from some fetches those that nothing needs.

    A fetch may be deleted if it has no answer, or all its buckets are folded or before *point_cutoffs*, or it changed
    nothing and a later answer covers its windows. The newest answer of each profile, and of each unit, stays. So does a
    fetch that proves a gap or whose body is kept, or that is under way.
    """
    if not ids:
        return []
    ends = sa.select(sa.func.max(unfolded_ranges.c.end)).where(unfolded_ranges.c.fetch_id.in_(ids))
    last = connection.execute(ends).scalar()
    own_ranges = sa.and_(unfolded_ranges.c.fetch_id == fetches.c.id, *_younger(point_cutoffs))
    changed_nothing = sa.and_(
        *(sa.func.coalesce(fetches.c[name], 0) == 0 for name in ("inserted", "revised", "vanished")),
        sa.func.upper(fetches.c.normalization).in_([normalization.value for normalization in Normalization]),
        ~sa.exists().where(own_ranges, ~_superseded(last + _LATER)).correlate(fetches) if last else sa.true(),
    )
    unused = sa.or_(~sa.exists().where(own_ranges).correlate(fetches), changed_nothing)
    ended = sa.select(fetches.c.id).where(fetches.c.id.in_(ids), fetches.c.finished_at.is_not(None), unused)
    candidates = connection.execute(ended.order_by(fetches.c.id)).scalars().all()
    needed = _newest_answers(connection) | _proofs(connection, ids) | bodies.kept_fetches(connection, ids)
    needed |= _last_of_measures(connection, candidates)
    return [fetch_id for fetch_id in candidates if fetch_id not in needed]


def _younger(point_cutoffs: Cutoffs) -> list[Any]:
    """Select the date ranges that stay when the points before *point_cutoffs* are deleted."""
    ended = sa.exists().where(series.c.id == unfolded_ranges.c.series_id, _ends_before(point_cutoffs))
    return [~ended.correlate(unfolded_ranges)] if point_cutoffs else []


def _superseded(before: datetime) -> sa.Exists:
    """Select the ranges whose buckets a later request covered, with an answer that was no older."""
    later, answer = unfolded_ranges.alias(), fetches.alias()
    covers = sa.exists().where(
        later.c.series_id == unfolded_ranges.c.series_id,
        later.c.end >= unfolded_ranges.c.end,
        later.c.end < before,
        later.c.start <= unfolded_ranges.c.start,
        later.c.fetch_id > unfolded_ranges.c.fetch_id,
        later.c.overruled.is_(None),
        answer.c.id == later.c.fetch_id,
        answer.c.last_updated >= fetches.c.last_updated,
    )
    return covers.correlate(unfolded_ranges, fetches)


def _proofs(connection: sa.Connection, fetch_ids: Sequence[int]) -> set[int]:
    """Return the fetches whose answer proves a gap."""
    proofs = sa.select(absences.c.fetch_id).where(absences.c.fetch_id.in_(fetch_ids)).distinct()
    return set(connection.execute(proofs).scalars())


def _last_of_measures(connection: sa.Connection, fetch_ids: Sequence[int]) -> set[int]:
    """Return which of some fetches are the newest with their interval, normalization and unit, which a dump shows.

    Without folding, a fetch whose values stay is on record. So only folded ones need this.
    """
    measure = fetches.c.agg_interval, fetches.c.normalization, fetches.c.unit
    ok = fetches.c.outcome == "ok"
    newest = sa.select(*measure, sa.func.max(fetches.c.id)).where(fetches.c.id.in_(fetch_ids), ok).group_by(*measure)
    last = set[int]()
    for *words, fetch_id in connection.execute(newest).all():
        same = (column.is_not_distinct_from(word) for column, word in zip(measure, words, strict=True))
        later = sa.select(fetches.c.id).where(fetches.c.id > fetch_id, ok, *same).order_by(fetches.c.id).limit(1)
        if not connection.execute(later).first() and folds.has_fetch(connection, fetch_id):
            last.add(fetch_id)
    return last


def _newest_answers(connection: sa.Connection) -> set[int]:
    """Return the newest answer of each profile that has had labels."""
    profiles = sa.select(profile_series.c.profile).distinct().subquery()
    newest = sa.select(fetch_profiles.c.fetch_id).join(fetches, fetches.c.id == fetch_profiles.c.fetch_id)
    newest = newest.where(fetch_profiles.c.profile == profiles.c.profile, fetches.c.outcome == "ok")
    newest = newest.order_by(fetch_profiles.c.fetch_id.desc()).limit(1)
    return {*connection.execute(sa.select(newest.scalar_subquery()).select_from(profiles)).scalars()} - {None}


def cut_fetches(connection: sa.Connection, fetch_ids: Sequence[int]) -> None:
    """Delete the details of fetches that stay because values, coverage or annotations refer to them.

    Those of the newest answer of a profile stay, and those that explain a kept body. What a read of an earlier moment
    needs stays: when it was requested and came, its lastUpdated, unit and confidence level, and what it changed.
    """
    if fetch_ids:
        details = {"request": "", "windows": None, "message": None, "status": None, "bytes": None}
        whole = _newest_answers(connection) | bodies.kept_fetches(connection, fetch_ids)
        cut = sa.update(fetches).where(fetches.c.id.in_([each for each in fetch_ids if each not in whole]))
        connection.execute(cut.values(details))


def delete_fetches(connection: sa.Connection, fetch_ids: Sequence[int]) -> int:
    """Delete fetches with their date ranges. Returns their number."""
    if not fetch_ids:
        return 0
    these = fetches.c.id.in_(fetch_ids)
    rows = connection.execute(sa.select(fetches.c.id, fetches.c.profiles).where(these)).all()
    links = [{"p": profile, "f": row.id} for row in rows for profile in set(json.loads(row.profiles))]
    if links:
        link = (fetch_profiles.c.profile == sa.bindparam("p"), fetch_profiles.c.fetch_id == sa.bindparam("f"))
        connection.execute(sa.delete(fetch_profiles).where(*link), links)
    coverage.delete_of_fetches(connection, fetch_ids)
    connection.execute(sa.delete(fetches).where(these))
    return len(rows)


def fire_cutoffs(connection: sa.Connection, cutoff: datetime) -> dict[str, datetime]:
    """Return by profile the first due time whose fire is kept: *cutoff*, or the newest one if that is older."""
    newest = sa.select(fires.c.profile, sa.func.max(fires.c.due).label("due")).group_by(fires.c.profile)
    return {row.profile: min(row.due, cutoff) for row in connection.execute(newest)}


def delete_fires(connection: sa.Connection, profile: str, cutoff: datetime) -> int:
    """Delete the oldest fires of *profile* that were due before *cutoff*, some at a time. Returns their number."""
    older = sa.and_(fires.c.profile == profile, fires.c.due < cutoff)
    dues = sa.select(fires.c.due).where(older).order_by(fires.c.due)
    next_due = connection.execute(dues.offset(_FIRES_AT_ONCE).limit(1)).scalar()
    some = older if next_due is None else sa.and_(older, fires.c.due < next_due)
    deleted = connection.execute(sa.delete(fires).where(some).returning(fires.c.due, fires.c.outcome))
    rows = [checksums.fire(profile, *row) for row in deleted]
    checksums.update_set_checksums(connection, gone=rows)
    return len(rows)
