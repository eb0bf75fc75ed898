"""The routes of `/client/v4`: concurrency limits, the fallback to Radar, and errors in the API's form."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from itertools import zip_longest
from typing import TYPE_CHECKING

from aiohttp import web

from collector.contract.errors import JSON_TYPE, NO_METHOD, NO_ROUTE, TOO_COSTLY, ApiError, ErrorCode, bad_request
from collector.contract.request_parser import floor
from collector.datasets import DATASETS
from collector.model import Slice, Window
from collector.radar.errors import RadarError, RateLimited, Refused, TooCostly
from collector.report.gaps import ABSENT_HEADER, absence_header
from collector.serve.errors import log_failure, response_started
from collector.serve.radar_api.answer import NotStored, answer_query
from collector.serve.radar_api.parameters import parse_query
from collector.store import StoreError
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest
    from collector.datasets import Dataset
    from collector.serve.radar_api.answer import QueryResult
    from collector.serve.radar_api.parameters import HistoryQuery
    from collector.serve.service import ServiceApi

    Fill = Callable[[Sequence[Slice]], Awaitable[None]]

log = logging.getLogger(__name__)

BASE_PATH = "/client/v4"
NO_CREDENTIALS = ErrorCode(HTTPStatus.UNAUTHORIZED, 9106)
WRONG_CREDENTIALS = ErrorCode(HTTPStatus.FORBIDDEN, 10000)
UNAVAILABLE = ErrorCode(HTTPStatus.SERVICE_UNAVAILABLE, 2000)
INTERNAL = ErrorCode(HTTPStatus.INTERNAL_SERVER_ERROR, 2000)
_MAX_CONCURRENT = 4
_LARGE_POINTS = 20_000
_MAX_LARGE = 4
_MAX_FILLS = 4
_FILL_TIMEOUT_SECONDS = 30.0
_TIMEOUT_SECONDS = 60.0
_LARGE_WAIT_SECONDS = 5.0
_RETRY_AFTER_SECONDS = "5"


class RadarApi:
    """The routes of `/client/v4`. *fill* requests from Radar what the history lacks; None: nothing is requested.

    Four requests are answered concurrently, and four answers of more than 20,000 points are sent concurrently, so that
    memory stays flat for any number of callers and any speed of reading.
    """

    def __init__(self, service: ServiceApi, fill: Fill | None = None) -> None:
        self._service = service
        self._fill = fill
        self._fills = asyncio.Semaphore(_MAX_FILLS)
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._large = asyncio.Semaphore(_MAX_LARGE)

    def add_to(self, app: web.Application) -> None:
        """Add the routes to *app*."""
        for dataset in DATASETS.values():
            handler = self._guarded(partial(self._timeseries, dataset))
            app.router.add_route("*", f"{BASE_PATH}{dataset.url_path}", handler)
        app.router.add_route("*", BASE_PATH + "/{path:.*}", self._guarded(self._no_route))

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except ApiError as refused:
                return _response(refused)
            except StoreError as error:
                number = log_failure("unavailable", str(error))
                message = f"The history cannot be read at the moment; the log says more under {number}"
                return _response(_unavailable(message))
            except TimeoutError:
                return _response(_unavailable("Too many answers are under way"))
            except Exception as error:
                if response_started(request):
                    raise
                number = log_failure("failed", repr(error), trace=True)
                return _response(ApiError(INTERNAL, f"Internal error {number}; the log says more"))

        return handle

    async def _no_route(self, _request: web.Request) -> web.StreamResponse:
        raise ApiError(NO_ROUTE, "No route for that URI")

    async def _timeseries(self, dataset: Dataset, request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise ApiError(NO_METHOD, f"Method {request.method[:16]} not available for that URI")
        raw_query = request.raw_path.partition("?")[2].partition("#")[0]
        query = parse_query(dataset, raw_query, self._service.now().timestamp(), await self._service.store.grids())
        if self._fill is not None and query.as_of is None:
            await self._fill_gaps(query, self._fill)
        async with asyncio.timeout(_TIMEOUT_SECONDS), self._slots:
            result = await answer_query(self._service.store, query)
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
        rejected: ApiError | None = None
        async with asyncio.timeout(_TIMEOUT_SECONDS), self._slots:
            try:
                result = await answer_query(self._service.store, query)
            except NotStored as error:
                result, rejected = error.result, error
            except ApiError as error:
                rejected = error
        slices = missing_slices(query.request, result, now)
        if not slices:
            return
        try:
            async with asyncio.timeout(_FILL_TIMEOUT_SECONDS), self._fills:
                await fill(slices)
        except RadarError as error:
            log.warning("fallback", extra={"outcome": error.outcome, "reason": str(error)})
            if rejected:
                raise upstream_error(error, now, rejected) from error
        except TimeoutError:
            if rejected:
                raise _unavailable("Radar has not answered yet") from None


def reject_credentials(headers: Mapping[str, str]) -> web.Response:
    """Return the API's own error for a request without the token of this server."""
    if "Authorization" in headers or "X-Auth-Key" in headers:
        return _response(ApiError(WRONG_CREDENTIALS, "Authentication error"))
    return _response(ApiError(NO_CREDENTIALS, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"))


async def _stream(request: web.Request, response: web.StreamResponse, result: QueryResult) -> web.StreamResponse:
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


def _response(refused: ApiError) -> web.Response:
    reply = refused.reply()
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers, content_type=JSON_TYPE)


LIMITED = ErrorCode(HTTPStatus.TOO_MANY_REQUESTS, 10000)
NO_GATEWAY = ErrorCode(HTTPStatus.BAD_GATEWAY, 2000)


def missing_slices(request: ApiRequest, result: QueryResult | None, now: datetime) -> list[Slice]:
    """Return a slice for each series that lacks a bucket which has closed by *now*; all of them without a *result*."""
    answered = result.request if result else request
    step = answered.agg_interval.seconds
    found = []
    for one, data in zip_longest(answered.series, result.series if result else ()):
        end = min(one.end, floor(now.timestamp(), step, one.start))
        if one.start < end and (data is None or len(data.timestamps) < (end - one.start) // step):
            found.append(Slice(one.query, Window(from_epoch(one.start), from_epoch(end))))
    return list(dict.fromkeys(found))


def upstream_error(error: RadarError, now: datetime, stored: ApiError | None = None) -> ApiError:
    """Return an error of Radar in the API's form, without Radar's text.

    *stored* is why the history cannot answer; its message is appended.
    """
    found = _error(error, now)
    if stored is None:
        return found
    return ApiError(found.error_code, f"{found.message}. {stored.message}", retry_after=found.retry_after)


def _error(error: RadarError, now: datetime) -> ApiError:
    if isinstance(error, RateLimited):
        seconds = max(1, round((error.not_before - now).total_seconds()))
        return ApiError(LIMITED, "Not in the history, and Radar may not be asked now", retry_after=str(seconds))
    if isinstance(error, TooCostly):
        return ApiError(TOO_COSTLY, "Not in the history, and too much to ask of Radar for one question")
    if isinstance(error, Refused):
        return bad_request("Not in the history, and Radar does not answer this question")
    return ApiError(NO_GATEWAY, "Not in the history, and Radar could not be asked")
