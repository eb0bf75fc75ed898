"""`/api/v1/backfills`: list, create and cancel the daemon's backfill jobs."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from aiohttp import web
from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError

from collector.profile import with_history
from collector.serve.api.parameters import Body, RequestRejected, body_error, parse_parameters, reject_change
from collector.serve.errors import error_response
from collector.store import backfill_request
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


def add_routes(app: web.Application, service: ServiceApi) -> None:
    """Add the routes of backfills to *app*."""
    routes = _Routes(service)
    app.router.add_get("/api/v1/backfills", routes.listed)
    app.router.add_post("/api/v1/backfills", routes.submit)
    app.router.add_get(r"/api/v1/backfills/{id:[0-9]{1,18}}", routes.one)
    app.router.add_post(r"/api/v1/backfills/{id:[0-9]{1,18}}/cancel", routes.cancel)


class _Routes:
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
        was_over = job.standing.over
        job = job if was_over else await self._service.cancel(job.id)
        if was_over or job.standing.state != "cancelled":
            return error_response(HTTPStatus.CONFLICT, f"backfill {job.id} is over: {job.standing.state}")
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
    wanted, standing = job.wanted, job.standing
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
