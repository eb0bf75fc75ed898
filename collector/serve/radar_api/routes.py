"""The route: who may ask, how many at once, and what is said when something is wrong."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from collector.contract.errors import JSON_TYPE, NO_METHOD, NO_ROUTE, ApiError, ErrorCode
from collector.datasets import DATASETS
from collector.radar.errors import RadarError
from collector.report.absent_buckets import ABSENT_HEADER, header
from collector.serve.errors import log_failure, response_started
from collector.serve.radar_api.answer import NotStored, answer
from collector.serve.radar_api.fallback import lacking, refusal
from collector.serve.radar_api.parameters import read_local
from collector.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from collector.datasets import Dataset
    from collector.model import Slice
    from collector.serve.radar_api.answer import Answered
    from collector.serve.radar_api.parameters import LocalQuestion
    from collector.serve.service import ServiceApi

    Fill = Callable[[Sequence[Slice]], Awaitable[None]]

log = logging.getLogger(__name__)

BASE_PATH = "/client/v4"
NO_CREDENTIALS = ErrorCode(HTTPStatus.UNAUTHORIZED, 9106)
WRONG_CREDENTIALS = ErrorCode(HTTPStatus.FORBIDDEN, 10000)
UNAVAILABLE = ErrorCode(HTTPStatus.SERVICE_UNAVAILABLE, 2000)
INTERNAL = ErrorCode(HTTPStatus.INTERNAL_SERVER_ERROR, 2000)
_AT_ONCE = 4
_LARGE = 20_000
_LARGE_AT_ONCE = 4
_FILLS_AT_ONCE = 4
_FILL_SECONDS = 30.0
_SECONDS = 60.0
_PATIENCE = 5.0
_RETRY_AFTER = "5"


class RadarApi:
    """The routes of `/client/v4`. *fill* requests from Radar what the history lacks; None: nothing is requested.

    Four requests are answered concurrently, and four answers of more than 20,000 points are sent concurrently, so that
    memory stays flat for any number of callers and any speed of reading.
    """

    def __init__(self, service: ServiceApi, fill: Fill | None = None) -> None:
        self._service = service
        self._fill = fill
        self._fills = asyncio.Semaphore(_FILLS_AT_ONCE)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

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
                return _response(_later(f"The history cannot be read at the moment; the log says more under {number}"))
            except TimeoutError:
                return _response(_later("Too many answers are under way"))
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
        local = read_local(dataset, raw_query, self._service.now().timestamp(), await self._service.store.grids())
        if self._fill is not None and local.as_of is None:
            await self._complete(local, self._fill)
        async with asyncio.timeout(_SECONDS), self._places:
            answered = await answer(self._service.store, local)
            headers = _headers(answered)
            if request.method == "HEAD":
                return web.Response(content_type=answered.content_type, charset="utf-8", headers=headers)
            if answered.points <= _LARGE:
                text = "".join(answered.pieces())
                return web.Response(text=text, content_type=answered.content_type, charset="utf-8", headers=headers)
            await asyncio.wait_for(self._large.acquire(), _PATIENCE)
        try:
            return await _stream(request, answered)
        finally:
            self._large.release()

    async def _complete(self, local: LocalQuestion, fill: Fill) -> None:
        """Have Radar asked for what history lacks. Where it answers in part, that part is better than an error."""
        answered, now = None, self._service.now()
        refused: ApiError | None = None
        async with asyncio.timeout(_SECONDS), self._places:
            try:
                answered = await answer(self._service.store, local)
            except NotStored as error:
                answered, refused = error.answered, error
            except ApiError as error:
                refused = error
        wanted = lacking(local.question, answered, now)
        if not wanted:
            return
        try:
            async with asyncio.timeout(_FILL_SECONDS), self._fills:
                await fill(wanted)
        except RadarError as error:
            log.warning("fallback", extra={"outcome": error.outcome, "reason": str(error)})
            if refused:
                raise refusal(error, now, refused) from error
        except TimeoutError:
            if refused:
                raise _later("Radar has not answered yet") from None


def reject_credentials(headers: Mapping[str, str]) -> web.Response:
    """Return the API's own error for a request without the token of this server."""
    if "Authorization" in headers or "X-Auth-Key" in headers:
        return _response(ApiError(WRONG_CREDENTIALS, "Authentication error"))
    return _response(ApiError(NO_CREDENTIALS, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"))


def _headers(answered: Answered) -> dict[str, str]:
    return {ABSENT_HEADER: header(answered.absent)} if answered.absent else {}


async def _stream(request: web.Request, answered: Answered) -> web.StreamResponse:
    response = web.StreamResponse(headers=_headers(answered))
    response.content_type, response.charset = answered.content_type, "utf-8"
    await response.prepare(request)
    try:
        async with asyncio.timeout(_SECONDS):
            for piece in answered.pieces():
                await response.write(piece.encode())
            await response.write_eof()
    except TimeoutError:  # what was sent cannot be taken back; an answer that breaks off is seen as broken
        if request.transport is not None:
            request.transport.abort()
    return response


def _later(message: str) -> ApiError:
    return ApiError(UNAVAILABLE, message, retry_after=_RETRY_AFTER)


def _response(refused: ApiError) -> web.Response:
    reply = refused.reply()
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers, content_type=JSON_TYPE)
