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

from collector.model import Window
from collector.store.db import state
from collector.store.db.schema import fetches, refusals
from collector.store.db.schema import state as state_table
from collector.store.db.sql import upsert
from collector.timestamps import from_epoch, rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Collection

    from collector.model import Question, Slice

SILENT_AFTER = 12
"""Three batches of four attempts: one part of Radar that is ill does not look like all of it."""
PROBE_EVERY = timedelta(minutes=1)
TRY_AGAIN_AFTER = timedelta(minutes=5)
_LOOK_AGAIN = timedelta(seconds=1)
_NOBODY_ASKS = timedelta(minutes=5)
_FIRST_TRY = timedelta(seconds=10)
"""So long the first request with new credentials is waited for: its process may be gone."""
_TAKEN = "taken"
_NO_WORD = ("unavailable", "rate_limited", "misdirected", "interrupted")
"""Outcomes that do not tell whether the credentials are right."""

_SENT = fetches.c.replay_of.is_(None)
_TOLD = sa.and_(fetches.c.finished_at.is_not(None), fetches.c.outcome != "interrupted", _SENT)
_last = sa.select(fetches.c.outcome).where(_TOLD).order_by(fetches.c.finished_at.desc(), fetches.c.id.desc())
_last_few = _last.limit(SILENT_AFTER).subquery()
_KNOWN = sa.select(
    sa.select(sa.func.count()).select_from(_last_few).where(_last_few.c.outcome == "unavailable").scalar_subquery(),
    sa.select(state_table.c.value).where(state_table.c.key == sa.bindparam("key")).scalar_subquery(),
)
_words = [fetches.c[name] for name in ("started_at", "finished_at", "outcome", "message", "status", "code")]
_NEWEST = sa.select(*_words).where(_SENT).order_by(fetches.c.id.desc()).limit(1)
_NEWEST_TOLD = sa.select(*_words).where(_TOLD).order_by(fetches.c.finished_at.desc(), fetches.c.id.desc()).limit(1)
_THIS = sa.select(*_words).where(fetches.c.id == sa.bindparam("fetch_id"))


@dataclass(frozen=True, slots=True)
class Tried:
    """A request that tells something: when it was sent, and what became of it."""

    started_at: datetime
    finished_at: datetime | None
    outcome: str
    message: str | None = None
    status: int | None = None
    code: int | None = None

    @property
    def at(self) -> datetime:
        """When it was sent; a clock that ran ahead is put right at its end."""
        return min(self.started_at, self.finished_at or self.started_at)


@dataclass(frozen=True, slots=True)
class Wait:
    """No request may be sent before *until*.

    The `budget` is spent, Radar has `blocked` this account, is `silent`, or refused the `credentials`: then *tried* is
    the request that heard so, None while one that finds out is under way.
    """

    until: datetime
    reason: str
    tried: Tried | None = None


@dataclass(frozen=True, slots=True)
class Throttle:
    """Of the requests that are wanted at most *most* may be sent now; the others *wait*."""

    most: int
    wait: Wait


@dataclass(frozen=True, slots=True)
class UpstreamHealth:
    """How Radar stands: `ok`, `silent` or `unauthorized`, its last *words*, and when it is asked again."""

    state: str
    words: str | None = None
    asked_again_at: datetime | None = None

    def waiting_until(self, now: datetime) -> datetime | None:
        """Return until when nothing is asked; None if Radar is ok, or if nobody asks it again although one could.

        While the one request that finds out is overdue or under way, the others look every second.
        """
        again = self.asked_again_at
        if again is None or now - again > _NOBODY_ASKS:
            return None
        return max(again, now + _LOOK_AGAIN)


def silence(newest: Tried, now: datetime) -> Throttle:
    """Decide who may find out whether Radar is back: one a minute, whatever the clock did, and all wait for its end."""
    over = min(newest.at, now) + PROBE_EVERY
    look = Wait(min(over, now + _LOOK_AGAIN) if over > now else now + _LOOK_AGAIN, "silent")
    if over <= now:
        return Throttle(1, look)
    return Throttle(0, look if newest.outcome == "started" else Wait(over, "silent", newest))


def trial(refused: Tried | None, trying: Tried | None, now: datetime, *, at_once: bool = False) -> Throttle | None:
    """Decide who may send credentials that Radar *refused* last, or that one request alone is *trying*; None: all.

    *at_once*: one request need not wait for the end of the pause.
    """
    alone = Throttle(1, Wait(now + _LOOK_AGAIN, "credentials"))
    if trying and trying.outcome == "started":
        patience = PROBE_EVERY if refused else _FIRST_TRY
        return alone if trying.started_at + patience <= now else Throttle(0, alone.wait)
    if trying and trying.outcome not in (*_NO_WORD, "unauthorized"):
        return None
    if refused is None or at_once:
        return alone
    until = min(refused.finished_at or now, now) + TRY_AGAIN_AFTER
    return alone if until <= now else Throttle(0, Wait(until, "credentials", refused))


def _credentials_key(credentials: str) -> str:
    return f"credentials:{credentials}"


def throttles(connection: sa.Connection, credentials: str, now: datetime) -> list[Throttle]:
    """Tell what keeps requests with these credentials, known by their fingerprint, from being sent now."""
    silent, text = connection.execute(_KNOWN, {"key": _credentials_key(credentials)}).one()
    newest = _tried(connection, _NEWEST) if silent == SILENT_AFTER else None
    found = [silence(newest, now)] if newest else []
    if credentials and text != _TAKEN:
        at_once = bool(text and json.loads(text).get("at_once"))
        tried = trial(*_trials(connection, text), now, at_once=at_once)
        found += [tried] if tried else []
    return found


def begun(connection: sa.Connection, credentials: str, fetch_id: int) -> None:
    """Note that a request tries the credentials out, for all."""
    known = state.get(connection, _credentials_key(credentials))
    if known != _TAKEN:
        refused = json.loads(known)["refused"] if known else None
        state.put(connection, _credentials_key(credentials), json.dumps({"refused": refused, "trying": fetch_id}))


def reject_credentials(connection: sa.Connection, credentials: str, fetch_id: int) -> None:
    """Note that Radar has refused the credentials."""
    state.put(connection, _credentials_key(credentials), json.dumps({"refused": fetch_id, "trying": None}))


def try_at_once(connection: sa.Connection, credentials: str) -> None:
    """Let one request send credentials that Radar has refused before their pause ends: a person may have mended them.

    *begun* ends that, so that it is one request whatever comes of it.
    """
    known = state.get(connection, _credentials_key(credentials))
    if known and known != _TAKEN:
        state.put(connection, _credentials_key(credentials), json.dumps(json.loads(known) | {"at_once": True}))


def take(connection: sa.Connection, credentials: str) -> None:
    """Note that Radar has taken the credentials."""
    state.put(connection, _credentials_key(credentials), _TAKEN)


def refused(connection: sa.Connection, credentials: str) -> str | None:
    """Tell in Radar's words why it does not take the credentials; None where it does, or was not asked."""
    text = state.get(connection, _credentials_key(credentials))
    if text is None or text == _TAKEN:
        return None
    found, trying = _trials(connection, text)
    taken = trying and trying.outcome not in (*_NO_WORD, "started", "unauthorized")
    return found.message if found and not taken else None


def upstream(connection: sa.Connection, now: datetime) -> UpstreamHealth:
    """Tell how Radar stands."""
    silent, _ = connection.execute(_KNOWN, {"key": ""}).one()
    told = _tried(connection, _NEWEST_TOLD)
    newest = _tried(connection, _NEWEST)
    if told and newest and silent == SILENT_AFTER:
        return UpstreamHealth("silent", told.message, min(newest.at, now) + PROBE_EVERY)
    if told and told.outcome == "unauthorized":
        return UpstreamHealth("unauthorized", told.message, min(told.finished_at or now, now) + TRY_AGAIN_AFTER)
    return UpstreamHealth("ok")


def _trials(connection: sa.Connection, text: str | None) -> tuple[Tried | None, Tried | None]:
    """The requests that told last, and that tell next, whether Radar takes certain credentials."""
    ids = json.loads(text) if text else {}
    refused, trying = ids.get("refused"), ids.get("trying")
    return (
        _tried(connection, _THIS, fetch_id=refused) if refused else None,
        _tried(connection, _THIS, fetch_id=trying) if trying else None,
    )


def _tried(connection: sa.Connection, statement: sa.Select[Any], **parameters: object) -> Tried | None:
    row = connection.execute(statement, parameters).one_or_none()
    return Tried(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's own name for it


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
    state.put(connection, BLOCKED_UNTIL, rfc3339(until))
    state.put(connection, _BLOCKED_AT, rfc3339(now))


FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
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


def pause(failures: int, step: timedelta) -> timedelta:
    """Tell how long a question that was refused so often in a row is not asked: doubling, at most *step* or an hour."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 10)), step, LONGEST_PAUSE)


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
        "again_at": now + pause(failures, piece.series.agg_interval.step),
    }
    insert = upsert(connection, refusals).values(digest=key, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=["digest"], set_=row))
    connection.execute(sa.delete(refusals).where(table.again_at < now - _FORGOTTEN_AFTER))


def answered(connection: sa.Connection, keys: Collection[str]) -> None:
    """Forget the refusals of questions that were answered; nothing where there are none."""
    connection.execute(sa.delete(refusals).where(refusals.c.digest.in_(sorted(keys))))
