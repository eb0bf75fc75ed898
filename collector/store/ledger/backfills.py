"""Backfills: jobs that fetch history, and the queue of windows that each still has to request.

enqueue, once  →  claim some windows  →  complete what was requested  →  …  →  no window is left: the job ends

Jobs are on record so that they resume after a restart. Every step holds the job's row, so each replica sees what the
others have claimed. A claimed window belongs to its replica until it is completed, or until that replica is gone. Each
step may be repeated.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.model import Slice, Window
from collector.store.db.schema import backfill_windows as windows
from collector.store.db.schema import backfills
from collector.store.db.schema import backfills as jobs
from collector.store.db.schema import replicas as replicas_table
from collector.store.db.sql import upsert
from collector.store.ledger import replicas
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question

    Slices = Sequence[Slice]

_OPEN = ("queued", "running")
UNPLANNED = ("queued", "stopped")
"""The windows of a job in one of these states are not enqueued yet."""
OVER = ("done", "failed", "cancelled")
"""A job in one of these states is never continued."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The progress of a backfill.

    *buckets* is the number for all series, *buckets_done* of these are answered or given up; *windows* are the answered
    slices. *points_ignored* counts buckets of overruled answers. *gaps_remaining* counts the buckets that were absent
    when the job ended; None while that is unknown.
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
    """The history of *profiles* from *start* up to, not including, *end*; *force* requests stored points, too."""

    profiles: tuple[str, ...]
    start: datetime
    end: datetime
    force: bool = False


def backfill_request(
    profiles: Sequence[str], start: datetime, end: datetime | None, now: datetime, *, force: bool
) -> BackfillRequest:
    """Return the request for history on the grid of 15 minutes, up to *now* at most.

    Raises ValueError if start is not before end.
    """
    slot = AggInterval.FIFTEEN_MINUTES
    until = slot.floor(min(end or now, now))
    if slot.floor(start) >= until:
        raise ValueError(f"start {rfc3339(start)} does not lie before {'end ' if end else 'now '}{rfc3339(until)}")
    return BackfillRequest(tuple(profiles), slot.floor(start), until, force)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of a job: `queued`, `running`, `stopped`, `done`, `cancelled`, or `failed`; *message* is the reason.

    A `failed` job could not fetch a part of its history, or none of it.
    """

    state: str
    progress: JobProgress
    message: str | None = None

    @property
    def ended(self) -> bool:
        """Return whether the job has ended."""
        return self.state not in _OPEN

    @property
    def over(self) -> bool:
        """Return whether the job is never continued; a `stopped` one may be."""
        return self.state in OVER

    @property
    def running(self) -> bool:
        """Return whether its windows are enqueued."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class BackfillJob:
    """A job: the *wanted* history, and its *status*."""

    id: int
    wanted: BackfillRequest
    status: JobStatus
    created_at: datetime
    finished_at: datetime | None


_COUNTED = tuple(name for name in JobProgress.__slots__ if name != "gaps_remaining")
_UNKNOWN = -1
"""In the column `gaps_remaining`: it is not known how many there are."""
_NONE_YET = dict.fromkeys(_COUNTED, 0) | {"gaps_remaining": _UNKNOWN}
_JOBS = sa.select(backfills)


def create(connection: sa.Connection, wanted: BackfillRequest, now: datetime, state: str = "queued") -> BackfillJob:
    """Add a job: `queued` for any replica, `stopped` for a process that will claim and run it itself."""
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


def listed(connection: sa.Connection, limit: int | None = None) -> list[BackfillJob]:
    """List jobs, the newest first."""
    rows = connection.execute(_JOBS.order_by(backfills.c.id.desc()).limit(limit))
    return [_backfill(row) for row in rows]


def still_open(connection: sa.Connection) -> list[BackfillJob]:
    """List the jobs that have not ended, the oldest first; a running one continues after a restart."""
    rows = connection.execute(_JOBS.where(backfills.c.state.in_(_OPEN)).order_by(backfills.c.id))
    return [_backfill(row) for row in rows]


def start(connection: sa.Connection, job: BackfillJob, buckets: int) -> BackfillJob:
    """Start a job that has to request *buckets* in addition to those that are done."""
    values = {"state": "running", "finished_at": None, "message": None}
    return _changed(connection, job, values | {"buckets": job.status.progress.buckets_done + buckets})


def requeue(connection: sa.Connection, job: BackfillJob) -> BackfillJob:
    """Put a job back on the queue unchanged; its windows are enqueued again."""
    return _changed(connection, job, {"state": "queued"})


def count(connection: sa.Connection, job_id: int, counts: Sequence[JobProgress]) -> BackfillJob:
    """Add *counts* to the counts of a job. Returns the job."""
    more = {name: sum(getattr(progress, name) for progress in counts) for name in _COUNTED}
    added = {name: sa.func.coalesce(backfills.c[name], 0) + number for name, number in more.items() if number}
    if added:
        connection.execute(sa.update(backfills).where(backfills.c.id == job_id).values(added))
    return _found(connection, job_id)


def report(connection: sa.Connection, backfill_id: int, status: JobStatus, now: datetime, **counts: int) -> None:
    """Record the state of a job, and the given counts."""
    values = {"state": status.state, "message": status.message, "finished_at": now if status.ended else None}
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
    status = JobStatus(row.state, JobProgress(**counts, gaps_remaining=gaps), row.message)
    return BackfillJob(row.id, wanted, status, row.created_at, row.finished_at)


class WindowsRequest(NamedTuple):
    """A request to claim windows of a job, of the series that the replica knows.

    *choose* gets the newest free windows and the number of replicas, and returns which to claim and which to leave; it
    may cut and join them. Without it the replica works alone, and claims all windows.
    """

    job_id: int
    known: Sequence[Question]
    now: datetime
    choose: Callable[[Slices, int], tuple[Slices, Slices]] | None
    replica_id: int


class ClaimedWindows(NamedTuple):
    """The windows of *job* that this replica has claimed.

    *again*: they may have been requested before. *left*: other replicas hold the rest.
    """

    job: BackfillJob
    mine: tuple[Slice, ...] = ()
    again: bool = False
    left: bool = False


class CompletedWindows(NamedTuple):
    """Windows of a job that are *done*, one at least, which parts of them *failed* and why, and what was counted."""

    job_id: int
    done: Slices
    failed: Mapping[Slice, str]
    counts: JobProgress


_MINE = sa.and_(
    windows.c.backfill_id == sa.bindparam("job_id"),
    windows.c.series == sa.bindparam("digest"),
    windows.c.start == sa.bindparam("since"),
)
_DONE = sa.delete(windows).where(_MINE, windows.c.replica_id == sa.bindparam("me"), windows.c.failure.is_(None))
_TAKE = sa.update(windows).where(_MINE).values(replica_id=sa.bindparam("me"))
_OTHERS = sa.select(replicas_table.c.id).where(replicas_table.c.id != sa.bindparam("me"))
_HELD = sa.func.coalesce(windows.c.replica_id.in_(_OTHERS), sa.false())
_OPEN_WINDOWS = (
    sa.select(windows)
    .where(windows.c.backfill_id == sa.bindparam("job_id"), windows.c.failure.is_(None))
    .order_by(windows.c.end.desc(), windows.c.series)
)
_TOGETHER = 1_000
_AT_ONCE = 4_000
"""So many windows are looked at for one claim, more than it takes: while they are, other replicas wait for the job."""


def _hold(connection: sa.Connection, job_id: int) -> BackfillJob:
    """Lock the row of a job until the transaction ends."""
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    job = find(connection, job_id)
    if job is None:
        raise LookupError(f"there is no backfill {job_id}")
    return job


def _rows(job_id: int, slices: Iterable[Slice], holder: int | None) -> list[dict[str, Any]]:
    keys: dict[Question, str] = {}
    return [
        {
            "backfill_id": job_id,
            "series": keys.get(slice_.series) or keys.setdefault(slice_.series, slice_.series.digest),
            "start": slice_.window.start,
            "end": slice_.window.end,
            "replica_id": holder,
        }
        for slice_ in slices
    ]


def _keys(job_id: int, slices: Iterable[Slice], replica_id: int) -> list[dict[str, Any]]:
    rows = _rows(job_id, slices, replica_id)
    return [{"job_id": job_id, "digest": row["series"], "since": row["start"], "me": replica_id} for row in rows]


def _all(connection: sa.Connection, statement: sa.Executable, rows: list[dict[str, Any]]) -> None:
    """Execute *statement* for all *rows* in groups, because a silent transaction counts as frozen."""
    for start in range(0, len(rows), _TOGETHER):
        connection.execute(statement, rows[start : start + _TOGETHER])


def enqueue(connection: sa.Connection, job_id: int, slices: Slices, holder: int | None) -> BackfillJob:
    """Enqueue the windows of a job, claimed by *holder*, unless another replica has done so."""
    job = _hold(connection, job_id)
    if job.status.state not in UNPLANNED:
        return job
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job_id))
    _all(connection, sa.insert(windows), _rows(job_id, slices, holder))
    return start(connection, job, sum(slice_.buckets for slice_ in slices))


def claim(connection: sa.Connection, request: WindowsRequest) -> ClaimedWindows:
    """Claim windows until they are completed, or the replica is gone. Raises LeaseLost if its lease has expired.

    If no replica knows the series of the remaining windows, the windows of the job are enqueued again.
    """
    replicas.check(connection, request.replica_id)
    replicas.expire(connection, request.now)
    job = _hold(connection, request.job_id)
    if job.status.state != "running":
        return ClaimedWindows(job)
    known = {query.digest: query for query in request.known}
    free = _OPEN_WINDOWS.where(windows.c.series.in_(known), sa.not_(_HELD)).limit(
        None if request.choose is None else _AT_ONCE
    )
    ours = {"job_id": job.id, "me": request.replica_id}
    rows = connection.execute(free, ours).all()
    if not rows:
        held = [*connection.execute(_OPEN_WINDOWS.with_only_columns(_HELD).distinct().order_by(None), ours).scalars()]
        return ClaimedWindows(requeue(connection, job) if held == [False] else job, left=bool(held))
    slices = [Slice(known[row.series], Window(row.start, row.end)) for row in rows]
    mine = _choose(connection, request, slices)
    return ClaimedWindows(job, tuple(mine), again=any(row.replica_id is not None for row in rows))


def _choose(connection: sa.Connection, request: WindowsRequest, free: Slices) -> Slices:
    if request.choose is None:
        return free
    mine, rest = request.choose(free, replicas.count(connection))
    if {*mine, *rest} == {*free}:
        _all(connection, _TAKE, _keys(request.job_id, mine, request.replica_id))
    else:
        _all(connection, sa.delete(windows).where(_MINE), _keys(request.job_id, free, request.replica_id))
        _all(connection, sa.insert(windows), _rows(request.job_id, mine, request.replica_id))
        _all(connection, sa.insert(windows), _rows(request.job_id, rest, None))
    return mine


def complete(connection: sa.Connection, completed: CompletedWindows, replica_id: int) -> BackfillJob:
    """Complete windows, and add their progress to the job. Raises LeaseLost if the replica's lease has expired.

    A window that is completed already is not counted again.
    """
    replicas.check(connection, replica_id)
    job = _hold(connection, completed.job_id)
    done = _keys(job.id, completed.done, replica_id)
    if not connection.execute(_DONE, done[0]).rowcount:
        return job
    _all(connection, _DONE, done[1:])
    failed = zip(_rows(job.id, completed.failed, replica_id), completed.failed.values(), strict=True)
    insert = upsert(connection, windows).on_conflict_do_nothing()
    _all(connection, insert, [row | {"failure": why} for row, why in failed])
    return count(connection, job.id, [completed.counts])


def end(connection: sa.Connection, job_id: int, gaps: int, now: datetime) -> BackfillJob | None:
    """End a job of which nothing is left, *gaps* buckets excepted; None if it has ended, or something is left."""
    job = _hold(connection, job_id)
    ours = windows.c.backfill_id == job_id
    newest_first = sa.select(windows.c.failure).where(ours).order_by(windows.c.end.desc(), windows.c.series)
    failures = [*connection.execute(newest_first).scalars()]
    if job.status.state != "running" or None in failures:
        return None
    connection.execute(sa.delete(windows).where(ours))
    status = JobStatus("failed" if failures else "done", job.status.progress, next(iter(failures), None))
    report(connection, job_id, status, now, windows_failed=len(failures), gaps_remaining=gaps)
    return find(connection, job_id)


def cancel(connection: sa.Connection, job_id: int, now: datetime) -> BackfillJob:
    """Cancel a job unless it has ended. Raises LookupError if there is no such job.

    Replicas that work on it notice the state, because none of its windows is left.
    """
    job = _hold(connection, job_id)
    if job.status.state in OVER:
        return job
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job_id))
    status = JobStatus("cancelled", job.status.progress, "cancelled before all of it was asked for")
    report(connection, job_id, status, now)
    return _hold(connection, job_id)


class Stop(NamedTuple):
    """A replica ends a job before all its windows were requested, as `stopped` or `failed`, with the reason.

    *gaps* of its buckets are absent; None: unknown.
    """

    job_id: int
    status: JobStatus
    now: datetime
    replica_id: int
    gaps: int | None = None


def stop(connection: sa.Connection, word: Stop) -> None:
    """End a job before all its windows were requested, unless it has ended.

    Raises LeaseLost if the lease has expired.
    """
    replicas.check(connection, word.replica_id)
    job = _hold(connection, word.job_id)
    if job.status.state in OVER:
        return
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job.id))
    done = max(job.status.progress.buckets_done, word.status.progress.buckets_done)
    counts = {"buckets_done": done} | ({} if word.gaps is None else {"gaps_remaining": word.gaps})
    report(connection, job.id, word.status, word.now, **counts)
