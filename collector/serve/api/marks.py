"""The routes of `/api/v1/marks`: dates with a text, drawn on charts."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from collector.analysis.marks import make_mark
from collector.report.marks import mark_document, read_marks
from collector.serve.api.parameters import (
    Body,
    RequestRejected,
    changing,
    page_of,
    parse_parameters,
    to_json_document,
)
from collector.serve.middleware import error_response

if TYPE_CHECKING:
    from aiohttp import web

    from collector.serve.service import ServiceApi

LISTED = ("start", "end", "policy", "limit", "after")


class _MarkBody(Body):
    date: str
    text: str
    end: str | None = None
    url: str | None = None


def add_routes(app: web.Application, service: ServiceApi) -> None:
    """Add the routes to *app*."""
    routes = _MarkRoutes(service)
    app.router.add_get("/api/v1/marks", routes.list_marks)
    app.router.add_post("/api/v1/marks", routes.add)
    app.router.add_delete(r"/api/v1/marks/{id:[0-9]{1,18}}", routes.remove)


class _MarkRoutes:
    def __init__(self, service: ServiceApi) -> None:
        self._service = service

    async def list_marks(self, request: web.Request) -> web.Response:
        try:
            parameters = parse_parameters(request, LISTED, self._service.now())
            policy = parameters.word("policy", ("false", "true")) == "true"
            marks = await read_marks(self._service.store, *parameters.period(), policy=policy)
            document = page_of("marks", [mark_document(mark) for mark in marks], parameters)
        except RequestRejected as error:
            return error_response(error.status, str(error))
        return to_json_document(document)

    @changing(_MarkBody)
    async def add(self, _request: web.Request, body: _MarkBody) -> web.Response:
        try:
            mark = make_mark(body.date, body.text, body.end, body.url)
        except ValueError as error:
            return error_response(HTTPStatus.BAD_REQUEST, str(error))
        added = await self._service.store.add_mark(mark, self._service.now())
        return to_json_document(mark_document(added), HTTPStatus.CREATED)

    @changing(Body)
    async def remove(self, request: web.Request, _body: Body) -> web.Response:
        number = int(request.match_info["id"])
        if not await self._service.store.remove_mark(number):
            return error_response(HTTPStatus.NOT_FOUND, f"there is no mark {number}")
        return to_json_document({"id": number})
