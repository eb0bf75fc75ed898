"""The routes of `/api/v1` that change something: backfill jobs, and the deletion of series."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from aiohttp import web
from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError

from collector.profile import with_history
from collector.serve.api.parameters import Body, RequestRejected, body_error, parse_parameters, reject_change
from collector.serve.errors import error_response
from collector.store import SeriesUnknown, SeriesWanted, backfill_request
from collector.timestamps import FORMS, parse_time, rfc3339, utc_now

if TYPE_CHECKING:
    from collector.serve.service import ServiceApi
    from collector.store import BackfillJob, BackfillRequest


def _time(value: object) -> object:
    """Parse a time in a form of the command line, because pydantic also takes bare numbers."""
    if not isinstance(value, str):
        raise ValueError(f"not a time in quotes; allowed: {FORMS}")  # noqa: TRY004 - pydantic passes ValueError on
    return parse_time(value, utc_now())


_Time = Annotated[AwareDatetime, BeforeValidator(_time)]


class _BackfillOrder(Body):
    profiles: Annotated[list[str], Field(max_length=1_000, default_factory=list)]
    start: _Time
    end: _Time | None = None
    force: bool = False


def add_backfill_routes(app: web.Application, service: ServiceApi) -> None:
    """Add the routes of backfills to *app*."""
    routes = _BackfillRoutes(service)
    app.router.add_get("/api/v1/backfills", routes.listed)
    app.router.add_post("/api/v1/backfills", routes.submit)
    app.router.add_get(r"/api/v1/backfills/{id:[0-9]{1,18}}", routes.one)
    app.router.add_post(r"/api/v1/backfills/{id:[0-9]{1,18}}/cancel", routes.cancel)


class _BackfillRoutes:
    def __init__(self, service: ServiceApi) -> None:
        self._service = service

    async def listed(self, request: web.Request) -> web.Response:
        try:
            parse_parameters(request, (), self._service.now())
        except RequestRejected as error:
            return error_response(error.status, str(error))
        return web.json_response(
            {"backfills": [document(job) for job in await self._service.store.list_backfills(100)]}
        )

    async def one(self, request: web.Request) -> web.Response:
        job = await self._service.store.backfill(int(request.match_info["id"]))
        if job is None:
            return error_response(HTTPStatus.NOT_FOUND, "there is no such backfill")
        return web.json_response(document(job))

    async def cancel(self, request: web.Request) -> web.Response:
        if refused := reject_change(request):
            return refused
        try:
            Body.model_validate_json(await request.read())
        except ValidationError as error:
            return body_error(error)
        job = await self._service.store.backfill(int(request.match_info["id"]))
        if job is None:
            return error_response(HTTPStatus.NOT_FOUND, "there is no such backfill")
        was_over = job.status.over
        job = job if was_over else await self._service.cancel(job.id)
        if was_over or job.status.state != "cancelled":
            return error_response(HTTPStatus.CONFLICT, f"backfill {job.id} is over: {job.status.state}")
        return web.json_response(document(job))

    async def submit(self, request: web.Request) -> web.Response:
        if refused := reject_change(request):
            return refused
        try:
            order = self._read(await request.read())
        except ValidationError as error:
            return body_error(error)
        except ValueError as error:
            return error_response(HTTPStatus.BAD_REQUEST, str(error))
        job = await self._service.submit(order)
        return web.json_response(
            document(job), status=HTTPStatus.CREATED, headers={"Location": f"{request.path}/{job.id}"}
        )

    def _read(self, body: bytes) -> BackfillRequest:
        order = _BackfillOrder.model_validate_json(body)
        known = [profile.name for profile in self._service.profiles]
        unknown = sorted(set(order.profiles) - set(known))
        if unknown:
            raise ValueError(f"profiles: unknown {', '.join(unknown)}; allowed: {', '.join(known)}")
        chosen = [one.name for one in with_history(self._service.profiles, order.profiles)]
        now = self._service.now()
        return backfill_request(order.profiles or chosen, order.start, order.end, now, force=order.force)


def document(job: BackfillJob) -> dict[str, Any]:
    """Return the JSON document of a job."""
    wanted, standing = job.wanted, job.status
    return {
        "id": job.id,
        "profiles": list(wanted.profiles),
        "start": rfc3339(wanted.start),
        "end": rfc3339(wanted.end),
        "force": wanted.force,
        "state": standing.state,
        "message": standing.message,
        "created_at": rfc3339(job.created_at),
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
        **asdict(standing.progress),
    }


_MAX_WAIT_SECONDS = 60.0
"""The longest time a client waits for pruning; the work continues after that."""


class _Forget(Body):
    dry_run: bool = False


def add_maintenance_routes(app: web.Application, service: ServiceApi) -> None:
    """Add the routes to *app*."""
    routes = _MaintenanceRoutes(service)
    app.router.add_post("/api/v1/prune", routes.prune)
    app.router.add_post(r"/api/v1/series/{id:[0-9]{1,18}}/forget", routes.forget)
    app.router.add_post(r"/api/v1/fetches/{id:[0-9]{1,18}}/replay", routes.replay)


class _MaintenanceRoutes:
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
