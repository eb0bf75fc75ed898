"""What a reader reads from: a database, state by state, or one state of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.db.group_commit import Work
    from collector.store.db.location import Location

T = TypeVar("T")


class Readable(Protocol):
    """A source of states."""

    @property
    def location(self) -> Location:
        """Where it is."""

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction that sees one state of the store and changes nothing."""

    async def read_in_thread(self, work: Work[T]) -> T:
        """Do *work* in such a transaction, in a thread."""


class State:
    """One state of a store, under a transaction that is open."""

    def __init__(self, location: Location, connection: AsyncConnection) -> None:
        self.location = location
        self._connection = connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Give the connection that sees it."""
        yield self._connection

    async def read_in_thread(self, work: Work[T]) -> T:
        """Do *work* here and now, for this is a thread already."""
        return await work(self._connection)
