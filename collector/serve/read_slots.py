"""The slots of requests that read the store: few, and shared fairly between the routes.

More readers than processor cores do not answer sooner: their threads only interrupt each other, the loop and the
writer. The threads that HTTP leaves free are those that fires, gaps and retention read with.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAX_READS = 4
"""The number of concurrent reads of one route."""
MAX_ALL_READS = 6
"""The number of concurrent reads of all routes: fewer than the threads that read, see `store.db.engine.READERS`."""


class ReadSlots:
    """Slots for reads. A free slot goes to the route whose turn it is, there to the request that has waited longest.

    No route holds more than *most_of_route* of the *most* slots, so that slow answers of one route do not keep all.
    """

    def __init__(self, most: int, most_of_route: int) -> None:
        self._most = most
        self._most_of_route = most_of_route
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, route: str, timeout_seconds: float) -> AsyncIterator[None]:
        """Hold a slot for a request of *route*. Raises TimeoutError if it waits too long for one."""
        await self._acquire(route, timeout_seconds)
        try:
            yield
        finally:
            self._release(route)

    async def _acquire(self, route: str, timeout_seconds: float) -> None:
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(route, deque()).append(granted)
        self._grant()
        try:
            async with asyncio.timeout(timeout_seconds):
                await granted
        except BaseException:
            if not granted.cancelled():  # because the slot was granted before the caller was cancelled
                self._release(route)
            raise

    def _release(self, route: str) -> None:
        self._held[route] -= 1
        if not self._held[route]:
            del self._held[route]
        self._grant()

    def _grant(self) -> None:
        """Give free slots to requests that wait; a route that got one waits for its next turn behind all others."""
        while self._held.total() < self._most and (route := self._next_route()) is not None:
            queue = self._waiting.pop(route)
            queue.popleft().set_result(None)
            self._held[route] += 1
            if queue:
                self._waiting[route] = queue

    def _next_route(self) -> str | None:
        """Return the route that gets the next slot; None if none waits that may have one."""
        for route, queue in list(self._waiting.items()):
            while queue and queue[0].cancelled():
                queue.popleft()
            if not queue:
                del self._waiting[route]
            elif self._held[route] < self._most_of_route:
                return route
        return None
