"""The evidence for stored values (`finality`) and for gaps (`absences`), read and written; decisions: `finality`.

Where Radar's own history of each question begins, if that is known, is kept in the table `state`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.rules.edge import dump, load
from collector.rules.finality import DEFAULT_SETTLE, Absence, Evidence, compact, judge_gap
from collector.store.db import sql
from collector.store.db.column_types import bucket, epoch, seconds
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import absences, fetches, finality, points, series, unfolded_ranges, vanished
from collector.store.db.schema import state as state_table
from collector.timestamps import from_epoch
from collector.windows import join_buckets, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.rules.edge import Edge
    from collector.windows import EpochWindow

    Rows = dict[int, list[Evidence]]

_COLUMNS = [finality.c.series_id, epoch(finality.c.start), epoch(finality.c.end)]
_COLUMNS += [seconds(finality.c.asked_at), seconds(finality.c.told_at), finality.c.margin]
_COLUMNS += [seconds(finality.c.changed_at), finality.c.confirmed]
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_ROWS = sa.select(*_COLUMNS).where(finality.c.series_id.in_(_IDS)).order_by(finality.c.series_id, finality.c.start)
_READ = DriverSelect(_ROWS)
_NEAR = DriverSelect(_ROWS.where(finality.c.start <= sa.bindparam("until"), finality.c.end >= sa.bindparam("since")))
_SETTLE = DriverSelect(sa.select(series.c.id, series.c.settle).where(series.c.id.in_(_IDS)))
_DELETE = {
    "sqlite": "DELETE FROM finality WHERE series_id = ? AND start = ?",
    "postgresql": """
DELETE FROM finality f USING unnest(%s::bigint[], %s::float8[]) AS old(series_id, start)
WHERE f.series_id = old.series_id AND f.start = to_timestamp(old.start)""",
}
_INSERT = {
    "sqlite": """
INSERT INTO finality (series_id, start, "end", asked_at, told_at, margin, changed_at, confirmed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
    "postgresql": """
INSERT INTO finality (series_id, start, "end", asked_at, told_at, margin, changed_at, confirmed)
SELECT series_id, to_timestamp(start), to_timestamp("end"), to_timestamp(asked_at), to_timestamp(told_at), margin,
  to_timestamp(changed_at), confirmed
FROM unnest(%s::bigint[], %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::bigint[], %s::float8[],
  %s::boolean[]) AS new(series_id, start, "end", asked_at, told_at, margin, changed_at, confirmed)""",
}
_INSERT_ABSENCE = sa.insert(absences)
_ABSENCE = ("start", "end", "window_start", "window_end")


def settles(connection: sa.Connection, ids: Iterable[int]) -> dict[int, int]:
    """Read the longest `settle`, in seconds, of the profiles that want each series; absent if none has yet."""
    rows = _SETTLE.rows(connection, {"ids": list(ids)})
    return {series_id: settle for series_id, settle in rows if settle is not None}


def read(connection: sa.Connection, ids: Iterable[int], hull: EpochWindow | None = None) -> Rows:
    """Read the evidence of series, ascending; with *hull* what overlaps or touches that window."""
    parameters: dict[str, Any] = {"ids": list(ids)}
    if hull:
        parameters |= {"since": from_epoch(hull[0]), "until": from_epoch(hull[1])}
    rows: Rows = defaultdict(list)
    for series_id, *row, confirmed in (_NEAR if hull else _READ).rows(connection, parameters):
        rows[series_id].append(Evidence._make((*row, bool(confirmed))))
    return rows


def write(connection: sa.Connection, changes: Mapping[int, tuple[Sequence[Evidence], Sequence[Evidence]]]) -> None:
    """Replace rows by series_id: *changes* has the rows before and after."""
    deleted: list[tuple[int, int]] = []
    inserted: list[tuple[Any, ...]] = []
    for series_id, (before, after) in sorted(changes.items()):
        old, new = set(before), set(after)
        deleted += [(series_id, row.start) for row in before if row not in new]
        inserted += [(series_id, *row) for row in after if row not in old]
    sql.execute_many(connection, _DELETE, deleted)
    sql.execute_many(connection, _INSERT, inserted)


def add_absences(connection: sa.Connection, fetch_id: int, by_series: Mapping[int, Sequence[Absence]]) -> None:
    """Record which buckets an answer past settle lacked, by series_id."""
    rows = [
        {
            "series_id": series_id,
            "fetch_id": fetch_id,
            **{name: from_epoch(getattr(absence, name)) for name in (*_ABSENCE, "asked_at", "told_at")},
        }
        for series_id, lacked in by_series.items()
        for absence in lacked
    ]
    if rows:
        connection.execute(_INSERT_ABSENCE, rows)


def read_absences(connection: sa.Connection, hulls: Mapping[int, EpochWindow]) -> dict[int, list[Absence]]:
    """Read what answers lacked of the buckets of each series inside its window."""
    if not hulls:
        return {}
    windows = [(series_id, *hull) for series_id, hull in hulls.items()]
    part = sql.integers_table("parts", ("series_id", "a", "b"), windows)
    columns = [absences.c.series_id, *(epoch(absences.c[name]) for name in _ABSENCE)]
    overlap = sa.and_(
        absences.c.series_id == part.c.series_id,
        absences.c.start < bucket(part.c.b),
        absences.c.end > bucket(part.c.a),
    )
    select = sa.select(*columns, absences.c.asked_at, absences.c.told_at).join_from(part, absences, overlap)
    by_series: dict[int, list[Absence]] = defaultdict(list)
    for row in connection.execute(select):
        series_id, start, end, window_start, window_end, *times = row
        asked_at, told_at = (time.timestamp() for time in times)
        by_series[series_id].append(Absence(start, end, window_start, window_end, asked_at, told_at))
    return by_series


def confirm(connection: sa.Connection, series_id: int, windows: Sequence[EpochWindow], settle: int) -> None:
    """Record that a second, independent answer confirms the final values of *windows*."""
    before = read(connection, [series_id])[series_id]
    after: list[Evidence] = []
    for row in before:
        inside = [(max(row.start, a), min(row.end, b)) for a, b in windows if max(row.start, a) < min(row.end, b)]
        edges = sorted({row.start, row.end, *(edge for part in inside for edge in part)})
        for start, end in pairwise(edges):
            agreed = any(a <= start < b for a, b in inside)
            after.append(row.within(start, end)._replace(confirmed=row.confirmed or agreed))
    write(connection, {series_id: (before, compact(after, settle))})


def set_settles(connection: sa.Connection, longest: Mapping[int, timedelta]) -> None:
    """Record the longest `settle` of the profiles that want each series, if it has changed."""
    if not longest:
        return
    known = {row.id: row.settle for row in _SETTLE.rows(connection, {"ids": list(longest)})}
    rows = [
        {"i": series_id, "n": int(settle.total_seconds())}
        for series_id, settle in sorted(longest.items())
        if known.get(series_id) != int(settle.total_seconds())
    ]
    if rows:
        update = sa.update(series).where(series.c.id == sa.bindparam("i")).values(settle=sa.bindparam("n"))
        connection.execute(update, rows)


LOOKBACK = timedelta(days=1)
"""Requests that ended longer ago are not looked at."""

_ADOPTED_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_OK = sa.and_(fetches.c.outcome == "ok", fetches.c.ignored.is_(None))
_FOREIGN = sa.select(fetches.c.id).where(_OK, fetches.c.finished_at >= sa.bindparam("since")).order_by(fetches.c.id)
_SERIES = sa.select(series.c.id, series.c.agg_interval).where(series.c.id.in_(_ADOPTED_IDS)).order_by(series.c.id)


class _Stamp(NamedTuple):
    """A bucket that a request has written to, when its answer came, and the answer's lastUpdated."""

    timestamp: int
    finished_at: float
    last_updated: float

    def is_later(self, row: Evidence) -> bool:
        """Return whether it was written after the evidence *row*.

        Evidence that the migration made has the time of the migration, and the newest lastUpdated on record.
        """
        return self.finished_at > row.asked_at and (self.last_updated > row.told_at or row.told_at < row.asked_at)


def _written(table: sa.Table) -> Any:
    """Choose the series_id and the stamp of all rows that the answers of requests have left."""
    inside = sa.and_(table.c.timestamp >= unfolded_ranges.c.start, table.c.timestamp < unfolded_ranges.c.end)
    same = sa.and_(table.c.series_id == unfolded_ranges.c.series_id, table.c.fetch_id == unfolded_ranges.c.fetch_id)
    times = fetches.c.finished_at, fetches.c.last_updated
    select = sa.select(table.c.series_id, epoch(table.c.timestamp), *times)
    select = select.join_from(unfolded_ranges, fetches, fetches.c.id == unfolded_ranges.c.fetch_id)
    return select.join(table, sa.and_(same, inside)).where(unfolded_ranges.c.fetch_id.in_(_ADOPTED_IDS))


_WRITTEN = sa.union_all(_written(points), _written(vanished))


def foreign(connection: sa.Connection, since: datetime) -> list[int]:
    """Find the requests of a previous version, ended from *since* on, whose answers were not adopted yet."""
    return list(connection.execute(_FOREIGN, {"since": since}).scalars())


def adopt(connection: sa.Connection, fetch_ids: Sequence[int]) -> None:
    """Withdraw older evidence for the buckets that these requests have written, and mark the requests as adopted."""
    stamps: dict[int, list[_Stamp]] = defaultdict(list)
    for series_id, timestamp, *times in connection.execute(_WRITTEN, {"ids": fetch_ids}):
        stamps[series_id].append(_Stamp(timestamp, *(time.timestamp() for time in times)))
    locked = connection.execute(_SERIES.with_for_update(), {"ids": list(stamps)})
    steps = {row.id: AggInterval(row.agg_interval).seconds for row in locked}
    before = read(connection, steps)
    after = {series_id: _without(rows, stamps[series_id], steps[series_id]) for series_id, rows in before.items()}
    write(connection, {series_id: (before[series_id], rows) for series_id, rows in after.items()})
    connection.execute(sa.update(fetches).where(fetches.c.id.in_(fetch_ids), _OK).values(ignored=0))


def _without(rows: Sequence[Evidence], stamps: Sequence[_Stamp], step: int) -> list[Evidence]:
    """Cut the buckets of *stamps* out of *rows* that are older."""
    left = []
    for row in rows:
        later = {stamp.timestamp for stamp in stamps if row.start <= stamp.timestamp < row.end and stamp.is_later(row)}
        left += [row.within(*part) for part in subtract((row.start, row.end), join_buckets(sorted(later), step))]
    return left


_PREFIX = "edge:"
_ALL = DriverSelect(sa.select(state_table.c.key, state_table.c.value).where(state_table.c.key.startswith(_PREFIX)))


def edges_by_digest(connection: sa.Connection) -> dict[str, Edge]:
    """Read all edges by the digest of their question, accepted or not."""
    rows = _ALL.rows(connection, {})
    edges = {key.removeprefix(_PREFIX): load(text) for key, text in rows}
    return {digest: edge for digest, edge in edges.items() if edge}


def read_edges(connection: sa.Connection, queries: Collection[Question]) -> dict[Question, Edge]:
    """Read the edges of *queries*, accepted or not; absent where none is known."""
    known = edges_by_digest(connection)
    return {query: known[query.digest] for query in queries if query.digest in known} if known else {}


def write_edges(connection: sa.Connection, edges: Mapping[Question, Edge | None]) -> None:
    """Store edges; None deletes one."""
    for query, edge in sorted(edges.items(), key=lambda item: item[0].digest):
        if edge:
            sql.put_state(connection, _PREFIX + query.digest, dump(edge))
        else:
            delete_edge(connection, query.digest)


def delete_edge(connection: sa.Connection, digest: str) -> None:
    """Delete the edge of a question, if there is one."""
    connection.execute(sa.delete(state_table).where(state_table.c.key == _PREFIX + digest))


_EVER = (0, 2**40)


def proven_absent(
    connection: sa.Connection, ids: Collection[int], as_of: datetime | None = None
) -> dict[int, list[tuple[int, int]]]:
    """Return the ranges [start, end) that Radar is proven not to have, by series_id; with *as_of* as known then.

    The time before the beginning of Radar's own history is among them.
    """
    by_series = read_absences(connection, dict.fromkeys(ids, _EVER))
    longest = settles(connection, by_series)
    ranges = {}
    for series_id, rows in by_series.items():
        known = [row for row in rows if as_of is None or row.asked_at <= as_of.timestamp()]
        if known:
            hull = min(row.start for row in known), max(row.end for row in known)
            parts = judge_gap(hull, known, longest.get(series_id, DEFAULT_SETTLE))
            ranges[series_id] = [(start, end) for start, end, reason in parts if reason == "upstream"]
    for series_id, edge in _accepted_edges(connection, ids, as_of).items():
        ranges[series_id] = merge([*ranges.get(series_id, []), edge.absent])
    return ranges


def _accepted_edges(connection: sa.Connection, ids: Collection[int], as_of: datetime | None) -> dict[int, Edge]:
    known = edges_by_digest(connection)
    until = inf if as_of is None else as_of.timestamp()
    known = {digest: edge for digest, edge in known.items() if edge.is_accepted and edge.seen_at[1] <= until}
    if not known:
        return {}
    rows = connection.execute(sa.select(series.c.id, series.c.digest).where(series.c.id.in_(ids)))
    return {row.id: known[row.digest] for row in rows if row.digest in known}


def history_begins(connection: sa.Connection, series_id: int) -> datetime | None:
    """Return where Radar's own history of a series begins: its first stored bucket; None while that is not proven.

    It is proven if Radar is proven not to have the bucket before. Only requested buckets can be proven: `proven_absent`
    returns how far back that reaches.
    """
    select = sa.select(sa.func.min(epoch(points.c.timestamp))).where(points.c.series_id == series_id)
    first = connection.execute(select).scalar()
    ranges = proven_absent(connection, [series_id]).get(series_id, [])
    return from_epoch(first) if first is not None and any(a < first <= b for a, b in ranges) else None
