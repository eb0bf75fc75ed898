"""What a year of 15m for 50 series costs in requests, under every limit that Radar may hide, beside the fewest.

Counted on a Radar that checks the limits and answers without a point, so that it is quick; all else is the collector.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import product
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from collector.collect.batches.batch_runner import BatchRunner
from collector.contract.response import envelope
from collector.interval import AggInterval
from collector.model import Answer, Batch, Meta, Points, Question, Slice, Window
from collector.radar.classify import classify_response
from collector.radar.client import TrustedAnswer
from collector.radar.errors import Coarsened, RadarError, TimedOut
from collector.radar.request import query_string
from collector.store import Store
from collector.windows import subtract
from tests.bench.server import PATH
from tests.harness.collect_core import DAY, NOW, Clock, NoWaitFetcher
from tests.harness.factories import many

SERIES = 50
LONGEST_URL = 8192
UNLIMITED = 100_000
_PAGE = b"<html><head><title>Error</title></head><body>Error</body></html>"
_QUARTER = AggInterval.FIFTEEN_MINUTES
_MIDNIGHT = NOW.replace(hour=0, minute=0)
_YEAR = Window(_MIDNIGHT - 365 * DAY, _MIDNIGHT)


WAYS = {
    "400/2001": (400, envelope(2001, "too fine")),
    "422": (422, envelope(2002, "too costly")),
    "400 without a code": (400, b"{}"),
    "400 HTML": (400, _PAGE),
    "414": (414, _PAGE),
    "500/2000": (500, envelope(2000, "Internal error")),
    "502": (502, _PAGE),
    "504": (504, _PAGE),
    "524": (524, _PAGE),
    "time-out": None,
    "coarser": None,
    "capped": None,
}
"""How more than a limit is refused: status and body; without a reply; or an answer that is not what was asked."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Limits, and the way in which more than one of them is refused.

    The longest span in days, the most series a request, the most days of all of them together, the longest URL.
    """

    days: float = 31
    positions: int = UNLIMITED
    way: str = "400/2001"
    product: float = UNLIMITED
    url: int = LONGEST_URL

    @property
    def span(self) -> timedelta:
        return timedelta(days=self.days)

    def __str__(self) -> str:
        words = [f"{self.days:g} days"]
        words += [f"{self.positions} series"] if self.positions < UNLIMITED else []
        words += [f"{self.product:g} series-days"] if self.product < UNLIMITED else []
        words += [f"{self.url} bytes"] if self.url < LONGEST_URL else []
        return f"{' x '.join(words)}, {self.way}"


_BOTH = [
    *(Cell(*limits) for limits in product((7, 14, 28), (5, 20), ("400/2001", "422"))),
    Cell(1, 20),
    *(Cell(10, 3, way) for way in ("422", "504")),
    *(Cell(way=way, product=7) for way in ("400/2001", "504")),
]
_ONE = [
    *({"days": days} for days in (3, 7, 14, 28)),
    *({"positions": positions} for positions in (1, 3, 20)),
    *({"product": days} for days in (45, 100, 620)),
    *({"url": length} for length in (700, 2048, 4096)),
]
_TOO_LONG = ("400/2001", "400 HTML", "414", "502", "time-out")
"""The ways in which a URL may be too long."""
CELLS = [
    *_BOTH,
    *(Cell(way=way, **limit) for limit in _ONE for way in WAYS if "url" not in limit or way in _TOO_LONG),
]


class Limited:
    """A Radar of the limits of *cell*, which it does not tell; *answered* is what it has answered of each series."""

    def __init__(self, cell: Cell, clock: Callable[[], datetime]) -> None:
        self.asked = 0
        self.slots = asyncio.Semaphore(8)
        self.fingerprint = "none"
        self.absolute_words = set[str]()
        self.answered = defaultdict[Question, list[Window]](list)
        self._cell = cell
        self._clock = clock

    async def request(self, batch: Batch) -> TrustedAnswer:
        self.asked += 1
        if self._is_too_large(batch) and self._cell.way != "capped":
            raise self._error()
        windows = self._windows(batch)
        points = tuple(map(_points, windows)) if self._cell.way == "capped" else (_NONE,) * len(windows)
        for piece, window in zip(batch.slices, windows, strict=False):
            self.answered[piece.series].append(window)
        answered = Batch(batch.slices[: len(windows)])
        ranges = tuple((piece.window.start, piece.window.end) for piece in answered.slices)
        meta = Meta(batch.agg_interval, self._clock(), "RAW_VALUES", "certificates", 5, ranges, ())
        return TrustedAnswer(answered, Answer(meta, points), 100, {}, batch.slices[len(windows) :])

    def _is_too_large(self, batch: Batch) -> bool:
        cell, days = self._cell, batch.duration / DAY
        return (
            len(f"{PATH}?{query_string(batch)}") > cell.url
            or days > cell.days
            or len(batch.slices) > cell.positions
            or days * len(batch.slices) > cell.product
        )

    def _windows(self, batch: Batch) -> list[Window]:
        """Return what is answered of each slice: where it is capped, the newest buckets of the first series."""
        if self._cell.way != "capped":
            return [piece.window for piece in batch.slices]
        count = min(len(batch.slices), self._cell.positions)
        longest = min(self._cell.days, self._cell.product / count) * DAY // _QUARTER.step * _QUARTER.step
        windows = [piece.window for piece in batch.slices[:count]]
        return [Window(max(window.start, window.end - longest), window.end) for window in windows]

    def _error(self) -> RadarError:
        if self._cell.way == "time-out":
            return TimedOut("no complete response within 60 s")
        if self._cell.way == "coarser":
            return Coarsened("meta.aggInterval is 'ONE_HOUR', but FIFTEEN_MINUTES was requested")
        status, body = WAYS[self._cell.way]
        return classify_response(status, {}, body, self._clock())


_NONE = Points([], [])


def _points(window: Window) -> Points:
    timestamps = range(int(window.start.timestamp()), int(window.end.timestamp()), _QUARTER.seconds)
    return Points(timestamps, [float(at % 1009) for at in timestamps])


async def spent(cell: Cell, folder: Path) -> int:
    """The requests that the collector sends under the limits of *cell*, of which it knows nothing."""
    clock = Clock()
    radar = Limited(cell, clock)
    async with _batch_runner(radar, clock, folder) as batch_runner:
        slices = _slices()
        result = await batch_runner.run(slices, {piece.series: ["many"] for piece in slices})
    assert not result.failures
    assert result.requests == radar.asked
    assert not [piece for piece in slices if subtract(piece.window, radar.answered[piece.series])]
    return radar.asked


@asynccontextmanager
async def _batch_runner(radar: Limited, clock: Clock, folder: Path) -> AsyncIterator[BatchRunner]:
    async with Store.open(f"sqlite:///{folder}/requests.db", owner="bench") as store:
        await store.activate_labels([many(SERIES, agg_interval=_QUARTER)], clock())
        yield BatchRunner(NoWaitFetcher(radar, store, limit=600, stop=asyncio.Event(), clock=clock), 4)


def _slices() -> list[Slice]:
    return [Slice(series.query, _YEAR) for series in many(SERIES, agg_interval=_QUARTER).series]


def fewest(cell: Cell) -> int:
    """The fewest requests that the limits of *cell* allow to one who knows them, in the shortest URLs that say it."""
    spans = [hours / 24 for hours in range(6, int(24 * min(cell.days, 31)) + 1)]
    return min(_fewest(cell, days) for days in spans if days <= cell.product)


def _fewest(cell: Cell, days: float) -> int:
    windows = ceil(_YEAR.duration / DAY / days) * SERIES
    dates = len("&dateStart=2026-03-10T00:00:00Z&dateEnd=2026-03-10T00:00:00Z")
    length = windows * dates + windows // SERIES * _filter_bytes()
    room = cell.url - len(f"{PATH}?aggInterval=15m")
    return max(ceil(windows / min(cell.positions, cell.product // days)), ceil(length / room))


@cache
def _filter_bytes() -> int:
    return sum(len(f"&caOwner={name}") for piece in _slices() for name in piece.series.filters["caOwner"])


def table(cells: Iterable[Cell]) -> Iterator[str]:
    """Measure one cell after the other, a line each."""
    yield f"{'limits':44}  requests  fewest  ratio"
    for cell in cells:
        with TemporaryDirectory() as folder:
            requests, least = asyncio.run(spent(cell, Path(folder))), fewest(cell)
        yield f"{cell!s:44}  {requests:8}  {least:6}  {requests / least:5.3f}"
