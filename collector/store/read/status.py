"""The state of profiles and series, from stored counts and the ends of keys: no point is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.rules.clock_difference import radar_lag
from collector.rules.finality import DAY, final_windows
from collector.store.db import migrate
from collector.store.db.column_types import epoch
from collector.store.db.schema import date_ranges, fetch_profiles, fetches, points, refusals, series
from collector.store.db.size import stored_bytes
from collector.store.db.sql import values_table
from collector.store.ledger import upstream
from collector.store.series import generations, identity
from collector.store.series import identity as series_of
from collector.store.series.identity import series_states
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.model import Question, Window
    from collector.profile import Profile
    from collector.store.db.engine import Location
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


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What kind of store this is and how much is in it."""

    backend: str
    revision: str
    points: int
    bytes: int


def status_rows(connection: sa.Connection, profiles: Sequence[Profile]) -> list[ProfileStatus]:
    """Return the state of each of *profiles*, in their order."""
    queries = list(dict.fromkeys(s.query for profile in profiles for s in profile.series))
    ids = generations.ids_of(connection, queries)
    spans = series_of.extents(connection, queries)
    elsewhere = _on_former_grids(connection, queries)
    every = [series_id for same in ids.values() for series_id in same]
    columns = series.c.id, series.c.points, series.c.created_at
    series_rows = {row.id: row for row in connection.execute(sa.select(*columns).where(series.c.id.in_(every)))}
    healths = _healths(connection, [profile.name for profile in profiles])
    updated = {name: health[3] for name, health in healths.items() if health[3] is not None}
    usual = upstream.usual(connection, updated)
    ahead = upstream.read_clock_difference(connection).ahead
    rows = []
    for profile in profiles:
        profile_queries = [s.query for s in profile.series]
        known = [series_rows[series_id] for query in profile_queries for series_id in ids.get(query, ())]
        number, declared = sum(row.points for row in known), min((row.created_at for row in known), default=None)
        number += sum(elsewhere[query].points for query in profile_queries if query in elsewhere)
        ends = _ends([spans.get(query) for query in profile_queries])
        firsts = (ends[0], *(elsewhere[query].first for query in profile_queries if query in elsewhere))
        ends = min(filter(None, firsts), default=None), *ends[1:]
        success, failures, behind, last_updated = healths[profile.name]
        name, interval = profile.name, profile.agg_interval.value
        counts_and_ends = name, interval, len(profile_queries), number, *ends
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


def _ends(spans: Sequence[tuple[int, int] | None]) -> tuple[datetime | None, datetime | None, datetime | None]:
    """Return the oldest point, the oldest of the series' newest points (None if one has no point), and the newest."""
    known = [span for span in spans if span is not None]
    if not known:
        return None, None, None
    firsts, lasts = zip(*known, strict=True)
    behind = from_epoch(min(lasts)) if len(known) == len(spans) else None
    return from_epoch(min(firsts)), behind, from_epoch(max(lasts))


def complete_extents(connection: sa.Connection, queries: Sequence[Question]) -> dict[Question, tuple[int, int]]:
    """Find the oldest and newest stored timestamp of those queries of which every bucket in between is stored.

    Where the unit has changed, each of its series must be whole, and the next one begin where it ends at the latest.
    """
    ids = generations.ids_of(connection, queries)
    every = [series_id for same in ids.values() for series_id in same]
    rows = connection.execute(sa.select(series.c.id, series.c.points).where(series.c.id.in_(every)))
    counts = {row.id: row.points for row in rows}
    ends = series_of.ends(connection, every)
    parts = {query: sorted((*ends[i], counts[i]) for i in same if i in ends) for query, same in ids.items()}
    return {q: (each[0][0], max(b for _, b, _ in each)) for q, each in parts.items() if _joined(each, q)}


def _joined(parts: Sequence[tuple[int, int, int]], query: Question) -> bool:
    """Return whether *parts* (oldest, newest timestamp, number of points), ascending, have all buckets between."""
    step, reached = query.agg_interval.seconds, None
    for oldest, newest, number in parts:
        if number != (newest - oldest) // step + 1 or (reached is not None and oldest > reached + step):
            return False
        reached = newest if reached is None else max(newest, reached)
    return reached is not None


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
    stored = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(series.c.points), 0))).scalar_one()
    return StoreInfo(location.backend, revision or "", int(stored), stored_bytes(connection, location))


@dataclass(frozen=True, slots=True)
class Pause:
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


def empty(connection: sa.Connection, queries: Iterable[Question]) -> dict[Question, timedelta]:
    """Find the queries of which no stored value differs from zero, with the length of time that answers covered.

    A series with values ends its part of the search at the first one.
    """
    ids = {series_id: query for query, series_id in series_of.current(connection, queries).items()}
    value = sa.select(points.c.series_id).where(points.c.series_id == series.c.id, points.c.value != 0).exists()
    answered = date_ranges.c.series_id == series.c.id
    start, end = (
        sa.select(extreme(column)).where(answered).scalar_subquery()
        for extreme, column in ((sa.func.min, date_ranges.c.start), (sa.func.max, date_ranges.c.end))
    )
    lacking = sa.select(series.c.id).where(series.c.id.in_(ids), sa.not_(value)).cte("lacking")
    select = sa.select(series.c.id, start, end).where(series.c.id.in_(sa.select(lacking.c.id)))
    return {ids[i]: last - first for i, first, last in connection.execute(select) if first is not None}


_UNCONFIRMED_WINDOWS = 200
"""Number of windows that are counted in one statement."""


def unconfirmed(connection: sa.Connection, profiles: Sequence[Profile]) -> dict[str, int]:
    """Count the points of each profile that are final, that only one answer has confirmed, and that Radar still has."""
    queries: dict[Question, timedelta] = {}
    for profile in profiles:
        for labelled in profile.series:
            queries[labelled.query] = max(profile.settle, queries.get(labelled.query, profile.settle))
    states = series_states(connection, list(queries))
    windows = []
    for query, state in states.items():
        settle = max(state.settle or 0, int(queries[query].total_seconds()))
        unconfirmed_windows = final_windows(state.evidence, settle, query.agg_interval.seconds, confirmed=False)
        windows += [(state.series_id, window) for window in state.still_there(unconfirmed_windows)]
    counts: dict[int, int] = {}
    for first in range(0, len(windows), _UNCONFIRMED_WINDOWS):
        for series_id, number in _count(connection, windows[first : first + _UNCONFIRMED_WINDOWS]):
            counts[series_id] = counts.get(series_id, 0) + number
    return {
        profile.name: sum(
            counts.get(states[series.query].series_id, 0) for series in profile.series if series.query in states
        )
        for profile in profiles
    }


def _count(connection: sa.Connection, windows: Sequence[tuple[int, EpochWindow]]) -> list[tuple[int, int]]:
    counts = [
        sa.select(sa.literal(series_id, sa.BigInteger), sa.func.count()).where(
            points.c.series_id == series_id,
            points.c.timestamp >= from_epoch(start),
            points.c.timestamp < from_epoch(end),
        )
        for series_id, (start, end) in windows
    ]
    return [(row[0], row[1]) for row in connection.execute(sa.union_all(*counts))]


def daily_sums(connection: sa.Connection, query: Question, window: Window, offset: int = 0) -> dict[int, float]:
    """Sum the stored values by day: epoch seconds of its begin to the sum; a day without a point is absent.

    Days begin *offset* seconds after midnight UTC.
    """
    series_id = identity.current(connection, [query]).get(query)
    day = ((epoch(points.c.timestamp) - offset) // DAY).label("day")
    select = sa.select(day, sa.func.sum(points.c.value)).where(
        points.c.series_id == series_id, points.c.timestamp >= window.start, points.c.timestamp < window.end
    )
    return {number * DAY + offset: total for number, total in connection.execute(select.group_by(day))}
