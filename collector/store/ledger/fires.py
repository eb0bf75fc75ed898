"""Fires: every due moment of every profile, with its one outcome; and how far lastUpdated usually lags."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.clock_difference import NAMED_FROM, ClockDifference, load, radar_lag
from collector.store import checksums
from collector.store.db import sql
from collector.store.db.schema import fetch_profiles, fetches, fires
from collector.store.db.sql import upsert, values_table
from collector.store.ledger.upstream import AHEAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.store.ledger.fetches import ReceivedAnswer

_BORN = datetime(2025, 1, 1, tzinfo=UTC)
"""Nothing was due before there was a collector: an older moment was written under a clock that nobody had set."""


@dataclass(frozen=True, slots=True)
class Fire:
    """What became of a due moment of a profile: `collected`, `failed` or `coalesced`, and why."""

    profile: str
    due: datetime
    outcome: str
    finished_at: datetime
    message: str | None = None


def record(connection: sa.Connection, outcomes: Sequence[Fire]) -> None:
    """Write outcomes down; the first one of a due moment stands, unless a clock that ran ahead has written it."""
    known = _known(connection, outcomes)
    believed_until = min((fire.finished_at for fire in outcomes), default=_BORN) + AHEAD
    standing = {key for key, fire in known.items() if fire.finished_at <= believed_until}
    new = [fire for fire in outcomes if (fire.profile, fire.due) not in standing]
    if new:
        insert = upsert(connection, fires)
        columns = ("outcome", "finished_at", "message")
        changed = {name: insert.excluded[name] for name in columns}
        insert = insert.on_conflict_do_update(index_elements=["profile", "due"], set_=changed)
        connection.execute(insert, [asdict(fire) for fire in new])
        replaced = [known[fire.profile, fire.due] for fire in new if (fire.profile, fire.due) in known]
        checksums.update_set_checksums(connection, map(_sealed, new), map(_sealed, replaced))


def _known(connection: sa.Connection, outcomes: Sequence[Fire]) -> dict[tuple[str, datetime], Fire]:
    if not outcomes:
        return {}
    dues, names = [fire.due for fire in outcomes], values_table([fire.profile for fire in outcomes])
    known = sa.select(fires).join_from(names, fires, fires.c.profile == names.c.name)
    known = known.where(fires.c.due.between(min(dues), max(dues)))
    return {(row.profile, row.due): Fire(*row) for row in connection.execute(known)}


def _sealed(fire: Fire) -> tuple[str, int]:
    return checksums.fire(fire.profile, fire.due, fire.outcome)


def last(connection: sa.Connection, profile: str, now: datetime | None = None) -> Fire | None:
    """Find the newest due moment of *profile* on record; with *now*, none that a wrong clock wrote."""
    newest = sa.select(fires).where(fires.c.profile == profile).order_by(fires.c.due.desc()).limit(1)
    if now is not None:
        newest = newest.where(*believed(now))
    row = connection.execute(newest).one_or_none()
    return Fire(*row) if row else None


def last_of(connection: sa.Connection, profiles: Sequence[str]) -> dict[str, Fire]:
    """Find the newest due moment on record of each profile that has any."""
    if not profiles:
        return {}
    names = values_table(profiles)
    newest = sa.select(sa.func.max(fires.c.due)).where(fires.c.profile == names.c.name)
    due = newest.correlate(names).scalar_subquery()
    found = sa.select(fires).join_from(names, fires, sa.and_(fires.c.profile == names.c.name, fires.c.due == due))
    return {row.profile: Fire(*row) for row in connection.execute(found)}


def believed(now: datetime) -> list[sa.ColumnElement[bool]]:
    """Which fires were written by a clock that was right, as far as can be told at *now*."""
    return [fires.c.due.between(_BORN, now), fires.c.finished_at <= now + AHEAD]


_ANSWERS = 50
"""The lag is the median over so many answers."""
UNKNOWN_LAG = timedelta(hours=1)
"""What the lag counts as before any answer has shown it."""
_NEWEST = (
    sa.select(fetches.c.finished_at, fetches.c.last_updated)
    .where(fetches.c.outcome == "ok", fetches.c.finished_at.is_not(None), fetches.c.last_updated.is_not(None))
    .where(fetches.c.replay_of.is_(None))
    .order_by(fetches.c.finished_at.desc())
    .limit(_ANSWERS)
)


def usual_lag(connection: sa.Connection, ahead: timedelta = timedelta(0)) -> timedelta:
    """The median of how far lastUpdated lay behind Radar's present in the newest answers; an hour if there is none.

    The clock is *ahead* of that present.
    """
    lags = [radar_lag(row.finished_at - row.last_updated, ahead) for row in connection.execute(_NEWEST)]
    return max(timedelta(seconds=median(one.total_seconds() for one in lags)), timedelta(0)) if lags else UNKNOWN_LAG


def effective_last_updated(connection: sa.Connection, arrival: ReceivedAnswer) -> ReceivedAnswer:
    """Let a lastUpdated ahead of Radar's present, when the answer came, count as that present less the usual lag."""
    meta = arrival.answer.meta
    if meta.last_updated <= (arrival.present + NAMED_FROM if arrival.ahead else arrival.now):
        return arrival
    lag = usual_lag(connection, arrival.ahead)
    meta = replace(meta, last_updated=arrival.present - lag)  # UNKNOWN_LAST_UPDATED, too
    return replace(arrival, answer=replace(arrival.answer, meta=meta))


def usual(connection: sa.Connection, updated: Mapping[str, datetime]) -> dict[str, timedelta]:
    """Return the usual distance from lastUpdated to the clock per profile; absent if there is no earlier answer.

    *updated* is the lastUpdated of each profile's newest answer. Only answers that came before that moment count,
    because the later ones may be part of a stall. Their lag would become the usual one.
    """
    if not updated:
        return {}
    columns = sa.column("name", sa.Text), sa.column("updated", fetches.c.last_updated.type)
    given = sa.values(*columns, name="given").data([*updated.items()]).cte("updated")
    earlier = sa.and_(fetches.c.outcome == "ok", fetches.c.finished_at <= given.c.updated)
    of_profile = fetch_profiles.c.profile == given.c.name
    joined = fetch_profiles.join(fetches, fetches.c.id == fetch_profiles.c.fetch_id)
    nth = sa.select(fetch_profiles.c.fetch_id).select_from(joined).where(of_profile, earlier)
    nth = nth.order_by(fetch_profiles.c.fetch_id.desc()).offset(_ANSWERS - 1).limit(1).correlate(given)
    bounded = sa.select(given.c.name, given.c.updated, sa.func.coalesce(nth.scalar_subquery(), 0).label("first"))
    bound = bounded.cte("bound")
    recent = sa.and_(fetch_profiles.c.profile == bound.c.name, fetch_profiles.c.fetch_id >= bound.c.first)
    told = sa.select(bound.c.name, fetches.c.finished_at, fetches.c.last_updated)
    told = told.join_from(bound, fetch_profiles, recent).join(fetches, fetches.c.id == fetch_profiles.c.fetch_id)
    lags: dict[str, list[timedelta]] = defaultdict(list)
    ok = sa.and_(fetches.c.outcome == "ok", fetches.c.finished_at <= bound.c.updated)
    for name, finished_at, last_updated in connection.execute(told.where(ok)):
        lags[name].append(max(finished_at - last_updated, timedelta(0)))
    return {name: timedelta(seconds=median(lag.total_seconds() for lag in found)) for name, found in lags.items()}


_KEY = "clock_difference"


def read_clock_difference(connection: sa.Connection) -> ClockDifference:
    """Return what is on record."""
    return load(sql.get_state(connection, _KEY))


def write_clock_difference(connection: sa.Connection, difference: ClockDifference) -> None:
    """Put *difference* on record in the place of what is there."""
    sql.put_state(connection, _KEY, difference.dump())
