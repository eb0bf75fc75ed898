"""What a command hands to the daemon that owns the store: pruning, deleting a series, reading a body again."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from pydantic import ValidationError

from collector.serve.changing import Body, refuse_change, wrong_body
from collector.serve.failures import refusal
from collector.store import SeriesUnknown, SeriesWanted

if TYPE_CHECKING:
    from collector.store import Forgotten, Pruned

_LONGEST = 60.0
"""Seconds that a caller is kept waiting; the work goes on after that."""


class Upkeep(Protocol):
    """What these routes ask of the daemon."""

    async def prune(self) -> Pruned:
        """Delete what is older than [retention] keeps; the work goes on if the caller does not wait."""

    async def forget(self, series_id: int, *, dry_run: bool) -> Forgotten:
        """Delete a series that no profile wants; SeriesWanted, SeriesUnknown."""

    async def replay(self, fetch_id: int) -> dict[str, Any] | None:
        """Read the kept body of a fetch again; None if there is none that waits for it."""


class _Forget(Body):
    dry_run: bool = False


def add_routes(app: web.Application, upkeep: Upkeep) -> None:
    """Add the routes to *app*."""
    routes = _Routes(upkeep)
    app.router.add_post("/api/v1/prune", routes.prune)
    app.router.add_post(r"/api/v1/series/{id:[0-9]{1,18}}/forget", routes.forget)
    app.router.add_post(r"/api/v1/fetches/{id:[0-9]{1,18}}/replay", routes.replay)


class _Routes:
    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    async def prune(self, request: web.Request) -> web.Response:
        if refused := refuse_change(request):
            return refused
        try:
            Body.model_validate_json(await request.read())
            async with asyncio.timeout(_LONGEST):
                pruned = await self._upkeep.prune()
        except ValidationError as error:
            return wrong_body(error)
        except TimeoutError:
            return web.json_response({"running": True}, status=HTTPStatus.ACCEPTED)
        return web.json_response({**pruned.counts, "damaged": list(pruned.damaged)})

    async def replay(self, request: web.Request) -> web.Response:
        if refused := refuse_change(request):
            return refused
        try:
            Body.model_validate_json(await request.read())
        except ValidationError as error:
            return wrong_body(error)
        found = await self._upkeep.replay(int(request.match_info["id"]))
        if found is None:
            return refusal(HTTPStatus.NOT_FOUND, "no body of this request waits to be read again")
        return web.json_response(found)

    async def forget(self, request: web.Request) -> web.Response:
        if refused := refuse_change(request):
            return refused
        try:
            order = _Forget.model_validate_json(await request.read())
            found = await self._upkeep.forget(int(request.match_info["id"]), dry_run=order.dry_run)
        except ValidationError as error:
            return wrong_body(error)
        except SeriesUnknown as error:
            return refusal(HTTPStatus.NOT_FOUND, str(error))
        except SeriesWanted as error:
            return refusal(HTTPStatus.CONFLICT, str(error))
        return web.json_response({"label": found.label, "ids": list(found.ids), "rows": dict(found.rows)})
