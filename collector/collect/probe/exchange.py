"""The requests of the probe, and their exchanges: each is a request with its complete response or its error."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from collector.collect.batches.fetcher import ShuttingDown
from collector.collect.kept_bodies import keep_refused
from collector.collect.planning import packing
from collector.collect.probe import shape
from collector.datasets import DEFAULT
from collector.errors import CollectorError
from collector.interval import AggInterval, Grid
from collector.model import Batch, Question, Slice, Window
from collector.radar.classify import with_clock_sample
from collector.radar.client import answer_of, as_trusted
from collector.radar.errors import RadarError, RateLimited, TimedOut, Unauthorized, Unavailable
from collector.radar.request import query_string
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from collector.collect.batches.fetcher import Fetcher
    from collector.datasets import Dataset
    from collector.model import Answer
    from collector.radar.client import RadarResponse
    from collector.store import FetchError

    Filters = Mapping[str, tuple[str, ...]]

_GOOD = range(200, 300)
_SHOWN_BYTES = 200


@dataclass(frozen=True, slots=True)
class Probed:
    """The outcome on record of a request that the collector does not need, so its answer is not stored.

    A rejection of such a request does not count against the credentials.
    """

    status: int | None
    words: str = "looked at, nothing of it is kept"
    code: int | None = None
    outcome: str = "probed"

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Exchange:
    """A request and its result. *answer* is the checked answer, or None with the reason in *error*.

    *response* is None if no headers came. *seconds* is the duration of the whole exchange.
    """

    number: int
    request: ProbeRequest
    fetch_id: int
    sent_at: datetime
    seconds: float
    response: RadarResponse | None = None
    answer: Answer | None = None
    error: RadarError | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status. None without a response."""
        return self.response.status if self.response else None

    @property
    def outcome(self) -> str:
        """The outcome on record."""
        return "ok" if self.answer else failure_of(self).outcome

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the response. Empty without a response."""
        return self.response.headers if self.response else {}

    @property
    def body(self) -> bytes:
        """The decompressed body."""
        return (self.response and self.response.body) or b""

    @cached_property
    def document(self) -> Any:
        """The body as JSON of any form. None if it is not JSON."""
        return shape.parse(self.body)

    @property
    def is_data(self) -> bool:
        """Whether the response is a success with a JSON result. The checks of the reader may still reject it."""
        return self.status in _GOOD and bool(shape.result_of(self.document))

    @property
    def clock_difference(self) -> timedelta | None:
        """The time by which the local clock is ahead of the Date header. None without a readable header."""
        date = shape.date_of(self.headers)
        return self.response.received_at.replace(microsecond=0) - date if self.response and date else None

    @cached_property
    def points(self) -> Mapping[int, float]:
        """The points of the first series, as {epoch seconds: value}."""
        return self.points_of(0)

    def points_of(self, position: int) -> Mapping[int, float]:
        """Return the points of the series at *position*, from the answer or, without one, from the document."""
        if self.answer is None:
            series = shape.in_order(shape.series_of(self.document))
            return shape.points_of(series[position][1]) if position < len(series) else {}
        if position in self.answer.missing:
            return {}
        read = self.answer.series[position - sum(missing < position for missing in self.answer.missing)]
        return dict(zip(read.timestamps, read.values, strict=True))


def failure_of(exchange: Exchange) -> FetchError:
    """Return the outcome to record for an exchange without an answer of the time series."""
    error = exchange.error
    if error and (exchange.request.is_read or isinstance(error, RateLimited | Unavailable)):
        return error
    return Probed(exchange.status, str(error), error.code) if error else Probed(exchange.status)


def to_json(exchange: Exchange) -> dict[str, Any]:
    """Return the fields of a request in the report."""
    request, error = exchange.request, exchange.error
    return {
        "number": exchange.number,
        "name": request.name,
        "fetch_id": exchange.fetch_id,
        "path": request.path,
        "query": request.query,
        "series": len(request.batch.slices) if request.path == DEFAULT.url_path else None,
        "sent_at": exchange.sent_at,
        "status": exchange.status,
        "code": error.code if error else None,
        "outcome": exchange.outcome,
        "reason": str(error) if error else None,
        "deviations": list(exchange.answer.deviations) if exchange.answer else [],
        "bytes": len(exchange.body),
        "milliseconds": round(exchange.seconds * 1000),
        "headers": sorted(exchange.headers),
        "body_start": None if exchange.document is not None else _start(exchange.body),
    }


def _start(body: bytes) -> str | None:
    return body[:_SHOWN_BYTES].decode("utf-8", "replace") if body else None


MOST_REQUESTS = 30
PROFILE = "(probe)"
"""The profile on record for requests of the probe."""
_UNREACHABLE = 3
"""After so many requests in a row that reached no server, the probe ends."""
_MOST_REPEATS = 3
_BYTES = 1_048_576
_BYTES_OF_BUCKET = 128


class ProbeEnded(Exception):
    """No other request can be sent or can help. The text is the reason."""


class Asker:
    """Sends at most *limit* requests, one after the other. Calls *on_exchange* with each completed exchange."""

    def __init__(self, fetcher: Fetcher, on_exchange: Callable[[Exchange], None], limit: int = MOST_REQUESTS) -> None:
        self.exchanges: list[Exchange] = []
        self.skipped: list[str] = []
        self._fetcher = fetcher
        self._on_exchange = on_exchange
        self._limit = limit
        self._unreachable = 0
        self.others = 0
        self._repeats = 0

    @property
    def left(self) -> int:
        """The number of requests that may still be sent."""
        return self._limit - len(self.exchanges) - self.others

    def count_one_more(self) -> None:
        """Count a request that another part of the collector sends for the probe."""
        self.others += 1

    async def ask(self, request: ProbeRequest) -> Exchange | None:
        """Send *request* and return its exchange. Returns None if no request is left.

        After a rate limit, waits and sends it once more. Raises ProbeEnded if further requests would be useless.
        """
        exchange = await self._once(request)
        if exchange and isinstance(exchange.error, RateLimited):
            exchange = await self._once(request)
        if exchange and isinstance(exchange.error, RateLimited):
            raise ProbeEnded(f"the rate limit was met again after a wait: {exchange.error}")
        return exchange

    async def ask_firmly(self, request: ProbeRequest) -> Exchange | None:
        """Send *request*, and once more after a second if the server did not answer.

        The probe sends only a few such repeats in all.
        """
        exchange = await self.ask(request)
        if not (exchange and isinstance(exchange.error, Unavailable) and self._repeats < _MOST_REPEATS and self.left):
            return exchange
        self._repeats += 1
        try:
            await self._fetcher.pause(1)
        except ShuttingDown as error:
            raise ProbeEnded(str(error)) from None
        return await self._once(request)

    async def _once(self, request: ProbeRequest) -> Exchange | None:
        if not self.left:
            self.skipped.append(request.name)
            return None
        try:
            fetch_id = await self._fetcher.reserve(request.batch, [PROFILE])
            exchange = await self._send(request, fetch_id)
            await self._record(exchange)
        except (CollectorError, ShuttingDown) as error:
            raise ProbeEnded(str(error)) from None
        self.exchanges.append(exchange)
        self._on_exchange(exchange)
        self._check(exchange)
        return exchange

    async def _send(self, request: ProbeRequest, fetch_id: int) -> Exchange:
        sent_at, began = self._fetcher.clock(), time.perf_counter()
        response = answer = problem = None
        most = _BYTES + _BYTES_OF_BUCKET * request.batch.buckets
        try:
            response = await self._fetcher.unless_stopped(self._fetcher.radar.get(request.path, request.query, most))
            if request.is_read:
                answer = answer_of(response, request.batch)
            elif not shape.result_of(shape.parse(response.body or b"")):
                answer_of(response, request.batch)  # raises the error of the response
        except ShuttingDown as error:
            await self._fetcher.record_failure(fetch_id, error)
            raise
        except RadarError as error:
            problem = error
        seconds = time.perf_counter() - began
        return Exchange(len(self.exchanges) + 1, request, fetch_id, sent_at, seconds, response, answer, problem)

    async def _record(self, exchange: Exchange) -> None:
        """Record the outcome. Of an answer, only its deviations and annotations are stored."""
        fetcher, batch, response, answer = self._fetcher, exchange.request.batch, exchange.response, exchange.answer
        await self._note_clock(exchange)
        if response is None or answer is None:
            failure = failure_of(exchange)
            judged = await fetcher.judged(failure, batch) if isinstance(failure, RadarError) else failure
            await fetcher.record_failure(exchange.fetch_id, judged)
            if response and response.evidence and exchange.error and exchange.request.is_replayable:
                kind = f"probe: {exchange.error.kind}"
                await keep_refused(fetcher.store, exchange.fetch_id, batch, kind, response.evidence)
            return
        reply = as_trusted(response, batch, answer)
        await fetcher.store.save(
            exchange.fetch_id,
            reply.batch,
            answer,
            fetcher.clock(),
            reply.size,
            ahead=await fetcher.clock_watch.ahead(),
            history=False,
        )
        await fetcher.record_deviations(exchange.fetch_id, reply)

    async def _note_clock(self, exchange: Exchange) -> None:
        """Note the clock difference that the response shows, as for any other response."""
        batch, response, answer, error = exchange.request.batch, exchange.response, exchange.answer, exchange.error
        if response is None:
            return
        sample = response.clock_sample
        if answer:
            sample = as_trusted(response, batch, answer).clock_sample
        elif error:
            sample = with_clock_sample(error, batch, sample, response.received_at).clock_sample
        await self._fetcher.clock_watch.note(sample)

    def _check(self, exchange: Exchange) -> None:
        error = exchange.error
        if isinstance(error, Unauthorized) and exchange.request.is_read:
            raise ProbeEnded(f"the credentials are refused: {error}")
        lost = isinstance(error, Unavailable) and not isinstance(error, TimedOut) and exchange.response is None
        self._unreachable = self._unreachable + 1 if lost else 0
        if self._unreachable >= _UNREACHABLE:
            raise ProbeEnded(f"no answer came in {_UNREACHABLE} requests in a row: {error}")


QUARTER = AggInterval.FIFTEEN_MINUTES
_FORMAT = "format=JSON"
_HOUR = timedelta(hours=1)


def _filter_of_few_values(dataset: Dataset) -> Filters:
    """Return one value of the filter with the fewest values of those that have at least three."""
    enumerations = [parameter for parameter in dataset.parameters if len(parameter.values) > 2]  # noqa: PLR2004 - not a boolean
    parameter = min(enumerations, key=lambda parameter: len(parameter.values))
    return {parameter.name: (parameter.values[-1],)}


def _filter_with_comma(dataset: Dataset) -> Filters:
    """Return the most frequent known value that contains a comma."""
    shares = (
        (share, parameter.name, value)
        for parameter in dataset.parameters
        for value, share in parameter.shares
        if "," in value
    )
    _, name, value = max(shares)
    return {name: (value,)}


FILTERED = _filter_of_few_values(DEFAULT)
COMMA_FILTER = _filter_with_comma(DEFAULT)
COMMA_NAME = next(iter(COMMA_FILTER.values()))[0]


@dataclass(frozen=True, slots=True)
class Labelled(Batch):
    """A request to another path, which is on record as *label*. Its slices are only placeholders."""

    label: str = ""

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One request. *name* is for people, *batch* for the record and the reader. *query* is the encoded query string.

    *is_read*: the reader checks the answer. Otherwise the answer is only described.
    """

    name: str
    batch: Batch
    query: str
    path: str = DEFAULT.url_path
    is_read: bool = True

    @property
    def is_replayable(self) -> bool:
        """Whether a kept body may be replayed, because the sent query is exactly the query of *batch*."""
        return self.is_read and self.query == query_string(self.batch)


def series_request(name: str, batch: Batch) -> ProbeRequest:
    """Return the request for *batch* that the collector would send."""
    return ProbeRequest(name, batch, query_string(batch))


def recent_batch(grid: Grid, span: timedelta, now: datetime, *filters: Mapping[str, tuple[str, ...]]) -> Batch:
    """Return the newest *span* up to *now*, with the unfinished bucket, for each of *filters*.

    Without *filters*, the batch has one unfiltered slice.
    """
    end = max(QUARTER.floor(now), grid.floor(now))
    window = Window(grid.floor(grid.floor(now) - span), end)
    questions = [Question(grid.interval, question_filters) for question_filters in filters or ({},)]
    return Batch(tuple(Slice(question, window) for question in questions))


def closed_batch(grid: Grid, span: timedelta, now: datetime) -> Batch:
    """Return the newest *span* of closed buckets."""
    end = grid.floor(now)
    return Batch((Slice(Question(grid.interval, {}), Window(end - span, end)),))


def staggered_batch(grid: Grid, span: timedelta, count: int, now: datetime) -> Batch:
    """Return *count* recent windows of *span*. Each one ends an hour, or a longer bucket, before the previous one."""
    end, shift = grid.floor(now), max(_HOUR, grid.step)
    ends = [end - shift * back for back in range(count)]
    return Batch(tuple(Slice(Question(grid.interval, {}), Window(end - span, end)) for end in ends))


def batch_of_days(grid: Grid, ages: Iterable[int], span: timedelta, now: datetime) -> Batch:
    """Return one window for each of *ages*: the first *span* of the day that many days before today."""
    today = packing.midnight(now)
    starts = [grid.floor(today - timedelta(days=age)) for age in ages]
    windows = [Window(start, start + span) for start in starts]
    return Batch(tuple(Slice(Question(grid.interval, {}), window) for window in windows))


def request_within_bucket(grid: Grid, now: datetime) -> ProbeRequest:
    """Return a request whose window begins inside a bucket: on a Wednesday at 1w, at 05:00 at 1d.

    The reader would reject the answer, because the collector never sends such requests.
    """
    end = grid.floor(now)
    offset = timedelta(days=2) if grid.interval is AggInterval.ONE_WEEK else timedelta(hours=5)
    window = Window(end - 4 * grid.step + offset, end)
    batch = Batch((Slice(Question(grid.interval, {}), window),))
    return ProbeRequest(f"from within a bucket at {grid.interval}", batch, query_string(batch), is_read=False)


def single_encoded(batch: Batch) -> ProbeRequest:
    """Return the request for *batch*, with the comma of its filter encoded once instead of twice."""
    return ProbeRequest("comma encoded once", batch, query_string(batch).replace("%252C", "%2C"))


def long_url_batch(grid: Grid, span: timedelta, now: datetime, positions: int) -> Batch | None:
    """Return the batch with the longest query string that the collector would send.

    Returns None if *positions* positions do not reach that length.
    """
    longest = sorted(DEFAULT.parameters, key=lambda parameter: len(parameter.values), reverse=True)[:2]
    everything = {parameter.name: parameter.values for parameter in longest}
    window = closed_batch(grid, span, now).slices[0].window
    best: Batch | None = None
    for count in range(1, positions + 1):
        batch = Batch((Slice(Question(grid.interval, everything), window),) * count)
        if len(query_string(batch)) > packing.LONGEST_QUERY:
            return best
        best = batch
    return None


def sibling_requests(now: datetime) -> list[ProbeRequest]:
    """Return one request to each path that serves the same data in another form."""
    batch = closed_batch(Grid(AggInterval.ONE_DAY), 7 * packing.DAY, now)
    window = batch.slices[0].window
    dates = f"dateStart={rfc3339(window.start)}&dateEnd={rfc3339(window.end - QUARTER.step)}"
    requests = []
    for sibling in DEFAULT.siblings:
        path = f"/radar/{sibling.path}"
        query = "&".join(filter(None, (sibling.query, dates if sibling.has_dates else "", _FORMAT)))
        requests.append(
            ProbeRequest(sibling.name, Labelled(batch.slices, f"{path}?{query}"), query, path, is_read=False)
        )
    return requests
