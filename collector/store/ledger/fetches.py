"""Fetches: the ledger of what was asked of Radar, kept before it is asked, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from collector.circuit_breaker import Wait
from collector.model import rfc3339, utc
from collector.store.db import sql
from collector.store.db.schema import fetch_profiles, fetches
from collector.store.db.schema import replicas as replicas_table
from collector.store.db.sql import BUDGET, advisory_lock
from collector.store.errors import ValueRejected
from collector.store.ledger import backfills, replicas, upstream
from collector.store.ledger.backfills import JobProgress
from collector.store.ledger.replicas import NO_REPLICA
from collector.store.ledger.upstream import BLOCKED_UNTIL, block, budget, first_free_at, repair_future_timestamps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Answer, Batch, Question, Slice


_ABANDONED = timedelta(minutes=15)
_LONGEST_MESSAGE = 2_000

_BEGIN = sa.insert(fetches).returning(fetches.c.id, sort_by_parameter_order=True)
_LINK = sa.insert(fetch_profiles)
_THIS = fetches.c.id == sa.bindparam("fetch_id")
COUNTS = ("inserted", "revised", "unchanged", "vanished", "ignored")
"""What is counted of an answer's buckets, as on record."""
_COUNTS = [fetches.c[name] for name in COUNTS]
_THESE = fetches.c.id.in_(sa.bindparam("fetch_ids", expanding=True))
_RECORDED = (
    sa.select(fetches.c.id, fetches.c.outcome, fetches.c.started_at, *_COUNTS)
    .where(_THESE)
    .order_by(fetches.c.id)
    .with_for_update()
)
_SUCCEED = sa.update(fetches).where(_THIS)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A request that a replica would like to send *now*: at most *limit* in any 300 seconds.

    *credentials* are known by their fingerprint.
    """

    batch: Batch
    profiles: Sequence[str]
    now: datetime
    limit: int
    replica_id: int = NO_REPLICA
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class StartedFetch:
    """A request is on record and may be sent."""

    fetch_id: int


@dataclass(frozen=True, slots=True)
class SaveResult:
    """How many points an answer, or several, inserted, revised, left unchanged and no longer had.

    *ignored* counts those that an overruled answer had otherwise. *by_series* has the same of each series of one
    answer. *cut_off* are the parts of its windows that it seems to have left out, because it was cut short. *missing*
    are slices of the request whose series did not come while others did.
    """

    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    vanished: int = 0
    ignored: int = 0
    by_series: Mapping[Question, SaveResult] = field(default_factory=dict, compare=False, repr=False)
    cut_off: Sequence[Slice] = field(default=(), compare=False, repr=False)
    missing: Sequence[Slice] = field(default=(), compare=False, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in COUNTS}

    @property
    def values(self) -> int:
        """How many values the answer held that are now stored."""
        return self.inserted + self.revised + self.unchanged

    def __add__(self, other: SaveResult) -> SaveResult:
        return SaveResult(
            self.inserted + other.inserted,
            self.revised + other.revised,
            self.unchanged + other.unchanged,
            self.vanished + other.vanished,
            self.ignored + other.ignored,
        )


@dataclass(frozen=True, slots=True)
class ReceivedAnswer:
    """The answer to a fetch's *batch* as it came in at *now*: *size* bytes; *job_id* is the backfill that it is for.

    With *force* no answer overrules it. *now* is so far *ahead* of Radar's present. *asked_at* is when the request was
    put on record, *absolute* whether values of two such answers compare; the store fills both in.
    """

    fetch_id: int
    batch: Batch
    answer: Answer
    now: datetime
    size: int
    force: bool = False
    job_id: int | None = None
    asked_at: datetime | None = None
    ahead: timedelta = timedelta(0)
    absolute: bool = True

    @property
    def present(self) -> datetime:
        """Radar's present at *now*."""
        return self.now - self.ahead

    @property
    def time(self) -> AnswerTime:
        """What decides whether it counts."""
        return AnswerTime(self.asked_at or self.now, self.now, self.answer.meta.last_updated)


class FetchError(Protocol):
    """What is kept of a request that brought no trusted answer, beside its text; RateLimited has *not_before* too."""

    @property
    def outcome(self) -> str:
        """The word on record."""

    @property
    def status(self) -> int | None:
        """HTTP's status, where there was one."""

    @property
    def code(self) -> int | None:
        """The API's error code, where there was one."""


def begin(connection: sa.Connection, errands: Sequence[FetchRequest]) -> list[StartedFetch | Wait]:
    """Put requests on record, or say how long to wait; of all processes one at a time decides.

    LeaseLost for a replica that was buried.
    """
    replicas.check(connection, errands[0].replica_id)
    advisory_lock(connection, BUDGET)
    now, limit = min(errand.now for errand in errands), min(errand.limit for errand in errands)
    if errands[0].replica_id == NO_REPLICA:  # replicas all go by the database's clock, which runs ahead of nobody
        repair_future_timestamps(connection, now)
    standing = budget(connection, now, limit)
    if standing.blocked_until:
        return [Wait(standing.blocked_until, "blocked")] * len(errands)
    credentials = errands[0].credentials
    in_force = upstream.throttles(connection, credentials, now)
    allowed = min((throttle.allowed for throttle in in_force), default=len(errands))
    free = max(limit - standing.used, 0)
    entered = _enter(connection, errands[: min(free, allowed)])
    if entered and any(one.wait.reason == "credentials" for one in in_force):
        upstream.start_probe(connection, credentials, entered[0].fetch_id)
    if len(entered) == len(errands):
        return [*entered]
    if in_force and free >= allowed:
        wait = min(in_force, key=lambda throttle: throttle.allowed).wait
    else:
        wait = Wait(first_free_at(connection, now, max(standing.used - limit, 0)), "budget")
    return [*entered, *[wait] * (len(errands) - len(entered))]


def _enter(connection: sa.Connection, errands: Sequence[FetchRequest]) -> list[StartedFetch]:
    if not errands:
        return []
    begun = [StartedFetch(row.id) for row in connection.execute(_BEGIN, [_started(errand) for errand in errands])]
    links = [
        {"profile": profile, "fetch_id": entry.fetch_id}
        for entry, errand in zip(begun, errands, strict=True)
        for profile in sorted(set(errand.profiles))
    ]
    if links:
        connection.execute(_LINK, links)
    return begun


def _started(errand: FetchRequest) -> dict[str, object]:
    return {
        "started_at": errand.now,
        "outcome": "started",
        "request": str(errand.batch),
        "profiles": json.dumps(list(errand.profiles), ensure_ascii=False),
        "positions": len(errand.batch.slices),
        "agg_interval": errand.batch.agg_interval.value,
        "replica_id": errand.replica_id,
        "windows": json.dumps([[rfc3339(one.start), rfc3339(one.end)] for one in errand.batch.windows]),
    }


def recorded(connection: sa.Connection, fetch_ids: Sequence[int]) -> tuple[dict[int, SaveResult], dict[int, datetime]]:
    """Tell what those of the fetches have saved that are not under way, and when each of all was requested.

    ValueRejected if one ended otherwise.
    """
    found = {row.id: row for row in connection.execute(_RECORDED, {"fetch_ids": fetch_ids})}
    for fetch_id in fetch_ids:
        outcome = found[fetch_id].outcome if fetch_id in found else "unknown"
        if outcome not in ("started", "ok"):
            raise ValueRejected(f"fetch {fetch_id} is {outcome}, so its answer comes too late to be saved")
    ended = (row for row in found.values() if row.outcome == "ok")
    saved = {
        row.id: SaveResult(row.inserted, row.revised, row.unchanged, row.vanished, row.ignored or 0) for row in ended
    }
    return saved, {row.id: row.started_at for row in found.values()}


def succeed(connection: sa.Connection, ended: Sequence[tuple[ReceivedAnswer, SaveResult]]) -> None:
    """Note that fetches brought an answer, and add to the counts of the backfills that they are for."""
    if ended:
        connection.execute(_SUCCEED, [_success(*each) for each in ended])
    for job_id in sorted({arrival.job_id for arrival, _ in ended if arrival.job_id is not None}):
        backfills.count(connection, job_id, [_progress(*each) for each in ended if each[0].job_id == job_id])


def _progress(arrival: ReceivedAnswer, saved: SaveResult) -> JobProgress:
    return JobProgress(
        requests=1,
        windows=len(arrival.batch.slices),
        points_inserted=saved.inserted,
        points_revised=saved.revised,
        points_unchanged=saved.unchanged,
        points_ignored=saved.counts.get("ignored", 0),
    )


def _success(arrival: ReceivedAnswer, saved: SaveResult) -> dict[str, object]:
    meta = arrival.answer.meta
    return {
        "fetch_id": arrival.fetch_id,
        "finished_at": arrival.now,
        "outcome": "ok",
        "status": 200,
        "last_updated": meta.last_updated,
        "normalization": meta.normalization,
        "unit": meta.unit,
        "confidence_level": meta.confidence_level,
        "bytes": arrival.size,
        **saved.counts,
    }


def fail(connection: sa.Connection, fetch_id: int, error: FetchError, now: datetime, credentials: str = "") -> None:
    """Note that a fetch brought no answer, and until when nothing may be asked, where the server named a time."""
    outcome = str(error.outcome)
    values = {"finished_at": now, "outcome": outcome, "status": error.status, "code": error.code}
    message = str(error)[:_LONGEST_MESSAGE]
    under_way = sa.and_(fetches.c.id == fetch_id, fetches.c.outcome == "started")
    connection.execute(sa.update(fetches).where(under_way).values(**values, message=message))
    if credentials and outcome == "unauthorized":
        upstream.reject_credentials(connection, credentials, fetch_id)
    not_before = getattr(error, "not_before", None)
    if not_before:
        advisory_lock(connection, BUDGET)
        repair_future_timestamps(connection, now)
        blocked = sql.get_state(connection, BLOCKED_UNTIL)
        if not blocked or not_before > utc(blocked):
            block(connection, now, not_before)


def interrupt(connection: sa.Connection, now: datetime) -> int:
    """End the fetches that a dead process left under way; gives their number.

    Where several processes may write, those of replicas end with them, see `replicas`, and those of others count as
    left when no request can take so long.
    """
    left = fetches.c.outcome == "started"
    if connection.dialect.name == "postgresql":
        asking = sa.select(replicas_table.c.id).where(replicas_table.c.id == fetches.c.replica_id)
        left = sa.and_(left, fetches.c.started_at < now - _ABANDONED, ~asking.exists())
    values = {"outcome": "interrupted", "finished_at": now, "message": "the process ended before the answer came"}
    return connection.execute(sa.update(fetches).where(left).values(values)).rowcount


DAY = timedelta(days=1)
"""How long an answer overrules those with an earlier lastUpdated."""


@dataclass(frozen=True, slots=True)
class AnswerTime:
    """When an answer was requested, when it came, both by the store's clock, and its lastUpdated."""

    asked_at: datetime
    came_at: datetime
    last_updated: datetime


def overrules(other: AnswerTime, answer: AnswerTime) -> bool:
    """Tell whether *other* keeps *answer* from changing anything.

    It does with a later lastUpdated, until *answer* was requested more than a day after *other* came: a lastUpdated
    that stays back for longer counts in the end. Of equal ones the answer that was requested later counts.
    """
    if other.last_updated == answer.last_updated:
        return other.asked_at > answer.asked_at
    return other.last_updated > answer.last_updated and answer.asked_at <= other.came_at + DAY


@dataclass(frozen=True, slots=True)
class NewestAnswer:
    """When the newest answer for a profile came, its lastUpdated and its confidence level."""

    finished_at: datetime
    last_updated: datetime
    confidence_level: int | None


def newest_answer(connection: sa.Connection, profile: str) -> NewestAnswer | None:
    """Find the newest answer for *profile*; None before the first."""
    linked = sa.and_(fetch_profiles.c.fetch_id == fetches.c.id, fetch_profiles.c.profile == profile)
    told = sa.select(fetches.c.finished_at, fetches.c.last_updated, fetches.c.confidence_level)
    told = told.join(fetch_profiles, linked).where(fetches.c.outcome == "ok")
    row = connection.execute(told.order_by(fetch_profiles.c.fetch_id.desc()).limit(1)).one_or_none()
    return NewestAnswer(*row) if row else None
