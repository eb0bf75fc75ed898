"""The routes of `/api/v1`, and the description of them."""

from __future__ import annotations

import json
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector import __version__
from collector.serve.api import backfills, maintenance, points, resources
from collector.serve.api.pagination import plain
from collector.serve.api.parameters import Refused, read
from collector.serve.errors import error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from collector.serve.api.parameters import Asked
    from collector.serve.service import ServiceApi
    from collector.serve.status_cache import StatusCache

    Answer = Callable[[ServiceApi, Asked], Awaitable[dict[str, Any]]]

_PAGES = ("limit", "after")
_PERIOD = ("start", "end")
_LISTS: dict[str, tuple[Answer, tuple[str, ...]]] = {
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
dumps = partial(json.dumps, default=plain, ensure_ascii=False, separators=(",", ":"))


def add_routes(app: web.Application, service: ServiceApi, status_cache: StatusCache) -> None:
    """Add the routes to *app*."""
    for name, (answer, allowed) in _LISTS.items():
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
            return _json(await answer(service, _asked(request, allowed, service.now())))
        except Refused as error:
            return error_response(error.status, str(error))

    return handle


def _points(service: ServiceApi) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            asked = _asked(request, _POINTS, service.now())
            if asked.word("format", ("json", "csv")) == "csv":
                _only(asked, "csv", without=("thin", "buckets", *_PAGES))
                return await points.stream_csv(service.store, asked, request)
            if asked.one("thin") is not None:
                _only(asked, "thin", without=_PAGES)
                return _json(await points.thin_points(service.store, asked))
            _only(asked, "pages", without=("buckets",))
            return _json(await points.list_points(service.store, asked))
        except Refused as error:
            return error_response(error.status, str(error))

    return handle


def _only(asked: Asked, what: str, without: tuple[str, ...]) -> None:
    for name in without:
        if asked.one(name) is not None:
            raise Refused(f"{name}: not together with {what}")


def _status(service: ServiceApi, status_cache: StatusCache) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            _asked(request, (), service.now())
        except Refused as error:
            return error_response(error.status, str(error))
        return _json(await status_cache.document())

    return handle


def _asked(request: web.Request, allowed: tuple[str, ...], now: datetime) -> Asked:
    return read(request.query, list(request.query.items()), allowed, now)


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
