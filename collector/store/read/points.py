"""Points, row by row, as they are now or as they were known at a moment."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from collector.store.db.column_types import Timestamp, epoch
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import fetches, labels, points, revisions, series, snapshot_points
from collector.store.series import folds, generations, identity, snapshots
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.sql.compiler import SQLCompiler

    from collector.store.series.generations import Generation

    Rows = Sequence[Any]


_ROWS_AT_ONCE = 1_000
_DAY = 86_400


class ActiveLabel(NamedTuple):
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


def visible_labels(
    connection: sa.Connection, profiles: Collection[str] = (), series_labels: Collection[str] = ()
) -> list[ActiveLabel]:
    """List the labels of *profiles*, or of all, by profile and position; with *series_labels* only those of them.

    A renamed profile has the current labels of its series. They are sorted here, because a database sorts text by its
    own rules.
    """
    columns = [labels.c[name] for name in ("profile", "position", "label", "series_id")]
    select = sa.select(*columns, series.c.normalization, series.c.unit)
    select = select.join_from(labels, series, series.c.id == labels.c.series_id)
    if profiles:
        followed = identity.chosen(labels.c.profile, labels.c.label, identity.renamed(connection, profiles))
        select = select.where(sa.or_(labels.c.profile.in_(list(profiles)), followed))
    if series_labels:
        renamed = identity.renamed(connection, labels=series_labels)
        followed = identity.chosen(labels.c.profile, labels.c.label, renamed)
        select = select.where(sa.or_(labels.c.label.in_(list(series_labels)), followed))
    rows = sorted(tuple(row) for row in connection.execute(select))
    return [ActiveLabel(profile, label, *rest) for profile, _, label, *rest in rows]


def export_blocks(  # noqa: PLR0913 - what an export is bounded by
    connection: sa.Connection,
    profiles: Collection[str],
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    *,
    snapshot_times: dict[tuple[str, str], datetime] | None = None,
    series_labels: Collection[str] = (),
) -> Generator[Block, None, None]:
    """Stream blocks of the points of *profiles*, by profile, position of the label, and time, in constant memory.

    If the unit has changed, the series that was in force last counts for each bucket.

    *profiles* names profiles, *series_labels* series, none means all; *start* is inclusive, *end* is not. With *as_of*
    the values are those known at that moment. A snapshot series has the values of its newest snapshot, or of the newest
    one at *as_of*. The request time of this snapshot is added to *snapshot_times*, by (profile, label), before the
    first block. Close the iterator if you stop early.
    """
    active_labels = visible_labels(connection, profiles, series_labels)
    several = generations.several(connection, as_of)
    taken = snapshots.current_snapshots(snapshots.newest(connection, None, as_of), several)
    if snapshot_times is not None:
        snapshot_times |= {
            (active.profile, active.label): taken[active.series_id].asked_at
            for active in active_labels
            if active.series_id in taken
        }
    for active in active_labels:
        if active.series_id in several and active.series_id not in taken:
            same = several[active.series_id]
            with closing(points_in_force(connection, same, start, end, as_of)) as parts:
                for part, rows in parts:
                    yield Block(active.profile, active.label, rows, part.unit, part.normalization)
            continue
        known = taken.get(active.series_id)
        same = [part for part in several.get(active.series_id, ()) if known and part.id == known.series_id]
        measure = (same[0].unit, same[0].normalization) if same else (active.unit, active.normalization)
        series_id, asked_at = (known.series_id, known.asked_at) if known else (active.series_id, None)
        with closing(points_of(connection, series_id, start, end, as_of, asked_at=asked_at)) as blocks:
            for rows in blocks:
                yield Block(active.profile, active.label, rows, *measure)


def points_in_force(
    connection: sa.Connection,
    same: Sequence[Generation],
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
) -> Generator[tuple[Generation, Sequence[tuple[int, float]]], None, None]:
    """Stream (generation, block of (timestamp, value)) of one question from *start* up to, not including, *end*.

    Timestamps ascend. In each bucket the first of the generations *same* that has a value counts. With *as_of* the
    values are those known then, see `points_of`.
    """
    with ExitStack() as opened:
        streams = []
        for number, generation in enumerate(same):
            stream = points_of(connection, generation.id, start, end, as_of)
            newer = [other for other in same[:number] if other.former_offset != generation.former_offset]
            if newer:
                stream = _not_overlapped(connection, stream, newer, as_of)
            streams.append(opened.enter_context(closing(stream)))
        runs = opened.enter_context(closing(merged(streams)))
        for number, rows in runs:
            yield same[number], rows


def _not_overlapped(
    connection: sa.Connection,
    stream: Generator[Sequence[tuple[int, float]], None, None],
    newer: Sequence[Generation],
    as_of: datetime | None,
) -> Generator[Sequence[tuple[int, float]], None, None]:
    """Leave out the points whose bucket shares time with one of *newer* generations, whose buckets start elsewhere."""
    step = newer[0].step
    with closing(stream) as blocks:
        for block in blocks:
            within = from_epoch(block[0][0] - step + 1), from_epoch(block[-1][0] + step)
            taken = []
            for generation in newer:
                with closing(points_of(connection, generation.id, *within, as_of)) as newer_blocks:
                    taken += [timestamp for part in newer_blocks for timestamp, _ in part]
            taken.sort()
            yield [point for point in block if not _is_within(point[0], taken, step)]


def _is_within(timestamp: int, taken: Sequence[int], step: int) -> bool:
    """Return whether one of the ascending *taken* is less than *step* away."""
    at = bisect_right(taken, timestamp - step)
    return at < len(taken) and taken[at] < timestamp + step


def points_of(  # noqa: PLR0913 - what a read is bounded by
    connection: sa.Connection,
    series_id: int,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
    *,
    asked_at: datetime | None = None,
) -> Generator[Sequence[tuple[int, float]], None, None]:
    """Stream blocks of (timestamp, value) of one series from *start* up to, not including, *end*; ascending.

    With *as_of* the values are those known then: of each bucket the value whose fetch had ended and that was not
    replaced. With *asked_at* they are those of this snapshot of the series.
    """
    as_of = None if asked_at else as_of
    select, bounds = select_points(series_id, start, end, seen_parameters(connection, [series_id], as_of), asked_at)
    newest: int | None = None
    result = connection.execute(select, bounds, execution_options={"yield_per": _ROWS_AT_ONCE})
    try:
        for block in result.partitions():
            if as_of is None:
                yield [(timestamp, value) for timestamp, value in block]
            else:
                yield first_of_each(block, newest)
                newest = block[-1][0]
    finally:  # its own context manager leaves the cursor open when the generator is left early
        result.close()


def driver_rows(result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
    """Return all rows as the driver has made them, for columns whose values need no conversion."""
    cursor: Any = result.cursor
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    result.close()
    return rows


def first_of_each(block: Sequence[Any], before: int | None) -> list[tuple[int, float]]:
    """Return (timestamp, value) of the first row of each bucket, without the bucket *before*: it was read already."""
    first_rows = []
    for timestamp, value, _ in block:
        if timestamp != before:
            first_rows.append((timestamp, value))
        before = timestamp
    return first_rows


@dataclass(frozen=True, slots=True)
class Run:
    """Buckets in a row: *timestamps* in epoch seconds, and *values* as texts, separated by commas.

    No text has an exponent, and one of a whole number has no point.
    """

    timestamps: range
    values: str

    def __len__(self) -> int:
        return len(self.timestamps)

    def __getitem__(self, part: slice) -> Run:
        """Return a part of the buckets, as a sequence of rows does."""
        timestamps = self.timestamps[part]
        if len(timestamps) == len(self.timestamps):
            return self
        return Run(timestamps, ",".join(self.values.split(",")[part]))


def read_run(  # noqa: PLR0913, PLR0917 - what a read is bounded by
    connection: sa.Connection,
    series_id: int,
    start: datetime | None,
    end: datetime | None,
    step: int,
    limit: int | None = None,
) -> Run | None:
    """Read the points of one series from *start* up to, not including, *end*: the first *limit* ones, or all.

    The database writes their texts, so that no point becomes an object. Returns None if buckets, *step* seconds wide,
    are absent between the points, if they are not on the usual grid, or if a value needs more than its plain digits:
    read the rows then.
    """
    if step > _DAY:  # because a week does not begin where the epoch does
        return None
    bounds = {"series_id": series_id, "since": start, "until": end, "most": limit}
    parameters = {name: bound for name, bound in bounds.items() if bound is not None}
    [row] = _run(frozenset(parameters)).rows(connection, {**parameters, "step": step})
    count, first, last, offset, values = row
    if not count:
        return Run(range(0), "")
    is_run = offset == 0 and last - first == (count - 1) * step
    is_plain = "e" not in values and "-0" not in values
    return Run(range(first, last + step, step), values) if is_run and is_plain else None


def first_points(
    connection: sa.Connection, series_id: int, start: datetime | None, end: datetime | None, limit: int
) -> Sequence[tuple[int, float]]:
    """Read the first *limit* points (timestamp, value) of one series from *start* up to, not including, *end*."""
    bounds = {"series_id": series_id, "since": start, "until": end, "most": limit}
    parameters = {name: bound for name, bound in bounds.items() if bound is not None}
    rows: Any = driver_rows(connection.execute(_now(frozenset(parameters)), parameters))
    return rows  # type: ignore[no-any-return]


class texts(FunctionElement[str]):  # noqa: N801 - named as SQL functions are
    """`texts(value, timestamp)`: all values as texts, ascending by time; one that is no plain number has an `e`.

    SQLite writes a fraction with fewer digits than it has, so there only whole numbers are plain. The rows must be in
    order there.
    """

    type = sa.Text()
    inherit_cache = True
    name = "texts"


@compiles(texts, "sqlite")
def _texts_sqlite(element: texts, compiler: SQLCompiler, **options: Any) -> str:
    value, _ = (compiler.process(clause, **options) for clause in element.clauses)
    whole = f"CAST({value} AS INTEGER)"
    return f"group_concat(CASE WHEN {value} = {whole} THEN {whole} ELSE 'e' END)"


@compiles(texts, "postgresql")
def _texts_postgresql(element: texts, compiler: SQLCompiler, **options: Any) -> str:
    value, timestamp = (compiler.process(clause, **options) for clause in element.clauses)
    return f"string_agg(CAST({value} AS TEXT), ',' ORDER BY {timestamp})"


@cache
def _run(names: frozenset[str]) -> DriverSelect:
    """Select count, first and last timestamp, their greatest distance to the usual grid, and the texts."""
    timestamp, value = _now(names).subquery().c
    offset = timestamp % sa.bindparam("step", type_=sa.BigInteger)
    extremes = sa.func.min(timestamp), sa.func.max(timestamp), sa.func.max(offset)
    return DriverSelect(sa.select(sa.func.count(), *extremes, texts(value, timestamp)))


def select_points(
    series_id: int,
    start: datetime | None,
    end: datetime | None,
    seen: Mapping[str, Any],
    asked_at: datetime | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Return the statement of (timestamp, value) in order and its parameters.

    *seen* is of `seen_parameters`. If it has a moment, the first row of a bucket counts.

    With *asked_at* the rows are those of this snapshot of the series.
    """
    parameters = _without_none({"series_id": series_id, "since": start, "until": end})
    if asked_at is not None:
        return _of_snapshot(frozenset(parameters)), {**parameters, "asked_at": asked_at}
    parameters |= seen
    return (_then if seen else _now)(frozenset(parameters)), parameters


def _without_none(bounds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _within(table: sa.Table, names: frozenset[str]) -> list[Any]:
    bounds = [table.c.series_id == sa.bindparam("series_id")]
    bounds += [table.c.timestamp >= sa.bindparam("since", type_=Timestamp)] if "since" in names else []
    bounds += [table.c.timestamp < sa.bindparam("until", type_=Timestamp)] if "until" in names else []
    return bounds


@cache
def _now(names: frozenset[str]) -> Any:
    """Select the points as they are now, the first *most* ones if that is among *names*."""
    select = sa.select(epoch(points.c.timestamp).label("t"), points.c.value)
    select = select.where(*_within(points, names)).order_by(points.c.timestamp)
    return select.limit(sa.bindparam("most", type_=sa.Integer)) if "most" in names else select


@cache
def _of_snapshot(names: frozenset[str]) -> Any:
    """Select the points of one snapshot."""
    moment = sa.bindparam("asked_at", type_=Timestamp)
    select = sa.select(epoch(snapshot_points.c.timestamp), snapshot_points.c.value)
    select = select.where(*_within(snapshot_points, names), snapshot_points.c.asked_at == moment)
    return select.order_by(snapshot_points.c.timestamp)


def seen_by(as_of: Any, first_late: Any = None, known_late: Any = None) -> sa.ColumnElement[bool]:
    """Select points, joined with their fetches, that were stored at *as_of*.

    A fetch that is not on record was, unless it is a folded one that ended later: all from *first_late* on did, but
    *known_late*.
    """
    gone: sa.ColumnElement[bool] = fetches.c.finished_at.is_(None)
    if first_late is not None:
        gone = sa.and_(gone, sa.or_(points.c.fetch_id < first_late, points.c.fetch_id.in_(known_late)))
    return sa.or_(gone, fetches.c.finished_at <= as_of)


def seen_parameters(connection: sa.Connection, ids: Collection[int], as_of: datetime | None) -> dict[str, Any]:
    """Return the parameters of `was_seen` for points of the series *ids*; none if *as_of* is None."""
    if as_of is None:
        return {}
    late = folds.late_fetches(connection, ids, as_of)
    return {"as_of": as_of, **({"first_late": late.first, "known_late": late.known} if late else {})}


def was_seen(names: Collection[str]) -> sa.ColumnElement[bool]:
    """Select as `seen_by` does, with the parameters *names*."""
    late: tuple[Any, ...] = sa.bindparam("first_late", type_=sa.BigInteger), sa.bindparam("known_late", expanding=True)
    return seen_by(sa.bindparam("as_of", type_=Timestamp), *(late if "first_late" in names else ()))


@cache
def _then(names: frozenset[str]) -> Any:
    """Select the values known at a moment, of each bucket the newest fetch first.

    A bucket may have several, because the periods of its values overlap if a clock was set back.
    """
    as_of: sa.BindParameter[Any] = sa.bindparam("as_of", type_=Timestamp)
    stored = (
        sa.select(epoch(points.c.timestamp).label("t"), points.c.value.label("v"), points.c.fetch_id.label("f"))
        .join_from(points, fetches, fetches.c.id == points.c.fetch_id, isouter=True)
        .where(*_within(points, names), was_seen(names))
    )
    replaced = (
        sa.select(epoch(revisions.c.timestamp), revisions.c.value, revisions.c.fetch_id)
        .where(*_within(revisions, names))
        .where(revisions.c.seen_at <= as_of, revisions.c.replaced_at > as_of)
    )
    both = sa.union_all(stored, replaced).subquery()
    return sa.select(both).order_by(both.c.t, both.c.f.desc())


class _Merge:
    """Rows (timestamp, …) of several streams, ascending in each, added block by block."""

    def __init__(self, streams: int) -> None:
        self._blocks: list[Rows | None] = [()] * streams
        self._at = [0] * streams

    def stream_to_read(self) -> int | None:
        """Return the number of a stream whose next block must be added before the merge continues; None at the end."""
        for number, block in enumerate(self._blocks):
            if block is not None and self._at[number] == len(block):
                return number
        return None

    def add(self, number: int, block: Rows | None) -> None:
        """Add the next block of a stream; None is its end."""
        self._blocks[number], self._at[number] = block, 0

    def runs(self) -> Generator[tuple[int, Rows], None, None]:
        """Yield (number of the stream, rows) as far as the blocks allow, ascending."""
        held: tuple[int, list[Any]] | None = None
        while self.stream_to_read() is None and (heads := self._heads()):
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
    timestamp: int = row[0]
    return timestamp


def merged(streams: Sequence[Iterator[Rows]]) -> Generator[tuple[int, Rows], None, None]:
    """Merge streams of blocks of rows (timestamp, …), ascending: yields (number of the stream, rows).

    If several streams have a bucket, the row of the first one counts.
    """
    merge = _Merge(len(streams))
    while (number := merge.stream_to_read()) is not None:
        merge.add(number, next(streams[number], None))
        yield from merge.runs()
