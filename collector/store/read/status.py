"""The state of profiles and series, from stored counts and the ends of keys: no point is read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.rules.clock_difference import radar_lag
from collector.rules.finality import DAY, Evidence, final_windows
from collector.store.db import migrate
from collector.store.db.column_types import epoch
from collector.store.db.schema import date_ranges, fetch_profiles, fetches, finality, points, refusals, series
from collector.store.db.size import stored_bytes
from collector.store.db.sql import values_table
from collector.store.ledger import upstream
from collector.store.read.absent_buckets import find_absent_buckets
from collector.store.series import evidence, generations, groups
from collector.store.series import identity as series_of
from collector.store.series.identity import SeriesState
from collector.timestamps import from_epoch
from collector.windows import intersect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question, Window
    from collector.profile import Profile
    from collector.store.db.engine import Location
    from collector.store.read.stored_series import StoredQuestions, StoredSeries
    from collector.windows import EpochWindow

    _Health = tuple[datetime | None, int, timedelta, datetime | None]

_NO_ANSWER_YET = ("ok", "started", "interrupted")


@dataclass(frozen=True, slots=True)
class ProfileStatus:
    """The state of one profile.

    *last_point* is the oldest among its series' newest points, which the lag is measured from; None while one of them
    has no point. *newest_point* is the newest of all. *failures* counts requests that failed since *last_success*,
    whose lastUpdated was *behind* the clock by this much. *usual_lag* is how far it was behind in earlier answers, None
    if there are none. *declared_at* is when the oldest of its series was recorded. Both lags count from Radar's
    present; our clock is *ahead* of it.
    """

    name: str
    agg_interval: str
    series: int
    points: int
    first_point: datetime | None
    last_point: datetime | None
    newest_point: datetime | None
    last_success: datetime | None
    failures: int
    behind: timedelta = timedelta(0)
    last_updated: datetime | None = None
    usual_lag: timedelta | None = None
    declared_at: datetime | None = field(default=None, compare=False)
    ahead: timedelta = field(default=timedelta(0), compare=False)


class StoreInfo(NamedTuple):
    """What kind of store this is and how much is in it."""

    backend: str
    revision: str
    points: int
    bytes: int


def status_rows(connection: sa.Connection, known: StoredQuestions, profiles: Sequence[Profile]) -> list[ProfileStatus]:
    """Return the state of each of *profiles*, in their order."""
    queries = list(dict.fromkeys(s.query for profile in profiles for s in profile.series))
    series_by_query = known.read(queries)
    extents = known.extents(queries)
    elsewhere = _on_former_grids(connection, queries)
    of_groups = groups.count(connection, [query for query in queries if query.has_groups])
    healths = _healths(connection, [profile.name for profile in profiles])
    updated = {name: health[3] for name, health in healths.items() if health[3] is not None}
    usual = upstream.usual(connection, updated)
    ahead = upstream.read_clock_difference(connection).ahead
    rows = []
    for profile in profiles:
        profile_queries = [s.query for s in profile.series]
        stored = [each for query in profile_queries for each in series_by_query[query]]
        declared = min((each.created_at for each in stored), default=None)
        # the points of a question with groups are those of its groups, not their sums
        number = sum(
            each.points for query in profile_queries if not query.has_groups for each in series_by_query[query]
        )
        number += sum(of_groups[query].points for query in profile_queries if query in of_groups)
        count = sum(not query.has_groups for query in profile_queries)
        count += sum(of_groups[query].groups for query in profile_queries if query in of_groups)
        number += sum(elsewhere[query].points for query in profile_queries if query in elsewhere)
        ends = _ends([extents.get(query) for query in profile_queries], profile.agg_interval.seconds)
        firsts = (ends[0], *(elsewhere[query].first for query in profile_queries if query in elsewhere))
        ends = min(filter(None, firsts), default=None), *ends[1:]
        success, failures, behind, last_updated = healths[profile.name]
        name, interval = profile.name, profile.agg_interval.value
        counts_and_ends = name, interval, count, number, *ends
        usual_lag = radar_lag(usual[name], ahead) if name in usual else None
        health_and_lag = success, failures, radar_lag(behind, ahead), last_updated, usual_lag
        rows.append(ProfileStatus(*counts_and_ends, *health_and_lag, declared_at=declared, ahead=ahead))
    return rows


class _Kept(NamedTuple):
    """How many points of a query are kept on former grids, and the first of them."""

    points: int
    first: datetime


def _on_former_grids(connection: sa.Connection, queries: Sequence[Question]) -> dict[Question, _Kept]:
    """Count the points of each query that are kept on former grids; absent if there are none."""
    ids = generations.on_former_grids(connection, queries)
    every = [series_id for same in ids.values() for series_id in same]
    if not every:
        return {}
    ends = series_of.ends(connection, every)
    rows = connection.execute(sa.select(series.c.id, series.c.points).where(series.c.id.in_(every)))
    counts = {row.id: row.points for row in rows}
    return {
        query: _Kept(sum(counts[i] for i in same), from_epoch(min(ends[i][0] for i in same if i in ends)))
        for query, same in ids.items()
        if any(i in ends for i in same)
    }


def _ends(extents: Sequence[EpochWindow | None], step: int) -> tuple[datetime | None, datetime | None, datetime | None]:
    """Return the oldest point, the oldest of the series' newest points (None if one has no point), and the newest."""
    known = [extent for extent in extents if extent is not None]
    if not known:
        return None, None, None
    starts, ends = zip(*known, strict=True)
    behind = from_epoch(min(ends) - step) if len(known) == len(extents) else None
    return from_epoch(min(starts)), behind, from_epoch(max(ends) - step)


def _healths(connection: sa.Connection, profiles: Sequence[str]) -> dict[str, _Health]:
    """Return when the newest answer for each profile came, the number of failures since, and its age."""
    if not profiles:
        return {}
    names = values_table(profiles)
    joined = fetch_profiles.join(fetches, fetches.c.id == fetch_profiles.c.fetch_id)
    newest = sa.select(fetches.c.id).select_from(joined).order_by(fetch_profiles.c.fetch_id.desc()).limit(1)
    newest = newest.where(fetch_profiles.c.profile == names.c.name, fetches.c.outcome == "ok")
    last = sa.select(names.c.name, newest.correlate(names).scalar_subquery().label("fetch_id")).cte("last")
    failed = sa.select(sa.func.count()).select_from(joined)
    failed = failed.where(
        fetch_profiles.c.profile == last.c.name,
        fetch_profiles.c.fetch_id > sa.func.coalesce(last.c.fetch_id, 0),
        fetches.c.outcome.not_in(_NO_ANSWER_YET),
    )
    answer = fetches.alias("answer")
    select = sa.select(
        last.c.name,
        answer.c.finished_at,
        answer.c.last_updated,
        failed.correlate(last).scalar_subquery().label("failures"),
    ).join_from(last, answer, answer.c.id == last.c.fetch_id, isouter=True)
    return {row.name: _health(row) for row in connection.execute(select)}


def _health(row: Any) -> _Health:
    behind = timedelta(0) if row.finished_at is None else row.finished_at - row.last_updated
    return row.finished_at, row.failures, max(behind, timedelta(0)), row.last_updated


def info(connection: sa.Connection, location: Location) -> StoreInfo:
    """Return what is in the store, and its size in bytes."""
    revision = migrate.current(connection)
    total = sa.select(sa.func.coalesce(sa.func.sum(series.c.points), 0)).where(sa.not_(groups.is_sum))
    stored = connection.execute(total).scalar_one()
    return StoreInfo(location.backend, revision or "", int(stored), stored_bytes(connection, location))


class Pause(NamedTuple):
    """A question that is paused until *until*, because Radar's answer to it was refused for its content."""

    until: datetime
    reason: str
    since: datetime


def paused(connection: sa.Connection, queries: Iterable[Question], now: datetime) -> dict[Question, Pause]:
    """Find the questions among *queries* that are paused at *now*."""
    by_digest = {query.digest: query for query in queries}
    columns = refusals.c.digest, refusals.c.again_at, refusals.c.reason, refusals.c.refused_at
    rows = connection.execute(sa.select(*columns).where(refusals.c.again_at > now))
    return {by_digest[digest]: Pause(*rest) for digest, *rest in rows if digest in by_digest}


def empty(
    connection: sa.Connection, known: StoredQuestions, queries: Collection[Question]
) -> dict[Question, timedelta]:
    """Find the queries of which no stored value differs from zero, with the length of time that answers covered.

    A series with values ends its part of the search at the first one. With `EXISTS` Postgres would read all points.
    """
    ids = {stored.id: query for query, stored in known.current(queries).items()}
    of_series = points.c.series_id == series.c.id
    value = sa.select(points.c.series_id).where(of_series, points.c.value != 0).limit(1).scalar_subquery()
    answered = date_ranges.c.series_id == series.c.id
    start, end = (
        sa.select(extreme(column)).where(answered).scalar_subquery()
        for extreme, column in ((sa.func.min, date_ranges.c.start), (sa.func.max, date_ranges.c.end))
    )
    lacking = sa.select(series.c.id).where(series.c.id.in_(ids), value.is_(None)).cte("lacking")
    select = sa.select(series.c.id, start, end).where(series.c.id.in_(sa.select(lacking.c.id)))
    return {ids[i]: last - first for i, first, last in connection.execute(select) if first is not None}


def series_states(
    connection: sa.Connection, known: StoredQuestions, queries: Collection[Question]
) -> dict[Question, SeriesState]:
    """Read the state of each question's current series; absent if it has no point."""
    extents, current = known.extents(queries), known.current(queries)
    rows = evidence.read(connection, [current[query].id for query in extents])
    absent = {
        query: edge.absent for query, edge in evidence.read_edges(connection, current).items() if edge.is_accepted
    }
    return {
        query: SeriesState(
            current[query].id,
            extent,
            current[query].extent or (0, 0),
            rows.get(current[query].id, []),
            current[query].settle,
            bool(current[query].sums_differ),
            absent.get(query),
        )
        for query, extent in extents.items()
    }


_UNCONFIRMED = sa.select(
    finality.c.series_id, epoch(finality.c.start), epoch(finality.c.end), finality.c.told_at, finality.c.margin
).where(
    finality.c.series_id.in_(sa.bindparam("ids", expanding=True)),
    sa.not_(finality.c.confirmed),
    finality.c.changed_at.is_(None),
)


def unconfirmed(connection: sa.Connection, known: StoredQuestions, profiles: Sequence[Profile]) -> dict[str, int]:
    """Count the points of each profile that are final, that only one answer has confirmed, and that Radar still has.

    Nothing is counted: in a window there are as many points as buckets, less the absent ones.
    """
    settles: dict[Question, int] = {}
    for profile in profiles:
        for labelled in profile.series:
            settles[labelled.query] = max(int(profile.settle.total_seconds()), settles.get(labelled.query, 0))
    windows = _unconfirmed_windows(connection, known.current(settles), settles)
    holes = find_absent_buckets(connection, {stored: final for stored, final in windows.values() if final})
    numbers = {query: _number(stored, final, holes.get(stored.id, ())) for query, (stored, final) in windows.items()}
    return {profile.name: sum(numbers.get(labelled.query, 0) for labelled in profile.series) for profile in profiles}


def _unconfirmed_windows(
    connection: sa.Connection, current: Mapping[Question, StoredSeries], settles: Mapping[Question, int]
) -> dict[Question, tuple[StoredSeries, list[EpochWindow]]]:
    """Find the final windows that only one answer has confirmed; *settles* has the `settle` of the profiles."""
    queries = {stored.id: query for query, stored in current.items()}
    rows: dict[Question, list[Evidence]] = defaultdict(list)
    for series_id, start, end, told_at, margin in connection.execute(_UNCONFIRMED, {"ids": [*queries]}):
        answered_at = told_at.timestamp()  # counts for asked_at, too, which finality does not depend on
        rows[queries[series_id]].append(Evidence(start, end, answered_at, answered_at, margin, None, confirmed=False))
    edges = evidence.read_edges(connection, rows)
    windows = {}
    for query, evidence_rows in rows.items():
        settle = max(current[query].settle or 0, settles[query])
        final = final_windows(evidence_rows, settle, query.agg_interval.seconds, confirmed=False)
        edge = edges.get(query)
        there = [part for window in final for part in (edge.clip(window) if edge and edge.is_accepted else [window])]
        windows[query] = current[query], there
    return windows


def _number(stored: StoredSeries, windows: Iterable[EpochWindow], holes: Iterable[EpochWindow]) -> int:
    """Return the number of points in *windows*; *holes* are the absent buckets inside the extent of the series."""
    if stored.extent is None:
        return 0
    inside = intersect(windows, [stored.extent])
    return sum(stored.buckets(window) for window in inside) - sum(map(stored.buckets, intersect(inside, holes)))


def daily_sums(
    connection: sa.Connection, known: StoredQuestions, query: Question, window: Window, offset: int = 0
) -> dict[int, float]:
    """Sum the stored values by day: epoch seconds of its begin to the sum; a day without a point is absent.

    Days begin *offset* seconds after midnight UTC.
    """
    current = known.current([query]).get(query)
    series_id = current.id if current else None
    day = ((epoch(points.c.timestamp) - offset) // DAY).label("day")
    select = sa.select(day, sa.func.sum(points.c.value)).where(
        points.c.series_id == series_id, points.c.timestamp >= window.start, points.c.timestamp < window.end
    )
    return {number * DAY + offset: total for number, total in connection.execute(select.group_by(day))}
