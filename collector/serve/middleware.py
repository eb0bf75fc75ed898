"""What every request passes before a handler: errors, host name, token, concurrency; and the headers of each response.

An error has a status and a short text, never a path, an SQL statement or a traceback.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import socket
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, NoReturn

from aiohttp import ClientPayloadError, web

from collector.contract.response import JSON_TYPE, ApiError, ErrorCode
from collector.serve.read_slots import MAX_ALL_READS, MAX_READS, ReadSlots
from collector.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiohttp.typedefs import Handler, Middleware

    from collector.settings import Secret

log = logging.getLogger(__name__)

CONTRACT_PATH = "/client/v4"
"""Where the routes of the API's own contract are; errors there are in the API's form."""
REQUEST_TIMEOUT_SECONDS = 120.0
"""The longest time of a request, with the reading of its body and the sending of a streamed response."""
MAX_CHANGES = 16
"""Requests that change something have own slots, because a deletion may take minutes."""
MAX_STREAMS = 8
"""A CSV response is as long as the history, and its client decides how long it lasts: such requests have own slots."""
SLOT_TIMEOUT_SECONDS = 10.0
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
_TOKEN_PATHS = ("/api/", "/metrics")
_READ_METHODS = ("GET", "HEAD")
_BEARER = "bearer "
_NO_CREDENTIALS = ErrorCode(HTTPStatus.UNAUTHORIZED, 9106)
_WRONG_CREDENTIALS = ErrorCode(HTTPStatus.FORBIDDEN, 10000)
_STARTED = web.RequestKey("started", bool)
BASE_PATH = web.AppKey("base_path", str)
"""With what every path of the server begins: `[server] base_path`."""


def local_path(request: web.Request) -> str:
    """Return the path of a request without the base path of the server."""
    return request.path.removeprefix(request.config_dict.get(BASE_PATH, ""))


def error_response(status: HTTPStatus, message: str) -> web.Response:
    """Return the response `{"error": message}`."""
    return web.json_response({"error": message}, status=status)


def api_error_response(error: ApiError) -> web.Response:
    """Return *error* as the API writes it."""
    reply = error.reply()
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers, content_type=JSON_TYPE)


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return a JSON error for what a handler raises; the log has the reason, under the id in the error.

    If the response has started, close the connection instead, so that the client does not take a part for the whole.
    """
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = error_response(HTTPStatus(error.status), HTTPStatus(error.status).phrase)
        response.headers.update({name: value for name, value in error.headers.items() if name == "Allow"})
        return response
    except ConnectionError:  # the client has closed the connection
        raise
    except (web.RequestPayloadError, ClientPayloadError):
        return error_response(HTTPStatus.BAD_REQUEST, "the body of the request cannot be read")
    except StoreError as error:
        number = log_failure("unavailable", str(error))
        response = error_response(
            HTTPStatus.SERVICE_UNAVAILABLE, f"the store does not answer; the log says more under {number}"
        )
    except TimeoutError:
        number = log_failure("timeout", f"not done within {REQUEST_TIMEOUT_SECONDS:.0f} s")
        message = f"this took too long; the log says more under {number}"
        response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, message)
    except Exception as error:  # noqa: BLE001 - the client needs a response for any exception, and the log the reason
        number = log_failure("failed", repr(error), trace=True)
        message = f"something went wrong; the log says more under {number}"
        response = error_response(HTTPStatus.INTERNAL_SERVER_ERROR, message)
    if response_started(request):
        _break_off(request)
    return response


def response_started(request: web.Request) -> bool:
    """Return whether a part of the response may have been sent."""
    return bool(request.get(_STARTED))


def _break_off(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the response broke off")


def log_failure(outcome: str, reason: str, *, trace: bool = False) -> str:
    """Log why a request failed, with the current traceback if *trace*. Returns the id for the client."""
    number = secrets.token_hex(4)
    log.log(
        logging.ERROR if trace else logging.WARNING,
        "http_request_failed",
        extra={"outcome": outcome, "reason": reason, "id": number},
        exc_info=trace,
    )
    return number


async def prepare_response(request: web.Request, response: web.StreamResponse) -> None:
    """Record that *response* starts, and set the security headers that it lacks; a signal of the application."""
    request[_STARTED] = True
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.pop("Server", None)


def restrict_access(
    bound: str, hosts: Iterable[str] = (), *, read_token: Secret | None = None, write_token: Secret | None = None
) -> Middleware:
    """Return a middleware that rejects requests for another host, and requests for data without the token.

    Another host gets 421, against DNS rebinding. Allowed are the *bound* address, the names of the loopback, and
    *hosts*. A server that is bound to all addresses also allows every IP address and the name of this machine.

    Under `/api/` and for `/metrics`, GET and HEAD need *read_token* and other methods *write_token*; None: no token is
    needed. Everything under `/client/v4/` needs *read_token*; there the error is in the API's form.
    """
    any_address = bound in _WILDCARDS
    allowed = _LOCAL_NAMES | {bound, *hosts} | ({socket.gethostname().lower()} if any_address else set())

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers.getall("Host", [])
        names = {without_port(host) for host in (*headers, *_authority(request.raw_path))}
        if len(headers) != 1 or not all(name in allowed or (any_address and _is_address(name)) for name in names):
            message = "this host name is not served here; [server] hosts lists more"
            return error_response(HTTPStatus.MISDIRECTED_REQUEST, message)
        is_contract = local_path(request).startswith(f"{CONTRACT_PATH}/")
        token = read_token if is_contract or request.method in _READ_METHODS else write_token
        needs_token = is_contract or local_path(request).startswith(_TOKEN_PATHS)
        if token is None or not needs_token or token_matches(request.headers, token):
            return await handler(request)
        if is_contract:
            return _reject_credentials(request.headers)
        response = error_response(HTTPStatus.UNAUTHORIZED, "this server needs its token: Authorization: Bearer …")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

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


def token_matches(headers: Mapping[str, str], token: Secret) -> bool:
    """Return whether `Authorization: Bearer …` or `X-Auth-Key` is *token*. Takes the same time for any value."""
    authorization = headers.get("Authorization", "")
    bearer = authorization[len(_BEARER) :] if authorization[: len(_BEARER)].lower() == _BEARER else ""
    values = [bearer.strip(), headers.get("X-Auth-Key", "")]
    expected = token.reveal().encode()
    matches = [hmac.compare_digest(value.encode("utf-8", "surrogateescape"), expected) for value in values]
    return any(matches)


def _reject_credentials(headers: Mapping[str, str]) -> web.Response:
    """Return the API's own error for a request without the token of this server."""
    if "Authorization" in headers or "X-Auth-Key" in headers:
        return api_error_response(ApiError(_WRONG_CREDENTIALS, "Authentication error"))
    message = "Missing X-Auth-Key, X-Auth-Email or Authorization headers"
    return api_error_response(ApiError(_NO_CREDENTIALS, message))


def limit_concurrency(slots: ReadSlots | None = None) -> Middleware:
    """Return a middleware that limits concurrent requests to `/api/`, so that memory use stays constant.

    A request that waits too long for one of *slots* gets 503.
    """
    reads = slots or ReadSlots(MAX_ALL_READS, MAX_READS)
    changes, streams = (ReadSlots(most, most) for most in (MAX_CHANGES, MAX_STREAMS))

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not local_path(request).startswith("/api/"):
            return await handler(request)
        chosen = reads if request.method in _READ_METHODS else changes
        if request.query.get("format") == "csv":
            chosen = streams
        started = False
        try:
            async with chosen.slot(_route(request), SLOT_TIMEOUT_SECONDS):
                started = True
                return await handler(request)
        except TimeoutError:
            if started:
                raise
        response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are under way")
        response.headers["Retry-After"] = "5"
        return response

    return check


def _route(request: web.Request) -> str:
    """Return what shares the slots of one route: charts of a page of points are apart from its pages."""
    return f"{request.path} thin" if "thin" in request.query else request.path
