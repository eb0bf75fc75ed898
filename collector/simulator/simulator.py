"""The simulated API as an HTTP server: it answers requests by the contract, or with the scripted faults."""

from __future__ import annotations

import gzip
import json
import logging
import math
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from collector.contract.catalogue import NOT_FOUND
from collector.contract.group_parser import SERIES, GroupsPlace, parse_groups
from collector.contract.request_parser import ApiRequest, decode_query, parse_request
from collector.contract.response import NO_METHOD, NO_ROUTE, ApiError, ErrorCode, HttpReply, bad_request, quote
from collector.datasets import DATASETS, DEFAULT, dataset_of
from collector.model import Points
from collector.simulator import odd
from collector.simulator.catalogue import CatalogueOptions, catalogue_place, catalogue_reply
from collector.simulator.faults import Fault, FaultScript
from collector.simulator.gateway import LoggedRequest, RateLimiter, caller_id, check_credentials
from collector.simulator.history import SimulatedHistory
from collector.simulator.options import SimulatorOptions
from collector.simulator.response import answer, scaled
from collector.simulator.siblings import place, sibling
from collector.simulator.values import is_known
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from collector.datasets import Dataset
    from collector.model import Annotation, Question, Window
    from collector.simulator.faults import FaultRule
    from collector.simulator.history import Change


BASE_PATH = "/client/v4"
_log = logging.getLogger(__name__)


class Simulator:
    """The simulated API before it is served; *clock* returns epoch seconds.

    *requests* has the requests in the order of their arrival; of very many it keeps the last ones.
    """

    def __init__(self, options: SimulatorOptions | None = None, clock: Callable[[], float] = time.time) -> None:
        self._given = options or SimulatorOptions()
        self.requests: list[LoggedRequest] = []
        self._clock = clock
        self._changes: list[Change] = []
        self.be_odd(*self._given.odd)
        self._faults = FaultScript()
        self._limiters: dict[str, RateLimiter] = {}

    def script(self, *steps: Fault | FaultRule) -> None:
        """Queue faults; a rule is a function that returns a fault for a request, or None."""
        self._faults.add(steps)

    def clear_script(self) -> None:
        """Remove every fault and rule."""
        self._faults.clear()

    def be_odd(self, *names: str) -> None:
        """Answer in the variations *names* from now on, or as usual without names; raises NoVariation."""
        self._variations = odd.choose(names)
        self.options = odd.with_options(self._given, self._variations)
        self._history = SimulatedHistory(self.options, self._changes)

    def switch(self, **options: Any) -> None:
        """Replace options."""
        self.options = replace(self.options, **options)
        self._history = SimulatedHistory(self.options, self._changes)

    def change(self, *changes: Change) -> None:
        """Add changes of history; each takes effect at its own moment."""
        self._changes += changes

    def truth(self, query: Question, window: Window, now: float) -> Points:
        """Return the points of a correct answer at *now* (epoch seconds) to *query* over *window*."""
        timestamps, texts = self._texts(query, int(window.start.timestamp()), int(window.end.timestamp()), now)
        return Points(timestamps, [float(text) for text in texts])

    def _texts(self, query: Question, start: int, end: int, now: float) -> tuple[Sequence[int], Sequence[str]]:
        """Return timestamps and values of a correct answer."""
        normalization = self._history.scale(now, dataset_of(query)).normalization
        counts = self._history.counts(query, start, end, now)
        totals = self._history.counts(replace(query, filters={}), start, end, now)
        texts = scaled([counts.values], [totals.values], normalization, self.options.value_style)
        return counts.timestamps, texts[0]

    def annotations(self, window: Window, now: float) -> list[Annotation]:
        """Return the annotations of a correct answer at *now* over *window*."""
        return self._history.annotations(window, now)

    def last_updated(self, now: float) -> int:
        """Return the `lastUpdated` of a correct answer at *now*, in epoch seconds."""
        return self._history.last_updated(now)

    def app(self) -> web.Application:
        """Return the server's application."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        fault, reply = self._decide(request)
        return await fault.deliver(request, self._compressed(request, reply))

    def _decide(self, request: web.Request) -> tuple[Fault, HttpReply]:
        """Return the fault and the reply. It does not wait, so the log is in the order of arrival."""
        now, began = self._clock(), time.perf_counter()
        path, _, raw_query = request.raw_path.partition("?")
        received = LoggedRequest(now, request.method, path, raw_query, caller_id(request.headers))
        limiter = self._limiter(received.caller)
        blocked = limiter.blocked_for(now) if limiter else None
        api_request, honest = self._answer(request, received, blocked)
        honest = replace(honest, headers={"Date": _http_date(now)} | dict(honest.headers))
        if limiter:
            honest = replace(honest, headers=limiter.headers(self.options.rate_headers, now) | dict(honest.headers))
        received = replace(received, request=api_request)
        fault = (self._faults.next(received, honest) if blocked is None else None) or Fault("")
        reply = fault.reply(honest)
        reply = replace(reply, headers={"Date": _http_date(now)} | dict(reply.headers))
        self._record(replace(received, status=reply.status, fault=fault.name), time.perf_counter() - began)
        return fault, reply

    def _record(self, received: LoggedRequest, seconds: float) -> None:
        self.requests.append(received)
        if len(self.requests) >= 2 * self.options.remembered_requests:
            del self.requests[: -self.options.remembered_requests]
        _log.info("request", extra=_fields(received, seconds))

    def _limiter(self, caller: str) -> RateLimiter | None:
        if self.options.rate_limit is None:
            return None
        return self._limiters.setdefault(caller, RateLimiter(self.options.rate_limit))

    def _answer(
        self, request: web.Request, received: LoggedRequest, blocked: float | None
    ) -> tuple[ApiRequest | None, HttpReply]:
        """Return the correct answer. The gateway checks limit, route, credentials and length before the parameters."""
        api_request = None
        try:
            dataset = self._admit(request, received, blocked)
            if dataset is None:
                return None, self._sibling(received)
            api_request = parse_request(dataset, decode_query(received.raw_query), self.options, received.at)
            self._recognise(api_request)
            self._reach(api_request, received.at)
            honest = answer(api_request, self._history, self.options, received.at)
            return api_request, self._vary(api_request, honest, received.at)
        except ApiError as refused:
            return api_request, refused.reply()

    def _sibling(self, received: LoggedRequest) -> HttpReply:
        """Return the answer of a path beside the time series, as the options say."""
        how, path = self.options.siblings, received.path.removeprefix(BASE_PATH)
        groups, catalogue = place(path, DEFAULT), catalogue_place(path)
        if catalogue and (self.options.catalogue or how == "served"):
            lists = self.options.catalogue or CatalogueOptions()
            return catalogue_reply(catalogue, DEFAULT, decode_query(received.raw_query), lists, received.at)
        if isinstance(how, ErrorCode):
            raise ApiError(how, "Refused")
        if how == "no route":
            raise ApiError(NO_ROUTE, "No route for that URI")
        if how == "not found" or groups is None:
            return NOT_FOUND
        pairs = decode_query(received.raw_query)
        reply = sibling(*groups, DEFAULT, pairs, self._history, self.options, received.at)
        if groups[0] != SERIES:
            return reply
        asked = parse_groups(GroupsPlace(DEFAULT, *groups), pairs, self.options, received.at).request
        answered = json.loads(reply.body)["result"]
        series = tuple(requested for requested in asked.series if requested.name in answered)
        return self._vary(replace(asked, series=series), reply, received.at)

    def _vary(self, api_request: ApiRequest, honest: HttpReply, now: float) -> HttpReply:
        """Return a correct answer in the chosen variations; CSV has none."""
        if not self._variations or api_request.format == "CSV":
            return honest
        texts = partial(self._texts, now=now)
        draft = odd.Draft(api_request, int(now), self.last_updated(now), texts, json.loads(honest.body))
        return odd.write(honest, draft, self._variations)

    def _recognise(self, api_request: ApiRequest) -> None:
        """Reject values that the synthetic data does not have, if the options say so."""
        filter_values = (
            (name, v)
            for requested in api_request.series
            for name, values in requested.query.filters.items()
            for v in values
        )
        for name, value in filter_values if self.options.unknown_names == "refuse" else ():
            if not is_known(api_request.dataset.filters[name], value, self._history.population):
                raise bad_request(f"{name}: unknown value {quote(value)}")

    def _reach(self, api_request: ApiRequest, now: float) -> None:
        """Reject ranges that start before the data, if the options say so."""
        refusal = self.options.before_data
        for requested in api_request.series if refusal else ():
            begins = self._history.begins(requested.query.filters, now)
            if refusal and begins is not None and requested.start < begins:
                raise ApiError(refusal, "There is no data before the available history")

    def _admit(self, request: web.Request, received: LoggedRequest, blocked: float | None) -> Dataset | None:
        """Return the dataset of a request that passes the gateway, None for a path beside the time series.

        Raises ApiError for another request.
        """
        options = self.options
        if blocked is not None:
            refusal, wait = ErrorCode(429, options.rate_limit_code), str(math.ceil(blocked))
            raise ApiError(refusal, "Rate limited. Please wait and try again later", retry_after=wait)
        dataset = next(
            (dataset for dataset in DATASETS.values() if received.path == f"{BASE_PATH}{dataset.url_path}"), None
        )
        path = received.path.removeprefix(BASE_PATH)
        if dataset is None and place(path, DEFAULT) is None and catalogue_place(path) is None:
            raise ApiError(NO_ROUTE, "No route for that URI")
        if received.method != "GET":
            raise ApiError(NO_METHOD, f"Method {received.method} not available for that URI")
        check_credentials(request.headers, options)
        if len(request.raw_path) > options.url_bytes:
            raise ApiError(options.url_error, "The URI is too long")
        return dataset

    def _compressed(self, request: web.Request, reply: HttpReply) -> HttpReply:
        accepted = "gzip" in request.headers.get("Accept-Encoding", "")
        if not (self.options.compress and accepted and reply.body) or "Content-Encoding" in reply.headers:
            return reply
        headers = {**reply.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return replace(reply, body=gzip.compress(reply.body, 1), headers=headers)


def _http_date(now: float) -> str:
    """Return a moment of the simulator's clock as the header `Date`."""
    return format_datetime(from_epoch(int(now)), usegmt=True)


def _fields(received: LoggedRequest, seconds: float) -> dict[str, object]:
    return {
        "status": received.status,
        "series": received.series,
        "seconds": f"{seconds:.3f}",
        "fault": received.fault or None,
        "method": received.method,
        "asked": f"{received.path}?{received.raw_query}" if received.raw_query else received.path,
    }


_LINE = 1 << 20  # the simulator itself says which URL is too long


@asynccontextmanager
async def serve(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve *simulator* and yield the base URL; port 0 takes a free one. At the end open requests are aborted."""
    runner = web.AppRunner(
        simulator.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1, max_line_size=_LINE
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        address = runner.addresses[0]
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        yield f"http://{host}:{address[1]}{BASE_PATH}"
    finally:
        await runner.cleanup()
