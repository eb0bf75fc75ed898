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
class Refusal:
    """How a question is refused: HTTP's status and the API's code."""

    status: int
    code: int


BAD_REQUEST = Refusal(400, 2001)
TOO_COSTLY = Refusal(422, 2002)
URI_TOO_LONG = Refusal(414, 2001)
NO_CREDENTIALS = Refusal(400, 9106)
NO_ROUTE = Refusal(400, 7000)
NO_METHOD = Refusal(405, 7001)
WRONG_CREDENTIALS = Refusal(403, 10000)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer before it is sent; *body* is not compressed."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE


class ApiError(Exception):
    """The request is refused; *chain* is the `error_chain` inside the error."""

    def __init__(
        self, refusal: Refusal, message: str, *, chain: tuple[tuple[int, str], ...] = (), retry_after: str | None = None
    ) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.message = message
        self.chain = chain
        self.retry_after = retry_after

    def reply(self) -> Reply:
        """Word the refusal as the API does."""
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return Reply(self.refusal.status, envelope(self.refusal.code, self.message, self.chain), headers)


def bad(message: str) -> ApiError:
    """A parameter that the API does not take: 400 with code 2001."""
    return ApiError(BAD_REQUEST, message)


def shown(text: str) -> str:
    """Quote what was received, of something long its beginning."""
    return f"'{text[:_LONGEST]}…'" if len(text) > _LONGEST else f"'{text}'"


def envelope(code: int, message: str, chain: tuple[tuple[int, str], ...] = ()) -> bytes:
    """The body of a refusal. Radar's own refusals carry an empty object as the result, the gateway's carry null."""
    error: dict[str, Any] = {"code": code, "message": message}
    if chain:
        error["error_chain"] = [{"code": code, "message": message} for code, message in chain]
    result: dict[str, Any] | None = {} if 2000 <= code < 3000 else None  # noqa: PLR2004 - Radar's own range of codes
    return json.dumps({"success": False, "errors": [error], "messages": [], "result": result}).encode()
