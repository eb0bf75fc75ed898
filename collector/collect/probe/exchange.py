"""The requests of the probe, and the exchange that each one leads to: request, response or error, kept whole."""

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
    """What is on record of an answer that is only looked at; a refusal there says nothing about the credentials."""

    status: int | None
    words: str = "looked at, nothing of it is kept"
    code: int | None = None
    outcome: str = "probed"

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Exchange:
    """A request and what came: *answer* if the reader takes it, else *error* says why not.

    *response* is None if no headers came. *seconds* is how long it all took.
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
        """HTTP's status."""
        return self.response.status if self.response else None

    @property
    def outcome(self) -> str:
        """The word on record."""
        return "ok" if self.answer else failure_of(self).outcome

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that came."""
        return self.response.headers if self.response else {}

    @property
    def body(self) -> bytes:
        """The body as it came, decompressed."""
        return (self.response and self.response.body) or b""

    @cached_property
    def document(self) -> Any:
        """The body as JSON, however odd; None if it is none."""
        return shape.parse(self.body)

    @property
    def is_data(self) -> bool:
        """Whether a JSON result came that is no refusal, whether or not the reader takes it."""
        return self.status in _GOOD and bool(shape.result_of(self.document))

    @property
    def clock_difference(self) -> timedelta | None:
        """How far this machine's clock is ahead of the server's, by its Date header; None if that says nothing."""
        date = shape.date_of(self.headers)
        return self.response.received_at.replace(microsecond=0) - date if self.response and date else None

    @cached_property
    def points(self) -> Mapping[int, float]:
        """The first series: {epoch seconds: value}."""
        return self.points_of(0)

    def points_of(self, position: int) -> Mapping[int, float]:
        """The series at *position*: as read, else as it stands in the document, however odd its form."""
        if self.answer is None:
            series = shape.in_order(shape.series_of(self.document))
            return shape.points_of(series[position][1]) if position < len(series) else {}
        if position in self.answer.missing:
            return {}
        read = self.answer.series[position - sum(missing < position for missing in self.answer.missing)]
        return dict(zip(read.timestamps, read.values, strict=True))


def failure_of(exchange: Exchange) -> FetchError:
    """What is put on record of an exchange without an answer of the time series."""
    error = exchange.error
    if error and (exchange.request.is_read or isinstance(error, RateLimited | Unavailable)):
        return error
    return Probed(exchange.status, str(error), error.code) if error else Probed(exchange.status)


def to_json(exchange: Exchange) -> dict[str, Any]:
    """Return the fields of a request as the report has them."""
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
"""What requests of the probe are for, on record."""
_UNREACHABLE = 3
"""So many requests in a row that reached no server: nothing can be learnt today."""
_MOST_REPEATS = 3
_BYTES = 1_048_576
_BYTES_OF_BUCKET = 128


class ProbeEnded(Exception):
    """The rest cannot be asked; the text says why."""


class Asker:
    """Sends requests one by one, at most *limit*; *on_exchange* is called with each one that has ended."""

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
        """How many requests may still be sent."""
        return self._limit - len(self.exchanges) - self.others

    def count_one_more(self) -> None:
        """Count a request that is sent by others on behalf of the probe."""
        self.others += 1

    async def ask(self, request: ProbeRequest) -> Exchange | None:
        """Send *request* and return what came; None if none is left. A rate limit is waited for, once.

        ProbeEnded if no other request can bring more.
        """
        exchange = await self._once(request)
        if exchange and isinstance(exchange.error, RateLimited):
            exchange = await self._once(request)
        if exchange and isinstance(exchange.error, RateLimited):
            raise ProbeEnded(f"the rate limit was met again after a wait: {exchange.error}")
        return exchange

    async def ask_firmly(self, request: ProbeRequest) -> Exchange | None:
        """Ask; what the server failed to answer is asked again a second later, a few times in all."""
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
                answer_of(response, request.batch)  # raises why it is no answer
        except ShuttingDown as error:
            await self._fetcher.record_failure(fetch_id, error)
            raise
        except RadarError as error:
            problem = error
        seconds = time.perf_counter() - began
        return Exchange(len(self.exchanges) + 1, request, fetch_id, sent_at, seconds, response, answer, problem)

    async def _record(self, exchange: Exchange) -> None:
        """Put the outcome on record; of an answer only that, its deviations and its annotations."""
        fetcher, batch, response, answer = self._fetcher, exchange.request.batch, exchange.response, exchange.answer
        await self._note_clock(exchange)
        if response is None or answer is None:
            await fetcher.record_failure(exchange.fetch_id, failure_of(exchange))
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
        """Let the collector learn of its clock from what came, as from any other reply."""
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
    """Return one value of the filter that has the fewest values, but at least three."""
    parameter = min((one for one in dataset.parameters if len(one.values) > 2), key=lambda one: len(one.values))  # noqa: PLR2004 - not a boolean
    return {parameter.name: (parameter.values[-1],)}


def _filter_with_comma(dataset: Dataset) -> Filters:
    """Return the most frequent known value that contains a comma."""
    shares = ((share, one.name, value) for one in dataset.parameters for value, share in one.shares if "," in value)
    _, name, value = max(shares)
    return {name: (value,)}


FILTERED = _filter_of_few_values(DEFAULT)
COMMA_FILTER = _filter_with_comma(DEFAULT)
COMMA_NAME = next(iter(COMMA_FILTER.values()))[0]


@dataclass(frozen=True, slots=True)
class Labelled(Batch):
    """A batch that is on record as *label*: a request to another path, whose slices are nominal."""

    label: str = ""

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One request: *name* for people, *batch* for the record and the reader, *query* is encoded.

    *is_read*: the answer must satisfy the reader, else it is only looked at.
    """

    name: str
    batch: Batch
    query: str
    path: str = DEFAULT.url_path
    is_read: bool = True

    @property
    def is_replayable(self) -> bool:
        """Whether a kept body may be read again later: what was sent is what *batch* means, not a variation of it."""
        return self.is_read and self.query == query_string(self.batch)


def series_request(name: str, batch: Batch) -> ProbeRequest:
    """Ask *batch* as the collector does."""
    return ProbeRequest(name, batch, query_string(batch))


def recent_batch(grid: Grid, span: timedelta, now: datetime, *filters: Mapping[str, tuple[str, ...]]) -> Batch:
    """The newest *span* up to *now*, the bucket under way included, once for each of *filters*, by default for none."""
    end = max(QUARTER.floor(now), grid.floor(now))
    window = Window(grid.floor(grid.floor(now) - span), end)
    return Batch(tuple(Slice(Question(grid.interval, one), window) for one in filters or ({},)))


def closed_batch(grid: Grid, span: timedelta, now: datetime) -> Batch:
    """The newest *span* of closed buckets."""
    end = grid.floor(now)
    return Batch((Slice(Question(grid.interval, {}), Window(end - span, end)),))


def staggered_batch(grid: Grid, span: timedelta, count: int, now: datetime) -> Batch:
    """*count* recent windows of *span*, each an hour (or a bucket) before the next, so that none is old."""
    end, shift = grid.floor(now), max(_HOUR, grid.step)
    ends = [end - shift * back for back in range(count)]
    return Batch(tuple(Slice(Question(grid.interval, {}), Window(one - span, one)) for one in ends))


def batch_of_days(grid: Grid, ages: Iterable[int], span: timedelta, now: datetime) -> Batch:
    """Of the days that began so many days before today the first *span*, each as a window of its own."""
    today = packing.midnight(now)
    starts = [grid.floor(today - timedelta(days=age)) for age in ages]
    windows = [Window(start, start + span) for start in starts]
    return Batch(tuple(Slice(Question(grid.interval, {}), window) for window in windows))


def request_within_bucket(grid: Grid, now: datetime) -> ProbeRequest:
    """Ask a window that begins in the midst of a bucket: on a Wednesday at 1w, at 05:00 at 1d.

    The collector never asks such, so the reader would refuse the answer.
    """
    end = grid.floor(now)
    offset = timedelta(days=2) if grid.interval is AggInterval.ONE_WEEK else timedelta(hours=5)
    window = Window(end - 4 * grid.step + offset, end)
    batch = Batch((Slice(Question(grid.interval, {}), window),))
    return ProbeRequest(f"from within a bucket at {grid.interval}", batch, query_string(batch), is_read=False)


def single_encoded(batch: Batch) -> ProbeRequest:
    """Ask *batch*, whose filter holds a comma, with the comma encoded once instead of twice."""
    return ProbeRequest("comma encoded once", batch, query_string(batch).replace("%252C", "%2C"))


def long_url_batch(grid: Grid, span: timedelta, now: datetime, positions: int) -> Batch | None:
    """As many of *positions* as make the longest query that the collector sends; None if they stay far below it."""
    longest = sorted(DEFAULT.parameters, key=lambda one: len(one.values), reverse=True)[:2]
    everything = {one.name: one.values for one in longest}
    window = closed_batch(grid, span, now).slices[0].window
    best: Batch | None = None
    for count in range(1, positions + 1):
        batch = Batch((Slice(Question(grid.interval, everything), window),) * count)
        if len(query_string(batch)) > packing.LONGEST_QUERY:
            return best
        best = batch
    return None


def sibling_requests(now: datetime) -> list[ProbeRequest]:
    """Return one request to each path that tells about the same objects in another shape."""
    batch = closed_batch(Grid(AggInterval.ONE_DAY), 7 * packing.DAY, now)
    window = batch.slices[0].window
    dates = f"dateStart={rfc3339(window.start)}&dateEnd={rfc3339(window.end - QUARTER.step)}"
    found = []
    for one in DEFAULT.siblings:
        path, query = f"/radar/{one.path}", "&".join(filter(None, (one.query, dates if one.has_dates else "", _FORMAT)))
        found.append(ProbeRequest(one.name, Labelled(batch.slices, f"{path}?{query}"), query, path, is_read=False))
    return found
