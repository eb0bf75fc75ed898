"""The limit on connections, their idle time-out, and the response to malformed requests."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector.serve.middleware import SECURITY_HEADERS, error_response, log_failure

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

MAX_CONNECTIONS = 256
"""The number of open connections. Beyond it, the one that has been idle longest is closed."""
IDLE_SECONDS = 75.0
"""The time in which a client must send its next request completely, however slowly, or read a response."""
_SWEEP_SECONDS = 5.0


class ConnectionLimiter:
    """Protocol factory of *server*. Closes idle connections, and the idlest ones if there are too many.

    *open_connections* are all of them. *idle_since* has those that wait for their client, the longest idle one first,
    with the time of the event loop.
    """

    def __init__(self, server: web.Server) -> None:
        self.server = server
        server.request_handler = _check_expectation(server.request_handler)
        self.loop = asyncio.get_running_loop()
        self.open_connections: set[CountedConnection] = set()
        self.idle_since: dict[CountedConnection, float] = {}
        self._sweeping = self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def __call__(self) -> CountedConnection:
        """Return the protocol of a new connection."""
        return CountedConnection(self, loop=self.loop, access_log=None, keepalive_timeout=IDLE_SECONDS)

    def remove(self, connection: CountedConnection) -> None:
        """Remove a closed connection."""
        self.open_connections.discard(connection)
        self.idle_since.pop(connection, None)

    def abort(self, connection: CountedConnection) -> None:
        """Close a connection at once."""
        self.remove(connection)
        if connection.transport is not None:
            connection.transport.abort()

    def close(self) -> None:
        """Stop closing idle connections."""
        self._sweeping.cancel()

    def _sweep(self) -> None:
        oldest = self.loop.time() - IDLE_SECONDS
        for connection in [connection for connection, since in self.idle_since.items() if since < oldest]:
            self.abort(connection)
        self._sweeping = self.loop.call_later(_SWEEP_SECONDS, self._sweep)


class CountedConnection(web.RequestHandler):
    """aiohttp's protocol of one connection, counted by *limiter*."""

    def __init__(self, limiter: ConnectionLimiter, **options: Any) -> None:
        super().__init__(limiter.server, **options)
        self.limiter = limiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection. If there are too many, close the idlest one: this one if all others are busy."""
        super().connection_made(transport)
        limiter = self.limiter
        limiter.open_connections.add(self)
        limiter.idle_since[self] = limiter.loop.time()
        while len(limiter.open_connections) > MAX_CONNECTIONS:
            limiter.abort(next(iter(limiter.idle_since)))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the connection."""
        self.limiter.remove(self)
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
    limiter = connection.limiter
    limiter.idle_since.pop(connection, None)
    try:
        return await handler(request)
    finally:
        if connection in limiter.open_connections:
            limiter.idle_since[connection] = limiter.loop.time()


async def _read_whole(request: web.Request) -> None:
    try:
        await request.read()
    except RuntimeError as error:  # aiohttp raises it if the connection was closed before this began
        if request.transport is not None:
            raise
        raise ConnectionResetError("the client has closed the connection") from error
