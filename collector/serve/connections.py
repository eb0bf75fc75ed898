"""The limit on connections, their idle time-out, and the response to malformed requests."""

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
"""The number of open connections. Beyond it, the one that has been idle longest is closed."""
IDLE_SECONDS = 75.0
"""The time in which a client must send its next request completely, however slowly, or read a response."""
_SWEEP_SECONDS = 5.0


class ConnectionLimiter:
    """Protocol factory of *server*. Closes idle connections, and the idlest ones if there are too many."""

    def __init__(self, server: web.Server) -> None:
        self.server = server
        server.request_handler = _check_expectation(server.request_handler)
        self._loop = asyncio.get_running_loop()
        self._open: set[CountedConnection] = set()
        self._idle_since: dict[CountedConnection, float] = {}  # the longest idle one first
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __call__(self) -> CountedConnection:
        """Return the protocol of a new connection."""
        return CountedConnection(self, loop=self._loop, access_log=None, keepalive_timeout=IDLE_SECONDS)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: CountedConnection) -> None:
        """Count a new connection. If there are too many, close the idlest one: the new one if all others are busy."""
        self._open.add(connection)
        self._idle_since[connection] = self._loop.time()
        while len(self._open) > MAX_CONNECTIONS:
            self._drop(next(iter(self._idle_since)))

    def set_busy(self, connection: CountedConnection) -> None:
        """Start to answer a request of *connection*."""
        self._idle_since.pop(connection, None)

    def set_idle(self, connection: CountedConnection) -> None:
        """Wait for the client of *connection* again, if it is still open."""
        if connection in self._open:
            self._idle_since[connection] = self._loop.time()

    def remove(self, connection: CountedConnection) -> None:
        """Remove a closed connection."""
        self._open.discard(connection)
        self._idle_since.pop(connection, None)

    def close(self) -> None:
        """Stop closing idle connections."""
        self._sweeping.cancel()

    def _drop(self, connection: CountedConnection) -> None:
        self.remove(connection)
        if connection.transport is not None:
            connection.transport.abort()

    def _sweep(self) -> None:
        oldest = self._loop.time() - IDLE_SECONDS
        for connection in [one for one, since in self._idle_since.items() if since < oldest]:
            self._drop(connection)
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)


class CountedConnection(web.RequestHandler):
    """aiohttp's protocol of one connection, counted by *pool*."""

    def __init__(self, pool: ConnectionLimiter, **options: Any) -> None:
        super().__init__(pool.server, **options)
        self.pool = pool

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        super().connection_made(transport)
        self.pool.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the connection."""
        self.pool.remove(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Answer a malformed request, or an exception that no middleware has caught."""
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionResetError("the client has closed the connection, or the response broke off")
        text = "this is not a valid HTTP request"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            text = f"something went wrong; the log says more under {log_failure('failed', repr(exc), trace=True)}"
        return _final_response(HTTPStatus(status), text)


def _final_response(status: HTTPStatus, text: str) -> web.Response:
    """Return a response that comes from no route, and that closes its connection."""
    response = error_response(status, text)
    response.headers.update({**SECURITY_HEADERS, "Server": "collector"})
    response.force_close()
    return response


def _check_expectation(handle: Any) -> Any:
    """Reject unknown `Expect` headers before aiohttp does, because its own response fails on text that is not UTF-8."""

    async def check(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return _final_response(HTTPStatus.EXPECTATION_FAILED, "nothing but 100-continue can be expected")
        response: web.StreamResponse = await handle(request)
        return response

    return check


@web.middleware
async def track_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Mark the connection as busy from the end of the request's body until the response is written."""
    connection = request.protocol
    if request.can_read_body:
        await _read_whole(request)
    if not isinstance(connection, CountedConnection):
        return await handler(request)
    connection.pool.set_busy(connection)
    try:
        return await handler(request)
    finally:
        connection.pool.set_idle(connection)


async def _read_whole(request: web.Request) -> None:
    try:
        await request.read()
    except RuntimeError as error:  # aiohttp raises it if the connection was closed before this began
        if request.transport is not None:
            raise
        raise ConnectionResetError("the client has closed the connection") from error
