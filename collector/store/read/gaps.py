"""Coverage and gaps: the windows that answers cover, and the buckets that are missing or that Radar lacks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.interval import grid_of
from collector.model import Window
from collector.rules.clock_difference import radar_lag
from collector.rules.edge import first_run, is_beginning
from collector.rules.finality import Absence, GapRequest, gap_requests, judge_gap
from collector.store.db.column_types import bucket, epoch
from collector.store.db.schema import date_ranges, fetch_profiles, fetches, points
from collector.store.ledger import upstream
from collector.store.retention.prune import stored_cutoff
from collector.store.series import evidence, generations
from collector.store.write.diff import spoken_window
from collector.timestamps import from_epoch
from collector.windows import intersect, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Question

    Range = tuple[int, int]

_COUNTED_AT_ONCE = 500
_TOGETHER = 1000
"""Number of windows in one statement."""


@dataclass(frozen=True, slots=True)
class GapWindow:
    """A run of absent buckets: `missing`, or `upstream` if two answers prove that Radar has none."""

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class ExpectedWindow:
    """The buckets of *query* in *window* that should be there.

    They are past settle *settle* after their end, or later if another profile wants the series with a longer one.
    """

    query: Question
    window: Window
    settle: timedelta


@dataclass(frozen=True, slots=True)
class _Gaps:
    """The runs of absent buckets of one expected window, the absences on record for them, and `settle` in seconds."""

    runs: Sequence[Range]
    absences: Sequence[Absence] = ()
    settle: int = 0


class _Part(NamedTuple):
    """The buckets, *step* seconds wide, of one series from *start* up to *end*; *place* is the index of the part."""

    place: int
    series_id: int
    start: int
    end: int
    step: int


def find_gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[list[GapWindow]]:
    """Return the gaps of each question's current series, ascending; in the order of *expected*.

    See `finality.judge_gap` for what makes a gap `upstream`. Buckets before a cutoff of retention, or before the
    beginning of Radar's own history, are no gaps.
    """
    return [
        [
            GapWindow(Window(from_epoch(start), from_epoch(end)), reason)
            for run in gaps.runs
            for start, end, reason in judge_gap(run, gaps.absences, gaps.settle)
        ]
        for gaps in _gaps(connection, expected)
    ]


def find_gap_requests(
    connection: sa.Connection, expected: Sequence[ExpectedWindow], now: datetime, *, explicit: bool = False
) -> list[list[GapRequest]]:
    """Return the requests that are worth sending at *now* for the gaps of each question.

    See `finality.gap_requests`.
    """
    steps = [expected_window.query.agg_interval.seconds for expected_window in expected]
    return [
        [
            request
            for run in gaps.runs
            for request in gap_requests(run, gaps.absences, gaps.settle, now.timestamp(), step=step, explicit=explicit)
        ]
        for step, gaps in zip(steps, _gaps(connection, expected), strict=True)
    ]


def beginnings(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[Range | None]:
    """Find the run of absent buckets that each window begins with, if answers lacked all of it; see `edge`.

    In the order of *expected*; in epoch seconds.
    """
    known = evidence.read_edges(connection, {expected_window.query for expected_window in expected})
    first_runs = []
    for expected_window, gaps in zip(expected, _all_gaps(connection, expected), strict=True):
        query = expected_window.query
        window = int(expected_window.window.start.timestamp()), int(expected_window.window.end.timestamp())
        run = first_run(window, gaps.runs)
        lacked = lacking(connection, query, run) if run else []
        first_runs.append(
            run if run and is_beginning(run, lacked, query.agg_interval.seconds, known.get(query)) else None
        )
    return first_runs


def _gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    """Return the gaps, without the time before the beginning of Radar's own history."""
    known = evidence.read_edges(connection, {expected_window.query for expected_window in expected})
    all_gaps = _all_gaps(connection, expected)
    before = {query: edge.absent for query, edge in known.items() if edge.is_accepted}
    return [
        replace(gaps, runs=[part for run in gaps.runs for part in subtract(run, [before[expected_window.query]])])
        if expected_window.query in before
        else gaps
        for expected_window, gaps in zip(expected, all_gaps, strict=True)
    ]


def _all_gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    gaps = []
    for start in range(0, len(expected), _TOGETHER):
        gaps += _some_gaps(connection, expected[start : start + _TOGETHER])
    return gaps


def _some_gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    kept = {
        step: stored_cutoff(connection, step)
        for step in {expected_window.query.agg_interval for expected_window in expected}
    }
    ids = generations.ids_of(connection, {expected_window.query for expected_window in expected})
    windows: list[Range] = []
    parts_: list[tuple[tuple[int, int], _Part]] = []
    for number, expected_window in enumerate(expected):
        start = _first_kept(expected_window, kept[expected_window.query.agg_interval])
        windows.append((int(start.timestamp()), int(expected_window.window.end.timestamp())))
        for series_id in ids.get(expected_window.query, ()) if start < expected_window.window.end else ():
            place = number, series_id
            parts_.append(
                (place, _Part(len(parts_), series_id, *windows[-1], expected_window.query.agg_interval.seconds))
            )
    runs = _runs(connection, [part_ for _, part_ in parts_]) if parts_ else {}
    absent = {place: runs.get(part_.place, []) for place, part_ in parts_}
    absent_runs = []
    for number, (expected_window, window) in enumerate(zip(expected, windows, strict=True)):
        parts = [window] if window[0] < window[1] else []
        for series_id in ids.get(expected_window.query, ()):
            parts = intersect(parts, absent.get((number, series_id), ()))
        absent_runs.append(parts)
    return _judged(connection, expected, absent_runs, ids)


def _first_kept(expected_window: ExpectedWindow, kept_from: datetime | None) -> datetime:
    """Return the first bucket of a window that retention keeps; *kept_from* may be on a grid of the past."""
    if kept_from is None or kept_from <= expected_window.window.start:
        return expected_window.window.start
    grid = grid_of(expected_window.query.agg_interval, expected_window.window.start)
    return kept_from if grid.holds(kept_from) else grid.floor(kept_from) + grid.step


def _judged(
    connection: sa.Connection,
    expected: Sequence[ExpectedWindow],
    absent_runs: Sequence[Sequence[Range]],
    ids: Mapping[Question, Sequence[int]],
) -> list[_Gaps]:
    """Add to the runs of each query the absences and the longest `settle` of all its series."""
    hulls: dict[int, Range] = {}
    for expected_window, runs in zip(expected, absent_runs, strict=True):
        for series_id in ids.get(expected_window.query, ()) if runs else ():
            start, end = hulls.get(series_id, (runs[0][0], runs[-1][1]))
            hulls[series_id] = min(start, runs[0][0]), max(end, runs[-1][1])
    absences = evidence.read_absences(connection, hulls)
    settles = evidence.settles(connection, hulls) if hulls else {}
    gaps = []
    for expected_window, runs in zip(expected, absent_runs, strict=True):
        same = ids.get(expected_window.query, ())
        settle = max([int(expected_window.settle.total_seconds()), *(settles.get(series_id, 0) for series_id in same)])
        lacked = [absence for series_id in same for absence in absences.get(series_id, ())] if runs else []
        gaps.append(_Gaps(runs, lacked, settle))
    return gaps


def _runs(connection: sa.Connection, parts_: Sequence[_Part]) -> dict[int, list[Range]]:
    """Find the runs of absent buckets of each part, by place. Only parts with too few points are walked.

    Counting a part costs a fraction of walking it, and most of a history is complete.
    """
    runs: dict[int, list[Range]] = defaultdict(list)
    short = []
    for part_, stored in _counts(connection, parts_):
        if not stored:
            runs[part_.place].append((part_.start, part_.end))
        elif stored < -((part_.start - part_.end) // part_.step):
            short.append(part_)
    for start in range(0, len(short), _TOGETHER):
        for place, *run in _walk(connection, short[start : start + _TOGETHER]):
            runs[place].append((run[0], run[1]))
    return {place: merge(ranges) for place, ranges in runs.items()}


def _table(parts_: Sequence[_Part]) -> sa.CTE:
    columns = [sa.column(name, sa.BigInteger) for name in _Part._fields]
    return sa.values(*columns, name="given").data([*parts_]).cte("stretches")


def _inside(part: sa.CTE, end: sa.ColumnElement[int], parts_: Sequence[_Part]) -> sa.ColumnElement[bool]:
    """Choose the points from the start of *part*, the table of *parts_*, up to *end*."""
    timestamp = points.c.timestamp
    first, last = from_epoch(min(part_.start for part_ in parts_)), from_epoch(max(part_.end for part_ in parts_))
    known = sa.and_(timestamp >= first, timestamp < last)  # while partitions are chosen
    here = sa.and_(timestamp >= bucket(part.c.start), timestamp < bucket(end))
    return sa.and_(points.c.series_id == part.c.series_id, here, known)


def _counts(connection: sa.Connection, parts_: Sequence[_Part]) -> list[tuple[_Part, int]]:
    """Split *parts_* into parts of a few hundred buckets, and count the points of each."""
    whole = _table(parts_)
    parts = sa.select(whole).cte("parts", recursive=True)
    following = parts.c.start + parts.c.step * _COUNTED_AT_ONCE
    others = parts.c.place, parts.c.series_id, following, parts.c.end, parts.c.step
    parts = parts.union_all(sa.select(*others).where(following < parts.c.end))
    following = parts.c.start + parts.c.step * _COUNTED_AT_ONCE
    end = sa.case((following < parts.c.end, following), else_=parts.c.end)
    count = sa.select(sa.func.count()).select_from(points).where(_inside(parts, end, parts_))
    counted = count.correlate(parts).scalar_subquery()
    columns = parts.c.place, parts.c.series_id, parts.c.start, end, parts.c.step, counted
    return [(_Part(*part), stored) for *part, stored in connection.execute(sa.select(*columns))]


def _walk(connection: sa.Connection, parts_: Sequence[_Part]) -> list[tuple[int, int, int]]:
    """Read the key in order, and return the runs between the points of each part: place, start, end."""
    table = _table(parts_)
    part_, inside = (table.c.place, table.c.start, table.c.end), _inside(table, table.c.end, parts_)
    timestamp = epoch(points.c.timestamp)
    following = sa.func.lead(timestamp).over(partition_by=part_, order_by=timestamp)
    after = (timestamp + table.c.step).label("a"), sa.func.coalesce(following, table.c.end).label("b")
    walk = sa.select(table.c.place, *after).join_from(table, points, inside).subquery()
    first = sa.select(*part_, sa.func.min(timestamp)).join_from(table, points, inside, isouter=True)
    runs = [
        (place, start, end if oldest is None else oldest)
        for place, start, end, oldest in connection.execute(first.group_by(*part_))
    ]
    runs += [tuple(row) for row in connection.execute(sa.select(walk).where(walk.c.b > walk.c.a))]
    return [(place, start, end) for place, start, end in runs if start < end]


_LONGEST_LAG = timedelta(days=1)


def last_covered_at(
    connection: sa.Connection, queries: Sequence[Question], moment: datetime
) -> dict[Question, datetime]:
    """Find when an answer last covered the bucket at *moment*, per query; absent where none ever did."""
    ids_by_query = generations.ids_of(connection, queries)
    ids = {series_id: query for query, same in ids_by_query.items() for series_id in same}
    rows = connection.execute(
        sa.select(date_ranges.c.series_id, sa.func.max(fetches.c.finished_at))
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), date_ranges.c.end > moment, date_ranges.c.start <= moment)
        .group_by(date_ranges.c.series_id)
    )
    covered_at: dict[Question, datetime] = {}
    for series_id, finished_at in rows:
        covered_at[ids[series_id]] = max(finished_at, covered_at.get(ids[series_id], finished_at))
    return covered_at


def upstream_lag(connection: sa.Connection, profile: str) -> timedelta:
    """Return the lag of lastUpdated behind Radar's present in the newest answer for *profile*; zero before the first.

    If lastUpdated stays back for a day or longer, it does not show the lag: then the usual one counts, or zero.
    """
    answered = sa.and_(fetch_profiles.c.fetch_id == fetches.c.id, fetch_profiles.c.profile == profile)
    newest = sa.select(fetches.c.finished_at, fetches.c.last_updated).join(fetch_profiles, answered)
    newest = newest.where(fetches.c.outcome == "ok").order_by(fetch_profiles.c.fetch_id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None:
        return timedelta(0)
    ahead = upstream.read_clock_difference(connection).ahead
    lags = [radar_lag(max(row.finished_at - row.last_updated, timedelta(0)), ahead)]
    if lags[0] >= _LONGEST_LAG:
        usual = upstream.usual(connection, {profile: row.last_updated})
        lags += (radar_lag(each, ahead) for each in usual.values())
    return next((each for each in lags if each < _LONGEST_LAG), timedelta(0))


def lacking(connection: sa.Connection, query: Question, run: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the windows inside *run*, without a stored bucket, that answers covered; all in epoch seconds.

    An answer about a window that reaches beyond the run may have been cut short before its first value.
    """
    ids, step = generations.ids_of(connection, [query]).get(query, []), query.agg_interval.step
    columns = (date_ranges.c.start, date_ranges.c.end, date_ranges.c.start_time, date_ranges.c.end_time)
    rows = connection.execute(
        sa.select(*columns, fetches.c.last_updated)
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), fetches.c.outcome == "ok")
        .where(date_ranges.c.end > from_epoch(run[0]), date_ranges.c.end <= from_epoch(run[1]))
    )
    return [
        spoken_window(Window(start, end), (start_time, end_time), last_updated, step)
        for start, end, start_time, end_time, last_updated in rows
    ]


def covered_windows(connection: sa.Connection, query: Question, window: Window, since: datetime) -> list[Window]:
    """Find the parts of *window* that answers from *since* on have covered for a query, ascending; they may overlap."""
    ids = generations.ids_of(connection, [query]).get(query, [])
    rows = connection.execute(
        sa.select(date_ranges.c.start, date_ranges.c.end)
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), fetches.c.finished_at >= since)
        .where(date_ranges.c.end > window.start, date_ranges.c.start < window.end)
        .order_by(date_ranges.c.start)
    )
    return [Window(max(start, window.start), min(end, window.end)) for start, end in rows]
