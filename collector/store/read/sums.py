"""The values of series by period: sums over hours, days and longer, or single buckets; as they are, or as of a moment.

Sums of series without another unit, grid or snapshot are made by the database. All others are read point by point.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from collector.analysis.periods import DAY
from collector.analysis.refusals import RequestRefused
from collector.store.db.column_types import BucketTime, Timestamp, epoch
from collector.store.db.schema import fetches, points, revisions
from collector.store.db.schema import series as series_table
from collector.store.read.day_sums import period_rows
from collector.store.read.points import driver_rows, points_in_force, points_of, seen_parameters, texts, was_seen
from collector.store.series.generations import described, same_measure
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.store.read.selection import SelectedSeries, Selection
    from collector.store.series.generations import Generation

    Sums = tuple[list[float | None], list[int]]
    """Of each period the sum of its known buckets, None without one, and the number of these buckets."""
    Corrections = Mapping[tuple[int, int], tuple[float | None, float]]

_SERIES_AT_ONCE = 100
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)


def period_sums(
    connection: sa.Connection,
    selection: Selection,
    series: Sequence[SelectedSeries],
    edges: Sequence[int],
    bounds: tuple[int, int],
) -> list[Sums]:
    """Sum the points of each of *series* in the periods between *edges*, all within *bounds*, in epoch seconds.

    The series belong to *selection*, which has the moment whose knowledge counts. Raises RequestRefused if the unit or
    the grid of a series changes within *bounds*.
    """
    start, end = max(bounds[0], edges[0]), min(bounds[1], edges[-1])
    sums: dict[int, Sums] = {}
    fast = list(dict.fromkeys(each.series_id for each in series if _is_fast(selection, each)))
    for first in range(0, len(fast), _SERIES_AT_ONCE):
        chunk = fast[first : first + _SERIES_AT_ONCE]
        sums |= _fast_sums(connection, chunk, edges, (start, end), selection.chosen.as_of, _step(series))
    return [
        sums[each.series_id]
        if _is_fast(selection, each)
        else _slow_sums(connection, selection, each, edges, (start, end))
        for each in series
    ]


def settles(connection: sa.Connection, ids: Collection[int]) -> dict[int, int]:
    """Read the longest `settle`, in seconds, of the profiles that want each of the series *ids*; absent if unknown."""
    select = sa.select(series_table.c.id, series_table.c.settle)
    select = select.where(series_table.c.id.in_(_IDS), series_table.c.settle.is_not(None))
    return {row.id: row.settle for row in connection.execute(select, {"ids": list(ids)})}


def _is_fast(selection: Selection, series: SelectedSeries) -> bool:
    return not series.asked_at and series.series_id not in selection.several


def _step(series: Sequence[SelectedSeries]) -> int:
    return series[0].agg_interval.seconds


def _empty(edges: Sequence[int]) -> Sums:
    return [None] * (len(edges) - 1), [0] * (len(edges) - 1)


def _fast_sums(  # noqa: PLR0913, PLR0917 - what a read is bounded by
    connection: sa.Connection,
    ids: Sequence[int],
    edges: Sequence[int],
    bounds: tuple[int, int],
    as_of: datetime | None,
    step: int,
) -> dict[int, Sums]:
    sums = {series_id: _empty(edges) for series_id in ids}
    if bounds[0] >= bounds[1]:
        return sums
    seen = seen_parameters(connection, ids, as_of)
    corrections = _corrections(connection, ids, bounds, seen) if seen else {}
    width = edges[1] - edges[0]
    is_uniform = edges[-1] - edges[0] == width * (len(edges) - 1)
    if width == step and is_uniform:
        return _single_buckets(connection, sums, edges, bounds, seen, corrections)
    if is_uniform and width < DAY:
        rows = _grouped(connection, ids, (edges[0], width), bounds, seen)
        _add(sums, edges, ((i, edges[0] + n * width, count, total) for i, n, count, total in rows))
    elif not seen and step < DAY:
        _add(sums, edges, period_rows(connection, ids, edges, bounds))
    else:
        _add(sums, edges, _day_sums(connection, ids, bounds, seen))
    _add(sums, edges, _differences(corrections))
    return sums


def _day_sums(
    connection: sa.Connection, ids: Sequence[int], bounds: tuple[int, int], seen: Mapping[str, Any]
) -> list[tuple[int, int, int, float]]:
    """Sum the points of the series *ids* within *bounds* by UTC day: (series_id, start of the day, points, sum)."""
    origin = bounds[0] // DAY * DAY
    rows = _grouped(connection, ids, (origin, DAY), bounds, seen)
    return [(series_id, origin + number * DAY, count, total) for series_id, number, count, total in rows]


def _add(sums: Mapping[int, Sums], edges: Sequence[int], rows: Iterable[tuple[int, int, int, float]]) -> None:
    """Add (series_id, moment, number of points, sum) to the period of each moment."""
    places: dict[int, int] = {}
    for series_id, moment, count, total in rows:
        place = places.get(moment)
        if place is None:
            place = places[moment] = bisect_right(edges, moment) - 1
        values, known = sums[series_id]
        values[place] = (values[place] or 0) + total
        known[place] += count
        if not known[place]:
            values[place] = None


def _grouped(
    connection: sa.Connection,
    ids: Sequence[int],
    columns: tuple[int, int],
    bounds: tuple[int, int],
    seen: Mapping[str, Any],
) -> list[Any]:
    """Read (series_id, number of the column, points, sum); *columns* is where the first one starts, and their width."""
    parameters = {"origin": columns[0], "width": columns[1], **_parameters(ids, bounds, seen)}
    return driver_rows(connection.execute(_grouped_select(frozenset(seen)), parameters))


@lru_cache(maxsize=3)
def _grouped_select(seen: frozenset[str]) -> Any:
    source = _source(seen).subquery()
    origin, width = (sa.bindparam(name, type_=sa.BigInteger) for name in ("origin", "width"))
    column = ((source.c.t - origin) // width).label("column")
    figures = sa.func.count(), sa.func.sum(source.c.value)
    return sa.select(source.c.series_id, column, *figures).group_by(source.c.series_id, column)


def _source(seen: frozenset[str]) -> sa.Select[Any]:
    """Select (series_id, t, value) of *ids* from *since* to *until*.

    With *seen*, the names of parameters, only what was known at their moment.
    """
    table = points.c
    select = sa.select(table.series_id, epoch(table.timestamp).label("t"), table.value).where(*_within(points))
    if not seen:
        return select
    return select.join_from(points, fetches, fetches.c.id == table.fetch_id, isouter=True).where(was_seen(seen))


def _within(table: sa.Table) -> list[Any]:
    since, until = (sa.bindparam(name, type_=BucketTime) for name in ("since", "until"))
    return [table.c.series_id.in_(_IDS), table.c.timestamp >= since, table.c.timestamp < until]


def _parameters(ids: Collection[int], bounds: tuple[int, int], seen: Mapping[str, Any]) -> dict[str, Any]:
    since, until = (from_epoch(bound) for bound in bounds)
    return {"ids": list(ids), "since": since, "until": until, **seen}


def _corrections(
    connection: sa.Connection, ids: Sequence[int], bounds: tuple[int, int], seen: Mapping[str, Any]
) -> Corrections:
    """Return (stored value if it was seen, known value) of buckets whose value was replaced after the moment of *seen*.

    They are by (series_id, timestamp). If a clock was set back, a bucket has several values: the newest fetch counts.
    """
    parameters = _parameters(ids, bounds, seen)
    known: dict[tuple[int, int], tuple[int, float]] = {}
    for series_id, timestamp, value, fetch_id in driver_rows(connection.execute(_replaced_select(), parameters)):
        key = series_id, timestamp
        known[key] = max(known.get(key, (-1, 0.0)), (fetch_id, value))
    if not known:
        return {}
    select = _stored_select(frozenset(seen))
    stored = {
        (series_id, timestamp): (fetch_id, value)
        for series_id, timestamp, value, fetch_id in driver_rows(connection.execute(select, parameters))
    }
    return {
        key: (stored[key][1], max(stored[key], of_revision)[1]) if key in stored else (None, of_revision[1])
        for key, of_revision in known.items()
    }


@lru_cache(maxsize=1)
def _replaced_select() -> Any:
    table = revisions.c
    columns = table.series_id, epoch(table.timestamp), table.value, table.fetch_id
    return sa.select(*columns).where(*_replaced())


def _replaced() -> list[Any]:
    moment = sa.bindparam("as_of", type_=Timestamp)
    return [*_within(revisions), revisions.c.seen_at <= moment, revisions.c.replaced_at > moment]


@lru_cache(maxsize=2)
def _stored_select(seen: frozenset[str]) -> Any:
    """Select the stored rows that were seen, of buckets that have a replaced one."""
    same = (revisions.c.series_id == points.c.series_id, revisions.c.timestamp == points.c.timestamp)
    replaced = sa.exists().where(*same, *_replaced()[3:]).correlate(points)
    table = points.c
    select = sa.select(table.series_id, epoch(table.timestamp), table.value, table.fetch_id)
    select = select.join_from(points, fetches, fetches.c.id == table.fetch_id, isouter=True)
    return select.where(*_within(points), was_seen(seen), replaced)


def _differences(corrections: Corrections) -> list[tuple[int, int, int, float]]:
    """Return what the corrections change: (series_id, moment, number of points, sum)."""
    return [
        (series_id, timestamp, 1, value) if stored is None else (series_id, timestamp, 0, value - stored)
        for (series_id, timestamp), (stored, value) in corrections.items()
    ]


def _single_buckets(  # noqa: PLR0913, PLR0917 - what a read is bounded by
    connection: sa.Connection,
    sums: dict[int, Sums],
    edges: Sequence[int],
    bounds: tuple[int, int],
    seen: Mapping[str, Any],
    corrections: Corrections,
) -> dict[int, Sums]:
    """Read single buckets, as texts of whole series where that is possible, because no point becomes a row then."""
    step, origin = edges[1] - edges[0], edges[0]
    for series_id, count, first, last, offset, run in _runs(connection, [*sums], (origin, step), bounds, seen):
        is_run = offset == 0 and last - first == (count - 1) * step
        values: Any = orjson.loads(f"[{run}]") if is_run and "e" not in run else None
        sums[series_id] = (
            _placed(values, (first - origin) // step, len(edges) - 1)
            if values is not None
            else _rows(connection, series_id, edges, bounds, seen)
        )
    for (series_id, timestamp), (_, value) in corrections.items():
        values, known = sums[series_id]
        values[(timestamp - origin) // step], known[(timestamp - origin) // step] = value, 1
    return sums


def _runs(
    connection: sa.Connection,
    ids: Sequence[int],
    buckets: tuple[int, int],
    bounds: tuple[int, int],
    seen: Mapping[str, Any],
) -> Iterator[Any]:
    """Yield (series_id, points, first and last timestamp, greatest offset, values as one text); none without points.

    *buckets* is where one of them starts, and their width. SQLite would sort the points of several series first.
    """
    grouped = connection.dialect.name != "sqlite"
    select = _run_select(frozenset(seen), grouped=grouped)
    for some in [ids] if grouped else [[series_id] for series_id in ids]:
        parameters = {"origin": buckets[0], "step": buckets[1], **_parameters(some, bounds, seen)}
        yield from (row for row in driver_rows(connection.execute(select, parameters)) if row[1])


def _placed(values: list[float | None], first: int, count: int) -> Sums:
    if first == 0 and len(values) == count:
        return values, [1] * count
    before, after = first, count - first - len(values)
    return [None] * before + values + [None] * after, [0] * before + [1] * len(values) + [0] * after


def _rows(
    connection: sa.Connection, series_id: int, edges: Sequence[int], bounds: tuple[int, int], seen: Mapping[str, Any]
) -> Sums:
    select = _rows_select(frozenset(seen))
    rows = driver_rows(connection.execute(select, _parameters([series_id], bounds, seen)))
    sums = {series_id: _empty(edges)}
    _add(sums, edges, ((series_id, timestamp, 1, value) for _, timestamp, value in rows))
    return sums[series_id]


@lru_cache(maxsize=3)
def _rows_select(seen: frozenset[str]) -> Any:
    return _source(seen)


@lru_cache(maxsize=6)
def _run_select(seen: frozenset[str], *, grouped: bool) -> Any:
    """Select what `_runs` yields: of several series if *grouped*, otherwise of one."""
    source = _source(seen).order_by(points.c.series_id, points.c.timestamp).subquery()
    origin, step = (sa.bindparam(name, type_=sa.BigInteger) for name in ("origin", "step"))
    times = sa.func.min(source.c.t), sa.func.max(source.c.t), sa.func.max((source.c.t - origin) % step)
    series_id = source.c.series_id if grouped else sa.func.max(source.c.series_id)
    select = sa.select(series_id, sa.func.count(), *times, texts(source.c.value, source.c.t))
    return select.group_by(series_id) if grouped else select


def _slow_sums(
    connection: sa.Connection,
    selection: Selection,
    series: SelectedSeries,
    edges: Sequence[int],
    bounds: tuple[int, int],
) -> Sums:
    """Sum point by point: of a snapshot, or of a question that had several units or grids."""
    sums = {series.series_id: _empty(edges)}
    if bounds[0] >= bounds[1]:
        return sums[series.series_id]
    start, end = (from_epoch(bound) for bound in bounds)
    if series.asked_at:
        with closing(points_of(connection, series.series_id, start, end, None, asked_at=series.asked_at)) as blocks:
            for block in blocks:
                _add(sums, edges, ((series.series_id, timestamp, 1, value) for timestamp, value in block))
        return sums[series.series_id]
    same, as_of = selection.several[series.series_id], selection.chosen.as_of
    before: Generation | None = None
    with closing(points_in_force(connection, same, start, end, as_of)) as parts:
        for generation, block in parts:
            if before and block:
                _check_alike(series.label, before, generation, block[0][0])
            before = generation if block else before
            _add(sums, edges, ((series.series_id, timestamp, 1, value) for timestamp, value in block))
    return sums[series.series_id]


def _check_alike(label: str, before: Generation, after: Generation, timestamp: int) -> None:
    moment = rfc3339(from_epoch(timestamp))
    nearest = f"a range that ends or starts at {moment}"
    if not same_measure(before.measure, after.measure):
        units = f"{described(before.measure, after.measure)} to {described(after.measure, before.measure)}"
        raise RequestRefused(f"{label}: the unit changes from {units} at {moment}, within the range", nearest)
    if before.former_offset != after.former_offset:
        raise RequestRefused(f"{label}: buckets start at other times from {moment} on, within the range", nearest)
