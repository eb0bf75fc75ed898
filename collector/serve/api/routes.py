"""The routes of `/api/v1`, and its lists: profiles, series, fetches, annotations, gaps, proof and revisions."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector import __version__
from collector.report.analysis.counted import what_is_counted, why_profile_overlaps
from collector.report.gaps import find_gaps
from collector.report.proof import list_proof
from collector.serve.api import analysis, catalogue, changes, marks, points
from collector.serve.api.parameters import (
    MAX_ROWS,
    RequestRejected,
    named_profiles,
    number,
    page_of,
    parse_parameters,
    read_cursor,
    read_offset,
    to_json,
    write_cursor,
)
from collector.serve.middleware import error_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from collector.analysis.words import Words
    from collector.profile import Profile
    from collector.serve.api.parameters import QueryParameters
    from collector.serve.service import ServiceApi, StatusCache
    from collector.store import Store
    from collector.store.read.listing import Filters

    AnalysisRows = Callable[[Store, QueryParameters], Awaitable[analysis.RowsAnswer]]
    Answer = Callable[[ServiceApi, QueryParameters], Awaitable[dict[str, Any]]]

Document = dict[str, Any]


async def list_profiles(service: ServiceApi, parameters: QueryParameters) -> Document:
    """Return the configured profiles, each with the meta data of its newest answer."""
    profiles = named_profiles(parameters.all_of("profile"), service.profiles)
    return page_of("profiles", [await _profile(service.store, profile) for profile in profiles], parameters)


async def _profile(store: Store, profile: Profile) -> Document:
    newest = await store.newest_answer(profile.name)
    labels = [series.label for series in profile.series]
    if profile.dimension:
        labels = [row.label for row in await store.list_series(profile=profile.name) if row.active]
    return {
        "name": profile.name,
        "agg_interval": profile.agg_interval.value,
        "step_seconds": profile.agg_interval.seconds,
        "filters": {name: list(values) for name, values in profile.filters.items()},
        "each": {name: list(values) for name, values in profile.each.items()},
        "since": profile.since,
        "settle_seconds": int(profile.settle.total_seconds()),
        "heal": profile.heal,
        "enabled": profile.enabled,
        "dimension": profile.dimension or None,
        "series": labels,
        "counts": what_is_counted(profile.series[0].query) if profile.series else None,
        "overlap": why_profile_overlaps(profile),
        "last_updated": newest.last_updated if newest else None,
        "confidence_level": newest.confidence_level if newest else None,
        "final_until": newest.last_updated - profile.settle if newest else None,
    }


async def list_series(service: ServiceApi, parameters: QueryParameters) -> Document:
    """Return the stored series, with their identity."""
    limit, offset = parameters.number("limit", MAX_ROWS, 100), read_offset(parameters)
    selection = await service.store.of_profile(await _profile_of(service, parameters))
    filters = _within(parameters, limit) | {"offset": offset, "profile": selection.profile, "labels": selection.labels}
    rows = await service.store.list_series(**filters)
    return _offset_page("series", [asdict(row) for row in rows], limit, offset)


async def list_fetches(service: ServiceApi, parameters: QueryParameters) -> Document:
    """Return the requests to Radar and their outcomes, the newest first."""
    limit, after = parameters.number("limit", MAX_ROWS, 100), parameters.first("after")
    before = int(read_cursor(after, int)[0]) if after is not None else None
    filters = _within(parameters, limit) | {"before": before, "profile": await _profile_of(service, parameters)}
    rows = await service.store.list_fetches(**filters)
    following = write_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return {"fetches": [asdict(row) for row in rows[:limit]], "next": following}


async def list_annotations(service: ServiceApi, parameters: QueryParameters) -> Document:
    """Return Cloudflare's annotations, by start date."""
    limit, offset = parameters.number("limit", MAX_ROWS, 100), read_offset(parameters)
    rows = await service.store.list_annotations(**(_within(parameters, limit) | {"offset": offset}))
    return _offset_page("annotations", [asdict(row) for row in rows], limit, offset)


async def list_revisions(service: ServiceApi, parameters: QueryParameters) -> Document:
    """Return the replaced values, by series, bucket and time."""
    limit, offset = parameters.number("limit", MAX_ROWS, 100), read_offset(parameters)
    selection = await service.store.of_profile(await _profile_of(service, parameters))
    filters = _within(parameters, limit) | {"offset": offset, "profile": selection.profile, "labels": selection.labels}
    rows = await service.store.list_revisions(**filters)
    documents = [asdict(row) | {"value": number(row.value), "new_value": number(row.new_value)} for row in rows]
    return _offset_page("revisions", documents, limit, offset)


async def list_gaps(service: ServiceApi, parameters: QueryParameters) -> Document:
    """Return the expected buckets that are not stored. A former name of a profile stands for its series of today."""
    start, end = parameters.period()
    names, configured = parameters.all_of("profile"), {profile.name for profile in service.profiles}
    renamed = await service.store.renamed([name for name in names if name not in configured])
    renamed = [label for label in renamed if label.new_profile in configured]
    current = [name for name in names if name not in {label.profile for label in renamed}]
    requested = dict.fromkeys([*current, *(label.new_profile for label in renamed)])
    gaps = await find_gaps(service.store, named_profiles([*requested], service.profiles), service.now())
    labels = {label.new_label for label in renamed}
    gaps = [gap for gap in gaps if not renamed or gap.profile in current or gap.series in labels]
    inside = [gap for gap in gaps if (start is None or gap.end > start) and (end is None or gap.start < end)]
    return page_of("gaps", [asdict(gap) for gap in inside], parameters)


async def show_proof(service: ServiceApi, parameters: QueryParameters) -> Document:
    """Return how the groups of profiles with a dimension compare with the totals, in runs of buckets."""
    profiles = named_profiles(parameters.all_of("profile"), service.profiles)
    rows = await list_proof(service.store, profiles, *parameters.period())
    documents = [
        asdict(row) | {"difference": None if row.difference is None else number(row.difference)} for row in rows
    ]
    return page_of("proof", documents, parameters)


def _within(parameters: QueryParameters, limit: int) -> Filters:
    """Return the filters of a period, for one row more than *limit*, which shows whether there is a next page."""
    start, end = parameters.period()
    return {"start": start, "end": end, "limit": limit + 1}


async def _profile_of(service: ServiceApi, parameters: QueryParameters) -> str | None:
    """Return the requested profile: a configured one, or one that still has history."""
    name = parameters.first("profile")
    if name is None or name in {profile.name for profile in service.profiles}:
        return name
    if await service.store.list_series(profile=name, limit=1):
        return name
    return named_profiles([name], service.profiles)[0].name


def _offset_page(name: str, rows: Sequence[Document], limit: int, offset: int) -> Document:
    return {name: rows[:limit], "next": write_cursor(offset + limit) if len(rows) > limit else None}


_PAGES = ("limit", "after")
_PERIOD = ("start", "end")
_RESOURCES: dict[str, tuple[Answer, tuple[str, ...]]] = {
    "profiles": (list_profiles, ("profile", *_PAGES)),
    "series": (list_series, ("profile", *_PERIOD, *_PAGES)),
    "fetches": (list_fetches, ("profile", *_PERIOD, *_PAGES)),
    "annotations": (list_annotations, (*_PERIOD, *_PAGES)),
    "gaps": (list_gaps, ("profile", *_PERIOD, *_PAGES)),
    "proof": (show_proof, ("profile", *_PERIOD, *_PAGES)),
    "revisions": (list_revisions, ("profile", *_PERIOD, *_PAGES)),
}
_POINTS = ("profile", "series", *_PERIOD, "as_of", "format", "thin", "buckets", *_PAGES, *analysis.WORDS)
_WORTH_COMPRESSING = 20_000
_WORTH_A_THREAD = 100_000
dumps = partial(json.dumps, default=to_json, ensure_ascii=False, separators=(",", ":"))


def add_routes(app: web.Application, service: ServiceApi, status_cache: StatusCache, base_path: str = "") -> None:
    """Add the routes to *app*, which serves them under *base_path*."""
    for name, (answer, allowed) in _RESOURCES.items():
        app.router.add_get(f"/api/v1/{name}", _listing(service, answer, allowed))
    app.router.add_get("/api/v1/points", _points(service))
    app.router.add_get("/api/v1/stats", _rows(service, "stats", analysis.list_stats, analysis.STATS))
    app.router.add_get("/api/v1/top", _rows(service, "top", analysis.list_top, analysis.TOP))
    app.router.add_get("/api/v1/status", _status(service, status_cache))
    app.router.add_get("/openapi.json", _description(base_path))
    catalogue.add_routes(app, service, _json)
    changes.add_backfill_routes(app, service)
    changes.add_maintenance_routes(app, service)
    marks.add_routes(app, service)


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
            if words := analysis.read_words(parameters):
                return await _derived(service, parameters, words, request)
            if parameters.word("format", ("json", "csv")) == "csv":
                _only(parameters, "csv", without=("thin", "buckets", *_PAGES))
                return await points.stream_csv(service.store, parameters, request)
            if parameters.first("thin") is not None:
                _only(parameters, "thin", without=_PAGES)
                return _json(await points.downsample_points(service.store, parameters))
            _only(parameters, "pages", without=("buckets",))
            return _json_text(await points.list_points(service.store, parameters))
        except RequestRejected as error:
            return error_response(error.status, str(error))

    return handle


async def _derived(
    service: ServiceApi, parameters: QueryParameters, words: Words, request: web.Request
) -> web.StreamResponse:
    """Return points with what *words* derive from them."""
    _only(parameters, "per, share and the like", without=("thin", "buckets"))
    if parameters.word("format", ("json", "csv")) == "csv":
        _only(parameters, "csv", without=_PAGES)
        return await analysis.stream_csv(service.store, parameters, words, request)
    return _json_text(await analysis.list_points(service.store, parameters, words))


def _rows(
    service: ServiceApi, name: str, read: AnalysisRows, allowed: tuple[str, ...]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            parameters = parse_parameters(request, allowed, service.now())
            as_csv = parameters.word("format", ("json", "csv")) == "csv"
            found = await read(service.store, parameters)
        except RequestRejected as error:
            return error_response(error.status, str(error))
        return analysis.as_csv(name, found) if as_csv else _json(analysis.as_document(name, found))

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
    return _json_text(dumps(document))


def _json_text(text: str) -> web.Response:
    response = web.Response(text=text, content_type="application/json", zlib_executor_size=_WORTH_A_THREAD)
    if len(text) > _WORTH_COMPRESSING:
        response.enable_compression()
    return response


@cache
def openapi_text() -> str:
    """Return the description of all routes."""
    text = files("collector.serve").joinpath("openapi.json").read_text("utf-8")
    return text.replace("{version}", __version__)


def _description(base_path: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(_request: web.Request) -> web.Response:
        text = openapi_text().replace('"url": "/"', f'"url": "{base_path or "/"}"', 1)
        return web.Response(text=text, content_type="application/json")

    return handle
