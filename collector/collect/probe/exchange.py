"""One request of the probe and what came: kept whole, whatever it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from collector.collect.batches.evidence import keep_refused
from collector.collect.batches.fetcher import ShuttingDown
from collector.collect.probe import shape
from collector.datasets import DEFAULT
from collector.errors import CollectorError
from collector.radar.classify import with_clock_sample
from collector.radar.client import answer_of, as_trusted
from collector.radar.errors import RadarError, RateLimited, TimedOut, Unauthorized, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from collector.collect.batches.fetcher import Fetcher
    from collector.collect.probe.questions import ProbeRequest
    from collector.model import Answer
    from collector.radar.client import RadarResponse
    from collector.store import FetchError


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
            fetch_id = await self._fetcher.turn(request.batch, [PROFILE])
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
            await self._fetcher.end(fetch_id, error)
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
            await fetcher.end(exchange.fetch_id, failure_of(exchange))
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
            ahead=await fetcher.ahead(),
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
        await self._fetcher.note_clock(sample)

    def _check(self, exchange: Exchange) -> None:
        error = exchange.error
        if isinstance(error, Unauthorized) and exchange.request.is_read:
            raise ProbeEnded(f"the credentials are refused: {error}")
        lost = isinstance(error, Unavailable) and not isinstance(error, TimedOut) and exchange.response is None
        self._unreachable = self._unreachable + 1 if lost else 0
        if self._unreachable >= _UNREACHABLE:
            raise ProbeEnded(f"no answer came in {_UNREACHABLE} requests in a row: {error}")
