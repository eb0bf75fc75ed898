"""What the probe can ask: recent windows of the unfiltered series, variations of them, and the sibling paths."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from collector.collect.planning import live_window, packing
from collector.datasets import DEFAULT
from collector.interval import AggInterval, Grid
from collector.model import Batch, Question, Slice, Window
from collector.radar.request import query_string
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.datasets import Dataset

    Filters = Mapping[str, tuple[str, ...]]

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


def recent(grid: Grid, span: timedelta, now: datetime, *filters: Mapping[str, tuple[str, ...]]) -> Batch:
    """The newest *span* up to *now*, the bucket under way included, once for each of *filters*, by default for none."""
    end = max(QUARTER.floor(now), live_window.closed_until(grid, now))
    window = Window(grid.floor(live_window.closed_until(grid, now) - span), end)
    return Batch(tuple(Slice(Question(grid.interval, one), window) for one in filters or ({},)))


def closed(grid: Grid, span: timedelta, now: datetime) -> Batch:
    """The newest *span* of closed buckets."""
    end = live_window.closed_until(grid, now)
    return Batch((Slice(Question(grid.interval, {}), Window(end - span, end)),))


def staggered(grid: Grid, span: timedelta, count: int, now: datetime) -> Batch:
    """*count* recent windows of *span*, each an hour (or a bucket) before the next, so that none is old."""
    end, shift = live_window.closed_until(grid, now), max(_HOUR, grid.step)
    ends = [end - shift * back for back in range(count)]
    return Batch(tuple(Slice(Question(grid.interval, {}), Window(one - span, one)) for one in ends))


def days_of_age(grid: Grid, ages: Iterable[int], span: timedelta, now: datetime) -> Batch:
    """Of the days that began so many days before today the first *span*, each as a window of its own."""
    today = live_window.midnight(now)
    starts = [grid.floor(today - timedelta(days=age)) for age in ages]
    windows = [Window(start, start + span) for start in starts]
    return Batch(tuple(Slice(Question(grid.interval, {}), window) for window in windows))


def from_within_a_bucket(grid: Grid, now: datetime) -> ProbeRequest:
    """Ask a window that begins in the midst of a bucket: on a Wednesday at 1w, at 05:00 at 1d.

    The collector never asks such, so the reader would refuse the answer.
    """
    end = live_window.closed_until(grid, now)
    offset = timedelta(days=2) if grid.interval is AggInterval.ONE_WEEK else timedelta(hours=5)
    window = Window(end - 4 * grid.step + offset, end)
    batch = Batch((Slice(Question(grid.interval, {}), window),))
    return ProbeRequest(f"from within a bucket at {grid.interval}", batch, query_string(batch), is_read=False)


def single_encoded(batch: Batch) -> ProbeRequest:
    """Ask *batch*, whose filter holds a comma, with the comma encoded once instead of twice."""
    return ProbeRequest("comma encoded once", batch, query_string(batch).replace("%252C", "%2C"))


def long_url(grid: Grid, span: timedelta, now: datetime, positions: int) -> Batch | None:
    """As many of *positions* as make the longest query that the collector sends; None if they stay far below it."""
    longest = sorted(DEFAULT.parameters, key=lambda one: len(one.values), reverse=True)[:2]
    everything = {one.name: one.values for one in longest}
    window = closed(grid, span, now).slices[0].window
    best: Batch | None = None
    for count in range(1, positions + 1):
        batch = Batch((Slice(Question(grid.interval, everything), window),) * count)
        if len(query_string(batch)) > packing.LONGEST_QUERY:
            return best
        best = batch
    return None


def siblings(now: datetime) -> list[ProbeRequest]:
    """Return one request to each path that tells about the same objects in another shape."""
    batch = closed(Grid(AggInterval.ONE_DAY), 7 * live_window.DAY, now)
    window = batch.slices[0].window
    dates = f"dateStart={rfc3339(window.start)}&dateEnd={rfc3339(window.end - QUARTER.step)}"
    found = []
    for one in DEFAULT.siblings:
        path, query = f"/radar/{one.path}", "&".join(filter(None, (one.query, dates if one.has_dates else "", _FORMAT)))
        found.append(ProbeRequest(one.name, Labelled(batch.slices, f"{path}?{query}"), query, path, is_read=False))
    return found
