"""The JSON error of a failed request: a status and a short text, never a path, an SQL statement or a traceback."""

from __future__ import annotations

import asyncio
import logging
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from aiohttp import ClientPayloadError, web

from collector.store import StoreError

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_SECONDS = 120.0
"""The longest time of a request, with the reading of its body and the sending of a streamed response."""
_STARTED = web.RequestKey("begun", bool)


def error_response(status: HTTPStatus, message: str) -> web.Response:
    """Return the response `{"error": message}`."""
    return web.json_response({"error": message}, status=status)


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return a JSON error for what a handler raises; the log has the reason, under the id in the error.

    A response that has started is cut off instead, so that the client does not take a part for the whole.
    """
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        answer = error_response(HTTPStatus(error.status), HTTPStatus(error.status).phrase)
        answer.headers.update({name: value for name, value in error.headers.items() if name == "Allow"})
        return answer
    except ConnectionError:  # the client has closed the connection
        raise
    except (web.RequestPayloadError, ClientPayloadError):
        return error_response(HTTPStatus.BAD_REQUEST, "the body of the request cannot be read")
    except StoreError as error:
        number = log_failure("unavailable", str(error))
        answer = error_response(
            HTTPStatus.SERVICE_UNAVAILABLE, f"the store does not answer; the log says more under {number}"
        )
    except TimeoutError:
        number = log_failure("timeout", f"not done within {REQUEST_TIMEOUT_SECONDS:.0f} s")
        answer = error_response(HTTPStatus.SERVICE_UNAVAILABLE, f"this took too long; the log says more under {number}")
    except Exception as error:  # noqa: BLE001 - the client needs a response for any exception, and the log the reason
        number = log_failure("failed", repr(error), trace=True)
        message = f"something went wrong; the log says more under {number}"
        answer = error_response(HTTPStatus.INTERNAL_SERVER_ERROR, message)
    if response_started(request):
        _break_off(request)
    return answer


async def mark_response_started(request: web.Request, _response: web.StreamResponse) -> None:
    """Record that a response is about to be sent; a signal of the application calls it."""
    request[_STARTED] = True


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
