"""Holes: buckets that should be there and are not, and whether Radar has been asked for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.model import Window, from_epoch
from collector.store import series
from collector.store.column_types import bucket, epoch
from collector.store.kept import kept_from
from collector.store.schema import date_ranges, fetches, points

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.model import SeriesQuery

    Range = tuple[int, int]

_COUNTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Hole:
    """A run of absent buckets: `missing`, or `upstream` where Radar was asked when they were final and has none."""

    window: Window
    reason: str


async def holes(connection: AsyncConnection, query: SeriesQuery, window: Window, settle: timedelta) -> list[Hole]:
    """Find the runs of absent buckets of a query's current series in *window*, ascending.

    A run counts as `upstream` where an answer covered it whose lastUpdated is *settle* or more after the buckets' end.
    What retention has deleted is no hole.
    """
    kept = await kept_from(connection, query.agg_interval)
    if kept and kept > window.start:
        window = Window(kept, window.end)
    if window.start >= window.end:
        return []
    series_id = (await series.current(connection, [query])).get(query)
    if series_id is None:
        return [Hole(window, "missing")]
    step = query.agg_interval.seconds
    runs = await _runs(connection, series_id, window, step)
    if not runs:
        return []
    asked = await _asked_when_final(connection, series_id, runs, settle + query.agg_interval.step)
    return [
        Hole(Window(from_epoch(start), from_epoch(end)), reason)
        for run in runs
        for start, end, reason in split(run, asked, step)
    ]


async def _runs(connection: AsyncConnection, series_id: int, window: Window, step: int) -> list[Range]:
    """Find where the next bucket is not the next one: only stretches that hold too few points are walked.

    Counting a stretch costs a fraction of walking it, and most of a history is complete.
    """
    empty, short = [], []
    whole = int(window.start.timestamp()), int(window.end.timestamp())
    for start, end, stored in await _counts(connection, series_id, whole, step * _COUNTED_AT_ONCE):
        if not stored:
            empty.append((start, end))
        elif stored < -((start - end) // step):
            short.append((start, end))
    walked = [run for stretch in merged(short) for run in await _walk(connection, series_id, stretch, step)]
    return merged(empty + walked)


async def _counts(connection: AsyncConnection, series_id: int, whole: Range, width: int) -> list[tuple[int, int, int]]:
    """Count the points of each stretch of *width* seconds: (start, end, how many)."""
    start, end = whole
    edges = sa.select(sa.cast(start, sa.BigInteger).label("at")).cte("edges", recursive=True)
    edges = edges.union_all(sa.select(edges.c.at + width).where(edges.c.at + width < end))
    last = sa.case((edges.c.at + width < end, edges.c.at + width), else_=end)
    timestamp = points.c.timestamp
    inside = sa.and_(points.c.series_id == series_id, timestamp >= bucket(edges.c.at), timestamp < bucket(last))
    known = sa.and_(timestamp >= from_epoch(start), timestamp < from_epoch(end))  # while partitions are chosen
    count = sa.select(sa.func.count()).select_from(points).where(inside, known).correlate(edges).scalar_subquery()
    return [tuple(row) for row in await connection.execute(sa.select(edges.c.at, last, count))]


async def _walk(connection: AsyncConnection, series_id: int, stretch: Range, step: int) -> list[Range]:
    """Let the database walk the key, and give the runs between its points."""
    start, end = stretch
    timestamp, last = points.c.timestamp, sa.cast(end, sa.BigInteger)
    present = sa.and_(points.c.series_id == series_id, timestamp >= from_epoch(start), timestamp < from_epoch(end))
    following = sa.func.lead(epoch(points.c.timestamp), 1, last).over(order_by=points.c.timestamp)
    walk = sa.select((epoch(points.c.timestamp) + step).label("a"), following.label("b")).where(present).subquery()
    first = sa.select(sa.func.coalesce(sa.func.min(epoch(points.c.timestamp)), last)).where(present)
    found = [(start, (await connection.execute(first)).scalar_one())]
    found += [(a, b) for a, b in await connection.execute(sa.select(walk.c.a, walk.c.b).where(walk.c.b > walk.c.a))]
    return sorted((a, b) for a, b in found if a < b)


async def _asked_when_final(
    connection: AsyncConnection, series_id: int, runs: Sequence[Range], final: timedelta
) -> list[Range]:
    """The parts of answered ranges whose buckets, at the answer's lastUpdated, were *final* after their start."""
    first, last = from_epoch(runs[0][0]), from_epoch(runs[-1][1])
    found = await connection.execute(
        sa.select(epoch(date_ranges.c.start), epoch(date_ranges.c.end), fetches.c.last_updated)
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id == series_id, date_ranges.c.end > first, date_ranges.c.start < last)
        .where(fetches.c.last_updated >= first + final)
    )
    return merged((start, min(end, int((updated - final).timestamp()) + 1)) for start, end, updated in found)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that overlap or touch; ascending."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif start < end:
            joined.append((start, end))
    return joined


def split(run: Range, asked: Iterable[Range], step: int) -> list[tuple[int, int, str]]:
    """Split a run of absent buckets, *step* seconds wide, where their reason changes; *asked* is ascending."""
    parts, at, end = [], *run
    for start, stop in asked:
        first, last = (max(_edge(moment, at, step), at) for moment in (start, min(stop, end)))
        if first >= last:
            continue
        parts += [(at, first, "missing")] if at < first else []
        parts.append((first, last, "upstream"))
        at = last
    return parts + ([(at, end, "missing")] if at < end else [])


def _edge(moment: int, at: int, step: int) -> int:
    """The first bucket edge at or after *moment*, on the grid that *at* lies on."""
    return at - (at - moment) // step * step
