"""What every request passes before a handler: host name, token, concurrency; and the headers of every response."""

from __future__ import annotations

import asyncio
import hmac
import re
import socket
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING

from aiohttp import web

from collector.serve.errors import error_response
from collector.serve.radar_api.routes import BASE_PATH, reject_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp.typedefs import Handler, Middleware

    from collector.settings import Secret

MAX_READS = 16
MAX_STREAMS = 8
"""CSV answers are as long as the history and last as long as the caller likes: they have slots of their own."""
SLOT_TIMEOUT_SECONDS = 10.0
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
_TOKEN_PATHS = ("/api/", "/metrics")
_READ_METHODS = ("GET", "HEAD")
_BEARER = "bearer "
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def check_host(bound: str, hosts: Iterable[str]) -> Middleware:
    """Return a middleware that rejects requests for another host with 421, against DNS rebinding.

    Allowed are the *bound* address, the names of the loopback, and *hosts*. A server that is bound to all addresses
    also allows every IP address and the name of this machine.
    """
    any_address = bound in _WILDCARDS
    allowed = _LOCAL_NAMES | {bound, *hosts} | ({socket.gethostname().lower()} if any_address else set())

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers.getall("Host", [])
        names = {without_port(host) for host in (*headers, *_authority(request.raw_path))}
        if len(headers) == 1 and all(name in allowed or (any_address and _is_address(name)) for name in names):
            return await handler(request)
        message = "this host name is not served here; [server] hosts lists more"
        return error_response(HTTPStatus.MISDIRECTED_REQUEST, message)

    return check


def without_port(host: str) -> str:
    """Return the name or address of `name`, `name:port`, `[address]` or `[address]:port`, in lower case."""
    name, colon, port = host.rpartition(":")
    name = (name if colon and port.isdigit() and (name.endswith("]") or ":" not in name) else host).lower()
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def _authority(target: str) -> tuple[str, ...]:
    """Return the host of a request target such as `http://host/`; nothing for `/path` and `*`.

    RFC 9112, section 3.2.2: it has precedence over the Host header.
    """
    if target.startswith("/") or target == "*":
        return ()
    return (re.split(r"[/?#]", target.partition("://")[2] or target, maxsplit=1)[0],)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def require_token(read_token: Secret | None, write_token: Secret | None) -> Middleware:
    """Return a middleware that rejects requests for data without the token; None: no token is needed.

    Under `/api/` and for `/metrics`, GET and HEAD need *read_token* and other methods *write_token*. Everything under
    `/client/v4/` needs *read_token*; there the error is in the API's form.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_contract = request.path.startswith(f"{BASE_PATH}/")
        token = read_token if is_contract or request.method in _READ_METHODS else write_token
        needs_token = is_contract or request.path.startswith(_TOKEN_PATHS)
        if token is None or not needs_token or token_matches(request.headers, token):
            return await handler(request)
        if is_contract:
            return reject_credentials(request.headers)
        response = error_response(HTTPStatus.UNAUTHORIZED, "this server needs its token: Authorization: Bearer …")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    return check


def token_matches(headers: Mapping[str, str], token: Secret) -> bool:
    """Return whether `Authorization: Bearer …` or `X-Auth-Key` holds *token*; takes the same time for any value."""
    authorization = headers.get("Authorization", "")
    bearer = authorization[len(_BEARER) :] if authorization[: len(_BEARER)].lower() == _BEARER else ""
    values = [bearer.strip(), headers.get("X-Auth-Key", "")]
    expected = token.reveal().encode()
    matches = [hmac.compare_digest(value.encode("utf-8", "surrogateescape"), expected) for value in values]
    return any(matches)


def limit_concurrency() -> Middleware:
    """Return a middleware that limits concurrent requests to `/api/`, so that memory stays flat.

    A request that waits too long for a slot gets 503.
    """
    reads, streams = asyncio.Semaphore(MAX_READS), asyncio.Semaphore(MAX_STREAMS)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        slots = streams if request.query.get("format") == "csv" else reads
        try:
            await asyncio.wait_for(slots.acquire(), SLOT_TIMEOUT_SECONDS)
        except TimeoutError:
            response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are under way")
            response.headers["Retry-After"] = "5"
            return response
        try:
            return await handler(request)
        finally:
            slots.release()

    return check


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the security headers that *response* does not have yet; a signal of the application calls it."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.pop("Server", None)
