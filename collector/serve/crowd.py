"""How many requests read the store at once, so that memory stays flat however many ask and however slowly they read."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from collector.serve.failures import refusal

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

READS = 16
STREAMS = 8
"""Answers as long as history, which take as long as who reads them likes: apart, so that the others need not wait."""
PATIENCE = 10.0


def crowd() -> Middleware:
    """Let requests of `/api/v1` wait for a place; who gets none in time is put off with 503."""
    reads, streams = asyncio.Semaphore(READS), asyncio.Semaphore(STREAMS)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        places = streams if request.query.get("format") == "csv" else reads
        try:
            await asyncio.wait_for(places.acquire(), PATIENCE)
        except TimeoutError:
            answer = refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are under way")
            answer.headers["Retry-After"] = "5"
            return answer
        try:
            return await handler(request)
        finally:
            places.release()

    return check
