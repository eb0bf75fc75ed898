"""Who may read `/api/v1` and `/metrics`, and who may change something there."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from collector.serve.access import admits
from collector.serve.failures import refusal

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from collector.settings import Secret

_GUARDED = ("/api/", "/metrics")
_READING = ("GET", "HEAD")


def guard(reading: Secret | None, changing: Secret | None) -> Middleware:
    """Let through who shows the token for *reading*, or for *changing*; None means that none is needed."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        token = reading if request.method in _READING else changing
        if token is None or not request.path.startswith(_GUARDED) or admits(request.headers, token):
            return await handler(request)
        answer = refusal(HTTPStatus.UNAUTHORIZED, "this server needs its token: Authorization: Bearer …")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    return check
