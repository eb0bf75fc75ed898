"""Radar itself, as the ledger tells: whether it answers, and whether it takes the credentials. So all processes know.

So many requests in a row without an answer, and one request a minute finds out whether Radar is back; the first answer
of any kind ends that. Refused credentials are tried again once in five minutes, others at once. New ones are tried by
one request alone. A request under way that finds such a thing out is waited for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from collector.store.db import state
from collector.store.db.schema import fetches
from collector.store.db.schema import state as state_table

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


def _key(credentials: str) -> str:
    return f"credentials:{credentials}"


def throttles(connection: sa.Connection, credentials: str, now: datetime) -> list[Throttle]:
    """Tell what keeps requests with these credentials, known by their fingerprint, from being sent now."""
    silent, text = connection.execute(_KNOWN, {"key": _key(credentials)}).one()
    newest = _tried(connection, _NEWEST) if silent == SILENT_AFTER else None
    found = [silence(newest, now)] if newest else []
    if credentials and text != _TAKEN:
        at_once = bool(text and json.loads(text).get("at_once"))
        tried = trial(*_trials(connection, text), now, at_once=at_once)
        found += [tried] if tried else []
    return found


def begun(connection: sa.Connection, credentials: str, fetch_id: int) -> None:
    """Note that a request tries the credentials out, for all."""
    known = state.get(connection, _key(credentials))
    if known != _TAKEN:
        refused = json.loads(known)["refused"] if known else None
        state.put(connection, _key(credentials), json.dumps({"refused": refused, "trying": fetch_id}))


def refuse(connection: sa.Connection, credentials: str, fetch_id: int) -> None:
    """Note that Radar has refused the credentials."""
    state.put(connection, _key(credentials), json.dumps({"refused": fetch_id, "trying": None}))


def try_at_once(connection: sa.Connection, credentials: str) -> None:
    """Let one request send credentials that Radar has refused before their pause ends: a person may have mended them.

    *begun* ends that, so that it is one request whatever comes of it.
    """
    known = state.get(connection, _key(credentials))
    if known and known != _TAKEN:
        state.put(connection, _key(credentials), json.dumps(json.loads(known) | {"at_once": True}))


def take(connection: sa.Connection, credentials: str) -> None:
    """Note that Radar has taken the credentials."""
    state.put(connection, _key(credentials), _TAKEN)


def refused(connection: sa.Connection, credentials: str) -> str | None:
    """Tell in Radar's words why it does not take the credentials; None where it does, or was not asked."""
    text = state.get(connection, _key(credentials))
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
