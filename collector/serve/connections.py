"""The connections: how many there may be, how long one may keep us waiting, and what is said to what is no HTTP."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector.serve.errors import error_response, log_failure
from collector.serve.middleware import SECURITY_HEADERS

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

MAX_CONNECTIONS = 256
"""How many connections are open at once. Beyond that, the one that has kept us waiting longest is closed."""
IDLE_SECONDS = 75.0
"""Seconds that a connection may take to bring its next request whole, however it trickles in, or to read an answer."""
_SWEEP_SECONDS = 5.0


class ConnectionLimiter:
    """Makes the protocol of each connection of *server*, and closes those that take too much room or time."""

    def __init__(self, server: web.Server) -> None:
        self.server = server
        server.request_handler = _check_expectation(server.request_handler)
        self._loop = asyncio.get_running_loop()
        self._open: set[CountedConnection] = set()
        self._waiting: dict[CountedConnection, float] = {}  # since when, the longest first
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __call__(self) -> CountedConnection:
        """Make the protocol of a new connection."""
        return CountedConnection(self, loop=self._loop, access_log=None, keepalive_timeout=IDLE_SECONDS)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: CountedConnection) -> None:
        """Count one that was opened; where there are too many, the one to go is *connection* if all others work."""
        self._open.add(connection)
        self.wait_for(connection)
        while len(self._open) > MAX_CONNECTIONS:
            self._drop(next(iter(self._waiting)))

    def wait_for(self, connection: CountedConnection) -> None:
        """Note that it is the other side's turn from now on."""
        if connection in self._open:
            self._waiting[connection] = self._loop.time()

    def work_for(self, connection: CountedConnection) -> None:
        """Note that a request is being answered."""
        self._waiting.pop(connection, None)

    def remove(self, connection: CountedConnection) -> None:
        """Forget one that was closed."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def close(self) -> None:
        """Stop looking after them."""
        self._sweeping.cancel()

    def _drop(self, connection: CountedConnection) -> None:
        self.remove(connection)
        if connection.transport is not None:
            connection.transport.abort()

    def _sweep(self) -> None:
        patience_ends = self._loop.time() - IDLE_SECONDS
        for connection in [one for one, since in self._waiting.items() if since < patience_ends]:
            self._drop(connection)
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)


class CountedConnection(web.RequestHandler):
    """aiohttp's protocol, counted."""

    def __init__(self, pool: ConnectionLimiter, **options: Any) -> None:
        super().__init__(pool.server, **options)
        self._pool = pool

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._pool.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._pool.remove(self)
        super().connection_lost(exc)

    def begin(self) -> None:
        """Note that a request has come."""
        self._pool.work_for(self)

    def end(self) -> None:
        """Note that it was answered, but for what is still to be read by the other side."""
        self._pool.wait_for(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was received
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what nothing else has caught."""
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionResetError("the other side is gone, or the answer broke off")
        text = "this is not a request that is understood here"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            text = f"something went wrong; the log says more under {log_failure('failed', repr(exc), trace=True)}"
        return _final_response(HTTPStatus(status), text)


def _final_response(status: HTTPStatus, text: str) -> web.Response:
    """Make an answer that no route gives, and the last one of its connection."""
    answer = error_response(status, text)
    answer.headers.update({**SECURITY_HEADERS, "Server": "collector"})
    answer.force_close()
    return answer


def _check_expectation(handle: Any) -> Any:
    """Refuse what is expected but cannot be met before aiohttp does, whose refusal fails on text that is not UTF-8."""

    async def check(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return _final_response(HTTPStatus.EXPECTATION_FAILED, "nothing but 100-continue can be expected")
        answer: web.StreamResponse = await handle(request)
        return answer

    return check


@web.middleware
async def track_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep a connection open while its request is answered, which begins when all of it is there."""
    connection = request.protocol
    if request.can_read_body:
        await _read_whole(request)
    if not isinstance(connection, CountedConnection):
        return await handler(request)
    connection.begin()
    try:
        return await handler(request)
    finally:
        connection.end()


async def _read_whole(request: web.Request) -> None:
    try:
        await request.read()
    except RuntimeError as error:  # how aiohttp says that the connection was closed before this began
        if request.transport is not None:
            raise
        raise ConnectionResetError("the other side is gone") from error
