"""What the API says when it does not answer: a status, a code, a message, in the envelope or without it."""

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
    """How a question is refused: HTTP's status and the API's code."""

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
    """A whole HTTP answer before it is sent; *body* is not compressed."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class ApiError(Exception):
    """The request is refused; *chain* is the `error_chain` inside the error."""

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
        """Word the refusal as the API does."""
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return HttpReply(self.error_code.status, envelope(self.error_code.code, self.message, self.chain), headers)


def bad_request(message: str) -> ApiError:
    """A parameter that the API does not take: 400 with code 2001."""
    return ApiError(BAD_REQUEST, message)


def quote(text: str) -> str:
    """Quote what was received, of something long its beginning."""
    return f"'{text[:_LONGEST]}…'" if len(text) > _LONGEST else f"'{text}'"


def envelope(code: int, message: str, chain: tuple[tuple[int, str], ...] = ()) -> bytes:
    """The body of a refusal. Radar's own refusals carry an empty object as the result, the gateway's carry null."""
    error: dict[str, Any] = {"code": code, "message": message}
    if chain:
        error["error_chain"] = [{"code": code, "message": message} for code, message in chain]
    result: dict[str, Any] | None = {} if 2000 <= code < 3000 else None  # noqa: PLR2004 - Radar's own range of codes
    return json.dumps({"success": False, "errors": [error], "messages": [], "result": result}).encode()
