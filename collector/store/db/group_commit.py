"""Units of work, from begin to commit in one thread, on a connection that answers at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar, cast

from sqlalchemy.exc import DBAPIError

from collector.store.db.translate_errors import was_cut

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
    return await _to_its_end(asyncio.wrap_future(threads.submit(work, *arguments, **keywords)))


async def _to_its_end(done: asyncio.Future[T]) -> T:
    """Who is cancelled still waits for the end: half a transaction cannot be left."""
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        done.exception()  # nobody is left to be told
        raise


class _Waiting(NamedTuple):
    """A unit of work, and who is to hear what came of it."""

    work: Unit
    done: asyncio.Future[Any]


Outcome = tuple[_Waiting, Any, "Exception | None"]


class Units:
    """Does units of work in *threads*, each in its place; those that wait at the same time share one transaction.

    A commit waits for the disk and costs as much as a unit, so up to *together* of them share it. If that fails, none
    of them has happened, and each is done again by itself, so that only whose unit is to blame hears of it.

    Handing work from thread to thread costs, too. So the threads are called once everybody who can go on has had the
    chance to add a unit, and all that came of one transaction is told at once.
    """

    def __init__(self, transact: Callable[[Sequence[Unit]], list[Any]], *, threads: int, together: int) -> None:
        self._transact = transact
        self._together = together
        self._threads = ThreadPoolExecutor(threads, "store")
        self._waiting: deque[_Waiting] = deque()

    async def do(self, work: Work[T] | Alike[T]) -> T:
        """Do *work* and commit."""
        loop = asyncio.get_running_loop()
        unit = _Waiting(work, loop.create_future())
        self._waiting.append(unit)
        if len(self._waiting) == 1:
            loop.call_soon(self._call)
        return await _to_its_end(unit.done)

    async def close(self, last: Callable[[], object]) -> None:
        """Finish what waits, then do *last*."""
        while self._waiting:
            await in_thread(self._threads, self._work_off)
        await in_thread(self._threads, last)
        self._threads.shutdown()

    def _call(self) -> None:
        if self._waiting:
            self._threads.submit(self._work_off)

    def _work_off(self) -> None:
        units: list[_Waiting] = []
        with suppress(IndexError):  # others take from it, too
            while len(units) < self._together:
                units.append(self._waiting.popleft())
        self._call()
        if units:
            outcomes = self._outcomes(units)
            units[0].done.get_loop().call_soon_threadsafe(_tell, outcomes)

    def _outcomes(self, units: Sequence[_Waiting]) -> list[Outcome]:
        try:
            results = self._transact([unit.work for unit in units])
        except Exception as error:  # noqa: BLE001 - it is for those who wait
            if len(units) > 1 and not (isinstance(error, DBAPIError) and was_cut(error)):
                return [outcome for unit in units for outcome in self._outcomes([unit])]
            return [(unit, None, error) for unit in units]  # if cut, nobody knows whether the commit arrived
        return [(unit, result, None) for unit, result in zip(units, results, strict=True)]


def _tell(outcomes: Sequence[Outcome]) -> None:
    for unit, result, error in outcomes:
        if error is None:
            unit.done.set_result(result)
        else:
            unit.done.set_exception(error)
