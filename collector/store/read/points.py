"""Points, row by row, as they are now or as they were known at a moment."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import AsyncExitStack, aclosing
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.model import from_epoch
from collector.store.db.column_types import Moment, epoch
from collector.store.db.schema import fetches, labels, points, revisions, series, snapshot_points
from collector.store.series import identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.series.generations import Generation

    Rows = Sequence[Any]


_ROWS_AT_ONCE = 1_000


class Visible(NamedTuple):
    """A label, and the series that it points to."""

    profile: str
    label: str
    series_id: int
    normalization: str
    unit: str


class Block(NamedTuple):
    """Points (timestamp, value) under a label, ascending, in one normalization and unit."""

    profile: str
    label: str
    points: Sequence[tuple[int, float]]
    unit: str = ""
    normalization: str = ""


async def visible_labels(connection: AsyncConnection, profiles: Collection[str] = ()) -> list[Visible]:
    """List the labels of *profiles*, of all for none, by profile and position.

    A profile that was renamed gives the labels that its series have now. Sorted here, because a database sorts text by
    its own rules.
    """
    named = [labels.c[name] for name in ("profile", "position", "label", "series_id")]
    select = sa.select(*named, series.c.normalization, series.c.unit)
    select = select.join_from(labels, series, series.c.id == labels.c.series_id)
    if profiles:
        followed = identity.chosen(labels.c.profile, labels.c.label, await identity.renamed(connection, profiles))
        select = select.where(sa.or_(labels.c.profile.in_(list(profiles)), followed))
    found = sorted(tuple(row) for row in await connection.execute(select))
    return [Visible(profile, label, *rest) for profile, _, label, *rest in found]


async def points_in_force(
    connection: AsyncConnection,
    same: Sequence[Generation],
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
) -> AsyncGenerator[tuple[Generation, Sequence[tuple[int, float]]], None]:
    """Stream blocks of (timestamp, value) of one query's generations, *same*, the newest first; as `points_of`.

    Of each bucket the newest generation that has it counts, and none of an older one that overlaps it on another grid.
    A block is of one generation.
    """
    async with AsyncExitStack() as opened:
        streams = []
        for number, one in enumerate(same):
            stream = points_of(connection, one.id, start, end, as_of)
            newer = [other for other in same[:number] if other.former_offset != one.former_offset]
            if newer:
                stream = _not_overlapped(connection, stream, newer, as_of)
            streams.append(await opened.enter_async_context(aclosing(stream)))
        runs = await opened.enter_async_context(aclosing(merged(streams)))
        async for number, rows in runs:
            yield same[number], rows


async def _not_overlapped(
    connection: AsyncConnection,
    stream: AsyncGenerator[Sequence[tuple[int, float]], None],
    newer: Sequence[Generation],
    as_of: datetime | None,
) -> AsyncGenerator[Sequence[tuple[int, float]], None]:
    """Leave out the points whose bucket shares time with one of *newer* generations, whose buckets start elsewhere."""
    step = newer[0].step
    async with aclosing(stream) as blocks:
        async for block in blocks:
            within = from_epoch(block[0][0] - step + 1), from_epoch(block[-1][0] + step)
            taken = []
            for one in newer:
                async with aclosing(points_of(connection, one.id, *within, as_of)) as found:
                    taken += [timestamp async for part in found for timestamp, _ in part]
            taken.sort()
            yield [point for point in block if not _is_within(point[0], taken, step)]


def _is_within(timestamp: int, taken: Sequence[int], step: int) -> bool:
    """Tell whether one of *taken*, ascending, is less than *step* away."""
    at = bisect_right(taken, timestamp - step)
    return at < len(taken) and taken[at] < timestamp + step


async def points_of(  # noqa: PLR0913 - what a read is bounded by
    connection: AsyncConnection,
    series_id: int,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    *,
    asked_at: datetime | None = None,
) -> AsyncGenerator[Sequence[tuple[int, float]], None]:
    """Stream blocks of (timestamp, value) of one series from *start* up to, not including, *end*; ascending.

    *as_of* gives what was known then: of each bucket the value whose fetch had ended, and which none had replaced.
    With *asked_at* they are those of this snapshot of the series.
    """
    as_of = None if asked_at else as_of
    select, bounds = select_points(series_id, start, end, as_of, asked_at)
    newest: int | None = None
    result = await connection.stream(select, bounds, execution_options={"yield_per": _ROWS_AT_ONCE})
    try:
        async for block in result.partitions():
            if as_of is None:
                yield [(timestamp, value) for timestamp, value in block]
            else:
                yield first_of_each(block, newest)
                newest = block[-1][0]
    finally:  # its own context manager leaves the cursor open when the generator is left early
        await result.close()


def first_of_each(block: Sequence[Any], before: int | None) -> list[tuple[int, float]]:
    """The first row of each bucket; those of the bucket *before* were given already."""
    found = []
    for timestamp, value, _ in block:
        if timestamp != before:
            found.append((timestamp, value))
        before = timestamp
    return found


def select_points(
    series_id: int,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    asked_at: datetime | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Select (timestamp, value) in order, and with *as_of* the fetch: of each bucket the first row then counts.

    With *asked_at* the rows are those of this snapshot of the series. Gives the statement and its parameters.
    """
    if asked_at is not None:
        bounds = {"series_id": series_id, "since": start, "until": end}
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        return _of_snapshot(frozenset(given)), {**given, "asked_at": asked_at}
    bounds = {"series_id": series_id, "since": start, "until": end, "as_of": as_of}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    return (_now if as_of is None else _then)(frozenset(given)), given


def _within(table: sa.Table, given: frozenset[str]) -> list[Any]:
    bounds = [table.c.series_id == sa.bindparam("series_id")]
    bounds += [table.c.timestamp >= sa.bindparam("since", type_=Moment)] if "since" in given else []
    bounds += [table.c.timestamp < sa.bindparam("until", type_=Moment)] if "until" in given else []
    return bounds


@cache
def _now(given: frozenset[str]) -> Any:
    select = sa.select(epoch(points.c.timestamp), points.c.value)
    return select.where(*_within(points, given)).order_by(points.c.timestamp)


@cache
def _of_snapshot(given: frozenset[str]) -> Any:
    """Select the points of one snapshot."""
    moment = sa.bindparam("asked_at", type_=Moment)
    select = sa.select(epoch(snapshot_points.c.timestamp), snapshot_points.c.value)
    select = select.where(*_within(snapshot_points, given), snapshot_points.c.asked_at == moment)
    return select.order_by(snapshot_points.c.timestamp)


@cache
def _then(given: frozenset[str]) -> Any:
    """The newest fetch comes first, for a clock that was set back leaves periods that overlap."""
    as_of: sa.BindParameter[Any] = sa.bindparam("as_of")
    seen = sa.or_(fetches.c.finished_at.is_(None), fetches.c.finished_at <= as_of)
    standing = (
        sa.select(epoch(points.c.timestamp).label("t"), points.c.value.label("v"), points.c.fetch_id.label("f"))
        .join_from(points, fetches, fetches.c.id == points.c.fetch_id, isouter=True)
        .where(*_within(points, given), seen)
    )
    replaced = (
        sa.select(epoch(revisions.c.timestamp), revisions.c.value, revisions.c.fetch_id)
        .where(*_within(revisions, given))
        .where(revisions.c.seen_at <= as_of, revisions.c.replaced_at > as_of)
    )
    both = sa.union_all(standing, replaced).subquery()
    return sa.select(both).order_by(both.c.t, both.c.f.desc())


class _Merge:
    """Rows (timestamp, …) of several streams, ascending in each, fed block by block."""

    def __init__(self, streams: int) -> None:
        self._blocks: list[Rows | None] = [()] * streams
        self._at = [0] * streams

    def hungry(self) -> int | None:
        """Return the number of a stream that must be fed before the merge can continue; None at the end."""
        for number, block in enumerate(self._blocks):
            if block is not None and self._at[number] == len(block):
                return number
        return None

    def feed(self, number: int, block: Rows | None) -> None:
        """Add the next block of a stream; None is its end."""
        self._blocks[number], self._at[number] = block, 0

    def runs(self) -> Iterator[tuple[int, Rows]]:
        """Yield (number of the stream, rows) as far as the blocks allow, ascending."""
        held: tuple[int, list[Any]] | None = None
        while self.hungry() is None and (heads := self._heads()):
            number, rows = self._run(heads)
            if held and held[0] == number:
                held[1].extend(rows)
                continue
            if held:
                yield held
            held = number, list(rows)
        if held:
            yield held

    def _run(self, heads: Sequence[tuple[int, int]]) -> tuple[int, Rows]:
        """Take the rows of the stream that is next, up to where another one has a row."""
        first, winner = min(heads)
        rest = [head for head, number in heads if number != winner]
        block, at = self._blocks[winner] or (), self._at[winner]
        end = bisect_left(block, min(rest), lo=at, key=_timestamp) if rest else len(block)
        self._at[winner] = end = max(end, at + 1)
        for head, number in heads:
            if number != winner and head == first:
                self._at[number] += 1
        return winner, block[at:end]

    def _heads(self) -> list[tuple[int, int]]:
        """Return (timestamp of the next row, number of the stream) of the streams that have not ended."""
        blocks = enumerate(self._blocks)
        return [(block[self._at[number]][0], number) for number, block in blocks if block is not None]


def _timestamp(row: Any) -> int:
    found: int = row[0]
    return found


async def merged(streams: Sequence[AsyncIterator[Rows]]) -> AsyncGenerator[tuple[int, Rows], None]:
    """Merge streams of blocks of rows (timestamp, …), ascending: yields (number of the stream, rows).

    If several streams have a bucket, the row of the first one counts.
    """
    merge = _Merge(len(streams))
    while (number := merge.hungry()) is not None:
        merge.feed(number, await anext(streams[number], None))
        for run in merge.runs():
            yield run


def merged_now(streams: Sequence[Iterator[Rows]]) -> Iterator[tuple[int, Rows]]:
    """Merge as `merged` does, without waiting."""
    merge = _Merge(len(streams))
    while (number := merge.hungry()) is not None:
        merge.feed(number, next(streams[number], None))
        yield from merge.runs()
