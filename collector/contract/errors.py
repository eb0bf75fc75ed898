"""Errors of the API: a status, a code and a message in the envelope."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON_TYPE = "application/json"
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """An HTTP status and the API's error code."""

    status: int
    code: int


BAD_REQUEST = ErrorCode(400, 2001)
TOO_COSTLY = ErrorCode(422, 2002)
URI_TOO_LONG = ErrorCode(414, 2001)
NO_CREDENTIALS = ErrorCode(400, 9106)
NO_ROUTE = ErrorCode(400, 7000)
NO_METHOD = ErrorCode(405, 7001)
WRONG_CREDENTIALS = ErrorCode(403, 10000)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete HTTP response before it is sent; *body* is not compressed."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class ApiError(Exception):
    """The request is rejected; *chain* is the `error_chain` inside the error."""

    def __init__(
        self,
        error_code: ErrorCode,
        message: str,
        *,
        chain: tuple[tuple[int, str], ...] = (),
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.message = message
        self.chain = chain
        self.retry_after = retry_after

    def reply(self) -> HttpReply:
        """Return the error as the API writes it."""
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return HttpReply(self.error_code.status, envelope(self.error_code.code, self.message, self.chain), headers)


def bad_request(message: str) -> ApiError:
    """Return the error for a parameter that the API does not accept: 400 with code 2001."""
    return ApiError(BAD_REQUEST, message)


def quote(text: str) -> str:
    """Return a received text in quotes, cut if it is long."""
    return f"'{text[:_LONGEST]}…'" if len(text) > _LONGEST else f"'{text}'"


def envelope(code: int, message: str, chain: tuple[tuple[int, str], ...] = ()) -> bytes:
    """Return the body of an error. The `result` of Radar's own errors is an empty object, of the gateway's null."""
    error: dict[str, Any] = {"code": code, "message": message}
    if chain:
        error["error_chain"] = [{"code": code, "message": message} for code, message in chain]
    result: dict[str, Any] | None = {} if 2000 <= code < 3000 else None  # noqa: PLR2004 - Radar's own range of codes
    return json.dumps({"success": False, "errors": [error], "messages": [], "result": result}).encode()
