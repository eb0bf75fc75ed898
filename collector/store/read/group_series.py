"""The groups behind a sum: which series they are, and where one that has no point is unknown."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import epoch
from collector.store.db.schema import groups, points, series, vanished
from collector.store.series import generations, remainders
from collector.store.series.generations import same_measure
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question, Window
    from collector.store.read.stored_series import StoredQuestions
    from collector.windows import EpochWindow

_DAY = 86_400
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_COLUMNS = (series.c.id, series.c.digest, series.c.normalization, series.c.unit)
_SUMS = sa.select(*_COLUMNS).where(series.c.id.in_(_IDS))
_GROUPS = (
    sa.select(*_COLUMNS, series.c.group)
    .join_from(groups, series, series.c.id == groups.c.series_id)
    .where(groups.c.question == sa.bindparam("question"))
    .order_by(series.c.id)
)


class GroupSeries(NamedTuple):
    """The groups of a question in one window.

    *ids* has the series of each group by its name, the oldest first; a newer one counts. *open* are the buckets where
    something is left beside the listed groups, so that a group without a point is unknown. *vanished* are buckets,
    by series, that a later answer did not have; a stored point there does not count.
    """

    ids: Mapping[str, Sequence[int]]
    open: frozenset[int]
    vanished: Mapping[int, frozenset[int]]


def read_group_series(
    connection: sa.Connection, sums: Collection[int], window: EpochWindow, as_of: datetime | None
) -> GroupSeries:
    """Read the groups whose sums are *sums*, series that differ only in the spelling of their unit."""
    own = connection.execute(_SUMS, {"ids": list(sums)}).all()
    ids: dict[str, list[int]] = defaultdict(list)
    question = generations.question(own[0].digest)
    for row in connection.execute(_GROUPS, {"question": question}):
        if any(_belongs(row, its_sum) for its_sum in own):
            ids[row.group].append(row.id)
    left: dict[int, float] = {}
    for series_id in sorted(sums):
        known = remainders.read(connection, series_id, window, as_of)
        left |= {timestamp: remainder.other for timestamp, remainder in known.items()}
    every = [series_id for same in ids.values() for series_id in same]
    still_open = frozenset(timestamp for timestamp, other in left.items() if other)
    return GroupSeries(dict(ids), still_open, read_vanished(connection, every, window, as_of))


def daily_sums(
    connection: sa.Connection, known: StoredQuestions, query: Question, window: Window, offset: int = 0
) -> dict[int, dict[str, float]]:
    """Sum the stored values of each group of *query* by day: epoch seconds of its begin to the sums by group.

    Values that have vanished do not count. Days begin *offset* seconds after midnight UTC. A day in which a group is
    unknown in a bucket is absent.
    """
    current = known.current([query]).get(query)
    if current is None:
        return {}
    span = int(window.start.timestamp()), int(window.end.timestamp())
    its_groups = read_group_series(connection, [current.id], span, None)
    unknown = {_day(timestamp, offset) for timestamp in its_groups.open}
    sums: dict[int, dict[str, float]] = {
        day: {} for day in range(_day(span[0], offset), span[1], _DAY) if day not in unknown
    }
    names = {series_id: name for name, ids in its_groups.ids.items() for series_id in ids}
    table, ids = points.c, sorted(names)
    day = ((epoch(table.timestamp) - offset) // _DAY).label("day")
    of_vanished = vanished.c.series_id == table.series_id, vanished.c.timestamp == table.timestamp
    select = sa.select(table.series_id, day, sa.func.sum(table.value)).group_by(table.series_id, day)
    select = select.where(table.timestamp >= window.start, table.timestamp < window.end).order_by(table.series_id)
    select = select.where(~sa.exists().where(*of_vanished))
    for at in range(0, len(ids), _AT_ONCE):
        for series_id, number, total in connection.execute(select.where(table.series_id.in_(ids[at : at + _AT_ONCE]))):
            if (start := number * _DAY + offset) in sums:
                sums[start][names[series_id]] = total
    return sums


def _day(timestamp: int, offset: int) -> int:
    return (timestamp - offset) // _DAY * _DAY + offset


def _belongs(row: Any, its_sum: Any) -> bool:
    """Return whether a group's series has the grid and the unit of the series that holds the sum."""
    is_same_grid = generations.former_offset(row.digest) == generations.former_offset(its_sum.digest)
    return is_same_grid and same_measure((row.normalization, row.unit), (its_sum.normalization, its_sum.unit))


def read_vanished(
    connection: sa.Connection, ids: Sequence[int], window: EpochWindow, as_of: datetime | None
) -> dict[int, frozenset[int]]:
    """Read the buckets in *window* of each of *ids* that a later answer did not have, as far as known at *as_of*."""
    start, end = map(from_epoch, window)
    table = vanished.c
    select = sa.select(table.series_id, epoch(table.timestamp)).where(table.timestamp >= start, table.timestamp < end)
    if as_of is not None:
        select = select.where(table.seen_at <= as_of)
    marked: dict[int, set[int]] = defaultdict(set)
    for at in range(0, len(ids), _AT_ONCE):
        for series_id, timestamp in connection.execute(select.where(table.series_id.in_(ids[at : at + _AT_ONCE]))):
            marked[series_id].add(timestamp)
    return {series_id: frozenset(timestamps) for series_id, timestamps in marked.items()}


_AT_ONCE = 500
"""Number of series in one statement."""
