"""The store: opened, locked and migrated; each method is one transaction, and raises a StoreError if it fails.

Methods are thin: the work is done by functions of a connection, in one module for each topic.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from collector.store.db import migrate, partitioning, sqlite_file, state
from collector.store.db.database import BatchableWrite, Database, run_in_thread
from collector.store.db.engine import Location, locate
from collector.store.db.lock_file import LockFile, hold_lock
from collector.store.db.sql import ServerClock
from collector.store.db.translate_errors import translate_errors
from collector.store.errors import SchemaTooOld
from collector.store.ledger import backfills, bodies, fetches, fires, replicas, upstream
from collector.store.ledger.fetches import FetchRequest, ReceivedAnswer
from collector.store.ledger.replicas import NO_REPLICA
from collector.store.read import status
from collector.store.reader import Reader
from collector.store.retention import points
from collector.store.retention.prune import prune
from collector.store.series import edges, grids, identity, normalizations, snapshots
from collector.store.series import evidence as adopting
from collector.store.write import replays, save_snapshots
from collector.store.write.save import save

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from collector.interval import AggInterval, Grid
    from collector.model import Answer, Batch, Question, Slice
    from collector.profile import Profile
    from collector.rules.clock_difference import ClockDifference
    from collector.rules.edge import Edge
    from collector.rules.normalization import Verdict
    from collector.settings import RetentionSettings
    from collector.store.ledger.backfills import (
        BackfillJob,
        BackfillRequest,
        ClaimedWindows,
        CompletedWindows,
        JobProgress,
        JobStatus,
    )
    from collector.store.ledger.bodies import NewBody
    from collector.store.ledger.fetches import FetchError, SaveResult, StartedFetch
    from collector.store.ledger.fires import Fire
    from collector.store.ledger.replicas import Claim, NewReplica, ServiceHeartbeat, WorkItem
    from collector.store.ledger.upstream import Wait
    from collector.store.retention.points import SeriesDeletion
    from collector.store.retention.prune import Pruned
    from collector.store.series.snapshots import PassRecord
    from collector.store.write.replays import ReadBody, Replayed
    from collector.store.write.save_snapshots import Taken
    from collector.windows import EpochWindow

_COMMITTED_WITHIN = timedelta(hours=1)
"""No answer is committed longer than this after the end of its request."""


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
        """Open the store at *url*, for writing when *owner* gives the command's words, else for reading only.

        A writer creates a missing store and migrates an older one (SchemaTooOld where not *upgrade*); on SQLite it is
        the only one (StoreLocked). A reader needs a store of this version and works beside a writer.

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
        """Tell other processes the address of this one's HTTP server; only a SQLite store has one owner to ask."""
        if self._lock:
            self._lock.announce(url)

    async def check_writable(self) -> None:
        """Write something, and raise what is in the way."""
        await self.set_state("written", "")

    async def register(self, candidate: NewReplica) -> None:
        """Become a replica; what is begun and claimed from now on is this one's. On SQLite nothing changes."""
        self._replica_id = await self._database.write(lambda connection: replicas.register(connection, candidate))
        self._database.set_application_name(replicas.APPLICATION_NAME.format(self._replica_id), candidate.lease)

    async def renew_lease(self, lease: timedelta, now: datetime) -> None:
        """Live on for *lease*, set the clock, and bury those who do not; LeaseLost where the others did that first."""
        await self.clock.follow(self._database)

        def work(connection: sa.Connection) -> None:
            replicas.renew_lease(connection, self._replica_id, lease)
            replicas.expire(connection, now)

        await self._database.write(work)

    async def deregister(self, now: datetime) -> None:
        """Be a replica no longer: requests under way count as interrupted, and all that was claimed is free."""
        mine, self._replica_id = self._replica_id, NO_REPLICA
        await self._database.write(lambda connection: replicas.deregister(connection, mine, now))

    async def adopt(self, now: datetime) -> None:
        """Let what replicas of the previous version have written lately be read again; see `adopt`."""
        since = now - adopting.LOOKBACK
        if self._adopted_at:
            since = max(since, self._adopted_at - _COMMITTED_WITHIN)
        foreign = await self._database.read_in_thread(lambda connection: adopting.foreign(connection, since))
        if foreign:
            await self._database.write(lambda connection: adopting.adopt(connection, foreign))
        self._adopted_at = now

    async def claim(
        self, kind: str, names: Sequence[str], now: datetime, choose: Callable[[Sequence[WorkItem], int], Sequence[str]]
    ) -> Claim:
        """Claim those of the free duties that *choose* picks, see work_items.ClaimRequest."""
        wish = replicas.ClaimRequest(kind, names, now, choose, self._replica_id)
        return await self._database.write(lambda connection: replicas.claim(connection, wish))

    async def finish(self, outcomes: Sequence[Fire], done: Sequence[WorkItem]) -> None:
        """Record what became of due moments, and free their profiles; LeaseLost where they are another replica's."""
        mine = self._replica_id
        await self._database.write(lambda connection: replicas.finish(connection, outcomes, done, mine))

    async def release(self, kind: str, names: Sequence[str]) -> None:
        """Free duties that were claimed."""
        mine = self._replica_id
        await self._database.write(lambda connection: replicas.release(connection, kind, names, mine))

    async def activate_labels(self, profiles: Sequence[Profile], now: datetime) -> None:
        """Make the labels of *profiles* the ones in use, beside other replicas'; repeating it changes nothing."""

        def work(connection: sa.Connection) -> None:
            others = replicas.profiles_of_others(connection, self._replica_id)
            identity.activate_labels(connection, profiles, now, others)
            snapshots.declare_reaches(connection, profiles)

        await self._database.write(work)

    async def begin(
        self, batch: Batch, profiles: Sequence[str], now: datetime, limit: int, credentials: str = ""
    ) -> StartedFetch | Wait:
        """Put a request on record before it is sent, or say until when to wait.

        At most *limit* requests are under way or ended within any 300 seconds, over all processes and restarts; while
        Radar is silent, or refuses the *credentials*, see upstream. LeaseLost for a replica that was buried.
        """
        errand = FetchRequest(batch, profiles, now, limit, self._replica_id, credentials)
        return await self._database.append_to_ledger(BatchableWrite(fetches.begin, errand))

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
        saving = save if history and not save_snapshots.is_part(batch) else save_snapshots.note
        return await self._database.write(BatchableWrite(saving, arrival))

    async def save_snapshots(self, taken: Sequence[Taken], now: datetime) -> SaveResult:
        """Save the complete snapshots of one pass; of each UTC day the newest is kept. Repeating it changes nothing."""
        return await self._database.write(lambda connection: save_snapshots.save(connection, taken, now))

    async def set_snapshot_record(self, profile: str, record: PassRecord) -> None:
        """Remember how the passes that take the snapshots of *profile* fared."""
        await self.set_state(snapshots.record_key(profile), snapshots.dump_record(record))

    async def fail(self, fetch_id: int, error: FetchError, now: datetime, credentials: str = "") -> None:
        """Record that a fetch brought no answer; until its not_before, if it has one, nobody may ask anything."""
        await self._database.write(lambda connection: fetches.fail(connection, fetch_id, error, now, credentials))

    async def refuse(self, piece: Slice, outcome: str, reason: str, now: datetime) -> None:
        """Record that a slice was refused for its content, so that its question pauses; see refusals.pause."""
        await self._database.write(
            lambda connection: upstream.record_refusal(connection, piece, outcome, reason, now), repeatable=False
        )

    async def forget_refusals(self, keys: Collection[str]) -> None:
        """End the pauses of questions, by their keys; no error for one that does not pause."""
        await self._database.write(lambda connection: upstream.answered(connection, keys))

    async def try_credentials_at_once(self, credentials: str) -> None:
        """Let one request send refused credentials although their pause has not ended."""
        await self._database.write(lambda connection: upstream.try_at_once(connection, credentials))

    async def accept_credentials(self, credentials: str) -> None:
        """Record that Radar takes the credentials."""
        await self._database.write(lambda connection: upstream.take(connection, credentials))

    async def interrupt(self, now: datetime) -> int:
        """End the fetches that a dead process left under way; gives their number."""
        return await self._database.write(lambda connection: fetches.interrupt(connection, now))

    async def create_backfill(self, wanted: BackfillRequest, now: datetime, state: str = "queued") -> BackfillJob:
        """Put a job on record: `queued` for whoever comes first, `stopped` for one who will claim and run it."""
        return await self._database.write(lambda connection: backfills.create(connection, wanted, now, state))

    async def extend_backfill(self, job: BackfillJob, wanted: BackfillRequest) -> BackfillJob:
        """Put *job* back on the queue, up to the end that is *wanted* now."""
        return await self._database.write(lambda connection: backfills.extend(connection, job, wanted))

    async def enqueue_windows(self, job: BackfillJob, slices: Sequence[Slice], *, alone: bool) -> BackfillJob:
        """Put on record what *job* has to ask for, unless that is there; who is *alone* at it has it all."""
        holder = self._replica_id if alone else None
        return await self._database.write(lambda connection: backfills.plan(connection, job.id, slices, holder))

    async def claim_windows(
        self,
        job: BackfillJob,
        known: Sequence[Question],
        now: datetime,
        choose: Callable[[Sequence[Slice], int], tuple[Sequence[Slice], Sequence[Slice]]] | None,
    ) -> ClaimedWindows:
        """Claim a part of what a job has to ask for, of the *known* series; see backfill_queue.WindowsRequest."""
        wish = backfills.WindowsRequest(job.id, known, now, choose, self._replica_id)
        return await self._database.write(lambda connection: backfills.claim(connection, wish))

    async def complete_windows(self, settled: CompletedWindows) -> BackfillJob:
        """Be done with claimed windows, and add to the job's counts; LeaseLost where others do the work by now."""
        mine = self._replica_id
        return await self._database.write(lambda connection: backfills.settle(connection, settled, mine))

    async def finish_backfill(self, job: BackfillJob, gaps: int, now: datetime) -> BackfillJob | None:
        """End a job of which nothing is left to ask for; None where that is not so, or another process has."""
        return await self._database.write(lambda connection: backfills.end(connection, job.id, gaps, now))

    async def cancel_backfill(self, backfill_id: int, now: datetime) -> BackfillJob:
        """End a job as `cancelled`, unless it is over; gives it as it is then. LookupError if there is none."""
        return await self._database.write(lambda connection: backfills.cancel(connection, backfill_id, now))

    async def add_progress(self, job: BackfillJob, counts: JobProgress) -> BackfillJob:
        """Add to the counts of a job."""

        def work(connection: sa.Connection) -> BackfillJob:
            return backfills.count(connection, job.id, [counts])

        return await self._database.write(work)

    async def stop_backfill(
        self, job: BackfillJob, standing: JobStatus, now: datetime, gaps: int | None = None
    ) -> None:
        """End a job before all of it was asked for, as *standing* says; *gaps* buckets are absent, None: unknown."""
        word = backfills.Stop(job.id, standing, now, self._replica_id, gaps)
        await self._database.write(lambda connection: backfills.stop(connection, word))

    async def confirm(self, query: Question, windows: Sequence[EpochWindow], settle: int) -> None:
        """Note that an independent answer agrees with the values of *windows*; all in epoch seconds."""
        if windows:
            await self._database.write(lambda connection: status.confirm(connection, query, windows, settle))

    async def set_sums_differ(self, query: Question) -> None:
        """Note that Radar's daily values are not the sums of the finer ones of *query*: they confirm nothing."""
        await self._database.write(lambda connection: status.set_sums_differ(connection, query))

    async def prune(self, retention: RetentionSettings, now: datetime) -> Pruned:
        """Delete what is older than *retention* says, in many small transactions; says how much that was."""
        return await prune(self._database, retention, now)

    async def forget_series(self, series_id: int, profiles: Sequence[Profile], *, dry_run: bool) -> SeriesDeletion:
        """Delete a series that neither *profiles* want nor another replica's, in all its units, with its history.

        With *dry_run* nothing is deleted. SeriesWanted, SeriesUnknown.
        """
        wanted = {one.query.digest: one.label for profile in profiles for one in profile.series}

        def work(connection: sa.Connection) -> SeriesDeletion:
            return points.forget(connection, series_id, wanted, self._replica_id, dry_run=dry_run)

        if not dry_run:
            return await self._database.write(work)
        return await self._database.read_in_thread(work)

    async def write_heartbeat(self, beat: ServiceHeartbeat) -> None:
        """Write the life sign of a service."""
        await self._database.write(lambda connection: replicas.write(connection, beat))

    async def record_deviations(self, kinds: Sequence[str], fetch_id: int, now: datetime) -> list[str]:
        """Put on record what the answer to a fetch has otherwise than usual; returns the kinds that are new."""
        return await self._database.write(lambda connection: bodies.note(connection, kinds, fetch_id, now))

    async def set_normalization(self, verdict: Verdict) -> None:
        """Remember what an unknown normalization was judged to mean."""
        await self.set_state(normalizations.key(verdict), verdict.dump())

    async def set_clock_difference(self, difference: ClockDifference) -> None:
        """Remember how far the clock is ahead of Radar's."""
        await self._database.write(lambda connection: fires.write_clock_difference(connection, difference))

    async def set_unit_names(self, unit: str, names: Sequence[str]) -> None:
        """Remember the names that an answer gave *unit*; repeating it changes nothing."""
        await self._database.write(lambda connection: normalizations.write_unit_names(connection, unit, names))

    async def keep_body(self, body: NewBody, kinds: Sequence[str] = ()) -> None:
        """Keep the body of a response, as the example of these *kinds* of deviation; see `bodies.keep`."""

        def work(connection: sa.Connection) -> None:
            if bodies.keep(connection, body):
                bodies.set_example(connection, kinds, body.fetch_id)

        await self._database.write(work)

    async def replay(self, read: ReadBody, now: datetime) -> Replayed:
        """Fill what is absent with what a kept body says, known from *now* on; see `replays.replay`."""
        mine = self._replica_id
        return await self._database.write(lambda connection: replays.replay(connection, read, now, mine))

    async def mark_read(self, fetch_id: int) -> None:
        """Note that this version has read the kept body of a fetch again, in vain."""
        await self._database.write(lambda connection: bodies.mark_read(connection, [fetch_id]))

    async def set_edges(self, found: Mapping[Question, Edge | None]) -> None:
        """Remember where Radar's own history of questions begins, or forget it (None)."""
        if found:
            await self._database.write(lambda connection: edges.write(connection, found))

    async def propose_grid(self, grid: Grid | None, interval: AggInterval, asked_at: datetime) -> None:
        """Note which other grid an answer had, None for none; see `grids.propose`."""
        await self._database.write(lambda connection: grids.propose(connection, grid, interval, asked_at))

    async def move_grid(self, grid: Grid, now: datetime) -> bool:
        """Bring a grid into force; False if it is already. What was stored on the former one is kept."""
        return await self._database.write(lambda connection: grids.move(connection, grid, now))

    async def requeue_backfill(self, job: BackfillJob) -> BackfillJob:
        """Put a job back on the queue, to be planned anew."""
        return await self._database.write(lambda connection: backfills.requeue(connection, job))

    async def set_state(self, key: str, value: str) -> None:
        """Write a small fact over what it was before."""
        await self._database.write(lambda connection: state.put(connection, key, value))


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
            _create_missing_file(location, lock, upgrade=upgrade)
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


def _create_missing_file(location: Location, lock: LockFile, *, upgrade: bool) -> None:
    if location.path and not location.path.exists():
        if not upgrade:
            migrate.check(None)
        with translate_errors(location), sqlite_file.creating(location) as connection:
            migrate.upgrade(connection)
        lock.take_file()


def _prepare_schema(database: Database, *, upgrade: bool, timescale: bool) -> None:
    with database.read() as connection:
        revision = migrate.current(connection)
        moves = timescale and not partitioning.is_hypertable(connection)
    if revision == migrate.HEAD and not moves:
        return
    if not upgrade or migrate.is_beyond(revision):  # told before a writer connects, which may change the header
        migrate.check(revision)
        raise SchemaTooOld("the store's points are no hypertable yet: `collector db upgrade` makes them one")

    def work(connection: sa.Connection) -> None:
        migrate.upgrade(connection)
        if moves:
            partitioning.make_hypertable(connection)

    database.write_now(work)
