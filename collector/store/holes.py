"""Holes: buckets that should be there and are not, and whether Radar has been asked for them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
_TOGETHER = 1000
"""So many stretches in one statement."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A run of absent buckets: `missing`, or `upstream` where Radar was asked when they were final and has none."""

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class Expected:
    """The buckets of *query* in *window* that should be there. They are final *settle* after their end."""

    query: SeriesQuery
    window: Window
    settle: timedelta

    @property
    def final(self) -> timedelta:
        """How long after its start a bucket is final."""
        return self.settle + self.query.agg_interval.step


class _Stretch(NamedTuple):
    """The buckets, *step* seconds wide, of one series from *start* up to *end*; *place* is whose among the expected."""

    place: int
    series_id: int
    start: int
    end: int
    step: int


async def holes(connection: AsyncConnection, expected: Sequence[Expected]) -> list[list[Hole]]:
    """Find the runs of absent buckets of each query's current series, ascending; in the order of *expected*.

    A run counts as `upstream` where an answer covered it whose lastUpdated is *settle* or more after the buckets' end.
    What retention has deleted is no hole.
    """
    found = []
    for start in range(0, len(expected), _TOGETHER):
        found += await _holes(connection, expected[start : start + _TOGETHER])
    return found


async def _holes(connection: AsyncConnection, expected: Sequence[Expected]) -> list[list[Hole]]:
    kept = {step: await kept_from(connection, step) for step in {one.query.agg_interval for one in expected}}
    ids = await series.current(connection, {one.query for one in expected})
    found: list[list[Hole]] = [[] for _ in expected]
    stretches = []
    for place, one in enumerate(expected):
        start = max(one.window.start, kept[one.query.agg_interval] or one.window.start)
        if start >= one.window.end:
            continue
        if one.query in ids:
            ends = int(start.timestamp()), int(one.window.end.timestamp())
            stretches.append(_Stretch(place, ids[one.query], *ends, one.query.agg_interval.seconds))
        else:
            found[place] = [Hole(Window(start, one.window.end), "missing")]
    for stretch, runs, asked in await _absent(connection, stretches, expected):
        parts = [part for run in runs for part in split(run, asked, stretch.step)]
        found[stretch.place] = [Hole(Window(from_epoch(a), from_epoch(b)), reason) for a, b, reason in parts]
    return found


async def _absent(
    connection: AsyncConnection, stretches: Sequence[_Stretch], expected: Sequence[Expected]
) -> list[tuple[_Stretch, list[Range], list[Range]]]:
    """Find those that lack buckets: the runs of these, and what answers told of their series when it was final."""
    runs = await _runs(connection, stretches) if stretches else {}
    hulls = {place: {"start": found[0][0], "end": found[-1][1]} for place, found in runs.items()}
    lacking = [one._replace(**hulls[one.place]) for one in stretches if one.place in hulls]
    asked = await _asked_when_final(connection, lacking, expected) if lacking else {}
    return [(one, runs[one.place], merged(asked.get(one.place, ()))) for one in lacking]


async def _runs(connection: AsyncConnection, stretches: Sequence[_Stretch]) -> dict[int, list[Range]]:
    """Find where the next bucket is not the next one, by place: only what holds too few points is walked.

    Counting a part costs a fraction of walking it, and most of a history is complete.
    """
    runs: dict[int, list[Range]] = defaultdict(list)
    short = []
    for stretch, stored in await _counts(connection, stretches):
        if not stored:
            runs[stretch.place].append((stretch.start, stretch.end))
        elif stored < -((stretch.start - stretch.end) // stretch.step):
            short.append(stretch)
    for start in range(0, len(short), _TOGETHER):
        for place, *run in await _walk(connection, short[start : start + _TOGETHER]):
            runs[place].append((run[0], run[1]))
    return {place: merged(found) for place, found in runs.items()}


def _table(stretches: Sequence[_Stretch]) -> sa.CTE:
    columns = [sa.column(name, sa.BigInteger) for name in _Stretch._fields]
    return sa.values(*columns, name="given").data([*stretches]).cte("stretches")


def _inside(part: sa.CTE, end: sa.ColumnElement[int], stretches: Sequence[_Stretch]) -> sa.ColumnElement[bool]:
    """Choose the points from the start of *part*, which is of *stretches*, up to *end*."""
    timestamp = points.c.timestamp
    first, last = from_epoch(min(one.start for one in stretches)), from_epoch(max(one.end for one in stretches))
    known = sa.and_(timestamp >= first, timestamp < last)  # while partitions are chosen
    here = sa.and_(timestamp >= bucket(part.c.start), timestamp < bucket(end))
    return sa.and_(points.c.series_id == part.c.series_id, here, known)


async def _counts(connection: AsyncConnection, stretches: Sequence[_Stretch]) -> list[tuple[_Stretch, int]]:
    """Count the points of the parts of *stretches*."""
    whole = _table(stretches)
    parts = sa.select(whole).cte("parts", recursive=True)
    following = parts.c.start + parts.c.step * _COUNTED_AT_ONCE
    others = parts.c.place, parts.c.series_id, following, parts.c.end, parts.c.step
    parts = parts.union_all(sa.select(*others).where(following < parts.c.end))
    following = parts.c.start + parts.c.step * _COUNTED_AT_ONCE
    end = sa.case((following < parts.c.end, following), else_=parts.c.end)
    count = sa.select(sa.func.count()).select_from(points).where(_inside(parts, end, stretches))
    counted = count.correlate(parts).scalar_subquery()
    columns = parts.c.place, parts.c.series_id, parts.c.start, end, parts.c.step, counted
    return [(_Stretch(*part), stored) for *part, stored in await connection.execute(sa.select(*columns))]


async def _walk(connection: AsyncConnection, stretches: Sequence[_Stretch]) -> list[tuple[int, int, int]]:
    """Let the database walk the key, and give the runs between the points of each stretch: place, start, end."""
    given = _table(stretches)
    stretch, inside = (given.c.place, given.c.start, given.c.end), _inside(given, given.c.end, stretches)
    timestamp = epoch(points.c.timestamp)
    following = sa.func.lead(timestamp).over(partition_by=stretch, order_by=timestamp)
    after = (timestamp + given.c.step).label("a"), sa.func.coalesce(following, given.c.end).label("b")
    walk = sa.select(given.c.place, *after).join_from(given, points, inside).subquery()
    first = sa.select(*stretch, sa.func.min(timestamp)).join_from(given, points, inside, isouter=True)
    found = [
        (place, start, end if oldest is None else oldest)
        for place, start, end, oldest in await connection.execute(first.group_by(*stretch))
    ]
    found += [tuple(row) for row in await connection.execute(sa.select(walk).where(walk.c.b > walk.c.a))]
    return [(place, start, end) for place, start, end in found if start < end]


async def _asked_when_final(
    connection: AsyncConnection, stretches: Sequence[_Stretch], expected: Sequence[Expected]
) -> dict[int, list[Range]]:
    """The parts of answered ranges whose buckets were final at the answer's lastUpdated, by place."""
    given = _table(stretches)
    overlap = sa.and_(
        date_ranges.c.series_id == given.c.series_id,
        date_ranges.c.end > bucket(given.c.start),
        date_ranges.c.start < bucket(given.c.end),
    )
    answers = sa.select(given.c.place, epoch(date_ranges.c.start), epoch(date_ranges.c.end), fetches.c.last_updated)
    answers = answers.join_from(given, date_ranges, overlap).join(fetches, fetches.c.id == date_ranges.c.fetch_id)
    asked: dict[int, list[Range]] = defaultdict(list)
    first = min(from_epoch(one.start) + expected[one.place].final for one in stretches)
    for place, start, end, updated in await connection.execute(answers.where(fetches.c.last_updated >= first)):
        asked[place].append((start, min(end, int((updated - expected[place].final).timestamp()) + 1)))
    return asked


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
