"""Transactions on a store.

A transaction runs from begin to end in one thread, because the database and its driver answer at once: to wait on the
event loop for each statement costs several times the statements. Callers on the event loop wait for the thread. Writes
that wait at the same time share a transaction.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from collector.store.db.engine import (
    FROZEN,
    READERS,
    begin_to_write,
    busy,
    connection_lost,
    is_retryable,
    postgres_engines,
    sqlite_engine,
    translate,
    translate_errors,
)
from collector.store.db.interruptible import Interruptible
from collector.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
    from concurrent.futures import Executor
    from datetime import timedelta
    from pathlib import Path

    from collector.store.db.engine import Location

T = TypeVar("T")

_MAX_ATTEMPTS = 5
_MAX_PAUSE_SECONDS = 0.2
_WRITERS = 8
"""Transactions under way at once on Postgres; on SQLite it is one."""
_MAX_WRITES = 32
"""Writes that may share a transaction on SQLite, and those of one kind on either; others would wait for each other's
locks on Postgres."""
_INTERRUPT_SECONDS = 0.1
"""The pause until a statement is interrupted again, because the first attempt may have come before its begin."""
_END: Any = object()
_REPLACED = "the store {} was deleted or replaced while it was open"
_RELEASE_PAGES = "PRAGMA shrink_memory"
_CHANGED = "the store {} was changed while it was read: repeat the command"


class Database:
    """The engines of one store, and the transactions on them.

    On the event loop: `read_in_thread`, `stream`, `write`. In a thread or a command: `read`,
    `write_now`.
    """

    def __init__(self, location: Location, *, writes: bool, immutable: bool = False) -> None:
        self.location = location
        self._writes = writes
        self._immutable = immutable
        self._identity = self._identify(location.path) if location.path else None
        threads, max_writes = (1, _MAX_WRITES) if location.path else (_WRITERS, 1)
        self._queue = WriteQueue(self._transact, threads=threads, max_writes=max_writes)
        self._ledger = self._batches = self._queue
        if not location.path:
            self._ledger = WriteQueue(self._transact, threads=1, max_writes=_MAX_WRITES)
            self._batches = WriteQueue(self._transact, threads=1, max_writes=_MAX_WRITES)
        self._readers = ThreadPoolExecutor(READERS, "reader")
        self._is_closed = False
        if location.path:
            self._writer = sqlite_engine(location.path, writes=True)
            self._reader = sqlite_engine(location.path, writes=False, immutable=immutable)
        else:
            self._writer, self._reader = postgres_engines(location, writes=writes)

    def set_application_name(self, name: str, lease: timedelta) -> None:
        """Set the *name* of writes to Postgres, and let them end well before the *lease* if the process freezes."""
        if not self.location.path:
            begin = begin_to_write(busy(), min(FROZEN, lease / 2), name)
            self._writer = self._writer.execution_options(begin=begin)

    def close(self) -> None:
        """Finish what waits to be written, and close all connections; to be called in a thread."""
        self._is_closed = True
        for queue in (self._ledger, self._batches, self._queue):
            queue.close()
        self._readers.shutdown()
        self._reader.dispose()
        self._writer.dispose()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one state of the store and changes nothing."""
        with translate_errors(self.location):
            self._check_file()
            with _begin(self._reader) as connection:
                yield connection
            if self._immutable:  # SQLite locks nothing then, so a change may have been read in part
                self._check_file(_CHANGED)

    async def read_in_thread(self, work: Work[T]) -> T:
        """Do *work* in such a transaction, in a thread."""
        return await run_in_thread(self._readers, self._read, work)

    def _read(self, work: Work[T]) -> T:
        with self.read() as connection:
            return work(connection)

    async def stream(self, work: Callable[[sa.Connection], Iterator[T]]) -> AsyncGenerator[T, None]:
        """Yield the items of *work* in such a transaction; each is fetched in a thread when the caller asks for it.

        Close the iterator if you stop early.
        """
        items = self._items(work)
        try:
            while (item := await run_in_thread(self._readers, next, items, _END)) is not _END:
                yield item
        finally:
            try:
                await run_in_thread(self._readers, items.close)
            except StoreUnavailable:  # the store was closed before its reader: no thread is left, and none reads
                items.close()

    def _items(self, work: Callable[[sa.Connection], Iterator[T]]) -> Generator[T, None, None]:
        with self.read() as connection, closing(work(connection)) as items:  # type: ignore[type-var]
            try:
                yield from items
            finally:
                if self._is_closed:  # its pool is gone, too, and would not close it
                    connection.invalidate()

    async def write(self, work: Work[T] | BatchableWrite[T], *, repeatable: bool = True, to_ledger: bool = False) -> T:
        """Do *work* in one transaction; repeat it if it lost against another transaction.

        Writes of one kind that wait at the same time share a transaction. A *repeatable* write detects that it was done
        already, so it is also repeated if the connection broke and the outcome of the commit is unknown. Writes
        *to_ledger* run on one thread on Postgres, too, because parallel writers would only block each other there.
        """
        queue = self._ledger if to_ledger else self._batches if isinstance(work, BatchableWrite) else self._queue
        with translate_errors(self.location):
            for attempt in range(1, _MAX_ATTEMPTS + 1):
                try:
                    return await queue.submit(work)
                except sa.exc.DBAPIError as error:
                    if not _is_retried(error, attempt, repeatable=repeatable):
                        raise
                    await asyncio.sleep(_pause_seconds(attempt))
        raise AssertionError("the last attempt returns or raises")

    async def run_alone(self, work: Callable[[Any], T]) -> T:
        """Do *work*, one statement on the driver's connection of the writer, outside of a transaction.

        On SQLite no other write runs meanwhile. If the caller is cancelled, the statement is interrupted.
        """
        statement = Interruptible()
        with translate_errors(self.location):
            return await self._queue.run_alone(partial(self._run_alone, work, statement), statement.interrupt)

    async def release_pages(self) -> None:
        """Let the idle connections to SQLite forget the pages that they keep, up to 2 MB each."""
        if self.location.path:
            await run_in_thread(self._readers, self._release_pages)
            await self.run_alone(lambda driver: driver.execute(_RELEASE_PAGES))

    def _release_pages(self) -> None:
        with translate_errors(self.location), ExitStack() as stack:
            for _ in range(self._reader.pool.checkedin()):  # type: ignore[attr-defined] # SQLite has a QueuePool
                stack.enter_context(self._reader.connect()).exec_driver_sql(_RELEASE_PAGES)

    def _run_alone(self, work: Callable[[Any], T], statement: Interruptible) -> T:
        self._check_writes()
        self._check_file()
        with self._writer.connect() as connection:
            if not self.location.path:
                _begin_transaction(connection).close()  # because a pooled connection may be broken
            driver = connection.connection.driver_connection
            if not self.location.path:
                connection.detach()  # and close it, because a late interruption could end a statement of another caller
            try:
                with statement.running(driver):
                    return work(driver)
            except self._writer.dialect.loaded_dbapi.Error as error:
                raise translate(error, self.location) from error

    def write_now(self, work: Work[T], *, repeatable: bool = True) -> T:
        """Do *work* as `write` does, in this thread."""
        with translate_errors(self.location):
            for attempt in range(1, _MAX_ATTEMPTS + 1):
                try:
                    return self._transact([work])[0]  # type: ignore[no-any-return]
                except sa.exc.DBAPIError as error:
                    if not _is_retried(error, attempt, repeatable=repeatable):
                        raise
                    time.sleep(_pause_seconds(attempt))
        raise AssertionError("the last attempt returns or raises")

    def _transact(self, writes: Sequence[Write]) -> list[Any]:
        self._check_writes()
        self._check_file()
        with _begin(self._writer) as connection:
            self._check_file()  # again, because the transaction may have waited long
            return perform(writes, connection)

    def _check_writes(self) -> None:
        if not self._writes:
            raise StoreUnavailable(f"the store {self.location} was opened for reading only")

    def _identify(self, path: Path) -> tuple[int, ...]:
        status = path.stat()
        return (status.st_ino, status.st_size, status.st_mtime_ns) if self._immutable else (status.st_ino,)

    def _check_file(self, problem: str = _REPLACED) -> None:
        """Raise StoreUnavailable if the file is not the one that was opened: writes to a deleted file are lost."""
        path = self.location.path
        if path is None:
            return
        try:
            is_same = self._identify(path) == self._identity
        except (FileNotFoundError, NotADirectoryError):
            is_same = False
        if not is_same:
            raise StoreUnavailable(problem.format(path))


@contextmanager
def _begin(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection, _begin_transaction(connection):
        yield connection


def _begin_transaction(connection: sa.Connection) -> sa.RootTransaction:
    """Begin a transaction; begin again if the connection is broken, because no statement has run yet."""
    try:
        return connection.begin()
    except sa.exc.DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return connection.begin()


def _is_retried(error: sa.exc.DBAPIError, attempt: int, *, repeatable: bool) -> bool:
    return attempt < _MAX_ATTEMPTS and (is_retryable(error) or (repeatable and connection_lost(error)))


def _pause_seconds(attempt: int) -> float:
    return random.uniform(0, _MAX_PAUSE_SECONDS) * attempt  # noqa: S311 - no secret


P = ParamSpec("P")

Work = Callable[[sa.Connection], T]


@dataclass(frozen=True, slots=True)
class BatchableWrite(Generic[T]):
    """A write that is cheaper together with others of its kind: *do* takes their items and returns a T for each."""

    do: Callable[[sa.Connection, Sequence[Any]], list[T]]
    item: Any


Write = Work[Any] | BatchableWrite[Any]


def perform(writes: Sequence[Write], connection: sa.Connection) -> list[Any]:
    """Do *writes*, those of one kind at once; writes that wait side by side are owed no order."""
    results: list[Any] = [None] * len(writes)
    batches: dict[Any, list[int]] = defaultdict(list)
    for position, write in enumerate(writes):
        if isinstance(write, BatchableWrite):
            batches[write.do].append(position)
        else:
            results[position] = write(connection)
    for do, positions in batches.items():
        items = [cast("BatchableWrite[Any]", writes[position]).item for position in positions]
        for position, result in zip(positions, do(connection, items), strict=True):
            results[position] = result
    return results


async def run_in_thread(threads: Executor | None, work: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """Do *work* in one of *threads*, or in any thread; a caller that is cancelled still waits for its end.

    Raises StoreUnavailable if the *threads* have ended, because the store was closed.
    """
    loop = asyncio.get_running_loop()
    try:
        done = loop.run_in_executor(threads, partial(work, *arguments, **keywords))
    except RuntimeError as error:
        raise StoreUnavailable("the store is closed") from error
    return await _to_the_end(done)


async def _to_the_end(done: asyncio.Future[T]) -> T:
    """Wait even when cancelled, because a transaction cannot be left half done."""
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        done.exception()  # because the caller is gone
        raise


class _Waiting(NamedTuple):
    """A write, and the future of its caller."""

    write: Write
    done: asyncio.Future[Any]


Outcome = tuple[_Waiting, Any, "Exception | None"]


class WriteQueue:
    """Runs writes in *threads*, in the order of their submission.

    Writes that wait at the same time share a transaction.

    A commit waits for the disk and costs as much as a write, so up to *max_writes* share it. If the transaction fails,
    none of them has happened, and each is repeated in a transaction of its own, so that only the caller of the failing
    write gets the error.

    Passing work between threads has a cost, too. So the threads are called after every runnable task has had the chance
    to add a write, and all results of one transaction are returned at once.
    """

    def __init__(self, transact: Callable[[Sequence[Write]], list[Any]], *, threads: int, max_writes: int) -> None:
        self._transact = transact
        self._max_writes = max_writes
        self._threads = ThreadPoolExecutor(threads, "store")
        self._waiting: deque[_Waiting] = deque()

    async def submit(self, write: Work[T] | BatchableWrite[T]) -> T:
        """Do *write* and commit."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(write, loop.create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            loop.call_soon(self._call)
        return await _to_the_end(waiting.done)

    async def run_alone(self, work: Callable[[], T], interrupt: Callable[[], None]) -> T:
        """Do *work* in a thread of the queue. If the caller is cancelled, *interrupt* is called until *work* ends."""
        try:
            done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError as error:
            raise StoreUnavailable("the store is closed") from error
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            while not done.done():
                await asyncio.to_thread(interrupt)
                await asyncio.wait([done], timeout=_INTERRUPT_SECONDS)
            done.exception()  # because the caller is gone
            raise

    def close(self) -> None:
        """Finish what waits; to be called in a thread where a loop still waits for results."""
        while self._waiting:
            self._threads.submit(self._work_off).result()
        self._threads.shutdown()

    def _call(self) -> None:
        if self._waiting:
            self._threads.submit(self._work_off)

    def _work_off(self) -> None:
        taken: list[_Waiting] = []
        with suppress(IndexError):  # other threads take from it, too
            while len(taken) < self._max_writes:
                taken.append(self._waiting.popleft())
        self._call()
        if taken:
            outcomes = self._outcomes(taken)
            taken[0].done.get_loop().call_soon_threadsafe(_hand_back, outcomes)

    def _outcomes(self, taken: Sequence[_Waiting]) -> list[Outcome]:
        try:
            results = self._transact([waiting.write for waiting in taken])
        except Exception as error:  # noqa: BLE001 - it is for the callers
            if len(taken) > 1 and not (isinstance(error, DBAPIError) and connection_lost(error)):
                return [outcome for waiting in taken for outcome in self._outcomes([waiting])]
            return [(waiting, None, error) for waiting in taken]  # a lost connection leaves the commit unknown
        return [(waiting, result, None) for waiting, result in zip(taken, results, strict=True)]


def _hand_back(outcomes: Sequence[Outcome]) -> None:
    for waiting, result, error in outcomes:
        if error is None:
            waiting.done.set_result(result)
        else:
            waiting.done.set_exception(error)
