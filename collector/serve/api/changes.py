"""The routes of `/api/v1` that change something: backfill jobs, upkeep, deletion of series, replay of bodies."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from aiohttp import web
from pydantic import AwareDatetime, BeforeValidator, Field

from collector.profile import with_history
from collector.serve.api.parameters import Body, RequestRejected, changing, parse_parameters
from collector.serve.middleware import error_response
from collector.store import SeriesUnknown, SeriesWanted, TooLittleRoom, backfill_request
from collector.timestamps import FORMS, parse_time, rfc3339, utc_now

if TYPE_CHECKING:
    from collector.serve.service import ServiceApi
    from collector.store import BackfillJob, BackfillRequest


def _time(value: object) -> object:
    """Parse a time in a form of the command line. Pydantic alone would also accept numbers."""
    if not isinstance(value, str):
        raise ValueError(f"not a time in quotes; allowed: {FORMS}")  # noqa: TRY004 - pydantic passes ValueError on
    return parse_time(value, utc_now())


_Time = Annotated[AwareDatetime, BeforeValidator(_time)]


class _BackfillBody(Body):
    profiles: Annotated[list[str], Field(max_length=1_000, default_factory=list)]
    start: _Time
    end: _Time | None = None
    force: bool = False
    dry_run: bool = False


def add_backfill_routes(app: web.Application, service: ServiceApi) -> None:
    """Add the routes of backfills to *app*."""
    routes = _BackfillRoutes(service)
    app.router.add_get("/api/v1/backfills", routes.list_jobs)
    app.router.add_post("/api/v1/backfills", routes.submit)
    app.router.add_get(r"/api/v1/backfills/{id:[0-9]{1,18}}", routes.job)
    app.router.add_post(r"/api/v1/backfills/{id:[0-9]{1,18}}/cancel", routes.cancel)


class _BackfillRoutes:
    def __init__(self, service: ServiceApi) -> None:
        self._service = service

    async def list_jobs(self, request: web.Request) -> web.Response:
        try:
            parse_parameters(request, (), self._service.now())
        except RequestRejected as error:
            return error_response(error.status, str(error))
        return web.json_response(
            {"backfills": [document(job) for job in await self._service.store.list_backfills(100)]}
        )

    async def job(self, request: web.Request) -> web.Response:
        job = await self._service.store.backfill(int(request.match_info["id"]))
        if job is None:
            return error_response(HTTPStatus.NOT_FOUND, "there is no such backfill")
        return web.json_response(document(job))

    @changing(Body)
    async def cancel(self, request: web.Request, _body: Body) -> web.Response:
        job = await self._service.store.backfill(int(request.match_info["id"]))
        if job is None:
            return error_response(HTTPStatus.NOT_FOUND, "there is no such backfill")
        was_over = job.status.over
        job = job if was_over else await self._service.cancel(job.id)
        if was_over or job.status.state != "cancelled":
            return error_response(HTTPStatus.CONFLICT, f"backfill {job.id} is over: {job.status.state}")
        return web.json_response(document(job))

    @changing(_BackfillBody)
    async def submit(self, request: web.Request, body: _BackfillBody) -> web.Response:
        try:
            order = self._requested(body)
        except ValueError as error:
            return error_response(HTTPStatus.BAD_REQUEST, str(error))
        if body.dry_run:
            return web.json_response(await self._service.estimate(order))
        job = await self._service.submit(order)
        return web.json_response(
            document(job), status=HTTPStatus.CREATED, headers={"Location": f"{request.path}/{job.id}"}
        )

    def _requested(self, order: _BackfillBody) -> BackfillRequest:
        """Return the requested backfill. Raises ValueError if there is none."""
        configured = [profile.name for profile in self._service.profiles]
        unknown = sorted(set(order.profiles) - set(configured))
        if unknown:
            raise ValueError(f"profiles: unknown {', '.join(unknown)}; allowed: {', '.join(configured)}")
        names = [profile.name for profile in with_history(self._service.profiles, order.profiles)]
        now = self._service.now()
        return backfill_request(order.profiles or names, order.start, order.end, now, force=order.force)


def document(job: BackfillJob) -> dict[str, Any]:
    """Return the JSON document of a job."""
    requested, status = job.wanted, job.status
    return {
        "id": job.id,
        "profiles": list(requested.profiles),
        "start": rfc3339(requested.start),
        "end": rfc3339(requested.end),
        "force": requested.force,
        "state": status.state,
        "message": status.message,
        "created_at": rfc3339(job.created_at),
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
        **asdict(status.progress),
    }


_MAX_WAIT_SECONDS = 60.0
"""The longest time that a client waits for pruning or compaction. The work continues after that."""


class _ForgetBody(Body):
    dry_run: bool = False


def add_maintenance_routes(app: web.Application, service: ServiceApi) -> None:
    """Add the routes of pruning, compaction, deletion and replay to *app*."""
    routes = _MaintenanceRoutes(service)
    app.router.add_post("/api/v1/prune", routes.prune)
    app.router.add_post("/api/v1/compact", routes.compact)
    app.router.add_post(r"/api/v1/series/{id:[0-9]{1,18}}/forget", routes.forget)
    app.router.add_post(r"/api/v1/fetches/{id:[0-9]{1,18}}/replay", routes.replay)


class _MaintenanceRoutes:
    def __init__(self, service: ServiceApi) -> None:
        self._service = service

    @changing(Body)
    async def prune(self, _request: web.Request, _body: Body) -> web.Response:
        try:
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                pruned = await self._service.prune()
        except TimeoutError:
            return web.json_response({"running": True}, status=HTTPStatus.ACCEPTED)
        return web.json_response({**pruned.counts, "damaged": list(pruned.damaged)})

    @changing(Body)
    async def compact(self, _request: web.Request, _body: Body) -> web.Response:
        try:
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                compacted = await self._service.compact()
        except TimeoutError:
            return web.json_response({"running": True}, status=HTTPStatus.ACCEPTED)
        except TooLittleRoom as error:
            return error_response(HTTPStatus.INSUFFICIENT_STORAGE, error.detail)
        return web.json_response(asdict(compacted))

    @changing(Body)
    async def replay(self, request: web.Request, _body: Body) -> web.Response:
        result = await self._service.replay(int(request.match_info["id"]))
        if result is None:
            return error_response(HTTPStatus.NOT_FOUND, "no kept body of this fetch can be read again")
        return web.json_response(result)

    @changing(_ForgetBody)
    async def forget(self, request: web.Request, body: _ForgetBody) -> web.Response:
        try:
            deletion = await self._service.forget(int(request.match_info["id"]), dry_run=body.dry_run)
        except SeriesUnknown as error:
            return error_response(HTTPStatus.NOT_FOUND, str(error))
        except SeriesWanted as error:
            return error_response(HTTPStatus.CONFLICT, str(error))
        return web.json_response({"label": deletion.label, "ids": list(deletion.ids), "rows": dict(deletion.rows)})
