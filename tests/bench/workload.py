"""What every run asks for: series, weekly windows, the requests that carry them, and the bodies that answer those."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from collector.collect.planning.packing import Shape, pack
from collector.interval import AggInterval
from collector.model import Batch, Points, Question, Slice, Window
from collector.profile import Profile
from collector.radar.request import query_string, series_names
from collector.timestamps import from_epoch, rfc3339

WEEK = timedelta(weeks=1)
FIRST = datetime(2025, 1, 6, tzinfo=UTC)
_QUARTER = AggInterval.FIFTEEN_MINUTES
_MOST = 1_000_000
_REMARK = {
    "dataSource": "CT",
    "description": "A certificate log was read twice",
    "startDate": "2025-01-08T00:00:00Z",
    "endDate": "2025-01-09T00:00:00Z",
    "eventType": "PIPELINE",
    "linkedUrl": "",
    "isInstantaneous": False,
}


@dataclass(frozen=True, slots=True)
class Size:
    """So many *series* over so many weekly *windows* at 15m."""

    series: int = 20
    windows: int = 50

    @property
    def points(self) -> int:
        return self.series * self.windows * (WEEK // _QUARTER.step)


def shape(positions: int) -> Shape:
    """The shape of a request that carries a week of so many series."""
    return Shape(WEEK, positions)


def profile(size: Size) -> Profile:
    """One profile with a series per certificate authority."""
    zero = timedelta(0)
    names = tuple(f"Authority {number:02}" for number in range(size.series))
    return Profile("bench", _QUARTER, {}, {"caOwner": names}, None, zero, zero, zero, heal=False)


def slices(size: Size) -> list[Slice]:
    """All windows of all series."""
    whole = Window(FIRST, FIRST + size.windows * WEEK)
    return [Slice(series.query, whole) for series in profile(size).series]


def batches(size: Size, positions: int) -> list[Batch]:
    """The requests, planned as the collector plans them."""
    return pack(slices(size), shape(positions))


def values(query: Question, window: Window) -> Points:
    """What the history of one series says in *window*: counts, the same every time."""
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()), _QUARTER.seconds)
    chance = random.Random(f"{query.filters_json} {window}")
    return Points(seconds, [chance.randrange(_MOST) for _ in seconds])


def bodies(size: Size, positions: int) -> Iterator[tuple[str, bytes]]:
    """Render the answer to every request, by its query string."""
    for batch in batches(size, positions):
        yield query_string(batch), _body(batch, size)


def _body(batch: Batch, size: Size) -> bytes:
    result = {"meta": _meta(batch, size)}
    for name, piece in zip(series_names(batch), batch.slices, strict=True):
        points = values(piece.series, piece.window)
        timestamps = [rfc3339(from_epoch(second)) for second in points.timestamps]
        result[name] = {"timestamps": timestamps, "values": [str(value) for value in points.values]}
    return json.dumps({"success": True, "errors": [], "result": result}, separators=(",", ":")).encode()


def _meta(batch: Batch, size: Size) -> dict[str, object]:
    windows = [piece.window for piece in batch.slices]
    ranges = [{"startTime": rfc3339(window.start), "endTime": rfc3339(window.end)} for window in windows]
    touched = any(window.start == FIRST for window in windows)
    return {
        "aggInterval": batch.agg_interval.name,
        "confidenceInfo": {"level": 5, "annotations": [_REMARK] if touched else []},
        "dateRange": ranges,
        "lastUpdated": rfc3339(FIRST + (size.windows + 1) * WEEK),
        "normalization": "RAW_VALUES",
        "units": [{"name": "*", "value": "certificates"}],
    }
