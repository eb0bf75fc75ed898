"""The windows that a backfill still has to ask for, shared out among replicas.

plan, once  →  claim a part of what is left  →  settle what was asked  →  …  →  nothing is left: end

Every step holds the job's row, so each sees what the others took. A window is its claimer's until it is settled, or
until that replica is gone: then it is free again. Each step finds out when it was done already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import Slice, Window
from collector.store.db.schema import backfill_windows as windows
from collector.store.db.schema import backfills as jobs
from collector.store.db.schema import replicas as replicas_table
from collector.store.db.sql import upsert
from collector.store.ledger import backfills, replicas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.store.ledger.backfills import BackfillJob, JobProgress, JobStatus

    Slices = Sequence[Slice]


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
_OPEN = (
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
    job = backfills.find(connection, job_id)
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
    if job.standing.state not in backfills.UNPLANNED:
        return job
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job_id))
    _all(connection, sa.insert(windows), _rows(job_id, slices, holder))
    return backfills.begin(connection, job, sum(piece.buckets for piece in slices))


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
    free = _OPEN.where(windows.c.series.in_(known), sa.not_(_HELD)).limit(None if wish.choose is None else _AT_ONCE)
    ours = {"job_id": job.id, "me": wish.replica_id}
    rows = connection.execute(free, ours).all()
    if not rows:
        held = [*connection.execute(_OPEN.with_only_columns(_HELD).distinct().order_by(None), ours).scalars()]
        return ClaimedWindows(backfills.requeue(connection, job) if held == [False] else job, left=bool(held))
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
    return backfills.count(connection, job.id, [settled.counts])


def end(connection: sa.Connection, job_id: int, gaps: int, now: datetime) -> BackfillJob | None:
    """End a job of which nothing is left, *gaps* buckets excepted; None where it has ended, or something is left."""
    job = _hold(connection, job_id)
    ours = windows.c.backfill_id == job_id
    newest_first = sa.select(windows.c.failure).where(ours).order_by(windows.c.end.desc(), windows.c.series)
    failures = [*connection.execute(newest_first).scalars()]
    if job.standing.state != "running" or None in failures:
        return None
    connection.execute(sa.delete(windows).where(ours))
    standing = backfills.JobStatus("failed" if failures else "done", job.standing.progress, next(iter(failures), None))
    backfills.report(connection, job_id, standing, now, windows_failed=len(failures), gaps_remaining=gaps)
    return backfills.find(connection, job_id)


def cancel(connection: sa.Connection, job_id: int, now: datetime) -> BackfillJob:
    """End a job at somebody's request, unless it is over; LookupError if there is no such job.

    Replicas that are working on it find out by its state, because none of its windows is left.
    """
    job = _hold(connection, job_id)
    if job.standing.state in backfills.OVER:
        return job
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job_id))
    standing = backfills.JobStatus("cancelled", job.standing.progress, "cancelled before all of it was asked for")
    backfills.report(connection, job_id, standing, now)
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
    if job.standing.state in backfills.OVER:
        return
    connection.execute(sa.delete(windows).where(windows.c.backfill_id == job.id))
    done = max(job.standing.progress.buckets_done, word.standing.progress.buckets_done)
    counts = {"buckets_done": done} | ({} if word.gaps is None else {"gaps_remaining": word.gaps})
    backfills.report(connection, job.id, word.standing, word.now, **counts)
