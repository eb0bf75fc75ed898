"""Backfills: jobs that fetch history, on record so that they resume after a restart."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import AggInterval, rfc3339
from collector.store.db.schema import backfills

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


_OPEN = ("queued", "running")
UNPLANNED = ("queued", "stopped")
"""Of a job in one of these states it is not known what it has to ask for."""
OVER = ("done", "failed", "cancelled")
"""A job in one of these states is never continued."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a backfill has come.

    *buckets* of all series are wanted, *buckets_done* of them answered or given up; *windows* are the answered slices.
    *points_ignored* counts buckets of answers that did not count. *gaps_remaining* counts the buckets that were absent
    of what is wanted when the job ended; None while that is not known.
    """

    buckets: int = 0
    buckets_done: int = 0
    requests: int = 0
    windows: int = 0
    points_inserted: int = 0
    points_revised: int = 0
    points_unchanged: int = 0
    windows_failed: int = 0
    gaps_remaining: int | None = None
    points_ignored: int = 0


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """The history of *profiles* from *start* up to, not including, *end*; *force* asks for what is there, too."""

    profiles: tuple[str, ...]
    start: datetime
    end: datetime
    force: bool = False


def backfill_request(
    profiles: Sequence[str], start: datetime, end: datetime | None, now: datetime, *, force: bool
) -> BackfillRequest:
    """Order history on the grid of 15 minutes, up to *now* at most; ValueError where start does not lie before end."""
    slot = AggInterval.FIFTEEN_MINUTES
    until = slot.floor(min(end or now, now))
    if slot.floor(start) >= until:
        raise ValueError(f"start {rfc3339(start)} does not lie before {'end ' if end else 'now '}{rfc3339(until)}")
    return BackfillRequest(tuple(profiles), slot.floor(start), until, force)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stands: `queued`, `running`, `stopped`, `done`, `cancelled`, or `failed`; *message* says why.

    A `failed` job lacks a part of what is wanted, or could not be done at all.
    """

    state: str
    progress: JobProgress
    message: str | None = None

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.state not in _OPEN

    @property
    def over(self) -> bool:
        """Tell whether it is never continued; a `stopped` one may be."""
        return self.state in OVER

    @property
    def running(self) -> bool:
        """Tell whether it is on record what there is to ask for."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class BackfillJob:
    """A job: what is *wanted*, and how it is *standing*."""

    id: int
    wanted: BackfillRequest
    standing: JobStatus
    created_at: datetime
    finished_at: datetime | None


_COUNTED = tuple(name for name in JobProgress.__slots__ if name != "gaps_remaining")
_UNKNOWN = -1
"""In the column `gaps_remaining`: it is not known how many there are."""
_NONE_YET = dict.fromkeys(_COUNTED, 0) | {"gaps_remaining": _UNKNOWN}
_JOBS = sa.select(backfills)


def create(connection: sa.Connection, wanted: BackfillRequest, now: datetime, state: str) -> BackfillJob:
    """Put a new job on record in that *state*."""
    row = asdict(wanted) | {"profiles": json.dumps(wanted.profiles), "state": state, "created_at": now}
    created = connection.execute(sa.insert(backfills).values(row | _NONE_YET).returning(backfills.c.id))
    return _found(connection, created.scalar_one())


def extend(connection: sa.Connection, job: BackfillJob, wanted: BackfillRequest) -> BackfillJob:
    """Put a job back on the queue, up to another end."""
    values = {"state": "queued", "end": wanted.end, "finished_at": None, "message": None, "gaps_remaining": _UNKNOWN}
    return _changed(connection, job, values)


def find(connection: sa.Connection, backfill_id: int) -> BackfillJob | None:
    """Find a job by its id."""
    row = connection.execute(_JOBS.where(backfills.c.id == backfill_id)).one_or_none()
    return _backfill(row) if row else None


def listed(connection: sa.Connection, limit: int | None) -> list[BackfillJob]:
    """List jobs, the newest first."""
    found = connection.execute(_JOBS.order_by(backfills.c.id.desc()).limit(limit))
    return [_backfill(row) for row in found]


def still_open(connection: sa.Connection) -> list[BackfillJob]:
    """List the jobs that have not ended, the oldest first: one that runs already goes on after a restart."""
    found = connection.execute(_JOBS.where(backfills.c.state.in_(_OPEN)).order_by(backfills.c.id))
    return [_backfill(row) for row in found]


def begin(connection: sa.Connection, job: BackfillJob, buckets: int) -> BackfillJob:
    """Let a job run that has *buckets* to ask for, beside those that are done."""
    values = {"state": "running", "finished_at": None, "message": None}
    return _changed(connection, job, values | {"buckets": job.standing.progress.buckets_done + buckets})


def requeue(connection: sa.Connection, job: BackfillJob) -> BackfillJob:
    """Put a job back on the queue as it is, to be planned anew."""
    return _changed(connection, job, {"state": "queued"})


def count(connection: sa.Connection, job_id: int, counts: Sequence[JobProgress]) -> BackfillJob:
    """Add to the counts of a job."""
    more = {name: sum(getattr(one, name) for one in counts) for name in _COUNTED}
    added = {name: sa.func.coalesce(backfills.c[name], 0) + number for name, number in more.items() if number}
    if added:
        connection.execute(sa.update(backfills).where(backfills.c.id == job_id).values(added))
    return _found(connection, job_id)


def report(connection: sa.Connection, backfill_id: int, standing: JobStatus, now: datetime, **counts: int) -> None:
    """Write down how a job stands, and those of its counts that are given."""
    values = {"state": standing.state, "message": standing.message, "finished_at": now if standing.ended else None}
    connection.execute(sa.update(backfills).where(backfills.c.id == backfill_id).values(**values, **counts))


def _changed(connection: sa.Connection, job: BackfillJob, values: Mapping[str, Any]) -> BackfillJob:
    connection.execute(sa.update(backfills).where(backfills.c.id == job.id).values(values))
    return _found(connection, job.id)


def _found(connection: sa.Connection, backfill_id: int) -> BackfillJob:
    job = find(connection, backfill_id)
    if job is None:
        raise LookupError(f"there is no backfill {backfill_id}")
    return job


def _backfill(row: sa.Row[Any]) -> BackfillJob:
    wanted = BackfillRequest(tuple(json.loads(row.profiles)), row.start, row.end, force=bool(row.force))
    counts = {name: getattr(row, name) or 0 for name in _COUNTED}
    gaps = None if row.gaps_remaining == _UNKNOWN else row.gaps_remaining
    standing = JobStatus(row.state, JobProgress(**counts, gaps_remaining=gaps), row.message)
    return BackfillJob(row.id, wanted, standing, row.created_at, row.finished_at)
