"""Series and their labels: which line of history a query is, and what the operator calls it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from collector.additivity import is_snapshot
from collector.model import is_absolute
from collector.store import evidence, snapshots
from collector.store.column_types import epoch
from collector.store.locks import LABELS, lock
from collector.store.schema import date_ranges, fetches, points, profile_series, series

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.model import Meta, SeriesQuery
    from collector.profile import LabelledSeries, Profile

_UNANSWERED = ("", "")
"""Normalization and unit of a series before the first answer."""

# Statements of every answer are built once: building one costs several times its execution.
_IDENTITY = sa.select(series.c.digest, series.c.id, series.c.label, series.c.normalization, series.c.unit)
_LOCKED = _IDENTITY.where(series.c.digest.in_(sa.bindparam("digests", expanding=True)))
_LOCKED = _LOCKED.order_by(series.c.id).with_for_update()
_COUNT = sa.update(series).where(series.c.id == sa.bindparam("i")).values(points=series.c.points + sa.bindparam("n"))


def digest(query: SeriesQuery) -> str:
    """Give SHA-256 of what is asked: short enough for an index, however many filters there are."""
    return hashlib.sha256(json.dumps(query.key).encode()).hexdigest()


def upsert(connection: AsyncConnection, table: sa.Table) -> Any:
    """Begin an INSERT that may say what to do on conflict: both databases spell it alike."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


async def declare(
    connection: AsyncConnection, profiles: Sequence[Profile], now: datetime, others: Collection[str] = ()
) -> None:
    """Make these profiles' labels the ones in use, beside those of the profiles that *others* see to."""
    await lock(connection, LABELS)
    wanted = [(profile.name, position, s) for profile in profiles for position, s in enumerate(profile.series)]
    ids = await _known(connection, [s for *_, s in wanted], now)
    kept = {*others} - {profile.name for profile in profiles}
    ours = profile_series.c.profile.not_in(kept)
    await connection.execute(sa.update(profile_series).where(ours).values(active=False))
    if not wanted:
        return
    rows = [
        {"profile": name, "label": s.label, "position": position, "series_id": ids[s.query], "active": True}
        for name, position, s in wanted
    ]
    insert = upsert(connection, profile_series)
    new = {name: insert.excluded[name] for name in ("position", "series_id", "active")}
    await connection.execute(insert.on_conflict_do_update(index_elements=["profile", "label"], set_=new), rows)
    await _relabel(connection, {ids[s.query]: s.label for *_, s in wanted})
    await _note_settles(connection, profiles, ids, kept)


async def _note_settles(
    connection: AsyncConnection, profiles: Sequence[Profile], ids: Mapping[SeriesQuery, int], kept: Collection[str]
) -> None:
    """Note the longest `settle` of the profiles that want each series; what other replicas see to only lengthens it."""
    longest: dict[int, timedelta] = {}
    for profile in profiles:
        for one in profile.series:
            longest[ids[one.query]] = max(longest.get(ids[one.query], timedelta(0)), profile.settle)
    theirs = sa.select(series.c.id, series.c.settle).join(profile_series, profile_series.c.series_id == series.c.id)
    theirs = theirs.where(profile_series.c.active, profile_series.c.profile.in_(kept), series.c.settle.is_not(None))
    for series_id, settle in await connection.execute(theirs) if kept else ():
        if series_id in longest:
            longest[series_id] = max(longest[series_id], timedelta(seconds=settle))
    await evidence.set_settles(connection, longest)


async def _relabel(connection: AsyncConnection, labels: Mapping[int, str]) -> None:
    """Give series their labels, by id: hardly ever a new one."""
    found = await connection.execute(sa.select(series.c.id, series.c.label).where(series.c.id.in_(labels)))
    renamed = [{"i": row.id, "l": labels[row.id]} for row in found if row.label != labels[row.id]]
    if renamed:
        relabel = sa.update(series).where(series.c.id == sa.bindparam("i")).values(label=sa.bindparam("l"))
        await connection.execute(relabel, renamed)


async def _known(
    connection: AsyncConnection, wanted: Sequence[LabelledSeries], now: datetime
) -> dict[SeriesQuery, int]:
    """Find the current series of all that is wanted; what there is none for gets one, still without an answer."""
    queries = [labelled.query for labelled in wanted]
    ids = await current(connection, queries)
    new = {s.query: _row(s.query, s.label, _UNANSWERED, now) for s in wanted if s.query not in ids}
    if not new:
        return ids
    await connection.execute(upsert(connection, series).on_conflict_do_nothing(), list(new.values()))
    return await current(connection, queries)


async def current(connection: AsyncConnection, queries: Iterable[SeriesQuery]) -> dict[SeriesQuery, int]:
    """Find the id of each query's current series, which its labels point to; absent where there is none yet."""
    by_digest = {digest(query): query for query in queries}
    label = sa.select(profile_series.c.label).where(profile_series.c.series_id == series.c.id).exists()
    found = await connection.execute(
        sa.select(series.c.digest, series.c.id)
        .where(series.c.digest.in_(by_digest))
        .order_by(sa.case((label, 1), else_=0), series.c.id)
    )
    return {by_digest[row.digest]: row.id for row in found}


async def relative(connection: AsyncConnection, queries: Iterable[SeriesQuery]) -> set[SeriesQuery]:
    """Find the queries whose current series holds values that are relative to one answer."""
    ids = {series_id: query for query, series_id in (await current(connection, queries)).items()}
    found = await connection.execute(sa.select(series.c.id, series.c.normalization).where(series.c.id.in_(ids)))
    return {ids[series_id] for series_id, normalization in found if normalization and not is_absolute(normalization)}


def _row(query: SeriesQuery, label: str, measure: tuple[str, str], now: datetime) -> dict[str, Any]:
    asked = dict(zip(("dataset", "dimension", "group", "agg_interval", "filters"), query.key, strict=True))
    identity = {"digest": digest(query), "normalization": measure[0], "unit": measure[1]}
    return {**asked, **identity, "label": label, "points": 0, "created_at": now}


async def resolve(
    connection: AsyncConnection, queries: Sequence[SeriesQuery], meta: Meta, now: datetime
) -> dict[SeriesQuery, int]:
    """Find the series that an answer belongs to, and lock it until the transaction ends.

    The first answer says a series' normalization and unit. Another one than before means another series, to which the
    labels move, unless a newer answer has already told otherwise.
    """
    by_digest = {digest(query): query for query in queries}
    known: dict[str, list[Any]] = defaultdict(list)
    for row in await connection.execute(_LOCKED, {"digests": list(by_digest)}):
        known[row.digest].append(row)
    found = {}
    for key, query in by_digest.items():
        found[query] = await _resolve(connection, query, known[key], meta, now)
        others = [row.id for row in known[key] if row.id != found[query]]
        if others and not await _spoken_of_since(connection, others, meta.last_updated):
            await _move_labels(connection, others, found[query])
    return found


async def _resolve(
    connection: AsyncConnection, query: SeriesQuery, known: Sequence[Any], meta: Meta, now: datetime
) -> int:
    for row in known:
        if (row.normalization, row.unit) == (meta.normalization, meta.unit):
            return int(row.id)
    for row in known:
        if (row.normalization, row.unit) == _UNANSWERED:
            values = {"normalization": meta.normalization, "unit": meta.unit}
            await connection.execute(sa.update(series).where(series.c.id == row.id).values(values))
            return int(row.id)
    label = known[-1].label if known else ""
    row = _row(query, label, (meta.normalization, meta.unit), now)
    await connection.execute(upsert(connection, series).values(row).on_conflict_do_nothing())
    same = sa.and_(*(series.c[name] == row[name] for name in ("digest", "normalization", "unit")))
    added: int = (await connection.execute(sa.select(series.c.id).where(same).with_for_update())).scalar_one()
    return added


async def _spoken_of_since(connection: AsyncConnection, ids: Sequence[int], last_updated: datetime) -> bool:
    newer = sa.select(date_ranges.c.series_id).join(fetches, fetches.c.id == date_ranges.c.fetch_id)
    newer = newer.where(fetches.c.last_updated > last_updated, date_ranges.c.series_id.in_(ids))
    return (await connection.execute(newer.limit(1))).first() is not None


async def _move_labels(connection: AsyncConnection, others: Sequence[int], series_id: int) -> None:
    move = sa.update(profile_series).where(profile_series.c.series_id.in_(others))
    await connection.execute(move.values(series_id=series_id))


async def spans(connection: AsyncConnection, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, tuple[int, int]]:
    """Find the oldest and newest stored timestamp of each query's current series; absent where it has no point.

    Of a snapshot series these are the ends of its newest snapshot.
    """
    ids = {series_id: query for query, series_id in (await current(connection, queries)).items()}
    ends = [
        sa.select(epoch(extreme(points.c.timestamp))).where(points.c.series_id == series.c.id).scalar_subquery()
        for extreme in (sa.func.min, sa.func.max)
    ]
    found = await connection.execute(sa.select(series.c.id, *ends).where(series.c.id.in_(ids)))
    known = {ids[series_id]: (oldest, newest) for series_id, oldest, newest in found if oldest is not None}
    moving = [series_id for series_id, query in ids.items() if is_snapshot(query)]
    taken = await snapshots.ends(connection, moving) if moving else {}
    return known | {ids[series_id]: ends for series_id, ends in taken.items()}


async def count_points(connection: AsyncConnection, added: dict[int, int]) -> None:
    """Add to the count of points of each series_id."""
    rows = [{"i": series_id, "n": number} for series_id, number in sorted(added.items()) if number]
    if rows:
        await connection.execute(_COUNT, rows)
