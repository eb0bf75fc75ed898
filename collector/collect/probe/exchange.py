"""One request of the probe and what came: kept whole, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from collector.collect.probe import shape
from collector.radar.client import TIMESERIES
from collector.radar.errors import RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from collector.collect.probe.questions import ProbeRequest
    from collector.model import Answer
    from collector.radar.client import RadarResponse
    from collector.radar.errors import RadarError
    from collector.store import Failure

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


def failure_of(exchange: Exchange) -> Failure:
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
        "series": len(request.batch.slices) if request.path == TIMESERIES else None,
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
