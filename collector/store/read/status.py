"""The state of profiles and series, from stored counts and the ends of keys: no point is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.clock_difference import radar_lag
from collector.finality import DAY, final_windows
from collector.model import from_epoch
from collector.store.db import migrate
from collector.store.db.column_types import epoch
from collector.store.db.schema import date_ranges, fetch_profiles, fetches, metadata, points, refusals, series
from collector.store.db.sql import values_table
from collector.store.ledger import fires
from collector.store.series import generations, identity
from collector.store.series import identity as series_of
from collector.store.series.identity import series_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.model import Question, Window
    from collector.profile import Profile
    from collector.store.db.engine import Location
    from collector.windows import EpochWindow

    _Health = tuple[datetime | None, int, timedelta, datetime | None]

_SIZE = """
WITH ours AS (SELECT name::regclass AS oid FROM unnest(CAST(:tables AS text[])) AS name)
SELECT sum(pg_total_relation_size(oid)) FROM (
  SELECT oid FROM ours UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent IN (SELECT oid FROM ours)
) AS part"""
"""The bytes of tables, of their partitions, and of the chunks of a hypertable."""
_NO_ANSWER_YET = ("ok", "started", "interrupted")


@dataclass(frozen=True, slots=True)
class ProfileStatus:
    """How one profile fares.

    *last_point* is the oldest among its series' newest points, which lag is measured from, and None while one of them
    has no point at all. *newest_point* is the newest of all. *failures* counts requests that failed since
    *last_success*, whose lastUpdated lay so far *behind* the clock. *usual_lag* is how far it lay behind in the answers
    before, None if there are none. *declared_at* is when the oldest of its series was put on record. Both lags count
    from Radar's present; our clock is so far *ahead* of that.
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
    """Tell how each of *profiles* fares, in their order."""
    queries = list(dict.fromkeys(s.query for profile in profiles for s in profile.series))
    ids = generations.ids_of(connection, queries)
    spans = series_of.extents(connection, queries)
    elsewhere = _on_former_grids(connection, queries)
    every = [series_id for same in ids.values() for series_id in same]
    columns = series.c.id, series.c.points, series.c.created_at
    found = {row.id: row for row in connection.execute(sa.select(*columns).where(series.c.id.in_(every)))}
    healths = _healths(connection, [profile.name for profile in profiles])
    updated = {name: health[3] for name, health in healths.items() if health[3] is not None}
    usual = fires.usual(connection, updated)
    ahead = fires.read_clock_difference(connection).ahead
    rows = []
    for profile in profiles:
        asked = [s.query for s in profile.series]
        known = [found[series_id] for query in asked for series_id in ids.get(query, ())]
        number, declared = sum(row.points for row in known), min((row.created_at for row in known), default=None)
        number += sum(elsewhere[query].points for query in asked if query in elsewhere)
        ends = _ends([spans.get(query) for query in asked])
        firsts = (ends[0], *(elsewhere[query].first for query in asked if query in elsewhere))
        ends = min(filter(None, firsts), default=None), *ends[1:]
        success, failures, behind, last_updated = healths[profile.name]
        name, interval = profile.name, profile.agg_interval.value
        counts_and_ends = name, interval, len(asked), number, *ends
        usual_lag = radar_lag(usual[name], ahead) if name in usual else None
        told = success, failures, radar_lag(behind, ahead), last_updated, usual_lag
        rows.append(ProfileStatus(*counts_and_ends, *told, declared_at=declared, ahead=ahead))
    return rows


class _Kept(NamedTuple):
    """How many points of a query are kept on former grids, and the first of them."""

    points: int
    first: datetime


def _on_former_grids(connection: sa.Connection, queries: Sequence[Question]) -> dict[Question, _Kept]:
    """Count what of each query is kept on former grids; absent for nothing."""
    ids = generations.on_former_grids(connection, queries)
    every = [series_id for same in ids.values() for series_id in same]
    if not every:
        return {}
    ends = series_of.ends(connection, every)
    found = connection.execute(sa.select(series.c.id, series.c.points).where(series.c.id.in_(every)))
    counts = {row.id: row.points for row in found}
    return {
        query: _Kept(sum(counts[i] for i in same), from_epoch(min(ends[i][0] for i in same if i in ends)))
        for query, same in ids.items()
        if any(i in ends for i in same)
    }


def _ends(spans: Sequence[tuple[int, int] | None]) -> tuple[datetime | None, datetime | None, datetime | None]:
    """The oldest point, the oldest newest one (None where a series has none), and the newest one."""
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
    found = connection.execute(sa.select(series.c.id, series.c.points).where(series.c.id.in_(every)))
    counts = {row.id: row.points for row in found}
    ends = series_of.ends(connection, every)
    parts = {query: sorted((*ends[i], counts[i]) for i in same if i in ends) for query, same in ids.items()}
    return {q: (each[0][0], max(b for _, b, _ in each)) for q, each in parts.items() if _joined(each, q)}


def _joined(parts: Sequence[tuple[int, int, int]], query: Question) -> bool:
    """Tell whether *parts* (oldest, newest timestamp, number of points), ascending, leave out no bucket."""
    step, reached = query.agg_interval.seconds, None
    for oldest, newest, number in parts:
        if number != (newest - oldest) // step + 1 or (reached is not None and oldest > reached + step):
            return False
        reached = newest if reached is None else max(newest, reached)
    return reached is not None


def _healths(connection: sa.Connection, profiles: Sequence[str]) -> dict[str, _Health]:
    """Find when the newest answer for each profile came, count the failures since, and tell how old it was."""
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
    told = sa.select(
        last.c.name,
        answer.c.finished_at,
        answer.c.last_updated,
        failed.correlate(last).scalar_subquery().label("failures"),
    ).join_from(last, answer, answer.c.id == last.c.fetch_id, isouter=True)
    return {row.name: _health(row) for row in connection.execute(told)}


def _health(row: Any) -> _Health:
    behind = timedelta(0) if row.finished_at is None else row.finished_at - row.last_updated
    return row.finished_at, row.failures, max(behind, timedelta(0)), row.last_updated


def info(connection: sa.Connection, location: Location) -> StoreInfo:
    """Tell what is in the store, and how many bytes it takes."""
    revision = migrate.current(connection)
    stored = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(series.c.points), 0))).scalar_one()
    return StoreInfo(location.backend, revision or "", int(stored), _bytes(connection, location))


def _bytes(connection: sa.Connection, location: Location) -> int:
    if location.path:
        files = [location.path, location.path.with_name(location.path.name + "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())
    return int(connection.execute(sa.text(_SIZE), {"tables": list(metadata.tables)}).scalar_one())


@dataclass(frozen=True, slots=True)
class Pause:
    """A question that is not asked before *until*, because Radar's answer to it was refused for its content."""

    until: datetime
    reason: str
    since: datetime


def paused(connection: sa.Connection, queries: Iterable[Question], now: datetime) -> dict[Question, Pause]:
    """Find the questions among *queries* that are paused at *now*."""
    by_digest = {query.digest: query for query in queries}
    columns = refusals.c.digest, refusals.c.again_at, refusals.c.reason, refusals.c.refused_at
    found = connection.execute(sa.select(*columns).where(refusals.c.again_at > now))
    return {by_digest[digest]: Pause(*rest) for digest, *rest in found if digest in by_digest}


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
    asked = sa.select(series.c.id, start, end).where(series.c.id.in_(sa.select(lacking.c.id)))
    return {ids[i]: last - first for i, first, last in connection.execute(asked) if first is not None}


_UNCONFIRMED_WINDOWS = 200
"""So many windows are counted in one statement."""


def unconfirmed(connection: sa.Connection, profiles: Sequence[Profile]) -> dict[str, int]:
    """Count the points of each profile that are final, that only one answer has told, and that Radar still has."""
    queries: dict[Question, timedelta] = {}
    for profile in profiles:
        for one in profile.series:
            queries[one.query] = max(profile.settle, queries.get(one.query, profile.settle))
    states = series_states(connection, list(queries))
    windows = []
    for query, state in states.items():
        settle = max(state.settle or 0, int(queries[query].total_seconds()))
        found = final_windows(state.evidence, settle, query.agg_interval.seconds, confirmed=False)
        windows += [(state.series_id, window) for window in state.still_there(found)]
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
