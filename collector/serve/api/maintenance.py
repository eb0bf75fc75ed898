"""Routes for commands while a daemon owns the store: prune, delete a series, read a body again."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import ValidationError

from collector.serve.api.parameters import Body, body_error, reject_change
from collector.serve.errors import error_response
from collector.store import SeriesUnknown, SeriesWanted

if TYPE_CHECKING:
    from collector.serve.service import ServiceApi

_MAX_WAIT_SECONDS = 60.0
"""The longest time a client waits for pruning; the work continues after that."""


class _Forget(Body):
    dry_run: bool = False


def add_routes(app: web.Application, service: ServiceApi) -> None:
    """Add the routes to *app*."""
    routes = _Routes(service)
    app.router.add_post("/api/v1/prune", routes.prune)
    app.router.add_post(r"/api/v1/series/{id:[0-9]{1,18}}/forget", routes.forget)
    app.router.add_post(r"/api/v1/fetches/{id:[0-9]{1,18}}/replay", routes.replay)


class _Routes:
    def __init__(self, service: ServiceApi) -> None:
        self._service = service

    async def prune(self, request: web.Request) -> web.Response:
        if refused := reject_change(request):
            return refused
        try:
            Body.model_validate_json(await request.read())
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                pruned = await self._service.prune()
        except ValidationError as error:
            return body_error(error)
        except TimeoutError:
            return web.json_response({"running": True}, status=HTTPStatus.ACCEPTED)
        return web.json_response({**pruned.counts, "damaged": list(pruned.damaged)})

    async def replay(self, request: web.Request) -> web.Response:
        if refused := reject_change(request):
            return refused
        try:
            Body.model_validate_json(await request.read())
        except ValidationError as error:
            return body_error(error)
        found = await self._service.replay(int(request.match_info["id"]))
        if found is None:
            return error_response(HTTPStatus.NOT_FOUND, "no kept body of this request waits to be read again")
        return web.json_response(found)

    async def forget(self, request: web.Request) -> web.Response:
        if refused := reject_change(request):
            return refused
        try:
            order = _Forget.model_validate_json(await request.read())
            found = await self._service.forget(int(request.match_info["id"]), dry_run=order.dry_run)
        except ValidationError as error:
            return body_error(error)
        except SeriesUnknown as error:
            return error_response(HTTPStatus.NOT_FOUND, str(error))
        except SeriesWanted as error:
            return error_response(HTTPStatus.CONFLICT, str(error))
        return web.json_response({"label": found.label, "ids": list(found.ids), "rows": dict(found.rows)})
