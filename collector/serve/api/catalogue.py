"""The routes of `/api/v1` about the catalogue: lists, entries, the known values of a filter, and reading them now."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from collector.datasets import DEFAULT
from collector.datasets.catalogue import LISTS, list_of_filter
from collector.errors import did_you_mean
from collector.radar.errors import NotFound, RadarError
from collector.report.catalogue import UnknownEntry, absence, entry_document, list_documents, value_documents
from collector.serve.api.parameters import (
    Body,
    RequestRejected,
    changing,
    page_of,
    parse_parameters,
)
from collector.serve.middleware import error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from collector.datasets.catalogue import CatalogueList
    from collector.serve.api.parameters import QueryParameters
    from collector.serve.service import ServiceApi
    from collector.store import ReadView

    Document = dict[str, Any]
    Answer = Callable[[ServiceApi, QueryParameters, web.Request], Awaitable[Document]]
    Write = Callable[[Document], web.Response]

_PAGE = ("limit", "after")


def add_routes(app: web.Application, service: ServiceApi, write: Write) -> None:
    """Add the routes to *app*; *write* returns a document as a response."""
    for name, known in LISTS.items():
        handlers = {
            f"/api/v1/{name}": (partial(_list, known), ("as_of", "search", "gone", *_PAGE)),
            f"/api/v1/{name}/{{slug}}": (partial(_entry, known), ("as_of",)),
        }
        for path, (answer, allowed) in handlers.items():
            app.router.add_get(path, _handler(service, answer, allowed, write))
        app.router.add_post(f"/api/v1/{name}/refresh", _refresh(service, known, write))
    app.router.add_get("/api/v1/values/{filter}", _handler(service, _values, ("as_of", "search", *_PAGE), write))


def _handler(
    service: ServiceApi, answer: Answer, allowed: tuple[str, ...], write: Write
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return write(await answer(service, parse_parameters(request, allowed, service.now()), request))
        except RequestRejected as error:
            return error_response(error.status, str(error))
        except UnknownEntry as error:
            return error_response(HTTPStatus.NOT_FOUND, str(error))

    return handle


async def _list(
    known: CatalogueList, service: ServiceApi, parameters: QueryParameters, _request: web.Request
) -> Document:
    as_of, search = parameters.time("as_of"), parameters.first("search")
    with_gone = parameters.word("gone", ("false", "true")) == "true"

    def read(view: ReadView) -> tuple[list[Document], str | None]:
        rows = list_documents(view, known, as_of, search=search, with_gone=with_gone)
        return rows, absence(view, known, as_of)

    rows, why = await service.store.with_read_view(read)
    return page_of(known.name, rows, parameters) | {"absence": why}


async def _entry(
    known: CatalogueList, service: ServiceApi, parameters: QueryParameters, request: web.Request
) -> Document:
    slug, as_of = request.match_info["slug"], parameters.time("as_of")
    return await service.store.with_read_view(lambda view: entry_document(view, known, slug, as_of))


async def _values(service: ServiceApi, parameters: QueryParameters, request: web.Request) -> Document:
    name, as_of, search = request.match_info["filter"], parameters.time("as_of"), parameters.first("search")
    parameter = DEFAULT.filter_named(name)
    if parameter is None:
        options = [each.option for each in DEFAULT.parameters]
        raise RequestRejected(f"no filter {name[:40]!r}{did_you_mean(name[:40], options)}", HTTPStatus.NOT_FOUND)
    known = list_of_filter(parameter.name)

    def read(view: ReadView) -> tuple[list[Document], str | None]:
        return value_documents(view, DEFAULT, parameter, as_of), absence(view, known, as_of) if known else None

    rows, why = await service.store.with_read_view(read)
    if search:
        rows = [row for row in rows if search.casefold() in row["value"].casefold()]
    return {"filter": parameter.option} | page_of("values", rows, parameters) | {"absence": why}


class RefreshBody(Body):
    """The body of a request to read a list: *slug* for the details of one entry only."""

    slug: str | None = None


def _refresh(
    service: ServiceApi, known: CatalogueList, write: Write
) -> Callable[[web.Request], Awaitable[web.Response]]:
    @changing(RefreshBody)
    async def refresh(service: ServiceApi, _request: web.Request, body: RefreshBody) -> web.Response:
        try:
            return write(await service.refresh_catalogue(known.name, body.slug))
        except NotFound as error:
            return error_response(HTTPStatus.NOT_FOUND, str(error))
        except RadarError as error:
            return error_response(HTTPStatus.BAD_GATEWAY, f"Radar has not answered: {error}")

    return partial(refresh, service)
