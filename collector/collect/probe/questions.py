"""What the probe can ask: recent windows of the unfiltered series, variations of them, and the sibling paths."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from collector.collect import plan
from collector.interval import Grid
from collector.model import AggInterval, Batch, SeriesQuery, Slice, Window, rfc3339
from collector.profile import FILTERS
from collector.radar.client import TIMESERIES
from collector.radar.request import query_string

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

QUARTER = AggInterval.FIFTEEN_MINUTES
COMMA_NAME = "DigiCert, Inc."
FILTERED: Mapping[str, tuple[str, ...]] = {"publicKeyAlgorithm": ("RSA",)}
_FORMAT = "&format=JSON"
_HOUR = timedelta(hours=1)


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
    path: str = TIMESERIES
    is_read: bool = True

    @property
    def is_replayable(self) -> bool:
        """Whether a kept body may be read again later: what was sent is what *batch* means, not a variation of it."""
        return self.is_read and self.query == query_string(self.batch)


def series_request(name: str, batch: Batch) -> ProbeRequest:
    """Ask *batch* as the collector does."""
    return ProbeRequest(name, batch, query_string(batch))


def recent(grid: Grid, span: timedelta, now: datetime, *filters: Mapping[str, tuple[str, ...]]) -> Batch:
    """The newest *span* up to *now*, the bucket under way included, once for each of *filters*, by default for none."""
    end = max(QUARTER.floor(now), plan.closed_until(grid, now))
    window = Window(grid.floor(plan.closed_until(grid, now) - span), end)
    return Batch(tuple(Slice(SeriesQuery(grid.interval, one), window) for one in filters or ({},)))


def closed(grid: Grid, span: timedelta, now: datetime) -> Batch:
    """The newest *span* of closed buckets."""
    end = plan.closed_until(grid, now)
    return Batch((Slice(SeriesQuery(grid.interval, {}), Window(end - span, end)),))


def staggered(grid: Grid, span: timedelta, count: int, now: datetime) -> Batch:
    """*count* recent windows of *span*, each an hour (or a bucket) before the next, so that none is old."""
    end, shift = plan.closed_until(grid, now), max(_HOUR, grid.step)
    ends = [end - shift * back for back in range(count)]
    return Batch(tuple(Slice(SeriesQuery(grid.interval, {}), Window(one - span, one)) for one in ends))


def days_of_age(grid: Grid, ages: Iterable[int], span: timedelta, now: datetime) -> Batch:
    """Of the days that began so many days before today the first *span*, each as a window of its own."""
    today = plan.midnight(now)
    starts = [grid.floor(today - timedelta(days=age)) for age in ages]
    windows = [Window(start, start + span) for start in starts]
    return Batch(tuple(Slice(SeriesQuery(grid.interval, {}), window) for window in windows))


def from_within_a_bucket(grid: Grid, now: datetime) -> ProbeRequest:
    """Ask a window that begins in the midst of a bucket: on a Wednesday at 1w, at 05:00 at 1d.

    The collector never asks such, so the reader would refuse the answer.
    """
    end = plan.closed_until(grid, now)
    offset = timedelta(days=2) if grid.interval is AggInterval.ONE_WEEK else timedelta(hours=5)
    window = Window(end - 4 * grid.step + offset, end)
    batch = Batch((Slice(SeriesQuery(grid.interval, {}), window),))
    return ProbeRequest(f"from within a bucket at {grid.interval}", batch, query_string(batch), is_read=False)


def single_encoded(batch: Batch) -> ProbeRequest:
    """Ask *batch*, whose filter holds a comma, with the comma encoded once instead of twice."""
    return ProbeRequest("comma encoded once", batch, query_string(batch).replace("%252C", "%2C"))


def long_url(grid: Grid, span: timedelta, now: datetime, positions: int) -> Batch | None:
    """As many of *positions* as make the longest query that the collector sends; None if they stay far below it."""
    everything = {name: FILTERS[name].values for name in ("signatureAlgorithm", "duration")}
    window = closed(grid, span, now).slices[0].window
    best: Batch | None = None
    for count in range(1, positions + 1):
        batch = Batch((Slice(SeriesQuery(grid.interval, everything), window),) * count)
        if len(query_string(batch)) > plan.LONGEST_QUERY:
            return best
        best = batch
    return None


def siblings(now: datetime) -> list[ProbeRequest]:
    """One request to each of the paths beside `timeseries`."""
    batch = closed(Grid(AggInterval.ONE_DAY), 7 * plan.DAY, now)
    window = batch.slices[0].window
    dates = f"dateStart={rfc3339(window.start)}&dateEnd={rfc3339(window.end - QUARTER.step)}{_FORMAT}"
    asked = (
        ("summary", "/radar/ct/summary/CA_OWNER", dates),
        ("timeseries groups", "/radar/ct/timeseries_groups/CA_OWNER", f"aggInterval=1d&{dates}"),
        ("authorities", "/radar/ct/authorities", f"limit=5{_FORMAT}"),
        ("logs", "/radar/ct/logs", f"limit=5{_FORMAT}"),
    )
    return [
        ProbeRequest(name, Labelled(batch.slices, f"{path}?{query}"), query, path, is_read=False)
        for name, path, query in asked
    ]
