"""What a year of 15m for 50 series costs in requests, under every limit that Radar may hide, beside the fewest.

Counted on a Radar that checks the limits and answers without a point, so that it is quick; all else is the collector.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from itertools import product
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from collector.collect.gather import Gatherer
from collector.model import AggInterval, Answer, Batch, Meta, Points, Slice, Window
from collector.radar.client import Reply
from collector.radar.errors import Refused, TooCostly
from collector.radar.query import query_string
from collector.store import Store
from tests.bench.server import PATH
from tests.collect.doubles import DAY, NOW, Clock, QuickFetcher, many

SERIES = 50
LONGEST_URL = 8192
UNLIMITED = 100_000
_QUARTER = AggInterval.FIFTEEN_MINUTES
_MIDNIGHT = NOW.replace(hour=0, minute=0)
_YEAR = Window(_MIDNIGHT - 365 * DAY, _MIDNIGHT)


@dataclass(frozen=True, slots=True)
class Cell:
    """Limits: the longest span in days, the most series a request, and the status with which more is refused."""

    days: int
    positions: int
    status: int

    @property
    def span(self) -> timedelta:
        return timedelta(days=self.days)

    def __str__(self) -> str:
        positions = "unlimited" if self.positions == UNLIMITED else str(self.positions)
        return f"{self.days} days x {positions} series, {self.status}"


SKIPPED = 14, 28
"""Spans that the way down from the first guess leaves out."""
CELLS = [Cell(*limits) for limits in product((1, 7, *SKIPPED, 31), (1, 5, 20, UNLIMITED), (400, 422))]


class Limited:
    """A Radar of the limits of *cell*, which it does not tell."""

    def __init__(self, cell: Cell, clock: Callable[[], datetime]) -> None:
        self.asked = 0
        self.places = asyncio.Semaphore(8)
        self.fingerprint = "none"
        self._cell = cell
        self._clock = clock

    async def ask(self, batch: Batch) -> Reply:
        self.asked += 1
        if len(f"{PATH}?{query_string(batch)}") > LONGEST_URL:
            raise Refused("the URI is too long", status=HTTPStatus.REQUEST_URI_TOO_LONG)
        if batch.duration > self._cell.span or len(batch.slices) > self._cell.positions:
            refusal = TooCostly if self._cell.status == HTTPStatus.UNPROCESSABLE_ENTITY else Refused
            raise refusal("too much", status=self._cell.status)
        ranges = tuple((piece.window.start, piece.window.end) for piece in batch.slices)
        meta = Meta(batch.agg_interval, self._clock(), "RAW_VALUES", "certificates", 5, ranges, ())
        return Reply(batch, Answer(meta, tuple(Points([], []) for _ in batch.slices)), 100, {})


async def spent(cell: Cell, folder: Path) -> int:
    """The requests that the collector sends under the limits of *cell*, of which it knows nothing."""
    clock = Clock()
    radar = Limited(cell, clock)
    async with _gatherer(radar, clock, folder) as gatherer:
        slices = _slices()
        gathered = await gatherer.gather_all(slices, {piece.series: ["many"] for piece in slices})
    assert not gathered.failures
    assert gathered.requests == radar.asked
    return radar.asked


@asynccontextmanager
async def _gatherer(radar: Limited, clock: Clock, folder: Path) -> AsyncIterator[Gatherer]:
    async with Store.open(f"sqlite:///{folder}/requests.db", owner="bench") as store:
        await store.declare([many(SERIES, agg_interval=_QUARTER)], clock())
        yield Gatherer(QuickFetcher(radar, store, limit=600, stop=asyncio.Event(), clock=clock), 4)


def _slices() -> list[Slice]:
    return [Slice(series.query, _YEAR) for series in many(SERIES, agg_interval=_QUARTER).series]


def fewest(cell: Cell) -> int:
    """The fewest requests that the limits of *cell* allow to one who knows them, in the shortest URLs that say it."""
    windows = ceil(_YEAR.duration / cell.span) * SERIES
    dates = len("&dateStart=2026-03-10T00:00:00Z&dateEnd=2026-03-10T00:00:00Z")
    filters = sum(len(f"&caOwner={name}") for piece in _slices() for name in piece.series.filters["caOwner"])
    length = windows * dates + windows // SERIES * filters
    room = LONGEST_URL - len(f"{PATH}?aggInterval=15m")
    return max(ceil(windows / cell.positions), ceil(length / room))


def table(cells: Iterable[Cell]) -> Iterator[str]:
    """Measure one cell after the other, a line each."""
    yield f"{'limits':34}  requests  fewest  ratio"
    for cell in cells:
        with TemporaryDirectory() as folder:
            requests, least = asyncio.run(spent(cell, Path(folder))), fewest(cell)
        yield f"{cell!s:34}  {requests:8}  {least:6}  {requests / least:5.3f}"
