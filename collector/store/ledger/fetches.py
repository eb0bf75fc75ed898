"""Fetches: the ledger of requests to Radar, each recorded before it is sent, with its outcome."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

import sqlalchemy as sa

from collector.circuit_breaker import Wait
from collector.model import Window
from collector.store.db import sql
from collector.store.db.driver_select import DriverSelect
from collector.store.db.records import insert_fetches
from collector.store.db.schema import fetch_profiles, fetches
from collector.store.db.schema import replicas as replicas_table
from collector.store.db.sql import BUDGET, advisory_lock
from collector.store.errors import ValueRejected
from collector.store.ledger import backfills, replicas, upstream
from collector.store.ledger.backfills import JobProgress
from collector.store.ledger.replicas import NO_REPLICA
from collector.store.ledger.upstream import BLOCKED_UNTIL, block, budget, first_free_at, repair_future_timestamps
from collector.timestamps import rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from collector.model import Answer, Batch, Question, Slice


_ABANDONED = timedelta(minutes=15)
_LONGEST_MESSAGE = 2_000

_LINK = sa.insert(fetch_profiles)
_THIS = fetches.c.id == sa.bindparam("fetch_id")
COUNTS = ("inserted", "revised", "unchanged", "vanished", "ignored")
"""What is counted of an answer's buckets, as on record."""
_COUNTS = [fetches.c[name] for name in COUNTS]
_THESE = fetches.c.id.in_(sa.bindparam("fetch_ids", expanding=True))
_RECORDED = DriverSelect(
    sa.select(fetches.c.id, fetches.c.outcome, fetches.c.started_at, *_COUNTS)
    .where(_THESE)
    .order_by(fetches.c.id)
    .with_for_update()
)
_SUCCEED = sa.update(fetches).where(_THIS)


class FetchRequest(NamedTuple):
    """A request that a replica would like to send *now*: at most *limit* in any 300 seconds.

    *credentials* are known by their fingerprint, *path* is that of the URL.
    """

    batch: Batch
    profiles: Sequence[str]
    now: datetime
    limit: int
    replica_id: int = NO_REPLICA
    credentials: str = ""
    path: str = ""


class StartedFetch(NamedTuple):
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


class ReceivedAnswer(NamedTuple):
    """The answer to a fetch's *batch*, received at *now*: *size* bytes, for the backfill *job_id* if there is one.

    With *force* no answer overrules it. *now* is *ahead* of Radar's present by this much. *asked_at* is when the
    request was recorded, *absolute* whether values of two such answers compare; the store sets both.
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
    """The recorded part of a failed request, besides its text. RateLimited has *not_before*, a 403 its *path*, too."""

    @property
    def outcome(self) -> str:
        """The word on record."""

    @property
    def status(self) -> int | None:
        """HTTP's status, where there was one."""

    @property
    def code(self) -> int | None:
        """The API's error code, where there was one."""


def start(connection: sa.Connection, requests: Sequence[FetchRequest]) -> list[StartedFetch | Wait]:
    """Put requests on record, or return how long to wait. A lock lets one process at a time decide.

    Raises LeaseLost if the lease of the replica has expired.
    """
    replicas.check(connection, requests[0].replica_id)
    advisory_lock(connection, BUDGET)
    now, limit = min(request.now for request in requests), min(request.limit for request in requests)
    if requests[0].replica_id == NO_REPLICA:  # because replicas use the database's clock, which is never ahead
        repair_future_timestamps(connection, now)
    current = budget(connection, now, limit)
    if current.blocked_until:
        return [Wait(current.blocked_until, "blocked")] * len(requests)
    credentials, path = requests[0].credentials, requests[0].path
    in_force = upstream.throttles(connection, credentials, now, path)
    if len({request.path for request in requests}) > 1 and any(t.wait.reason == "credentials" for t in in_force):
        return [outcome for request in requests for outcome in start(connection, [request])]
    allowed = min((throttle.allowed for throttle in in_force), default=len(requests))
    free = max(limit - current.used, 0)
    started = _insert(connection, requests[: min(free, allowed)])
    if started and any(throttle.wait.reason == "credentials" for throttle in in_force):
        upstream.start_probe(connection, credentials, started[0].fetch_id)
    if len(started) == len(requests):
        return [*started]
    if in_force and free >= allowed:
        wait = min(in_force, key=lambda throttle: throttle.allowed).wait
        if wait.reason == "credentials" and wait.cause:
            upstream.await_turn(connection, credentials, path)
    else:
        wait = Wait(first_free_at(connection, now, max(current.used - limit, 0)), "budget")
    return [*started, *[wait] * (len(requests) - len(started))]


def _insert(connection: sa.Connection, requests: Sequence[FetchRequest]) -> list[StartedFetch]:
    if not requests:
        return []
    rows = [
        {
            "started_at": request.now,
            "outcome": "started",
            "request": str(request.batch),
            "profiles": json.dumps(list(request.profiles), ensure_ascii=False),
            "positions": len(request.batch.slices),
            "agg_interval": request.batch.agg_interval.value if request.batch.slices else "",
            "replica_id": request.replica_id,
            "windows": windows_text(request.batch),
        }
        for request in requests
    ]
    started = [StartedFetch(fetch_id) for fetch_id in insert_fetches(connection, rows)]
    links = [
        {"profile": profile, "fetch_id": fetch.fetch_id}
        for fetch, request in zip(started, requests, strict=True)
        for profile in sorted(set(request.profiles))
    ]
    if links:
        connection.execute(_LINK, links)
    return started


def windows_text(batch: Batch) -> str | None:
    """Write the windows of a batch as JSON, [start, end] of each position; None if all are the one in its text."""
    if len(set(batch.windows)) <= 1:
        return None
    return json.dumps([[rfc3339(window.start), rfc3339(window.end)] for window in batch.windows])


def windows_of(windows: str | None, request: str, positions: int) -> tuple[Window, ...] | None:
    """Read the windows of a request, one per position; None if it is not on record."""
    if windows is not None:
        return tuple(Window(utc(start), utc(end)) for start, end in json.loads(windows))
    start, separator, end = request.rpartition(" over ")[2].partition("..")
    return (Window(utc(start), utc(end)),) * positions if separator and " in " not in end else None


def shorten_windows(connection: sa.Connection, fetch_ids: Sequence[int]) -> None:
    """Delete the windows of fetches that their text tells, too."""
    columns = fetches.c.id, fetches.c.windows, fetches.c.request, fetches.c.positions
    rows = connection.execute(sa.select(*columns).where(fetches.c.id.in_(fetch_ids), fetches.c.windows.is_not(None)))
    redundant = [
        fetch_id
        for fetch_id, windows, request, positions in rows
        if windows_of(None, request, positions) == windows_of(windows, request, positions)
    ]
    if redundant:
        connection.execute(sa.update(fetches).where(fetches.c.id.in_(redundant)).values(windows=None))


def recorded(connection: sa.Connection, fetch_ids: Sequence[int]) -> tuple[dict[int, SaveResult], dict[int, datetime]]:
    """Return the results of the fetches that have ended, and the request time of each fetch.

    Raises ValueRejected if one ended without an answer.
    """
    rows_by_id = {row.id: row for row in _RECORDED.rows(connection, {"fetch_ids": list(fetch_ids)})}
    for fetch_id in fetch_ids:
        outcome = rows_by_id[fetch_id].outcome if fetch_id in rows_by_id else "unknown"
        if outcome not in ("started", "ok"):
            raise ValueRejected(f"fetch {fetch_id} is {outcome}, so its answer comes too late to be saved")
    ended = (row for row in rows_by_id.values() if row.outcome == "ok")
    saved = {
        row.id: SaveResult(row.inserted, row.revised, row.unchanged, row.vanished, row.ignored or 0) for row in ended
    }
    return saved, {row.id: row.started_at for row in rows_by_id.values()}


def succeed(connection: sa.Connection, ended: Sequence[tuple[ReceivedAnswer, SaveResult]]) -> None:
    """Record that fetches have an answer, and add to the progress of the backfills that they are for."""
    rows: list[dict[str, object]] = []
    by_job: dict[int, list[JobProgress]] = defaultdict(list)
    for answer, saved in ended:
        meta = answer.answer.meta
        row = {name: getattr(meta, name) for name in ("last_updated", "normalization", "unit", "confidence_level")}
        row |= {"fetch_id": answer.fetch_id, "finished_at": answer.now, "outcome": "ok", "status": 200}
        rows.append({**row, "bytes": answer.size, **saved.counts})
        if answer.job_id is not None:
            progress = JobProgress(
                requests=1,
                windows=len(answer.batch.slices),
                points_inserted=saved.inserted,
                points_revised=saved.revised,
                points_unchanged=saved.unchanged,
                points_ignored=saved.ignored,
            )
            by_job[answer.job_id].append(progress)
    if rows:
        connection.execute(_SUCCEED, rows)
    for job_id, counts in sorted(by_job.items()):
        backfills.count(connection, job_id, counts)


def fail(connection: sa.Connection, fetch_id: int, error: FetchError, now: datetime, credentials: str = "") -> None:
    """Record that a fetch failed, and until when no request may be sent if the server named a time."""
    outcome = str(error.outcome)
    values = {"finished_at": now, "outcome": outcome, "status": error.status, "code": error.code}
    message = str(error)[:_LONGEST_MESSAGE]
    under_way = sa.and_(fetches.c.id == fetch_id, fetches.c.outcome == "started")
    connection.execute(sa.update(fetches).where(under_way).values(**values, message=message))
    if credentials and outcome == "unauthorized":
        upstream.reject_credentials(connection, credentials, fetch_id, getattr(error, "path", ""))
    if credentials and outcome == "forbidden":
        upstream.refuse_path(connection, credentials, getattr(error, "path", ""))
    not_before = getattr(error, "not_before", None)
    if not_before:
        advisory_lock(connection, BUDGET)
        repair_future_timestamps(connection, now)
        blocked = sql.get_state(connection, BLOCKED_UNTIL)
        if not blocked or not_before > utc(blocked):
            block(connection, now, not_before)


def interrupt(connection: sa.Connection, now: datetime) -> int:
    """End the fetches that a dead process left under way; returns their number.

    On Postgres the fetches of replicas end with these, see `replicas`. Those of other processes count as abandoned once
    no request can take so long.
    """
    left = fetches.c.outcome == "started"
    if connection.dialect.name == "postgresql":
        asking = sa.select(replicas_table.c.id).where(replicas_table.c.id == fetches.c.replica_id)
        left = sa.and_(left, fetches.c.started_at < now - _ABANDONED, ~asking.exists())
    values = {"outcome": "interrupted", "finished_at": now, "message": "the process ended before the answer came"}
    ended = sa.update(fetches).where(left).values(values).returning(fetches.c.outcome)
    return len(connection.execute(ended).all())


DAY = timedelta(days=1)
"""How long an answer overrules those with an earlier lastUpdated."""


class AnswerTime(NamedTuple):
    """When an answer was requested, when it came, both by the store's clock, and its lastUpdated."""

    asked_at: datetime
    came_at: datetime
    last_updated: datetime


def overrules(other: AnswerTime, answer: AnswerTime) -> bool:
    """Return whether *other* keeps *answer* from changing anything.

    It does if its lastUpdated is later, until *answer* was requested more than a day after *other* came, because a
    lastUpdated that stays back for longer must count in the end. If both are equal, the answer that was requested later
    counts.
    """
    if other.last_updated == answer.last_updated:
        return other.asked_at > answer.asked_at
    return other.last_updated > answer.last_updated and answer.asked_at <= other.came_at + DAY


class NewestAnswer(NamedTuple):
    """When the newest answer for a profile came, its lastUpdated and its confidence level."""

    finished_at: datetime
    last_updated: datetime
    confidence_level: int | None


def newest_answer(connection: sa.Connection, profile: str) -> NewestAnswer | None:
    """Return the newest answer for *profile*; None before the first answer."""
    linked = sa.and_(fetch_profiles.c.fetch_id == fetches.c.id, fetch_profiles.c.profile == profile)
    select = sa.select(fetches.c.finished_at, fetches.c.last_updated, fetches.c.confidence_level)
    select = select.join(fetch_profiles, linked).where(fetches.c.outcome == "ok")
    row = connection.execute(select.order_by(fetch_profiles.c.fetch_id.desc()).limit(1)).one_or_none()
    return NewestAnswer(*row) if row else None
