"""Series and their labels: which line of history a query is, and what the operator calls it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.additivity import is_snapshot
from collector.store import evidence, generations, normalizations, snapshots
from collector.store.column_types import epoch
from collector.store.locks import LABELS, lock
from collector.store.names import upsert
from collector.store.proposals import UNANSWERED, row_of
from collector.store.schema import points, profile_series, series

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.model import SeriesQuery
    from collector.profile import LabelledSeries, Profile

# A statement of every answer is built once: building one costs several times its execution.
_COUNT = sa.update(series).where(series.c.id == sa.bindparam("i")).values(points=series.c.points + sa.bindparam("n"))


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
    new = {s.query: row_of(s.query, s.label, UNANSWERED, now) for s in wanted if s.query not in ids}
    if not new:
        return ids
    await connection.execute(upsert(connection, series).on_conflict_do_nothing(), list(new.values()))
    return await current(connection, queries)


async def current(connection: AsyncConnection, queries: Iterable[SeriesQuery]) -> dict[SeriesQuery, int]:
    """Find the id of each query's current series, which its labels point to; absent where there is none yet."""
    found = await generations.of_queries(connection, queries)
    return {query: same[0].id for query, same in found.items()}


async def relative(connection: AsyncConnection, queries: Iterable[SeriesQuery]) -> set[SeriesQuery]:
    """Find the queries whose current series holds values that are relative to one answer."""
    ids = {series_id: query for query, series_id in (await current(connection, queries)).items()}
    found = await connection.execute(sa.select(series.c.id, series.c.normalization).where(series.c.id.in_(ids)))
    words = {series_id: normalization for series_id, normalization in found if normalization}
    absolute = await normalizations.absolute(connection, words.values())
    return {ids[series_id] for series_id, word in words.items() if word not in absolute}


async def spans(connection: AsyncConnection, queries: Sequence[SeriesQuery]) -> dict[SeriesQuery, tuple[int, int]]:
    """Find the oldest and newest stored timestamp of each query, in all its units; absent where it has no point.

    Of a snapshot series these are the ends of its newest snapshot.
    """
    ids = await generations.ids_of(connection, queries)
    spanned = await ends(connection, [series_id for same in ids.values() for series_id in same])
    moving = [same[0] for query, same in ids.items() if is_snapshot(query)]
    spanned |= await snapshots.ends(connection, moving) if moving else {}
    parts = {query: [spanned[i] for i in same if i in spanned] for query, same in ids.items()}
    return {query: (min(a for a, _ in each), max(b for _, b in each)) for query, each in parts.items() if each}


async def ends(connection: AsyncConnection, ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Find the oldest and newest stored timestamp of each series; absent where it has no point."""
    extremes = [
        sa.select(epoch(extreme(points.c.timestamp))).where(points.c.series_id == series.c.id).scalar_subquery()
        for extreme in (sa.func.min, sa.func.max)
    ]
    found = await connection.execute(sa.select(series.c.id, *extremes).where(series.c.id.in_(ids)))
    return {series_id: (oldest, newest) for series_id, oldest, newest in found if oldest is not None}


async def count_points(connection: AsyncConnection, added: dict[int, int]) -> None:
    """Add to the count of points of each series_id."""
    rows = [{"i": series_id, "n": number} for series_id, number in sorted(added.items()) if number]
    if rows:
        await connection.execute(_COUNT, rows)
