"""The store: opened, locked and migrated. Each method is one transaction, and raises a StoreError if it fails.

Most methods are functions of a connection, in one module for each topic, with their docstrings.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from collector import memory
from collector.store.db import migrate, records, sqlite_file
from collector.store.db.database import BatchableWrite, Database, run_in_thread
from collector.store.db.engine import Location, locate, translate_errors
from collector.store.db.lock_file import LockFile, hold_lock
from collector.store.db.sql import ServerClock, put_state
from collector.store.errors import SchemaTooOld, StoreUnavailable
from collector.store.ledger import backfills, bodies, fetches, publication, replicas, upstream
from collector.store.ledger.fetches import FetchRequest, ReceivedAnswer
from collector.store.ledger.replicas import NO_REPLICA
from collector.store.read import comparison
from collector.store.reader import Reader
from collector.store.retention import points
from collector.store.retention.compact import Compacted, compact
from collector.store.retention.fold import fold
from collector.store.retention.prune import prune
from collector.store.series import coverage, days, evidence, generations, grids, identity, snapshots
from collector.store.series import evidence as adopting
from collector.store.write import catalogue, marks, replays, save_snapshots
from collector.store.write.save import save

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from collector.circuit_breaker import Wait
    from collector.model import Answer, Batch, Question, Slice
    from collector.profile import Profile
    from collector.rules.edge import Edge
    from collector.rules.normalization import Verdict
    from collector.settings import RetentionSettings
    from collector.store.ledger.backfills import (
        BackfillJob,
        ClaimedWindows,
        CompletedWindows,
        JobProgress,
        JobStatus,
    )
    from collector.store.ledger.bodies import NewBody
    from collector.store.ledger.fetches import SaveResult, StartedFetch
    from collector.store.ledger.fires import Fire
    from collector.store.ledger.replicas import Claim, NewReplica, WorkItem
    from collector.store.retention.points import SeriesDeletion
    from collector.store.retention.prune import Pruned
    from collector.store.series.snapshots import PassRecord
    from collector.store.write.replays import ReadBody, Replayed
    from collector.windows import EpochWindow

P = ParamSpec("P")
T = TypeVar("T")

_COMMITTED_WITHIN = timedelta(hours=1)
"""No answer is committed longer than this after the end of its request."""


def _in_transaction(
    write: Callable[Concatenate[sa.Connection, P], T],
) -> Callable[Concatenate[Store, P], Coroutine[Any, Any, T]]:
    """Make a method of Store from a function of a connection: it runs in a transaction of its own, in a thread."""

    async def method(self: Store, /, *arguments: P.args, **keywords: P.kwargs) -> T:
        return await self._database.write(lambda connection: write(connection, *arguments, **keywords))

    update_wrapper(method, write)
    return method


class Store(Reader):
    """History in a database, opened with `Store.open`."""

    def __init__(self, database: Database, lock: LockFile | None) -> None:
        super().__init__(database)
        self._database: Database = database
        self._lock = lock
        self._replica_id = NO_REPLICA
        self._adopted_at: datetime | None = None
        self.clock = ServerClock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, owner: str | None, upgrade: bool = True, timescale: bool = False
    ) -> AsyncIterator[Store]:
        """Open the store at *url*.

        It is opened for writing if *owner*, the words of the command, is given; otherwise for reading only.

        A writer creates a missing store and migrates an older one (SchemaTooOld unless *upgrade*); on SQLite it is the
        only one (StoreLocked). A reader needs a store of this version and works beside a writer.

        With *timescale* a writer makes `points` on Postgres a hypertable; MissingExtension changes nothing.
        """
        stack = ExitStack()
        try:
            opening = open_store(url, owner=owner, upgrade=upgrade, timescale=timescale)
            opened = await run_in_thread(None, stack.enter_context, opening)
            store = cls(*opened)
            await store.clock.follow(opened.database)
            yield store
        finally:
            await run_in_thread(None, stack.close)

    async def announce(self, url: str) -> None:
        """Publish the address of this process's HTTP server in the lock file; only a SQLite store has one."""
        if self._lock:
            self._lock.announce(url)

    async def check_writable(self) -> None:
        """Write to the store. Raises a StoreError if that is impossible."""
        await self.set_state("written", "")

    async def register(self, candidate: NewReplica) -> None:
        """Register as a replica: requests and claims from now on are this replica's. On SQLite nothing changes."""
        self._replica_id = await self._database.write(lambda connection: replicas.register(connection, candidate))
        self._database.set_application_name(replicas.APPLICATION_NAME.format(self._replica_id), candidate.lease)

    async def renew_lease(self, lease: timedelta, now: datetime) -> None:
        """Renew the lease, read the clock, and expire other replicas. Raises LeaseLost if this lease has expired."""
        await self.clock.follow(self._database)

        def work(connection: sa.Connection) -> None:
            replicas.renew_lease(connection, self._replica_id, lease)
            replicas.expire(connection, now)

        await self._database.write(work)

    async def deregister(self, now: datetime) -> None:
        """Deregister: requests under way become interrupted, and all claims are released."""
        mine, self._replica_id = self._replica_id, NO_REPLICA
        await self._database.write(lambda connection: replicas.deregister(connection, mine, now))

    async def adopt(self, now: datetime) -> None:
        """Mark recent answers of replicas of the previous version for re-reading, see `evidence.adopt`."""
        since = now - adopting.LOOKBACK
        if self._adopted_at:
            since = max(since, self._adopted_at - _COMMITTED_WITHIN)
        foreign = await self._database.read_in_thread(partial(adopting.foreign, since=since))
        if foreign:
            await self._database.write(lambda connection: adopting.adopt(connection, foreign))
        self._adopted_at = now

    async def claim(
        self, kind: str, names: Sequence[str], now: datetime, choose: Callable[[Sequence[WorkItem], int], Sequence[str]]
    ) -> Claim:
        """Claim those free work items that *choose* returns, see replicas.ClaimRequest."""
        request = replicas.ClaimRequest(kind, names, now, choose, self._replica_id)
        return await self._database.write(lambda connection: replicas.claim(connection, request))

    async def finish(self, outcomes: Sequence[Fire], done: Sequence[WorkItem]) -> None:
        """Record the outcomes of due times, and release their profiles.

        Raises LeaseLost if another replica has them.
        """
        mine = self._replica_id
        await self._database.write(lambda connection: replicas.finish(connection, outcomes, done, mine))

    async def release(self, kind: str, names: Sequence[str]) -> None:
        """Release claimed work items."""
        mine = self._replica_id
        await self._database.write(lambda connection: replicas.release(connection, kind, names, mine))

    async def activate_labels(self, profiles: Sequence[Profile], now: datetime) -> None:
        """Activate the labels of *profiles*, beside those of other replicas; repeating it changes nothing."""

        def work(connection: sa.Connection) -> None:
            others = replicas.profiles_of_others(connection, self._replica_id)
            identity.activate_labels(connection, profiles, now, others)
            snapshots.declare_reaches(connection, profiles)

        await self._database.write(work)

    async def start_fetch(  # noqa: PLR0913 - a request, and what limits it
        self, batch: Batch, profiles: Sequence[str], now: datetime, limit: int, credentials: str = "", *, path: str = ""
    ) -> StartedFetch | Wait:
        """Record a request to *path* before it is sent, or return until when to wait.

        At most *limit* requests are under way or ended within any 300 seconds, over all processes and restarts. See
        `circuit_breaker` for a Radar that does not answer or rejects the *credentials*. Raises LeaseLost if the lease
        of this replica has expired.
        """
        request = FetchRequest(batch, profiles, now, limit, self._replica_id, credentials, path)
        return await self._database.write(BatchableWrite(fetches.start, request), repeatable=False, to_ledger=True)

    async def save(  # noqa: PLR0913 - an answer, and what becomes of it
        self,
        fetch_id: int,
        batch: Batch,
        answer: Answer,
        now: datetime,
        size: int,
        *,
        ahead: timedelta = timedelta(0),
        force: bool = False,
        history: bool = True,
        job_id: int | None = None,
    ) -> SaveResult:
        """Save an answer of *size* bytes whole: points, revisions, date ranges, annotations and the fetch's outcome.

        So are the counts of the backfill *job_id*, if the request is for one. *now* is so far *ahead* of Radar's
        present. With *force* the answer counts although one with a later lastUpdated has come. If it is no *history*,
        only the outcome and the annotations are saved; so of a part of snapshots, see `save_snapshots`. Repeating an
        answer changes no point and no count; ValueRejected if the fetch has ended otherwise.
        """
        arrival = ReceivedAnswer(fetch_id, batch, answer, now, size, force, job_id, ahead=ahead)
        saving = save if history and not snapshots.is_part(batch) else save_snapshots.note
        return await self._database.write(BatchableWrite(saving, arrival))

    async def set_snapshot_record(self, profile: str, record: PassRecord) -> None:
        """Store the record of the passes that take the snapshots of *profile*."""
        await self.set_state(snapshots.record_key(profile), snapshots.dump_record(record))

    async def refuse(self, slice_: Slice, outcome: str, reason: str, now: datetime) -> None:
        """Record that a slice was refused for its content, and pause its question, see retry.refusal_backoff."""
        await self._database.write(
            lambda connection: upstream.record_refusal(connection, slice_, outcome, reason, now), repeatable=False
        )

    async def enqueue_windows(self, job: BackfillJob, slices: Sequence[Slice], *, alone: bool) -> BackfillJob:
        """Enqueue the windows of *job* unless they are; if it works *alone*, this process claims all of them."""
        holder = self._replica_id if alone else None
        return await self._database.write(lambda connection: backfills.enqueue(connection, job.id, slices, holder))

    async def claim_windows(
        self,
        job: BackfillJob,
        known: Sequence[Question],
        now: datetime,
        choose: Callable[[Sequence[Slice], int], tuple[Sequence[Slice], Sequence[Slice]]] | None,
    ) -> ClaimedWindows:
        """Claim a part of a job's windows, of the *known* series, see backfills.WindowsRequest."""
        request = backfills.WindowsRequest(job.id, known, now, choose, self._replica_id)
        return await self._database.write(lambda connection: backfills.claim(connection, request))

    async def complete_windows(self, settled: CompletedWindows) -> BackfillJob:
        """Complete claimed windows, and add to the job's progress. Raises LeaseLost if the lease has expired."""
        mine = self._replica_id
        return await self._database.write(lambda connection: backfills.complete(connection, settled, mine))

    async def finish_backfill(self, job: BackfillJob, gaps: int, now: datetime) -> BackfillJob | None:
        """End a job without open windows; None if it has some, or another process has ended it."""
        return await self._database.write(lambda connection: backfills.end(connection, job.id, gaps, now))

    async def add_progress(self, job: BackfillJob, counts: JobProgress) -> BackfillJob:
        """Add to the counts of a job."""

        def work(connection: sa.Connection) -> BackfillJob:
            return backfills.count(connection, job.id, [counts])

        return await self._database.write(work)

    async def stop_backfill(self, job: BackfillJob, status: JobStatus, now: datetime, gaps: int | None = None) -> None:
        """End a job with open windows in the given *status*; *gaps* buckets are absent, None: unknown."""
        word = backfills.Stop(job.id, status, now, self._replica_id, gaps)
        await self._database.write(lambda connection: backfills.stop(connection, word))

    async def confirm(self, query: Question, windows: Sequence[EpochWindow], settle: int) -> None:
        """Record that an independent answer confirms the values of *windows*, in epoch seconds."""
        if windows:
            await self._database.write(lambda connection: identity.confirm(connection, query, windows, settle))

    async def prune(self, retention: RetentionSettings, now: datetime) -> Pruned:
        """Delete what is older than *retention* keeps, in many small transactions; returns the numbers."""
        return await prune(self._database, retention, now)

    async def fold_coverage(self, now: datetime) -> int | None:
        """Fold what answers covered in a period that is final, see `folding`. Returns None if there is none left."""
        return await fold(self._database, now)

    async def release_memory(self) -> None:
        """Give memory back to the machine: pages of the file that connections keep, and what is free in the process.

        It raises nothing: what needs the store finds out whether that is available.
        """
        with suppress(StoreUnavailable):
            await self._database.release_pages()
        await run_in_thread(None, memory.give_back)

    async def compact(self) -> Compacted:
        """Give the room of deleted rows back, see `compact.compact`; on SQLite writes wait meanwhile."""
        return await compact(self._database)

    async def delete_series(self, series_id: int, profiles: Sequence[Profile], *, dry_run: bool) -> SeriesDeletion:
        """Delete a series that neither *profiles* nor another replica uses, in all its units, with its history.

        With *dry_run* nothing is deleted. Raises SeriesWanted, SeriesUnknown.
        """
        wanted = {labelled.query.digest: labelled.label for profile in profiles for labelled in profile.series}

        def work(connection: sa.Connection) -> SeriesDeletion:
            return points.delete_series(connection, series_id, wanted, self._replica_id, dry_run=dry_run)

        if not dry_run:
            return await self._database.write(work)
        return await self._database.read_in_thread(work)

    async def set_normalization(self, verdict: Verdict) -> None:
        """Store the verdict on an unknown normalization."""
        await self.set_state(generations.verdict_key(verdict), verdict.dump())

    async def keep_body(self, body: NewBody, kinds: Sequence[str] = ()) -> None:
        """Keep the body of a response, as the example of these *kinds* of deviation; see `bodies.keep`."""

        def work(connection: sa.Connection) -> None:
            if bodies.keep(connection, body):
                bodies.set_example(connection, kinds, body.fetch_id)

        await self._database.write(work)

    async def replay(self, read: ReadBody, now: datetime) -> Replayed:
        """Fill absent buckets from a kept body, known from *now* on, see `replays.replay`."""
        mine = self._replica_id
        return await self._database.write(lambda connection: replays.replay(connection, read, now, mine))

    async def mark_read(self, fetch_id: int) -> None:
        """Record that this version could not read the kept body of a fetch."""
        await self._database.write(lambda connection: bodies.mark_read(connection, [fetch_id]))

    async def set_edges(self, edges: Mapping[Question, Edge | None]) -> None:
        """Store where Radar's own history of questions begins; None deletes it."""
        if edges:
            await self._database.write(lambda connection: evidence.write_edges(connection, edges))

    save_snapshots = _in_transaction(save_snapshots.save)
    fail = _in_transaction(fetches.fail)
    interrupt = _in_transaction(fetches.interrupt)
    accept_credentials = _in_transaction(upstream.accept_credentials)
    try_credentials_at_once = _in_transaction(upstream.try_at_once)
    delete_refusals = _in_transaction(upstream.delete_refusals)
    create_backfill = _in_transaction(backfills.create)
    extend_backfill = _in_transaction(backfills.extend)
    cancel_backfill = _in_transaction(backfills.cancel)
    requeue_backfill = _in_transaction(backfills.requeue)
    set_sums_differ = _in_transaction(identity.set_sums_differ)
    build_days = _in_transaction(days.build)
    regroup_coverage = _in_transaction(coverage.regroup)
    rewrite_records = _in_transaction(records.rewrite)
    compare_sums = _in_transaction(comparison.compare)
    mark_reread = _in_transaction(comparison.mark_reread)
    write_heartbeat = _in_transaction(replicas.write)
    record_deviations = _in_transaction(bodies.note)
    set_clock_difference = _in_transaction(upstream.write_clock_difference)
    set_unit_names = _in_transaction(generations.write_unit_names)
    propose_grid = _in_transaction(grids.propose)
    move_grid = _in_transaction(grids.move)
    learn_publication = _in_transaction(publication.learn)
    learn_revisions = _in_transaction(publication.learn_revisions)
    set_state = _in_transaction(put_state)
    end_catalogue_request = _in_transaction(catalogue.end_request)
    save_list = _in_transaction(catalogue.save_list)
    save_details = _in_transaction(catalogue.save_details)
    save_absence = _in_transaction(catalogue.save_absence)
    finish_catalogue_item = _in_transaction(catalogue.finish_item)
    add_mark = _in_transaction(marks.add)
    remove_mark = _in_transaction(marks.remove)


class OpenStore(NamedTuple):
    """A store that is open, and on SQLite the lock of the process that writes to it."""

    database: Database
    lock: LockFile | None


@contextmanager
def open_store(url: str, *, owner: str | None, upgrade: bool, timescale: bool) -> Iterator[OpenStore]:
    """Open a store of this version's schema; the parameters and errors are those of `Store.open`."""
    location = locate(url)
    with ExitStack() as stack:
        lock = None
        if location.path and owner is not None:
            sqlite_file.make_folder(location)
            lock = stack.enter_context(hold_lock(location.path, owner, named=location.named))
            if not location.path.exists():
                if not upgrade:
                    migrate.check(None)
                with translate_errors(location), sqlite_file.creating(location) as connection:
                    migrate.upgrade(connection)
                lock.take_file()
        database = stack.enter_context(_opened(location, writes=owner is not None))
        timescale = timescale and location.path is None and owner is not None
        _prepare_schema(database, upgrade=upgrade and owner is not None, timescale=timescale)
        yield OpenStore(database, lock)


@contextmanager
def open_database(url: str, *, owner: str | None) -> Iterator[Database]:
    """Open an existing store whatever its schema; *owner* as in `Store.open`."""
    location = locate(url)
    with ExitStack() as stack:
        if location.path and owner is not None and location.path.exists():
            stack.enter_context(hold_lock(location.path, owner, named=location.named))
        yield stack.enter_context(_opened(location, writes=owner is not None))


@contextmanager
def _opened(location: Location, *, writes: bool) -> Iterator[Database]:
    with ExitStack() as stack:
        immutable = bool(location.path) and stack.enter_context(sqlite_file.opened(location, writes=writes))
        database = Database(location, writes=writes, immutable=immutable)
        stack.callback(database.close)
        yield database


def _prepare_schema(database: Database, *, upgrade: bool, timescale: bool) -> None:
    with database.read() as connection:
        revision = migrate.current(connection)
        moves = timescale and not migrate.is_hypertable(connection)
    if revision == migrate.HEAD and not moves:
        return
    if not upgrade or migrate.is_beyond(revision):  # before a writer connects, because that may change the header
        migrate.check(revision)
        raise SchemaTooOld("the store's points are no hypertable yet: `collector db upgrade` makes them one")

    def work(connection: sa.Connection) -> None:
        migrate.upgrade(connection)
        if moves:
            migrate.make_hypertable(connection)

    database.write_now(work)
