"""The routes of `/api/v1`, and the description of them."""

from __future__ import annotations

import json
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector import __version__
from collector.serve.api import backfills, maintenance, points, resources
from collector.serve.api.pagination import to_json
from collector.serve.api.parameters import RequestRejected, parse_parameters
from collector.serve.errors import error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from collector.serve.api.parameters import QueryParameters
    from collector.serve.service import ServiceApi
    from collector.serve.status_cache import StatusCache

    Answer = Callable[[ServiceApi, QueryParameters], Awaitable[dict[str, Any]]]

_PAGES = ("limit", "after")
_PERIOD = ("start", "end")
_RESOURCES: dict[str, tuple[Answer, tuple[str, ...]]] = {
    "profiles": (resources.list_profiles, ("profile", *_PAGES)),
    "series": (resources.list_series, ("profile", *_PERIOD, *_PAGES)),
    "fetches": (resources.list_fetches, ("profile", *_PERIOD, *_PAGES)),
    "annotations": (resources.list_annotations, (*_PERIOD, *_PAGES)),
    "gaps": (resources.list_gaps, ("profile", *_PERIOD, *_PAGES)),
    "revisions": (resources.list_revisions, ("profile", *_PERIOD, *_PAGES)),
}
_POINTS = ("profile", "series", *_PERIOD, "as_of", "format", "thin", "buckets", *_PAGES)
_WORTH_COMPRESSING = 20_000
_WORTH_A_THREAD = 100_000
dumps = partial(json.dumps, default=to_json, ensure_ascii=False, separators=(",", ":"))


def add_routes(app: web.Application, service: ServiceApi, status_cache: StatusCache) -> None:
    """Add the routes to *app*."""
    for name, (answer, allowed) in _RESOURCES.items():
        app.router.add_get(f"/api/v1/{name}", _listing(service, answer, allowed))
    app.router.add_get("/api/v1/points", _points(service))
    app.router.add_get("/api/v1/status", _status(service, status_cache))
    app.router.add_get("/openapi.json", _description)
    backfills.add_routes(app, service)
    maintenance.add_routes(app, service)


def _listing(
    service: ServiceApi, answer: Answer, allowed: tuple[str, ...]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return _json(await answer(service, parse_parameters(request, allowed, service.now())))
        except RequestRejected as error:
            return error_response(error.status, str(error))

    return handle


def _points(service: ServiceApi) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            parameters = parse_parameters(request, _POINTS, service.now())
            if parameters.word("format", ("json", "csv")) == "csv":
                _only(parameters, "csv", without=("thin", "buckets", *_PAGES))
                return await points.stream_csv(service.store, parameters, request)
            if parameters.first("thin") is not None:
                _only(parameters, "thin", without=_PAGES)
                return _json(await points.downsample_points(service.store, parameters))
            _only(parameters, "pages", without=("buckets",))
            return _json(await points.list_points(service.store, parameters))
        except RequestRejected as error:
            return error_response(error.status, str(error))

    return handle


def _only(parameters: QueryParameters, what: str, without: tuple[str, ...]) -> None:
    for name in without:
        if parameters.first(name) is not None:
            raise RequestRejected(f"{name}: cannot be combined with {what}")


def _status(service: ServiceApi, status_cache: StatusCache) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            parse_parameters(request, (), service.now())
        except RequestRejected as error:
            return error_response(error.status, str(error))
        return _json(await status_cache.document())

    return handle


def _json(document: dict[str, Any]) -> web.Response:
    response = web.Response(text=dumps(document), content_type="application/json", zlib_executor_size=_WORTH_A_THREAD)
    if len(response.text or "") > _WORTH_COMPRESSING:
        response.enable_compression()
    return response


@cache
def _written() -> str:
    text = files("collector.serve").joinpath("openapi.json").read_text("utf-8")
    return text.replace("{version}", __version__)


async def _description(_request: web.Request) -> web.Response:
    return web.Response(text=_written(), content_type="application/json")
