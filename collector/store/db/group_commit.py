"""Writes to the store: each runs in one thread, and those that wait at the same time share a transaction."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from collector.store.db.translate_errors import connection_lost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[[sa.Connection], T]


@dataclass(frozen=True, slots=True)
class BatchableWrite(Generic[T]):
    """A write that costs less when it is done with others of its kind: *do* takes their items and returns a T each."""

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
    """Do *work* in one of *threads*, or in any thread; a caller that is cancelled still waits for its end."""
    loop = asyncio.get_running_loop()
    return await _to_the_end(loop.run_in_executor(threads, partial(work, *arguments, **keywords)))


async def _to_the_end(done: asyncio.Future[T]) -> T:
    """Wait even when cancelled, because nobody can leave half a transaction."""
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        done.exception()  # nobody is left to be told
        raise


class _Waiting(NamedTuple):
    """A write, and the future of its caller."""

    write: Write
    done: asyncio.Future[Any]


Outcome = tuple[_Waiting, Any, "Exception | None"]


class WriteQueue:
    """Does writes in *threads*, in the order in which they come; those that wait at the same time share a transaction.

    A commit waits for the disk and costs as much as a write, so up to *max_writes* share it. If that fails, none of
    them has happened, and each is done again by itself, so that only the caller of the bad write gets the error.

    To hand work from thread to thread costs, too. So the threads are called once every task that can go on has had the
    chance to add a write, and all results of one transaction are handed back at once.
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
            return [(waiting, None, error) for waiting in taken]  # if cut, nobody knows whether the commit arrived
        return [(waiting, result, None) for waiting, result in zip(taken, results, strict=True)]


def _hand_back(outcomes: Sequence[Outcome]) -> None:
    for waiting, result, error in outcomes:
        if error is None:
            waiting.done.set_result(result)
        else:
            waiting.done.set_exception(error)
