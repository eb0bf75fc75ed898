"""Coverage and gaps: the windows that answers cover, and the buckets that are missing or that Radar lacks."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.interval import grid_of
from collector.model import Window
from collector.rules.clock_difference import radar_lag
from collector.rules.edge import first_run, is_beginning
from collector.rules.finality import Absence, GapRequest, gap_requests, judge_gap
from collector.store.db.schema import absences as absences_table
from collector.store.db.schema import fetch_profiles, fetches, unfolded_ranges
from collector.store.db.sql import values_table
from collector.store.ledger import upstream
from collector.store.read.absent_buckets import find_absent_buckets
from collector.store.retention.prune import stored_cutoff
from collector.store.series import evidence, folds
from collector.store.write.diff import spoken_window
from collector.timestamps import from_epoch
from collector.windows import intersect, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.store.read.stored_series import StoredQuestions, StoredSeries

    Range = tuple[int, int]


class GapWindow(NamedTuple):
    """A run of absent buckets: `missing`, or `upstream` if two answers prove that Radar has none."""

    window: Window
    reason: str


class ExpectedWindow(NamedTuple):
    """The buckets of *query* in *window* that should be there.

    They are past settle *settle* after their end, or later if another profile wants the series with a longer one.
    """

    query: Question
    window: Window
    settle: timedelta


class _Gaps(NamedTuple):
    """The runs of absent buckets of one expected window, the absences on record for them, and `settle` in seconds."""

    runs: Sequence[Range]
    absences: Sequence[Absence] = ()
    settle: int = 0


def find_gaps(
    connection: sa.Connection, known: StoredQuestions, expected: Sequence[ExpectedWindow]
) -> list[list[GapWindow]]:
    """Return the gaps of each question's current series, ascending; in the order of *expected*.

    See `finality.judge_gap` for what makes a gap `upstream`. Buckets before a cutoff of retention, or before the
    beginning of Radar's own history, are no gaps.
    """
    judged = [
        [part for run in gaps.runs for part in judge_gap(run, gaps.absences, gaps.settle)]
        for gaps in _gaps(connection, known, expected)
    ]
    distinct = {part for parts in judged for part in parts}  # after an outage, all series have the same ones
    windows = {part: GapWindow(Window(from_epoch(part[0]), from_epoch(part[1])), part[2]) for part in distinct}
    return [[windows[part] for part in parts] for parts in judged]


def find_gap_requests(
    connection: sa.Connection,
    known: StoredQuestions,
    expected: Sequence[ExpectedWindow],
    now: datetime,
    *,
    explicit: bool = False,
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
        for step, gaps in zip(steps, _gaps(connection, known, expected), strict=True)
    ]


def beginnings(
    connection: sa.Connection, known: StoredQuestions, expected: Sequence[ExpectedWindow]
) -> list[Range | None]:
    """Find the run of absent buckets that each window begins with, if answers lacked all of it; see `edge`.

    In the order of *expected*; in epoch seconds.
    """
    edges = evidence.read_edges(connection, {expected_window.query for expected_window in expected})
    first_runs = []
    for expected_window, gaps in zip(expected, _all_gaps(connection, known, expected), strict=True):
        query = expected_window.query
        window = int(expected_window.window.start.timestamp()), int(expected_window.window.end.timestamp())
        run = first_run(window, gaps.runs)
        lacked = lacking(connection, known, query, run) if run else []
        first_runs.append(
            run if run and is_beginning(run, lacked, query.agg_interval.seconds, edges.get(query)) else None
        )
    return first_runs


def _gaps(connection: sa.Connection, known: StoredQuestions, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    """Return the gaps, without the time before the beginning of Radar's own history."""
    edges = evidence.read_edges(connection, {expected_window.query for expected_window in expected})
    all_gaps = _all_gaps(connection, known, expected)
    before = {query: edge.absent for query, edge in edges.items() if edge.is_accepted}
    return [
        gaps._replace(runs=[part for run in gaps.runs for part in subtract(run, [before[expected_window.query]])])
        if expected_window.query in before
        else gaps
        for expected_window, gaps in zip(expected, all_gaps, strict=True)
    ]


def _all_gaps(connection: sa.Connection, known: StoredQuestions, expected: Sequence[ExpectedWindow]) -> list[_Gaps]:
    intervals = {expected_window.query.agg_interval for expected_window in expected}
    kept_from = {interval: stored_cutoff(connection, interval) for interval in intervals}
    series = known.read([expected_window.query for expected_window in expected])
    windows = [
        _kept_part(expected_window, kept_from[expected_window.query.agg_interval]) for expected_window in expected
    ]
    wanted: dict[StoredSeries, list[Range]] = defaultdict(list)
    for expected_window, window in zip(expected, windows, strict=True):
        for stored in series[expected_window.query]:
            if window and stored.absent:
                wanted[stored].append(window)
    holes = find_absent_buckets(connection, wanted)
    all_runs = [
        _runs(window, series[expected_window.query], holes) if window else []
        for expected_window, window in zip(expected, windows, strict=True)
    ]
    return _judged(connection, expected, all_runs, series)


def _runs(window: Range, same: Sequence[StoredSeries], holes: Mapping[int, Sequence[Range]]) -> list[Range]:
    """Find the runs of buckets of *window* that none of the series *same* has; *holes* are those in their extents."""
    runs = [window]
    for stored in same:
        if not runs:
            break
        extent = stored.extent
        if extent is None:
            continue
        outside = (window[0], min(extent[0], window[1])), (max(extent[1], window[0]), window[1])
        absent = [part for part in outside if part[0] < part[1]]
        if stored.id in holes:
            inside = ((max(start, window[0]), min(end, window[1])) for start, end in holes[stored.id])
            absent = merge([*absent, *(part for part in inside if part[0] < part[1])])
        runs = absent if runs == [window] else intersect(runs, absent)
    return runs


def _kept_part(expected_window: ExpectedWindow, kept_from: datetime | None) -> Range | None:
    """Return the part of a window that retention keeps, in epoch seconds; None if there is none."""
    start = int(_first_kept(expected_window, kept_from).timestamp())
    end = int(expected_window.window.end.timestamp())
    return (start, end) if start < end else None


def _first_kept(expected_window: ExpectedWindow, kept_from: datetime | None) -> datetime:
    """Return the first bucket of a window that retention keeps; *kept_from* may be on a grid of the past."""
    if kept_from is None or kept_from <= expected_window.window.start:
        return expected_window.window.start
    grid = grid_of(expected_window.query.agg_interval, expected_window.window.start)
    return kept_from if grid.holds(kept_from) else grid.floor(kept_from) + grid.step


def _judged(
    connection: sa.Connection,
    expected: Sequence[ExpectedWindow],
    all_runs: Sequence[Sequence[Range]],
    series: Mapping[Question, Sequence[StoredSeries]],
) -> list[_Gaps]:
    """Add to the runs of each query the absences and the longest `settle` of all its series."""
    hulls: dict[int, Range] = {}
    for expected_window, runs in zip(expected, all_runs, strict=True):
        for stored in series[expected_window.query] if runs else ():
            start, end = hulls.get(stored.id, (runs[0][0], runs[-1][1]))
            hulls[stored.id] = min(start, runs[0][0]), max(end, runs[-1][1])
    absences = _read_absences(connection, hulls)
    gaps = []
    for expected_window, runs in zip(expected, all_runs, strict=True):
        same = series[expected_window.query] if runs else ()
        settle = max([int(expected_window.settle.total_seconds()), *(stored.settle or 0 for stored in same)])
        lacked = [absence for stored in same for absence in absences.get(stored.id, ())]
        gaps.append(_Gaps(runs, lacked, settle))
    return gaps


_WITH_ABSENCES = sa.select(absences_table.c.series_id).distinct()
_WITH_ABSENCES = _WITH_ABSENCES.where(absences_table.c.series_id.in_(sa.bindparam("ids", expanding=True)))


def _read_absences(connection: sa.Connection, hulls: Mapping[int, Range]) -> dict[int, list[Absence]]:
    """Read what answers lacked of the buckets of each series inside its window; most series have no absence at all."""
    if not hulls:
        return {}
    some = connection.execute(_WITH_ABSENCES, {"ids": [*hulls]}).scalars()
    return evidence.read_absences(connection, {series_id: hulls[series_id] for series_id in some})


_LONGEST_LAG = timedelta(days=1)


def last_covered_at(
    connection: sa.Connection, known: StoredQuestions, queries: Sequence[Question], moment: datetime
) -> dict[Question, datetime]:
    """Find when an answer last covered the bucket at *moment*, per query; absent where none ever did."""
    ids = {stored.id: query for query, same in known.read(queries).items() for stored in same}
    rows = connection.execute(
        sa.select(unfolded_ranges.c.series_id, sa.func.max(fetches.c.finished_at))
        .join(fetches, fetches.c.id == unfolded_ranges.c.fetch_id)
        .where(unfolded_ranges.c.series_id.in_(ids), unfolded_ranges.c.end > moment, unfolded_ranges.c.start <= moment)
        .group_by(unfolded_ranges.c.series_id)
    )
    folded = folds.overlapping(connection, ids, moment, moment + timedelta(seconds=1))
    covered_at: dict[Question, datetime] = {}
    for series_id, finished_at in [*rows, *((i, folds.from_micros(each.finished_at)) for i, each in folded)]:
        covered_at[ids[series_id]] = max(finished_at, covered_at.get(ids[series_id], finished_at))
    return covered_at


def upstream_lag(connection: sa.Connection, profile: str) -> timedelta:
    """Return the lag of lastUpdated behind Radar's present in the newest answer for *profile*; zero before the first.

    If lastUpdated stays back for a day or longer, it does not show the lag: then the usual one counts, or zero.
    """
    return upstream_lags(connection, [profile])[profile]


def upstream_lags(connection: sa.Connection, profiles: Sequence[str]) -> dict[str, timedelta]:
    """Return `upstream_lag` of each profile."""
    if not profiles:
        return {}
    names, answer = values_table(profiles), fetches.alias()
    of_profile = sa.and_(fetch_profiles.c.profile == names.c.name, fetches.c.outcome == "ok")
    newest = sa.select(fetches.c.id).join(fetch_profiles, fetch_profiles.c.fetch_id == fetches.c.id).where(of_profile)
    newest = newest.order_by(fetch_profiles.c.fetch_id.desc()).limit(1).correlate(names)
    select = sa.select(names.c.name, answer.c.finished_at, answer.c.last_updated)
    select = select.join_from(names, answer, answer.c.id == newest.scalar_subquery())
    rows = {name: times for name, *times in connection.execute(select)}
    ahead = upstream.read_clock_difference(connection).ahead
    lags = {
        name: radar_lag(max(came - last_updated, timedelta(0)), ahead) for name, (came, last_updated) in rows.items()
    }
    late = {name: rows[name][1] for name, lag in lags.items() if lag >= _LONGEST_LAG}
    usual = {name: radar_lag(lag, ahead) for name, lag in upstream.usual(connection, late).items()}
    lags |= {name: usual.get(name, timedelta(0)) for name in late}
    return {name: lag if (lag := lags.get(name, timedelta(0))) < _LONGEST_LAG else timedelta(0) for name in profiles}


def lacking(
    connection: sa.Connection, known: StoredQuestions, query: Question, run: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return the windows inside *run*, without a stored bucket, that answers covered; all in epoch seconds.

    An answer about a window that reaches beyond the run may have been cut short before its first value.
    """
    ids, step = [stored.id for stored in known.read([query])[query]], query.agg_interval.step
    columns = (unfolded_ranges.c.start, unfolded_ranges.c.end, unfolded_ranges.c.start_time, unfolded_ranges.c.end_time)
    rows = connection.execute(
        sa.select(*columns, fetches.c.last_updated)
        .join(fetches, fetches.c.id == unfolded_ranges.c.fetch_id)
        .where(unfolded_ranges.c.series_id.in_(ids), fetches.c.outcome == "ok")
        .where(unfolded_ranges.c.end > from_epoch(run[0]), unfolded_ranges.c.end <= from_epoch(run[1]))
    )
    inside = from_epoch(run[0]), from_epoch(run[1])
    folded = [answer for _, answer in folds.overlapping(connection, ids, *inside) if answer.end <= run[1]]
    answered = [
        *((Window(start, end), (start_time, end_time), updated) for start, end, start_time, end_time, updated in rows),
        *((answer.window, answer.date_range, folds.from_micros(answer.last_updated)) for answer in folded),
    ]
    return [spoken_window(*each, step) for each in answered]


def covered_windows(
    connection: sa.Connection, known: StoredQuestions, query: Question, window: Window, since: datetime
) -> list[Window]:
    """Find the parts of *window* that answers from *since* on have covered for a query, ascending; they may overlap."""
    ids = [stored.id for stored in known.read([query])[query]]
    rows = connection.execute(
        sa.select(unfolded_ranges.c.start, unfolded_ranges.c.end)
        .join(fetches, fetches.c.id == unfolded_ranges.c.fetch_id)
        .where(unfolded_ranges.c.series_id.in_(ids), fetches.c.finished_at >= since)
        .where(unfolded_ranges.c.end > window.start, unfolded_ranges.c.start < window.end)
    )
    folded = folds.overlapping(connection, ids, window.start, window.end)
    answered = [
        *((start, end) for start, end in rows),
        *((each.window.start, each.window.end) for _, each in folded if folds.from_micros(each.finished_at) >= since),
    ]
    return [Window(max(start, window.start), min(end, window.end)) for start, end in sorted(answered)]
