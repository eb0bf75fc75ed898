"""What keeps requests from being sent: the budget, and the health of Radar by the ledger.

The budget holds over any real 300 seconds. Timestamps that a fast clock has written are corrected once the clock is
right again. A block lasts as long as Radar said, and no longer than a day.

After so many requests in a row without an answer, one request a minute is sent until Radar answers again. Rejected
credentials are tried again once in five minutes, others at once. New credentials are tried by one request alone.

A question whose answer was refused for its content is paused: a series, or one window of its past. A refusal of the
newest window pauses the whole series, because that window is another one each time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector import circuit_breaker
from collector.circuit_breaker import (
    BREAKER_THRESHOLD,
    FetchOutcome,
    circuit_throttle,
    credentials_throttle,
    upstream_health,
)
from collector.model import Window, from_epoch, rfc3339, utc
from collector.retry import FIRST_PAUSE, refusal_backoff
from collector.store.db import sql
from collector.store.db.schema import fetches, refusals
from collector.store.db.schema import state as state_table
from collector.store.db.sql import upsert

if TYPE_CHECKING:
    from collections.abc import Collection

    from collector.circuit_breaker import Throttle, UpstreamHealth
    from collector.model import Question, Slice

_ACCEPTED = "taken"
"""The record of credentials that Radar has accepted."""

_SENT = fetches.c.replay_of.is_(None)
_ENDED = sa.and_(fetches.c.finished_at.is_not(None), fetches.c.outcome != "interrupted", _SENT)
_last = sa.select(fetches.c.outcome).where(_ENDED).order_by(fetches.c.finished_at.desc(), fetches.c.id.desc())
_last_few = _last.limit(BREAKER_THRESHOLD).subquery()
_HEALTH = sa.select(
    sa.select(sa.func.count()).select_from(_last_few).where(_last_few.c.outcome == "unavailable").scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == sa.bindparam("key")).scalar_subquery(),
)
_outcome_columns = [fetches.c[name] for name in ("started_at", "finished_at", "outcome", "message", "status", "code")]
_NEWEST = sa.select(*_outcome_columns).where(_SENT).order_by(fetches.c.id.desc()).limit(1)
_NEWEST_ENDED = (
    sa.select(*_outcome_columns).where(_ENDED).order_by(fetches.c.finished_at.desc(), fetches.c.id.desc()).limit(1)
)
_THIS = sa.select(*_outcome_columns).where(fetches.c.id == sa.bindparam("fetch_id"))


def _credentials_key(credentials: str) -> str:
    return f"credentials:{credentials}"


def throttles(connection: sa.Connection, credentials: str, now: datetime) -> list[Throttle]:
    """Return what limits requests with these credentials now; *credentials* is their fingerprint."""
    unavailable, record = connection.execute(_HEALTH, {"key": _credentials_key(credentials)}).one()
    newest = _outcome(connection, _NEWEST) if unavailable == BREAKER_THRESHOLD else None
    found = [circuit_throttle(newest, now)] if newest else []
    if credentials and record != _ACCEPTED:
        at_once = bool(record and json.loads(record).get("at_once"))
        throttle = credentials_throttle(*_probation(connection, record), now, at_once=at_once)
        found += [throttle] if throttle else []
    return found


def start_probe(connection: sa.Connection, credentials: str, fetch_id: int) -> None:
    """Record that the fetch is the one that sends credentials on probation."""
    record = sql.get_state(connection, _credentials_key(credentials))
    if record != _ACCEPTED:
        rejected = json.loads(record)["refused"] if record else None
        sql.put_state(connection, _credentials_key(credentials), json.dumps({"refused": rejected, "trying": fetch_id}))


def reject_credentials(connection: sa.Connection, credentials: str, fetch_id: int) -> None:
    """Record that Radar rejected the credentials of the fetch."""
    sql.put_state(connection, _credentials_key(credentials), json.dumps({"refused": fetch_id, "trying": None}))


def try_at_once(connection: sa.Connection, credentials: str) -> None:
    """Let the next probe send rejected credentials before their pause ends, because a person may have corrected them.

    `start_probe` ends this, so it is one request whatever its outcome is.
    """
    record = sql.get_state(connection, _credentials_key(credentials))
    if record and record != _ACCEPTED:
        sql.put_state(connection, _credentials_key(credentials), json.dumps(json.loads(record) | {"at_once": True}))


def accept_credentials(connection: sa.Connection, credentials: str) -> None:
    """Record that Radar accepts the credentials."""
    sql.put_state(connection, _credentials_key(credentials), _ACCEPTED)


def rejection_reason(connection: sa.Connection, credentials: str) -> str | None:
    """Return Radar's error text for credentials that it rejects; None if it accepts them or was not asked."""
    record = sql.get_state(connection, _credentials_key(credentials))
    if record is None or record == _ACCEPTED:
        return None
    return circuit_breaker.rejection_reason(*_probation(connection, record))


def upstream(connection: sa.Connection, now: datetime) -> UpstreamHealth:
    """Return the state of Radar by the ledger."""
    unavailable, _ = connection.execute(_HEALTH, {"key": ""}).one()
    newest, newest_ended = _outcome(connection, _NEWEST), _outcome(connection, _NEWEST_ENDED)
    return upstream_health(newest, newest_ended, is_open=unavailable == BREAKER_THRESHOLD, now=now)


def _probation(connection: sa.Connection, record: str | None) -> tuple[FetchOutcome | None, FetchOutcome | None]:
    """Return the request whose credentials Radar rejected last, and the probe that was sent since."""
    ids = json.loads(record) if record else {}
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
AHEAD = timedelta(minutes=1)
"""What is stamped further ahead of the clock than this was written when the clock was wrong."""
LONGEST_BLOCK = timedelta(days=1)
BLOCKED_UNTIL = "blocked_until"
_BLOCKED_AT = "blocked_at"

# Statements of every request are built once: building one costs several times its execution.
_counted = sa.and_(
    fetches.c.replay_of.is_(None),
    sa.or_(fetches.c.finished_at.is_(None), fetches.c.finished_at > sa.bindparam("since")),
)
_STANDING = sa.select(
    sa.select(sa.func.count()).where(_counted).scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == BLOCKED_UNTIL).scalar_subquery(),
)
_STAMPED_AHEAD = fetches.c.finished_at > sa.bindparam("ahead")
_ON_RECORD = sa.select(
    sa.select(sa.func.count()).where(_STAMPED_AHEAD).scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == BLOCKED_UNTIL).scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == _BLOCKED_AT).scalar_subquery(),
)
_RESTAMP = sa.update(fetches).where(_STAMPED_AHEAD).values(finished_at=sa.bindparam("present"))


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests of *limit* were *used* in the last *window_seconds*."""

    limit: int
    used: int
    blocked_until: datetime | None
    window_seconds: int = int(WINDOW.total_seconds())


def first_free_at(connection: sa.Connection, now: datetime, waiting: int) -> datetime:
    """Say when a place in the budget is free again that *waiting* others do not need first."""
    recent = sa.select(fetches.c.finished_at).where(fetches.c.finished_at > now - WINDOW, fetches.c.replay_of.is_(None))
    oldest = connection.execute(recent.order_by(fetches.c.finished_at).offset(waiting).limit(1))
    freed = oldest.scalar()
    return freed + WINDOW if freed else now + _UNKNOWN_WAIT


def free_at(connection: sa.Connection, now: datetime, standing: Budget) -> datetime | None:
    """Return when a place in a spent budget is free again; None if it is not spent."""
    if standing.used < standing.limit:
        return None
    return first_free_at(connection, now, standing.used - standing.limit)


def budget(connection: sa.Connection, now: datetime, limit: int) -> Budget:
    """Count the requests that are under way or ended less than 300 seconds ago, and read until when Radar blocks."""
    used, text = connection.execute(_STANDING, {"since": now - WINDOW}).one()
    until = min(utc(text), now + LONGEST_BLOCK) if text else now
    return Budget(limit, used, until if until > now else None)


def repair_future_timestamps(connection: sa.Connection, now: datetime) -> None:
    """Let what is stamped ahead of *now* count from *now* on; the caller holds the lock BUDGET."""
    stamped, until, since = connection.execute(_ON_RECORD, {"ahead": now + AHEAD}).one()
    if stamped:
        connection.execute(_RESTAMP, {"ahead": now + AHEAD, "present": now})
    if until and (utc(until) > now + LONGEST_BLOCK or (since and utc(since) > now + AHEAD)):
        length = utc(until) - utc(since) if since else LONGEST_BLOCK
        block(connection, now, now + min(length, LONGEST_BLOCK))


def block(connection: sa.Connection, now: datetime, until: datetime) -> None:
    """Write down that nothing may be asked before *until*, and when that was said."""
    sql.put_state(connection, BLOCKED_UNTIL, rfc3339(until))
    sql.put_state(connection, _BLOCKED_AT, rfc3339(now))


_FORGOTTEN_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A question that was refused: by Radar, or by this program because the answer could not be trusted.

    *digest* names the series as `series.digest` does; *window* is None if all of it is paused. *outcome* is that of the
    request, *failures* how often in a row it was refused, the last time at *refused_at*; it is not asked before
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
        """Tell whether it is *query* that was refused, or a window of it."""
        return self.digest == query.digest

    def pauses(self, now: datetime, *, by_hand: bool = False) -> bool:
        """Tell whether the question must not be asked at *now*; *by_hand*: a person wants it, and waits for it.

        A refusal ahead of the clock was written when the clock was wrong.
        """
        until = min(self.refused_at + FIRST_PAUSE, self.again_at) if by_hand else self.again_at
        return self.refused_at <= now + AHEAD and now < until


def keys_of(piece: Slice, now: datetime) -> tuple[str, ...]:
    """Name the questions that a slice asks: the one to be recorded first, then those that pause it, too."""
    whole = piece.series.digest
    step = piece.series.agg_interval.step
    if piece.window.end + step >= piece.series.agg_interval.floor(now):
        return (whole,)
    return _refusal_key(whole, piece.window), whole


def _refusal_key(series: str, window: Window | None) -> str:
    return f"{series} {window.start.timestamp():.0f} {window.end.timestamp():.0f}" if window else series


def list_refusals(connection: sa.Connection) -> list[Refusal]:
    """List all questions that were refused when they were asked last, whether they may be asked again or not."""
    rows = connection.execute(sa.select(refusals).order_by(refusals.c.again_at, refusals.c.digest))
    return [_refusal(row) for row in rows]


def _refusal(row: sa.Row[tuple[object, ...]]) -> Refusal:
    series, *ends = row.digest.split(" ")
    window = Window(*(from_epoch(int(end)) for end in ends)) if ends else None
    return Refusal(series, window, row.outcome, row.reason, row.failures, row.refused_at, row.again_at)


def record_refusal(connection: sa.Connection, piece: Slice, outcome: str, reason: str, now: datetime) -> None:
    """Record that a slice was refused for its content, and pause its question: longer, if it was refused before."""
    key, table = keys_of(piece, now)[0], refusals.c
    before = connection.execute(sa.select(table.failures).where(table.digest == key)).scalar()
    failures = (before or 0) + 1
    row = {
        "outcome": outcome,
        "reason": reason,
        "failures": failures,
        "refused_at": now,
        "again_at": now + refusal_backoff(failures, piece.series.agg_interval.step),
    }
    insert = upsert(connection, refusals).values(digest=key, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=["digest"], set_=row))
    connection.execute(sa.delete(refusals).where(table.again_at < now - _FORGOTTEN_AFTER))


def delete_refusals(connection: sa.Connection, keys: Collection[str]) -> None:
    """End the pauses of questions by their keys; no error for one that does not pause."""
    connection.execute(sa.delete(refusals).where(refusals.c.digest.in_(sorted(keys))))
