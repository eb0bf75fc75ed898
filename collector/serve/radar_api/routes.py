"""The routes of `/client/v4`: concurrency limits, the fallback to Radar, and errors in the API's form."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector.contract.group_parser import SERIES, SUMMARY, GroupsPlace
from collector.contract.request_parser import floor
from collector.contract.response import NO_METHOD, NO_ROUTE, TOO_COSTLY, ApiError, ErrorCode, bad_request
from collector.datasets import DATASETS
from collector.datasets.catalogue import LISTS
from collector.model import Slice, Window
from collector.radar.errors import RadarError, RateLimited, Refused, TooCostly
from collector.report.gaps import ABSENT_HEADER, absence_header
from collector.serve.middleware import CONTRACT_PATH, api_error_response, log_failure, response_started
from collector.serve.radar_api.answer import NotStored, answer_query, query_history
from collector.serve.radar_api.catalogue import answer_entry, answer_list
from collector.serve.radar_api.groups import query_groups
from collector.serve.radar_api.parameters import parse_query
from collector.serve.read_slots import MAX_ALL_READS, MAX_READS, ReadSlots
from collector.store import StoreError
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest
    from collector.datasets import Dataset
    from collector.datasets.catalogue import CatalogueList
    from collector.serve.radar_api.answer import QueryResult
    from collector.serve.radar_api.groups import GroupsResult
    from collector.serve.radar_api.parameters import HistoryQuery
    from collector.serve.service import ServiceApi

    Fill = Callable[[Sequence[Slice]], Awaitable[None]]

log = logging.getLogger(__name__)

LIMITED = ErrorCode(HTTPStatus.TOO_MANY_REQUESTS, 10000)
NO_GATEWAY = ErrorCode(HTTPStatus.BAD_GATEWAY, 2000)
UNAVAILABLE = ErrorCode(HTTPStatus.SERVICE_UNAVAILABLE, 2000)
INTERNAL = ErrorCode(HTTPStatus.INTERNAL_SERVER_ERROR, 2000)
_LARGE_POINTS = 20_000
_MAX_LARGE = 4
_MAX_FILLS = 4
_FILL_TIMEOUT_SECONDS = 30.0
_TIMEOUT_SECONDS = 60.0
_LARGE_WAIT_SECONDS = 5.0
_RETRY_AFTER_SECONDS = "5"


class RadarApi:
    """The routes of `/client/v4`. *fill* requests from Radar what the history lacks; None: nothing is requested.

    Four requests are answered concurrently, in *slots* that they share with the other routes, and four answers of more
    than 20,000 points are sent concurrently, so that memory use stays constant for any number of clients, however
    slowly they read.
    """

    def __init__(self, service: ServiceApi, fill: Fill | None = None, slots: ReadSlots | None = None) -> None:
        self._service = service
        self._fill = fill
        self._fills = asyncio.Semaphore(_MAX_FILLS)
        self._slots = slots or ReadSlots(MAX_ALL_READS, MAX_READS)
        self._large = asyncio.Semaphore(_MAX_LARGE)

    def add_to(self, app: web.Application) -> None:
        """Add the routes to *app*."""
        for dataset in DATASETS.values():
            app.router.add_route("*", f"{CONTRACT_PATH}{dataset.url_path}", partial(self._timeseries, dataset))
            for folder, place in ((SERIES, dataset.groups_path), (SUMMARY, dataset.summary_path)):
                if place is not None:
                    handler = partial(self._by_dimension, dataset, folder)
                    app.router.add_route("*", f"{CONTRACT_PATH}/radar/{place}/{{dimension}}", handler)
        for known in LISTS.values():
            for path in (known.url_path, f"{known.url_path}/{{slug}}"):
                app.router.add_route("*", CONTRACT_PATH + path, partial(self._catalogue, known))
        app.router.add_route("*", CONTRACT_PATH + "/{path:.*}", _no_route)

    async def _timeseries(self, dataset: Dataset, request: web.Request) -> web.StreamResponse:
        """Answer a request for *dataset*, or return an error in the API's form."""
        return await self._guarded(request, self._answer(dataset, request))

    async def _catalogue(self, known: CatalogueList, request: web.Request) -> web.StreamResponse:
        """Answer a request for a list of the catalogue or an entry of it."""
        return await self._guarded(request, self._answer_catalogue(known, request))

    async def _answer_catalogue(self, known: CatalogueList, request: web.Request) -> web.StreamResponse:
        _check_method(request)
        raw_query = _raw_query(request)
        slug, store, now = request.match_info.get("slug"), self._service.store, self._service.now()
        async with asyncio.timeout(_TIMEOUT_SECONDS), self._slots.slot(CONTRACT_PATH, _TIMEOUT_SECONDS):
            if slug is None:
                reply = await answer_list(store, known, raw_query, now)
            else:
                reply = await answer_entry(store, known, slug, raw_query, now)
        body = b"" if request.method == "HEAD" else reply.body
        return web.Response(status=reply.status, body=body, content_type=reply.content_type, charset="utf-8")

    async def _by_dimension(self, dataset: Dataset, folder: str, request: web.Request) -> web.StreamResponse:
        """Answer a request for the groups of *dataset*, or return an error in the API's form."""
        return await self._guarded(request, self._answer_groups(dataset, folder, request))

    async def _guarded(
        self, request: web.Request, answer: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        """Await *answer*, or return an error in the API's form."""
        try:
            return await answer
        except ApiError as error:
            return api_error_response(error)
        except StoreError as error:
            number = log_failure("unavailable", str(error))
            message = f"The history cannot be read at the moment; the log says more under {number}"
            return api_error_response(_unavailable(message))
        except TimeoutError:
            return api_error_response(_unavailable("Too many answers are under way"))
        except Exception as error:
            if response_started(request):
                raise
            number = log_failure("failed", repr(error), trace=True)
            return api_error_response(ApiError(INTERNAL, f"Internal error {number}; the log says more"))

    async def _answer(self, dataset: Dataset, request: web.Request) -> web.StreamResponse:
        _check_method(request)
        raw_query = _raw_query(request)
        store, now = self._service.store, self._service.now()
        if self._fill is not None:
            query = parse_query(dataset, raw_query, now.timestamp(), await store.grids())
            if query.as_of is None:
                await self._fill_gaps(query, self._fill)
        return await self._send(request, partial(query_history, store, raw_query, now, dataset))

    async def _answer_groups(self, dataset: Dataset, folder: str, request: web.Request) -> web.StreamResponse:
        _check_method(request)
        place = GroupsPlace(dataset, folder, request.match_info["dimension"])
        store, now = self._service.store, self._service.now()
        return await self._send(request, partial(query_groups, store, place, _raw_query(request), now))

    async def _send(
        self, request: web.Request, find: Callable[[], Coroutine[Any, Any, QueryResult | GroupsResult]]
    ) -> web.StreamResponse:
        """Send the answer that *find* returns."""
        async with asyncio.timeout(_TIMEOUT_SECONDS), self._slots.slot(CONTRACT_PATH, _TIMEOUT_SECONDS):
            result = await find()
            response = web.StreamResponse() if result.points > _LARGE_POINTS else web.Response()
            response.content_type, response.charset = result.content_type, "utf-8"
            if result.absent:
                response.headers[ABSENT_HEADER] = absence_header(result.absent)
            if request.method == "HEAD":
                return response
            if isinstance(response, web.Response):
                response.text = "".join(result.chunks())
                return response
            await asyncio.wait_for(self._large.acquire(), _LARGE_WAIT_SECONDS)
        try:
            return await _stream(request, response, result)
        finally:
            self._large.release()

    async def _fill_gaps(self, query: HistoryQuery, fill: Fill) -> None:
        """Request from Radar what the history lacks. If Radar fails, a partial answer is better than an error."""
        result, now = None, self._service.now()
        rejection: ApiError | None = None
        async with asyncio.timeout(_TIMEOUT_SECONDS), self._slots.slot(CONTRACT_PATH, _TIMEOUT_SECONDS):
            try:
                result = await answer_query(self._service.store, query)
            except NotStored as error:
                result, rejection = error.result, error
            except ApiError as error:
                rejection = error
        slices = missing_slices(query.request, result, now)
        if not slices:
            return
        try:
            async with asyncio.timeout(_FILL_TIMEOUT_SECONDS), self._fills:
                await fill(slices)
        except RadarError as error:
            log.warning("fallback", extra={"outcome": error.outcome, "reason": str(error)})
            if rejection:
                raise upstream_error(error, now, rejection) from error
        except TimeoutError:
            if rejection:
                raise _unavailable("Radar has not answered yet") from None


def _check_method(request: web.Request) -> None:
    if request.method not in ("GET", "HEAD"):
        raise ApiError(NO_METHOD, f"Method {request.method[:16]} not available for that URI")


def _raw_query(request: web.Request) -> str:
    return request.raw_path.partition("?")[2].partition("#")[0]


async def _no_route(_request: web.Request) -> web.StreamResponse:
    return api_error_response(ApiError(NO_ROUTE, "No route for that URI"))


async def _stream(
    request: web.Request, response: web.StreamResponse, result: QueryResult | GroupsResult
) -> web.StreamResponse:
    await response.prepare(request)
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            for chunk in result.chunks():
                await response.write(chunk.encode())
            await response.write_eof()
    except TimeoutError:  # because what was sent cannot be withdrawn, cut the connection: the caller sees an error
        if request.transport is not None:
            request.transport.abort()
    return response


def _unavailable(message: str) -> ApiError:
    return ApiError(UNAVAILABLE, message, retry_after=_RETRY_AFTER_SECONDS)


def missing_slices(request: ApiRequest, result: QueryResult | None, now: datetime) -> list[Slice]:
    """Return a slice for each series that lacks a bucket which has closed by *now*; all of them without a *result*."""
    request = result.request if result else request
    step = request.agg_interval.seconds
    slices = []
    for position, data in zip_longest(request.series, result.series if result else ()):
        end = min(position.end, floor(now.timestamp(), step, position.start))
        if position.start < end and (data is None or len(data.timestamps) < (end - position.start) // step):
            slices.append(Slice(position.query, Window(from_epoch(position.start), from_epoch(end))))
    return list(dict.fromkeys(slices))


def upstream_error(error: RadarError, now: datetime, rejection: ApiError | None = None) -> ApiError:
    """Return an error of Radar in the API's form, without Radar's text.

    *rejection* is why the history cannot answer; its message is appended.
    """
    reason = f". {rejection.message}" if rejection else ""
    if isinstance(error, RateLimited):
        seconds = max(1, round((error.not_before - now).total_seconds()))
        message = f"Not in the history, and no request may be sent to Radar now{reason}"
        return ApiError(LIMITED, message, retry_after=str(seconds))
    if isinstance(error, TooCostly):
        return ApiError(TOO_COSTLY, f"Not in the history, and too large for one query to Radar{reason}")
    if isinstance(error, Refused):
        return bad_request(f"Not in the history, and Radar rejects this query{reason}")
    return ApiError(NO_GATEWAY, f"Not in the history, and there is no answer from Radar{reason}")
