"""Which buckets inside the extents of series are absent, at the cost of the absent ones, not of the stored ones.

The kept count of a series says how many there are. They are searched where they are known or likely to be: in absences
on record, and where there is no evidence for a value. Then in the rest, the newest buckets first, until all are found.
A series whose count does not agree with its points is searched to the end.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import bucket, epoch
from collector.store.db.schema import absences, finality, points
from collector.store.db.sql import integers_table
from collector.timestamps import from_epoch
from collector.windows import hull, intersect, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.store.read.stored_series import StoredSeries
    from collector.windows import EpochWindow

    Windows = dict[int, list[EpochWindow]]

_COUNTED_AT_ONCE = 100
_TOGETHER = 1000
"""Number of windows in one statement."""
_NEWEST_BUCKETS = 100
"""The number of the newest buckets that are searched first. Each further part is _GROWTH times as long."""
_GROWTH = 4


def find_absent_buckets(
    connection: sa.Connection, wanted: Mapping[StoredSeries, Sequence[EpochWindow]]
) -> dict[int, list[EpochWindow]]:
    """Find the absent buckets inside the extent of each series and the hull of its windows; merged, by series id.

    A series that lacks none is not in the result.
    """
    hulls = [(stored, _within_extent(stored, hull(windows))) for stored, windows in wanted.items() if stored.absent]
    likely = _likely(connection, [(stored.id, window) for stored, window in hulls if window])
    searches = [_Search(stored, window, likely[stored.id]) for stored, window in hulls if window]
    pending = searches
    while pending := [search for search in pending if search.take()]:
        parts = [(search, window) for search in pending for window in search.taken]
        spans = [_Span(n, search.series.id, *window, search.step) for n, (search, window) in enumerate(parts)]
        for number, run in _absent_runs(connection, spans):
            parts[number][0].found.append(run)
    return {search.series.id: merge(search.found) for search in searches}


def _within_extent(stored: StoredSeries, window: EpochWindow) -> EpochWindow | None:
    """Clip *window* to whole buckets inside the extent of a series; None if there is none."""
    if stored.extent is None:
        return None
    (oldest, newest), step = stored.extent, stored.step
    start, end = (oldest - (oldest - moment) // step * step for moment in window)
    start, end = max(start, oldest), min(end, newest)
    return (start, end) if start < end else None


class _Search:
    """The search in one series: *taken* are the windows to search now, *found* the absent windows so far."""

    def __init__(self, series: StoredSeries, window: EpochWindow, likely: Sequence[EpochWindow]) -> None:
        self.series = series
        self.step = series.step
        self.taken: list[EpochWindow] = []
        self.found: list[EpochWindow] = []
        self._parts = self._in_order(window, likely)

    def take(self) -> bool:
        """Take the next windows. Returns False if all absent buckets of the series are found, or nothing is left."""
        number = sum(end - start for start, end in self.found) // self.step
        self.taken = [] if number == self.series.absent else next(self._parts, [])
        return bool(self.taken)

    def _in_order(self, window: EpochWindow, likely: Sequence[EpochWindow]) -> Iterator[list[EpochWindow]]:
        if likely:
            yield [*likely]
        left, length = subtract(window, likely), _NEWEST_BUCKETS * self.step
        while left:
            taken, left = _newest(left, length)
            yield taken
            length *= _GROWTH


def _newest(windows: list[EpochWindow], length: int) -> tuple[list[EpochWindow], list[EpochWindow]]:
    """Divide ascending *windows* into the newest ones, *length* seconds in all, and the rest."""
    left, taken = list(windows), []
    while left and length > 0:
        start, end = left.pop()
        border = max(start, end - length)
        taken.append((border, end))
        length -= end - border
        if start < border:
            left.append((start, border))
    return taken, left


_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_ABSENCES, _EVIDENCE = (
    sa.select(table.c.series_id, epoch(table.c.start), epoch(table.c.end)).where(table.c.series_id.in_(_IDS))
    for table in (absences, finality)
)


def _likely(connection: sa.Connection, searched: Sequence[tuple[int, EpochWindow]]) -> Windows:
    """Return the windows, by series id, that an answer lacked, or for whose values there is no evidence."""
    if not searched:
        return {}
    lacked, proven = (_windows(connection, select, searched) for select in (_ABSENCES, _EVIDENCE))
    return {
        series_id: merge([*intersect([window], lacked[series_id]), *subtract(window, proven[series_id])])
        for series_id, window in searched
    }


def _windows(connection: sa.Connection, select: sa.Select[Any], searched: Sequence[tuple[int, EpochWindow]]) -> Windows:
    windows: Windows = defaultdict(list)
    for series_id, start, end in connection.execute(select, {"ids": [series_id for series_id, _ in searched]}):
        windows[series_id].append((start, end))
    return windows


class _Span(NamedTuple):
    """The buckets, *step* seconds wide, of one series from *start* up to *end*; *place* is the index of the span."""

    place: int
    series_id: int
    start: int
    end: int
    step: int


def _absent_runs(connection: sa.Connection, spans: Sequence[_Span]) -> Iterator[tuple[int, EpochWindow]]:
    """Find the runs of absent buckets of each span: (place, run); a run may be divided. Full spans are not walked.

    Counting a span costs a fraction of walking it, and most of a history is complete.
    """
    short: list[_Span] = []
    for first in range(0, len(spans), _TOGETHER):
        for part, stored in _counts(connection, spans[first : first + _TOGETHER]):
            if not stored:
                yield part.place, (part.start, part.end)
            elif stored < -((part.start - part.end) // part.step):
                short.append(part)
    for first in range(0, len(short), _TOGETHER):
        for place, start, end in _walk(connection, short[first : first + _TOGETHER]):
            yield place, (start, end)


def _inside(span: sa.CTE, end: sa.ColumnElement[int], spans: Sequence[_Span]) -> sa.ColumnElement[bool]:
    """Choose the points from the start of *span*, the table of *spans*, up to *end*."""
    timestamp = points.c.timestamp
    first, last = from_epoch(min(each.start for each in spans)), from_epoch(max(each.end for each in spans))
    known = sa.and_(timestamp >= first, timestamp < last)  # while partitions are chosen
    here = sa.and_(timestamp >= bucket(span.c.start), timestamp < bucket(end))
    return sa.and_(points.c.series_id == span.c.series_id, here, known)


def _counts(connection: sa.Connection, spans: Sequence[_Span]) -> list[tuple[_Span, int]]:
    """Split *spans* into parts of some buckets, and count the points of each."""
    whole = integers_table("spans", _Span._fields, spans)
    parts = sa.select(whole).cte("parts", recursive=True)
    following = parts.c.start + parts.c.step * _COUNTED_AT_ONCE
    others = parts.c.place, parts.c.series_id, following, parts.c.end, parts.c.step
    parts = parts.union_all(sa.select(*others).where(following < parts.c.end))
    following = parts.c.start + parts.c.step * _COUNTED_AT_ONCE
    end = sa.case((following < parts.c.end, following), else_=parts.c.end)
    count = sa.select(sa.func.count()).select_from(points).where(_inside(parts, end, spans))
    counted = count.correlate(parts).scalar_subquery()
    columns = parts.c.place, parts.c.series_id, parts.c.start, end, parts.c.step, counted
    return [(_Span(*part), stored) for *part, stored in connection.execute(sa.select(*columns))]


def _walk(connection: sa.Connection, spans: Sequence[_Span]) -> list[tuple[int, int, int]]:
    """Read the key in order, and return the runs between the points of each span: place, start, end."""
    table = integers_table("spans", _Span._fields, spans)
    span, inside = (table.c.place, table.c.start, table.c.end), _inside(table, table.c.end, spans)
    timestamp = epoch(points.c.timestamp)
    following = sa.func.lead(timestamp).over(partition_by=span, order_by=timestamp)
    after = (timestamp + table.c.step).label("a"), sa.func.coalesce(following, table.c.end).label("b")
    walk = sa.select(table.c.place, *after).join_from(table, points, inside).subquery()
    first = sa.select(*span, sa.func.min(timestamp)).join_from(table, points, inside, isouter=True)
    runs = [
        (place, start, end if oldest is None else oldest)
        for place, start, end, oldest in connection.execute(first.group_by(*span))
    ]
    runs += [tuple(row) for row in connection.execute(sa.select(walk).where(walk.c.b > walk.c.a))]
    return [(place, start, end) for place, start, end in runs if start < end]
