"""What every route that changes something checks before it reads its body."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from collector.serve.failures import refusal

if TYPE_CHECKING:
    from aiohttp import web


class Body(BaseModel):
    """A JSON body whose keys are all known; a route without parameters takes `{}`."""

    model_config = ConfigDict(extra="forbid")


def refuse_change(request: web.Request) -> web.Response | None:
    """Refuse what is not JSON, which no form can send, and what a page of another origin sends; else None."""
    if request.content_type != "application/json":
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        return refusal(HTTPStatus.FORBIDDEN, "a page of another origin may not change anything here")
    return None


def wrong_body(error: ValidationError) -> web.Response:
    """Say what is wrong with a body."""
    first = error.errors(include_url=False, include_input=False)[0]
    reason = first["msg"].removeprefix("Value error, ")  # pydantic's words before those of our own checks
    return refusal(HTTPStatus.BAD_REQUEST, f"{'.'.join(map(str, first['loc'])) or 'body'}: {reason}")
