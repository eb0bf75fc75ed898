"""Backfills: jobs that fetch history, and the queue of windows that each still has to request.

enqueue, once  →  claim some windows  →  complete what was requested  →  …  →  no window is left: the job ends

Jobs are on record so that they resume after a restart. Every step holds the job's row, so each replica sees what the
others have claimed. A claimed window belongs to its replica until it is completed, or until that replica is gone. Each
step may be repeated.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import AggInterval, Slice, Window, rfc3339
from collector.store.db.schema import backfill_windows as windows
from collector.store.db.schema import backfills
from collector.store.db.schema import backfills as jobs
from collector.store.db.schema import replicas as replicas_table
from collector.store.db.sql import upsert
from collector.store.ledger import replicas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question

    Slices = Sequence[Slice]

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


@dataclass(frozen=True, slots=True)
class WindowsRequest:
    """What a replica would claim of a job's windows, as far as it knows their series.

    *choose* is given the newest free windows and the number of replicas, and gives which to take and which to leave; it
    may cut and join them. Without it the replica is alone at the job, and all of it is the replica's.
    """

    job_id: int
    known: Sequence[Question]
    now: datetime
    choose: Callable[[Slices, int], tuple[Slices, Slices]] | None
    replica_id: int


@dataclass(frozen=True, slots=True)
class ClaimedWindows:
    """What of a *job* is *mine* now; *again*: somebody may have been at it before. *left*: others are at the rest."""

    job: BackfillJob
    mine: tuple[Slice, ...] = ()
    again: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class CompletedWindows:
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
    """Let nobody else change anything of a job until the transaction ends."""
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
            "series": keys.get(piece.series) or keys.setdefault(piece.series, piece.series.digest),
            "start": piece.window.start,
            "end": piece.window.end,
            "replica_id": holder,
        }
        for piece in slices
    ]


def _keys(job_id: int, slices: Iterable[Slice], replica_id: int) -> list[dict[str, Any]]:
    rows = _rows(job_id, slices, replica_id)
    return [{"job_id": job_id, "digest": row["series"], "since": row["start"], "me": replica_id} for row in rows]


def _all(connection: sa.Connection, statement: sa.Executable, rows: list[dict[str, Any]]) -> None:
    """Do *statement* for all *rows*, in groups: a transaction that is silent for long counts as a frozen process's."""
    for start in range(0, len(rows), _TOGETHER):
        connection.execute(statement, rows[start : start + _TOGETHER])


def plan(connection: sa.Connection, job_id: int, slices: Slices, holder: int | None) -> BackfillJob:
    """Put on record what a job has to ask for, claimed by *holder*, unless another replica has done so by now."""
    job = _hold(connection, job_id)
    if job.standing.state not in UNPLANNED:
        return job
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job_id))
    _all(connection, sa.insert(windows), _rows(job_id, slices, holder))
    return begin(connection, job, sum(piece.buckets for piece in slices))


def claim(connection: sa.Connection, wish: WindowsRequest) -> ClaimedWindows:
    """Claim windows until they are settled, or the replica is gone; LeaseLost where it is.

    A job of which all that is left is of series that nobody here knows is planned anew.
    """
    replicas.check(connection, wish.replica_id)
    replicas.expire(connection, wish.now)
    job = _hold(connection, wish.job_id)
    if job.standing.state != "running":
        return ClaimedWindows(job)
    known = {query.digest: query for query in wish.known}
    free = _OPEN_WINDOWS.where(windows.c.series.in_(known), sa.not_(_HELD)).limit(
        None if wish.choose is None else _AT_ONCE
    )
    ours = {"job_id": job.id, "me": wish.replica_id}
    rows = connection.execute(free, ours).all()
    if not rows:
        held = [*connection.execute(_OPEN_WINDOWS.with_only_columns(_HELD).distinct().order_by(None), ours).scalars()]
        return ClaimedWindows(requeue(connection, job) if held == [False] else job, left=bool(held))
    slices = [Slice(known[row.series], Window(row.start, row.end)) for row in rows]
    mine = _take(connection, wish, slices)
    return ClaimedWindows(job, tuple(mine), again=any(row.replica_id is not None for row in rows))


def _take(connection: sa.Connection, wish: WindowsRequest, free: Slices) -> Slices:
    if wish.choose is None:
        return free
    mine, rest = wish.choose(free, replicas.count(connection))
    if {*mine, *rest} == {*free}:
        _all(connection, _TAKE, _keys(wish.job_id, mine, wish.replica_id))
    else:
        _all(connection, sa.delete(windows).where(_MINE), _keys(wish.job_id, free, wish.replica_id))
        _all(connection, sa.insert(windows), _rows(wish.job_id, mine, wish.replica_id))
        _all(connection, sa.insert(windows), _rows(wish.job_id, rest, None))
    return mine


def settle(connection: sa.Connection, settled: CompletedWindows, replica_id: int) -> BackfillJob:
    """Let windows be done with, and add to the job's counts what they brought; LeaseLost for a replica that is gone.

    What is settled already is not counted a second time.
    """
    replicas.check(connection, replica_id)
    job = _hold(connection, settled.job_id)
    done = _keys(job.id, settled.done, replica_id)
    if not connection.execute(_DONE, done[0]).rowcount:
        return job
    _all(connection, _DONE, done[1:])
    failed = zip(_rows(job.id, settled.failed, replica_id), settled.failed.values(), strict=True)
    insert = upsert(connection, windows).on_conflict_do_nothing()
    _all(connection, insert, [row | {"failure": why} for row, why in failed])
    return count(connection, job.id, [settled.counts])


def end(connection: sa.Connection, job_id: int, gaps: int, now: datetime) -> BackfillJob | None:
    """End a job of which nothing is left, *gaps* buckets excepted; None where it has ended, or something is left."""
    job = _hold(connection, job_id)
    ours = windows.c.backfill_id == job_id
    newest_first = sa.select(windows.c.failure).where(ours).order_by(windows.c.end.desc(), windows.c.series)
    failures = [*connection.execute(newest_first).scalars()]
    if job.standing.state != "running" or None in failures:
        return None
    connection.execute(sa.delete(windows).where(ours))
    standing = JobStatus("failed" if failures else "done", job.standing.progress, next(iter(failures), None))
    report(connection, job_id, standing, now, windows_failed=len(failures), gaps_remaining=gaps)
    return find(connection, job_id)


def cancel(connection: sa.Connection, job_id: int, now: datetime) -> BackfillJob:
    """End a job at somebody's request, unless it is over; LookupError if there is no such job.

    Replicas that are working on it find out by its state, because none of its windows is left.
    """
    job = _hold(connection, job_id)
    if job.standing.state in OVER:
        return job
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job_id))
    standing = JobStatus("cancelled", job.standing.progress, "cancelled before all of it was asked for")
    report(connection, job_id, standing, now)
    return _hold(connection, job_id)


@dataclass(frozen=True, slots=True)
class Stop:
    """A replica's word that a job ends before all of it was asked for, as `stopped` or `failed`, and why.

    *gaps* buckets of what is wanted are absent; None: not known.
    """

    job_id: int
    standing: JobStatus
    now: datetime
    replica_id: int
    gaps: int | None = None


def stop(connection: sa.Connection, word: Stop) -> None:
    """End a job before all of it was asked for, unless it has ended; LeaseLost for a replica that is gone."""
    replicas.check(connection, word.replica_id)
    job = _hold(connection, word.job_id)
    if job.standing.state in OVER:
        return
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job.id))
    done = max(job.standing.progress.buckets_done, word.standing.progress.buckets_done)
    counts = {"buckets_done": done} | ({} if word.gaps is None else {"gaps_remaining": word.gaps})
    report(connection, job.id, word.standing, word.now, **counts)
