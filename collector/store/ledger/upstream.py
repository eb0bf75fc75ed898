"""The state of Radar by the ledger: request budget, health, clock and lag, refusals.

The budget holds over any real 300 seconds. Timestamps that a fast clock has written are corrected once the clock is
right. A block lasts as long as Radar said, at most a day. `circuit_breaker.py` decides by the outcomes that are read
here.

A question whose answer was refused for its content is paused, see `retry.py`: a series, or one window of its past. A
refusal of the newest window pauses the whole series, because the newest window is a different one each time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector import circuit_breaker
from collector.circuit_breaker import (
    BREAKER_THRESHOLD,
    FetchOutcome,
    circuit_throttle,
    credentials_throttle,
    shows_acceptance,
    upstream_health,
)
from collector.model import Window
from collector.retry import FIRST_PAUSE, refusal_backoff
from collector.rules.clock_difference import NAMED_FROM, ClockDifference, load, radar_lag
from collector.store.db import sql
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import fetch_profiles, fetches, refusals
from collector.store.db.schema import state as state_table
from collector.store.db.sql import upsert
from collector.timestamps import from_epoch, rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from collector.circuit_breaker import Throttle, UpstreamHealth
    from collector.model import Question, Slice
    from collector.store.ledger.fetches import ReceivedAnswer

_CREDENTIALS_KEY = "credentials:{}"
"""Key of the record of credentials, by their fingerprint."""
_ACCEPTED = "taken"
"""The record of credentials that Radar has accepted."""
_PARENT_PARTS = 4
"""Of `/radar/ct/timeseries_groups/…`, which is often refused as a whole."""
_REFUSED_PATHS_KEY = "refused_paths:{}"
"""Key of the paths that Radar refuses to credentials which it accepts elsewhere, a JSON array."""

_SENT = fetches.c.replay_of.is_(None)
_ENDED = sa.and_(fetches.c.finished_at.is_not(None), fetches.c.outcome != "interrupted", _SENT)
_last = sa.select(fetches.c.outcome).where(_ENDED).order_by(fetches.c.finished_at.desc(), fetches.c.id.desc())
_last_few = _last.limit(BREAKER_THRESHOLD).subquery()
_HEALTH = DriverSelect(
    sa.select(
        sa.select(sa.func.count()).select_from(_last_few).where(_last_few.c.outcome == "unavailable").scalar_subquery(),
        sa.select(state_table.c.value).where(state_table.c.key == sa.bindparam("key")).scalar_subquery(),
    )
)
_outcome_columns = [fetches.c[name] for name in ("started_at", "finished_at", "outcome", "message", "status", "code")]
_NEWEST = sa.select(*_outcome_columns).where(_SENT).order_by(fetches.c.id.desc()).limit(1)
_NEWEST_ENDED = (
    sa.select(*_outcome_columns).where(_ENDED).order_by(fetches.c.finished_at.desc(), fetches.c.id.desc()).limit(1)
)
_THIS = sa.select(*_outcome_columns).where(fetches.c.id == sa.bindparam("fetch_id"))


def throttles(connection: sa.Connection, credentials: str, now: datetime, path: str = "") -> list[Throttle]:
    """Return the throttles of requests to *path* with these credentials now; *credentials* is their fingerprint."""
    [(unavailable, record)] = _HEALTH.rows(connection, {"key": _CREDENTIALS_KEY.format(credentials)})
    newest = _outcome(connection, _NEWEST) if unavailable == BREAKER_THRESHOLD else None
    limits = [circuit_throttle(newest, now)] if newest else []
    if credentials and record != _ACCEPTED:
        ids = _ids(record)
        at_once = bool(ids.get("at_once") or (ids.get("another") and not ids["paths"].get(path)))
        turn = _turn(ids.get("paths", {}), path)
        throttle = credentials_throttle(*_probation(connection, record), now, at_once=at_once, turn=turn)
        limits += [throttle] if throttle else []
    return limits


def start_probe(connection: sa.Connection, credentials: str, fetch_id: int) -> None:
    """Record that the fetch is the one that sends credentials on probation."""
    record = sql.get_state(connection, _CREDENTIALS_KEY.format(credentials))
    if record != _ACCEPTED:
        ids = _ids(record)
        _put_ids(
            connection,
            credentials,
            {"refused": ids.get("refused"), "trying": fetch_id, "paths": ids.get("paths", {})},
        )


def reject_credentials(connection: sa.Connection, credentials: str, fetch_id: int, path: str = "") -> None:
    """Record that Radar rejected the credentials of the fetch.

    If its *path* alone may be refused, the next request to another path may be sent at once; after the first such
    rejection only.
    """
    record = sql.get_state(connection, _CREDENTIALS_KEY.format(credentials))
    ids = {} if _are_accepted(connection, record) else _ids(record)
    paths = ids.get("paths", {})
    another = bool(path) and (not ids.get("refused") or bool(ids.get("another") and path in paths))
    ids = {"refused": fetch_id, "trying": None, "paths": {**paths, path: fetch_id}, "another": another}
    _put_ids(connection, credentials, ids)


def await_turn(connection: sa.Connection, credentials: str, path: str) -> None:
    """Record that requests to *path* wait for the end of a rejection, so that paths tried before let them go first."""
    ids = _ids(sql.get_state(connection, _CREDENTIALS_KEY.format(credentials)))
    if ids.get("paths") and path not in ids["paths"]:
        _put_ids(connection, credentials, ids | {"paths": {**ids["paths"], path: 0}})


def refuse_path(connection: sa.Connection, credentials: str, path: str) -> None:
    """Record that Radar refuses *path* to credentials that it accepts elsewhere."""
    _put_refused_paths(connection, credentials, _refused_paths(connection, credentials) | {path})


def refuses_path(connection: sa.Connection, credentials: str, path: str, *, accepted_elsewhere: bool) -> bool:
    """Return whether a 403 on *path* concerns this path alone.

    So it is if Radar accepts the credentials, and has refused this path before while it accepted others, or has just
    *accepted_elsewhere*.
    """
    record = sql.get_state(connection, _CREDENTIALS_KEY.format(credentials))
    if not _are_accepted(connection, record):
        return False
    known = _refused_paths(connection, credentials) | _rejected_paths(_ids(record))
    return accepted_elsewhere or path in known


def try_at_once(connection: sa.Connection, credentials: str) -> None:
    """Let the next probe send rejected credentials before their pause ends, because a person may have corrected them.

    `start_probe` ends this, so it is one request whatever its outcome is.
    """
    record = sql.get_state(connection, _CREDENTIALS_KEY.format(credentials))
    if record and record != _ACCEPTED:
        sql.put_state(
            connection, _CREDENTIALS_KEY.format(credentials), json.dumps(json.loads(record) | {"at_once": True})
        )


def accept_credentials(connection: sa.Connection, credentials: str, path: str = "") -> None:
    """Record that Radar accepts the credentials on *path*: those on which it has rejected them are refused alone."""
    ids = _ids(sql.get_state(connection, _CREDENTIALS_KEY.format(credentials)))
    _put_refused_paths(
        connection, credentials, (_refused_paths(connection, credentials) | _rejected_paths(ids)) - {path}
    )
    sql.put_state(connection, _CREDENTIALS_KEY.format(credentials), _ACCEPTED)


def rejection_reason(connection: sa.Connection, credentials: str) -> str | None:
    """Return Radar's error text for credentials that it rejects; None if it accepts them or was not asked."""
    record = sql.get_state(connection, _CREDENTIALS_KEY.format(credentials))
    if record is None or record == _ACCEPTED:
        return None
    return circuit_breaker.rejection_reason(*_probation(connection, record))


def upstream(connection: sa.Connection, now: datetime) -> UpstreamHealth:
    """Return the state of Radar by the ledger."""
    [(unavailable, _)] = _HEALTH.rows(connection, {"key": ""})
    newest, newest_ended = _outcome(connection, _NEWEST), _outcome(connection, _NEWEST_ENDED)
    return upstream_health(newest, newest_ended, is_open=unavailable == BREAKER_THRESHOLD, now=now)


def _ids(record: str | None) -> dict[str, Any]:
    """Return the record of credentials on probation; empty if they are accepted or new.

    *refused* and *trying* are ids of fetches, *paths* has the id of the last rejection by path, 0 for one that waits.
    """
    return json.loads(record) if record and record != _ACCEPTED else {}


def _put_ids(connection: sa.Connection, credentials: str, ids: Mapping[str, object]) -> None:
    sql.put_state(connection, _CREDENTIALS_KEY.format(credentials), json.dumps(ids))


def _turn(paths: Mapping[str, int], path: str) -> int:
    """Return how many paths go before *path*: they were rejected longer ago or never, first with all their siblings."""
    newest: dict[str, int] = defaultdict(int)
    for other, fetch_id in paths.items():
        newest[_parent(other)] = max(newest[_parent(other)], fetch_id)
    own = newest[_parent(path)], paths.get(path, 0)
    return sum((newest[_parent(other)], fetch_id) < own for other, fetch_id in paths.items())


def _parent(path: str) -> str:
    """Return what the paths of all dimensions have in common; another path as it is."""
    return "/".join(path.split("/")[:_PARENT_PARTS])


def _rejected_paths(ids: Mapping[str, Any]) -> set[str]:
    return {path for path, fetch_id in ids.get("paths", {}).items() if path and fetch_id}


def _refused_paths(connection: sa.Connection, credentials: str) -> set[str]:
    return {*json.loads(sql.get_state(connection, _REFUSED_PATHS_KEY.format(credentials)) or "[]")}


def _put_refused_paths(connection: sa.Connection, credentials: str, paths: set[str]) -> None:
    if paths != _refused_paths(connection, credentials):
        sql.put_state(connection, _REFUSED_PATHS_KEY.format(credentials), json.dumps(sorted(paths)))


def _are_accepted(connection: sa.Connection, record: str | None) -> bool:
    _, probe = _probation(connection, record)
    return record == _ACCEPTED or bool(probe and shows_acceptance(probe))


def _probation(connection: sa.Connection, record: str | None) -> tuple[FetchOutcome | None, FetchOutcome | None]:
    """Return the request whose credentials Radar rejected last, and the probe that was sent since."""
    ids = _ids(record)
    rejected, probe = ids.get("refused"), ids.get("trying")
    return (
        _outcome(connection, _THIS, fetch_id=rejected) if rejected else None,
        _outcome(connection, _THIS, fetch_id=probe) if probe else None,
    )


def _outcome(connection: sa.Connection, statement: sa.Select[Any], **parameters: object) -> FetchOutcome | None:
    row = connection.execute(statement, parameters).one_or_none()
    return FetchOutcome(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's own name for it


WINDOW = timedelta(seconds=300)
_UNKNOWN_WAIT = timedelta(seconds=1)
MAX_CLOCK_SKEW = timedelta(minutes=1)
"""What is stamped further ahead of the clock than this was written when the clock was wrong."""
LONGEST_BLOCK = timedelta(days=1)
BLOCKED_UNTIL = "blocked_until"
_BLOCKED_AT = "blocked_at"

# Statements of every request are built once: building one costs several times its execution.
_counted = sa.and_(
    fetches.c.replay_of.is_(None),
    sa.or_(fetches.c.finished_at.is_(None), fetches.c.finished_at > sa.bindparam("since")),
)
_STANDING = DriverSelect(
    sa.select(
        sa.select(sa.func.count()).where(_counted).scalar_subquery(),
        sa.select(state_table.c.value).where(state_table.c.key == BLOCKED_UNTIL).scalar_subquery(),
    )
)
_STAMPED_AHEAD = fetches.c.finished_at > sa.bindparam("ahead")
_ON_RECORD = DriverSelect(
    sa.select(
        sa.select(sa.func.count()).where(_STAMPED_AHEAD).scalar_subquery(),
        sa.select(state_table.c.value).where(state_table.c.key == BLOCKED_UNTIL).scalar_subquery(),
        sa.select(state_table.c.value).where(state_table.c.key == _BLOCKED_AT).scalar_subquery(),
    )
)
_RESTAMP = sa.update(fetches).where(_STAMPED_AHEAD).values(finished_at=sa.bindparam("present"))


class Budget(NamedTuple):
    """How many requests of *limit* were *used* in the last *window_seconds*."""

    limit: int
    used: int
    blocked_until: datetime | None
    window_seconds: int = int(WINDOW.total_seconds())


def first_free_at(connection: sa.Connection, now: datetime, waiting: int) -> datetime:
    """Return when a place in the budget is free again that *waiting* other requests do not need first."""
    recent = sa.select(fetches.c.finished_at).where(fetches.c.finished_at > now - WINDOW, fetches.c.replay_of.is_(None))
    oldest = connection.execute(recent.order_by(fetches.c.finished_at).offset(waiting).limit(1))
    freed = oldest.scalar()
    return freed + WINDOW if freed else now + _UNKNOWN_WAIT


def free_at(connection: sa.Connection, now: datetime, current: Budget) -> datetime | None:
    """Return when a place in a spent budget is free again; None if it is not spent."""
    if current.used < current.limit:
        return None
    return first_free_at(connection, now, current.used - current.limit)


def budget(connection: sa.Connection, now: datetime, limit: int) -> Budget:
    """Count the requests that are under way or ended less than 300 seconds ago, and read until when Radar blocks."""
    [(used, text)] = _STANDING.rows(connection, {"since": now - WINDOW})
    until = min(utc(text), now + LONGEST_BLOCK) if text else now
    return Budget(limit, used, until if until > now else None)


def repair_future_timestamps(connection: sa.Connection, now: datetime) -> None:
    """Correct timestamps ahead of *now* to *now*; the caller holds the lock BUDGET."""
    [(stamped, until, since)] = _ON_RECORD.rows(connection, {"ahead": now + MAX_CLOCK_SKEW})
    if stamped:
        connection.execute(_RESTAMP, {"ahead": now + MAX_CLOCK_SKEW, "present": now})
    if until and (utc(until) > now + LONGEST_BLOCK or (since and utc(since) > now + MAX_CLOCK_SKEW)):
        length = utc(until) - utc(since) if since else LONGEST_BLOCK
        block(connection, now, now + min(length, LONGEST_BLOCK))


def block(connection: sa.Connection, now: datetime, until: datetime) -> None:
    """Record that no request may be sent before *until*, and when that was said."""
    sql.put_state(connection, BLOCKED_UNTIL, rfc3339(until))
    sql.put_state(connection, _BLOCKED_AT, rfc3339(now))


_ANSWERS = 50
"""The lag is the median over so many answers."""
UNKNOWN_LAG = timedelta(hours=1)
"""What the lag counts as before any answer has shown it."""
_NEWEST_ANSWERS = (
    sa.select(fetches.c.finished_at, fetches.c.last_updated)
    .where(fetches.c.outcome == "ok", fetches.c.finished_at.is_not(None), fetches.c.last_updated.is_not(None))
    .where(fetches.c.replay_of.is_(None))
    .order_by(fetches.c.finished_at.desc())
    .limit(_ANSWERS)
)


def usual_lag(connection: sa.Connection, ahead: timedelta = timedelta(0)) -> timedelta:
    """Return the median lag of lastUpdated behind Radar's present in the newest answers; an hour if there is none.

    The clock is *ahead* of that present by this much.
    """
    lags = [radar_lag(row.finished_at - row.last_updated, ahead) for row in connection.execute(_NEWEST_ANSWERS)]
    return max(timedelta(seconds=median(lag.total_seconds() for lag in lags)), timedelta(0)) if lags else UNKNOWN_LAG


def effective_last_updated(connection: sa.Connection, arrival: ReceivedAnswer) -> ReceivedAnswer:
    """Replace a lastUpdated ahead of Radar's present at the time of the answer by that present less the usual lag."""
    meta = arrival.answer.meta
    if meta.last_updated <= (arrival.present + NAMED_FROM if arrival.ahead else arrival.now):
        return arrival
    lag = usual_lag(connection, arrival.ahead)
    meta = meta._replace(last_updated=arrival.present - lag)  # UNKNOWN_LAST_UPDATED, too
    return arrival._replace(answer=arrival.answer._replace(meta=meta))


def usual(connection: sa.Connection, updated: Mapping[str, datetime]) -> dict[str, timedelta]:
    """Return the usual distance from lastUpdated to the clock per profile; absent if there is no earlier answer.

    *updated* is the lastUpdated of each profile's newest answer. Only answers that came before that moment count,
    because later answers may be part of a stall, and then the lag of the stall would become the usual one.
    """
    if not updated:
        return {}
    columns = sa.column("name", sa.Text), sa.column("updated", fetches.c.last_updated.type)
    newest = sa.values(*columns, name="newest").data([*updated.items()]).cte("updated")
    earlier = sa.and_(fetches.c.outcome == "ok", fetches.c.finished_at <= newest.c.updated)
    of_profile = fetch_profiles.c.profile == newest.c.name
    joined = fetch_profiles.join(fetches, fetches.c.id == fetch_profiles.c.fetch_id)
    nth = sa.select(fetch_profiles.c.fetch_id).select_from(joined).where(of_profile, earlier)
    nth = nth.order_by(fetch_profiles.c.fetch_id.desc()).offset(_ANSWERS - 1).limit(1).correlate(newest)
    bounded = sa.select(newest.c.name, newest.c.updated, sa.func.coalesce(nth.scalar_subquery(), 0).label("first"))
    bound = bounded.cte("bound")
    recent = sa.and_(fetch_profiles.c.profile == bound.c.name, fetch_profiles.c.fetch_id >= bound.c.first)
    select = sa.select(bound.c.name, fetches.c.finished_at, fetches.c.last_updated)
    select = select.join_from(bound, fetch_profiles, recent).join(fetches, fetches.c.id == fetch_profiles.c.fetch_id)
    lags_by_profile: dict[str, list[timedelta]] = defaultdict(list)
    ok = sa.and_(fetches.c.outcome == "ok", fetches.c.finished_at <= bound.c.updated)
    for name, finished_at, last_updated in connection.execute(select.where(ok)):
        lags_by_profile[name].append(max(finished_at - last_updated, timedelta(0)))
    return {
        name: timedelta(seconds=median(lag.total_seconds() for lag in lags)) for name, lags in lags_by_profile.items()
    }


_CLOCK_KEY = "clock_difference"


def read_clock_difference(connection: sa.Connection) -> ClockDifference:
    """Return what is on record."""
    return load(sql.get_state(connection, _CLOCK_KEY))


def write_clock_difference(connection: sa.Connection, difference: ClockDifference) -> None:
    """Put *difference* on record in the place of what is there."""
    sql.put_state(connection, _CLOCK_KEY, difference.dump())


_FORGOTTEN_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question that was refused: by Radar, or by this program because the answer could not be trusted.

    *digest* is the series' as in `series.digest`; *window* is None if the whole series is paused. *outcome* is that of
    the request, *failures* the number of refusals in a row, the last one at *refused_at*; it is not requested before
    *again_at*.
    """

    digest: str
    window: Window | None
    outcome: str
    reason: str
    failures: int
    refused_at: datetime
    again_at: datetime

    @property
    def key(self) -> str:
        """The question."""
        return _refusal_key(self.digest, self.window)

    def is_of(self, query: Question) -> bool:
        """Return whether the refused question is *query*, or a window of it."""
        return self.digest == query.digest

    def pauses(self, now: datetime, *, by_hand: bool = False) -> bool:
        """Return whether the question is paused at *now*; *by_hand*: for a person who waits only for the first pause.

        A refusal ahead of the clock was written by a wrong clock and does not count.
        """
        until = min(self.refused_at + FIRST_PAUSE, self.again_at) if by_hand else self.again_at
        return self.refused_at <= now + MAX_CLOCK_SKEW and now < until


def keys_of(slice_: Slice, now: datetime) -> tuple[str, ...]:
    """Return the keys of a slice's questions: first the one to record, then the others that pause it."""
    whole = slice_.series.digest
    step = slice_.series.agg_interval.step
    if slice_.window.end + step >= slice_.series.agg_interval.floor(now):
        return (whole,)
    return _refusal_key(whole, slice_.window), whole


def _refusal_key(series: str, window: Window | None) -> str:
    return f"{series} {window.start.timestamp():.0f} {window.end.timestamp():.0f}" if window else series


def list_refusals(connection: sa.Connection, now: datetime | None = None) -> list[Refusal]:
    """List the questions that are paused at *now*, by the end of the pause; without it all that were refused last."""
    rows = connection.execute(sa.select(refusals).order_by(refusals.c.again_at, refusals.c.digest))
    refused = [_refusal(row) for row in rows]
    return [refusal for refusal in refused if now is None or refusal.pauses(now)]


def _refusal(row: sa.Row[tuple[object, ...]]) -> Refusal:
    series, *ends = row.digest.split(" ")
    window = Window(*(from_epoch(int(end)) for end in ends)) if ends else None
    return Refusal(series, window, row.outcome, row.reason, row.failures, row.refused_at, row.again_at)


def record_refusal(connection: sa.Connection, slice_: Slice, outcome: str, reason: str, now: datetime) -> None:
    """Record that a slice was refused for its content, and pause its question: longer, if it was refused before."""
    key, table = keys_of(slice_, now)[0], refusals.c
    before = connection.execute(sa.select(table.failures).where(table.digest == key)).scalar()
    failures = (before or 0) + 1
    row = {
        "outcome": outcome,
        "reason": reason,
        "failures": failures,
        "refused_at": now,
        "again_at": now + refusal_backoff(failures, slice_.series.agg_interval.step),
    }
    insert = upsert(connection, refusals).values(digest=key, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=["digest"], set_=row))
    connection.execute(sa.delete(refusals).where(table.again_at < now - _FORGOTTEN_AFTER))


def delete_refusals(connection: sa.Connection, keys: Collection[str]) -> None:
    """End the pauses of questions by their keys; no error for one that does not pause."""
    connection.execute(sa.delete(refusals).where(refusals.c.digest.in_(sorted(keys))))
