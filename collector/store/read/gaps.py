"""Coverage and gaps: the windows that were answered, and the buckets that are missing or that Radar lacks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.clock_difference import radar_lag
from collector.edge import first_run, is_beginning
from collector.finality import Absence, GapRequest, gap_requests, judge_gap
from collector.interval import grid_of
from collector.model import Window, from_epoch
from collector.store.db.column_types import bucket, epoch
from collector.store.db.schema import date_ranges, fetch_profiles, fetches, points
from collector.store.ledger import fires
from collector.store.retention.prune import stored_cutoff
from collector.store.series import evidence, generations
from collector.store.write.diff import spoken_window
from collector.windows import intersect, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Question

    Range = tuple[int, int]

_COUNTED_AT_ONCE = 500
_TOGETHER = 1000
"""So many stretches in one statement."""


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
    """The runs of absent buckets of one of the expected, what answers lacked of them, and `settle` in seconds."""

    runs: Sequence[Range]
    absences: Sequence[Absence] = ()
    settle: int = 0


class _Stretch(NamedTuple):
    """The buckets, *step* seconds wide, of one series from *start* up to *end*; *place* is whose among the expected."""

    place: int
    series_id: int
    start: int
    end: int
    step: int


def find_gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[list[GapWindow]]:
    """Find the runs of absent buckets of each query's current series, ascending; in the order of *expected*.

    See `finality.judge_gap` for what makes a run `upstream`. What retention has deleted is no gap, nor what lies before
    the beginning of Radar's own history.
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
    """Decide what of the gaps of each query to request at *now*; see `finality.gap_requests`."""
    steps = [one.query.agg_interval.seconds for one in expected]
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
    known = evidence.read_edges(connection, {one.query for one in expected})
    found = []
    for one, gaps in zip(expected, _all_gaps(connection, expected), strict=True):
        window = int(one.window.start.timestamp()), int(one.window.end.timestamp())
        run = first_run(window, gaps.runs)
        lacked = lacking(connection, one.query, run) if run else []
        found.append(
            run if run and is_beginning(run, lacked, one.query.agg_interval.seconds, known.get(one.query)) else None
        )
    return found


def _gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    """Find the gaps, without what lies before the beginning of Radar's own history."""
    known = evidence.read_edges(connection, {one.query for one in expected})
    found = _all_gaps(connection, expected)
    before = {query: edge.absent for query, edge in known.items() if edge.is_accepted}
    return [
        replace(gaps, runs=[part for run in gaps.runs for part in subtract(run, [before[one.query]])])
        if one.query in before
        else gaps
        for one, gaps in zip(expected, found, strict=True)
    ]


def _all_gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    found = []
    for start in range(0, len(expected), _TOGETHER):
        found += _some_gaps(connection, expected[start : start + _TOGETHER])
    return found


def _some_gaps(connection: sa.Connection, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    kept = {step: stored_cutoff(connection, step) for step in {one.query.agg_interval for one in expected}}
    ids = generations.ids_of(connection, {one.query for one in expected})
    windows: list[Range] = []
    stretches: list[tuple[tuple[int, int], _Stretch]] = []
    for number, one in enumerate(expected):
        start = _first_kept(one, kept[one.query.agg_interval])
        windows.append((int(start.timestamp()), int(one.window.end.timestamp())))
        for series_id in ids.get(one.query, ()) if start < one.window.end else ():
            place = number, series_id
            stretches.append((place, _Stretch(len(stretches), series_id, *windows[-1], one.query.agg_interval.seconds)))
    runs = _runs(connection, [stretch for _, stretch in stretches]) if stretches else {}
    absent = {place: runs.get(stretch.place, []) for place, stretch in stretches}
    found = []
    for number, (one, window) in enumerate(zip(expected, windows, strict=True)):
        parts = [window] if window[0] < window[1] else []
        for series_id in ids.get(one.query, ()):
            parts = intersect(parts, absent.get((number, series_id), ()))
        found.append(parts)
    return _judged(connection, expected, found, ids)


def _first_kept(one: ExpectedWindow, kept_from: datetime | None) -> datetime:
    """Return the first bucket of a window that retention keeps; *kept_from* may be on a grid of the past."""
    if kept_from is None or kept_from <= one.window.start:
        return one.window.start
    grid = grid_of(one.query.agg_interval, one.window.start)
    return kept_from if grid.holds(kept_from) else grid.floor(kept_from) + grid.step


def _judged(
    connection: sa.Connection,
    expected: Sequence[ExpectedWindow],
    found: Sequence[Sequence[Range]],
    ids: Mapping[Question, Sequence[int]],
) -> list[_Gaps]:
    """Add to the runs what answers lacked of them, and `settle`: of all series that answer a query."""
    hulls: dict[int, Range] = {}
    for one, runs in zip(expected, found, strict=True):
        for series_id in ids.get(one.query, ()) if runs else ():
            start, end = hulls.get(series_id, (runs[0][0], runs[-1][1]))
            hulls[series_id] = min(start, runs[0][0]), max(end, runs[-1][1])
    absences = evidence.read_absences(connection, hulls)
    settles = evidence.settles(connection, hulls) if hulls else {}
    gaps = []
    for one, runs in zip(expected, found, strict=True):
        same = ids.get(one.query, ())
        settle = max([int(one.settle.total_seconds()), *(settles.get(series_id, 0) for series_id in same)])
        lacked = [absence for series_id in same for absence in absences.get(series_id, ())] if runs else []
        gaps.append(_Gaps(runs, lacked, settle))
    return gaps


def _runs(connection: sa.Connection, stretches: Sequence[_Stretch]) -> dict[int, list[Range]]:
    """Find where the next bucket is not the next one, by place: only what holds too few points is walked.

    Counting a part costs a fraction of walking it, and most of a history is complete.
    """
    runs: dict[int, list[Range]] = defaultdict(list)
    short = []
    for stretch, stored in _counts(connection, stretches):
        if not stored:
            runs[stretch.place].append((stretch.start, stretch.end))
        elif stored < -((stretch.start - stretch.end) // stretch.step):
            short.append(stretch)
    for start in range(0, len(short), _TOGETHER):
        for place, *run in _walk(connection, short[start : start + _TOGETHER]):
            runs[place].append((run[0], run[1]))
    return {place: merge(found) for place, found in runs.items()}


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


def _counts(connection: sa.Connection, stretches: Sequence[_Stretch]) -> list[tuple[_Stretch, int]]:
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
    return [(_Stretch(*part), stored) for *part, stored in connection.execute(sa.select(*columns))]


def _walk(connection: sa.Connection, stretches: Sequence[_Stretch]) -> list[tuple[int, int, int]]:
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
        for place, start, end, oldest in connection.execute(first.group_by(*stretch))
    ]
    found += [tuple(row) for row in connection.execute(sa.select(walk).where(walk.c.b > walk.c.a))]
    return [(place, start, end) for place, start, end in found if start < end]


_LONGEST_LAG = timedelta(days=1)


def last_covered_at(
    connection: sa.Connection, queries: Sequence[Question], moment: datetime
) -> dict[Question, datetime]:
    """Find when an answer last covered the bucket at *moment*, per query; absent where none ever did."""
    found = generations.ids_of(connection, queries)
    ids = {series_id: query for query, same in found.items() for series_id in same}
    rows = connection.execute(
        sa.select(date_ranges.c.series_id, sa.func.max(fetches.c.finished_at))
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), date_ranges.c.end > moment, date_ranges.c.start <= moment)
        .group_by(date_ranges.c.series_id)
    )
    asked: dict[Question, datetime] = {}
    for series_id, finished_at in rows:
        asked[ids[series_id]] = max(finished_at, asked.get(ids[series_id], finished_at))
    return asked


def upstream_lag(connection: sa.Connection, profile: str) -> timedelta:
    """Tell how far lastUpdated lay behind Radar's present in the newest answer for *profile*; zero before the first.

    A lastUpdated that stays back for a day or longer says nothing of the lag: then the usual one counts, or zero.
    """
    answered = sa.and_(fetch_profiles.c.fetch_id == fetches.c.id, fetch_profiles.c.profile == profile)
    newest = sa.select(fetches.c.finished_at, fetches.c.last_updated).join(fetch_profiles, answered)
    newest = newest.where(fetches.c.outcome == "ok").order_by(fetch_profiles.c.fetch_id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None:
        return timedelta(0)
    ahead = fires.read_clock_difference(connection).ahead
    lags = [radar_lag(max(row.finished_at - row.last_updated, timedelta(0)), ahead)]
    if lags[0] >= _LONGEST_LAG:
        usual = fires.usual(connection, {profile: row.last_updated})
        lags += (radar_lag(each, ahead) for each in usual.values())
    return next((each for each in lags if each < _LONGEST_LAG), timedelta(0))


def lacking(connection: sa.Connection, query: Question, run: tuple[int, int]) -> list[tuple[int, int]]:
    """Find what answers to windows inside *run*, of which no bucket is stored, spoke for; all in epoch seconds.

    A window that reaches beyond the run may have been cut short before its first value.
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
    found = connection.execute(
        sa.select(date_ranges.c.start, date_ranges.c.end)
        .join(fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id.in_(ids), fetches.c.finished_at >= since)
        .where(date_ranges.c.end > window.start, date_ranges.c.start < window.end)
        .order_by(date_ranges.c.start)
    )
    return [Window(max(start, window.start), min(end, window.end)) for start, end in found]
