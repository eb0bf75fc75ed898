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

LONGEST = 120.0
"""Seconds that a request may take, the reading of its body and the sending of a streamed answer included."""
_BEGUN = web.RequestKey("begun", bool)


def refusal(status: HTTPStatus, message: str) -> web.Response:
    """Answer `{"error": message}`."""
    return web.json_response({"error": message}, status=status)


@web.middleware
async def failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer; the log has the reason under the id that the caller is given.

    An answer that has begun cannot be taken back: it breaks off, so that nobody takes a part for the whole.
    """
    try:
        async with asyncio.timeout(LONGEST):
            return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        answer = refusal(HTTPStatus(error.status), HTTPStatus(error.status).phrase)
        answer.headers.update({name: value for name, value in error.headers.items() if name == "Allow"})
        return answer
    except ConnectionError:  # the caller is gone
        raise
    except (web.RequestPayloadError, ClientPayloadError):
        return refusal(HTTPStatus.BAD_REQUEST, "the body of the request cannot be read")
    except StoreError as error:
        number = logged("unavailable", str(error))
        answer = refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"the store does not answer; the log says more under {number}")
    except TimeoutError:
        number = logged("timeout", f"not done within {LONGEST:.0f} s")
        answer = refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"this took too long; the log says more under {number}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log the reason
        number = logged("failed", repr(error), trace=True)
        message = f"something went wrong; the log says more under {number}"
        answer = refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message)
    if has_begun(request):
        _break_off(request)
    return answer


async def begin(request: web.Request, _response: web.StreamResponse) -> None:
    """Note that an answer is being sent; a signal of the application before it does so."""
    request[_BEGUN] = True


def has_begun(request: web.Request) -> bool:
    """Tell whether a part of an answer may have been sent."""
    return bool(request.get(_BEGUN))


def _break_off(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("the answer broke off")


def logged(outcome: str, reason: str, *, trace: bool = False) -> str:
    """Log why a request failed, inside an except clause where *trace*; gives the id to tell the caller."""
    number = secrets.token_hex(4)
    log.log(
        logging.ERROR if trace else logging.WARNING,
        "http",
        extra={"outcome": outcome, "reason": reason, "id": number},
        exc_info=trace,
    )
    return number
