"""What a caller hears when something goes wrong: a short error with a status, never a path, a statement or a trace."""

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
"""Seconds that a request may take, the reading of its body and the sending of a streamed answer included."""
_STARTED = web.RequestKey("begun", bool)


def error_response(status: HTTPStatus, message: str) -> web.Response:
    """Answer `{"error": message}`."""
    return web.json_response({"error": message}, status=status)


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer; the log has the reason under the id that the caller is given.

    An answer that has begun cannot be taken back: it breaks off, so that nobody takes a part for the whole.
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
    except ConnectionError:  # the caller is gone
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
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the reason
        number = log_failure("failed", repr(error), trace=True)
        message = f"something went wrong; the log says more under {number}"
        answer = error_response(HTTPStatus.INTERNAL_SERVER_ERROR, message)
    if response_started(request):
        _break_off(request)
    return answer


async def mark_response_started(request: web.Request, _response: web.StreamResponse) -> None:
    """Note that an answer is being sent; a signal of the application before it does so."""
    request[_STARTED] = True


def response_started(request: web.Request) -> bool:
    """Tell whether a part of an answer may have been sent."""
    return bool(request.get(_STARTED))


def _break_off(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the answer broke off")


def log_failure(outcome: str, reason: str, *, trace: bool = False) -> str:
    """Log why a request failed, inside an except clause where *trace*; gives the id to tell the caller."""
    number = secrets.token_hex(4)
    log.log(
        logging.ERROR if trace else logging.WARNING,
        "http",
        extra={"outcome": outcome, "reason": reason, "id": number},
        exc_info=trace,
    )
    return number
