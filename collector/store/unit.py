"""Units of work, from begin to commit in one thread, on a connection that answers at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from sqlalchemy.exc import DBAPIError

from collector.store.boundary import was_cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[["AsyncConnection"], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Alike(Generic[T]):
    """A unit of work that costs less when done with others of its kind: *do* takes their items, and gives a T each."""

    do: Callable[[AsyncConnection, Sequence[Any]], Awaitable[list[T]]]
    item: Any


Unit = Work[Any] | Alike[Any]


class _Immediate:
    """What a unit of work uses of an AsyncConnection, on a connection of this thread: nothing is ever waited for."""

    def __init__(self, connection: sa.Connection) -> None:
        self.dialect = connection.dialect
        self._connection = connection

    async def execute(self, statement: sa.Executable, parameters: Any = None) -> sa.CursorResult[Any]:
        return self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> sa.CursorResult[Any]:
        return self._connection.exec_driver_sql(statement, parameters)

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(self._connection, *arguments)

    async def get_raw_connection(self) -> sa.PoolProxiedConnection:
        return self._connection.connection

    async def invalidate(self, error: BaseException | None = None) -> None:
        self._connection.invalidate(error)


def immediate(connection: sa.Connection) -> AsyncConnection:
    """Give *connection* to functions that are written for either kind."""
    return cast("AsyncConnection", _Immediate(connection))


def finished(work: Work[T], connection: sa.Connection) -> T:
    """Do *work*, which waits for nothing but its connection, here and now."""
    steps = work(immediate(connection)).__await__()
    try:
        next(steps)
    except StopIteration as end:
        return cast("T", end.value)
    raise RuntimeError("a unit of work waits for something else than its connection")


def all_finished(works: Sequence[Unit], connection: sa.Connection) -> list[Any]:
    """Do *works*, those that are alike at once; who waits side by side is owed no order."""
    results: list[Any] = [None] * len(works)
    alike: dict[Any, list[int]] = defaultdict(list)
    for place, work in enumerate(works):
        if isinstance(work, Alike):
            alike[work.do].append(place)
        else:
            results[place] = finished(work, connection)
    for do, places in alike.items():
        items = [cast("Alike[Any]", works[place]).item for place in places]
        for place, result in zip(places, finished(partial(_at_once, do, items), connection), strict=True):
            results[place] = result
    return results


async def _at_once(do: Callable[..., Awaitable[T]], items: Sequence[Any], connection: AsyncConnection) -> T:
    return await do(connection, items)


async def in_thread(threads: Executor, work: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
    """Do *work* in one of *threads*."""
    return await _to_its_end(threads.submit(work, *arguments, **keywords))


async def _to_its_end(future: Future[T]) -> T:
    """Who is cancelled still waits for the end: half a transaction cannot be left."""
    done = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        done.exception()  # nobody is left to be told
        raise


class Units:
    """Does units of work in *threads*, each in its place; those that wait at the same time share one transaction.

    A commit waits for the disk and costs as much as a unit, so up to *together* of them share it. If that fails, none
    of them has happened, and each is done again by itself, so that only whose unit is to blame hears of it.
    """

    def __init__(self, transact: Callable[[Sequence[Unit]], list[Any]], *, threads: int, together: int) -> None:
        self._transact = transact
        self._together = together
        self._threads = ThreadPoolExecutor(threads, "store")
        self._waiting: deque[tuple[Unit, Future[Any]]] = deque()

    async def do(self, work: Work[T] | Alike[T]) -> T:
        """Do *work* and commit."""
        future: Future[T] = Future()
        self._waiting.append((work, future))
        self._threads.submit(self._work_off)
        return await _to_its_end(future)

    async def close(self, last: Callable[[], object]) -> None:
        """Finish what waits, then do *last*."""
        await in_thread(self._threads, last)
        self._threads.shutdown()

    def _work_off(self) -> None:
        units = [self._waiting.popleft() for _ in range(min(self._together, len(self._waiting)))]
        if not units:  # an earlier turn has taken what this one was for
            return
        try:
            results = self._transact([work for work, _ in units])
        except Exception as error:  # noqa: BLE001 - it is for those who wait
            self._one_by_one(units, error)
        else:
            for (_, future), result in zip(units, results, strict=True):
                future.set_result(result)

    def _one_by_one(self, units: Sequence[tuple[Unit, Future[Any]]], error: Exception) -> None:
        if len(units) == 1 or (
            isinstance(error, DBAPIError) and was_cut(error)
        ):  # nobody knows whether the commit arrived
            for _, future in units:
                future.set_exception(error)
            return
        for work, future in units:
            try:
                future.set_result(self._transact([work])[0])
            except Exception as its_own:  # noqa: BLE001 - it is for the one who waits
                future.set_exception(its_own)
