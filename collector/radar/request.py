"""The query string of a batch.

Every array parameter is a repeated key, and its i-th value belongs to the i-th slice. Source: Cloudflare's OpenAPI
description of the endpoint, and https://developers.cloudflare.com/radar/get-started/making-comparisons/.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.datasets import dataset_of
from collector.interval import AggInterval
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from collector.datasets import Dataset
    from collector.model import Batch, Question

SLOT = timedelta(minutes=15)
"""Radar rounds `dateStart` and `dateEnd` down to a multiple of this; the last one in a window is sent as its end."""
SLOTS, _SECOND = AggInterval.FIFTEEN_MINUTES, timedelta(seconds=1)


def series_names(batch: Batch) -> list[str]:
    """Return the names that Radar gives to series by default. Sending them would make URLs a seventh longer."""
    return [f"serie_{position}" for position in range(len(batch.slices))]


def dataset_of_batch(batch: Batch) -> Dataset:
    """Return the one dataset of a batch.

    Raises ValueError for slices of several datasets, because a request has one path, and CollectorError for a slice
    that cannot be requested.
    """
    datasets = {slice_.series.dataset for slice_ in batch.slices}
    if len(datasets) != 1:
        raise ValueError(f"one request for several datasets: {', '.join(sorted(datasets))}")
    return [dataset_of(slice_.series) for slice_ in batch.slices][-1]


def path_of_batch(batch: Batch) -> str:
    """Return the path of the request for *batch*, behind the base URL."""
    return dataset_of_batch(batch).path_of(batch.slices[0].series.dimension)


def query_string(batch: Batch) -> str:
    """Return *batch* as an encoded query string, always with dates, aggInterval and format."""
    return _query_string(batch, frozenset(slice_.series.parameters for slice_ in batch.slices))


@lru_cache(maxsize=128)
def _query_string(batch: Batch, parameters: frozenset[tuple[str, str, int]]) -> str:
    """Return the query string of a batch, whose length is asked for several times.

    Its *parameters* are named, because equal questions may ask for another number of groups.
    """
    dataset = dataset_of_batch(batch)
    pairs = [("aggInterval", batch.agg_interval.value), ("format", "JSON"), *_of_groups(batch, parameters)]
    for slice_ in batch.slices:
        pairs += _dates(slice_.window.start, slice_.window.end)
    pairs += _filters(dataset, [slice_.series for slice_ in batch.slices])
    return "&".join(f"{key}={_quoted(value)}" for key, value in pairs)


def _of_groups(batch: Batch, parameters: frozenset[tuple[str, str, int]]) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a request by dimension, which all its positions share."""
    if len(parameters) > 1 or any(slice_.series.group for slice_ in batch.slices):
        raise ValueError("one request for several dimensions, normalizations or numbers of groups, or for one group")
    ((_, normalization, most_groups),) = parameters
    if most_groups:
        yield "limitPerGroup", str(most_groups)
    if normalization:
        yield "normalization", normalization


@lru_cache(maxsize=1024)
def _dates(start: datetime, end: datetime) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the pairs of a window, which most slices of a request share."""
    # `dateEnd` is inclusive and rounded down to 15 minutes, so it is the last slot of the window
    return ("dateStart", rfc3339(start)), ("dateEnd", rfc3339(SLOTS.floor(end - _SECOND)))


@lru_cache(maxsize=16_384)
def _quoted(value: str) -> str:
    """Percent-encode a value; the same ones are sent again and again."""
    return quote(value, safe=":")


def _filters(dataset: Dataset, series: list[Question]) -> Iterator[tuple[str, str]]:
    used = {name for query in series for name in query.filters}
    if not used <= dataset.filters.keys():
        raise ValueError(f"{dataset.path} has no filter {', '.join(sorted(used - dataset.filters.keys()))}")
    for parameter in dataset.filters:
        if parameter not in used:
            continue
        values = [_any_of(query.filters.get(parameter, ())) for query in series]
        while values and not values[-1]:
            values.pop()  # a shorter array leaves the later positions unfiltered
        for value in values:
            yield parameter, value


def _any_of(values: tuple[str, ...]) -> str:
    """Join alternatives by commas. A comma or percent sign inside a value is encoded twice (`%252C`)."""
    return ",".join(value.replace("%", "%25").replace(",", "%2C") for value in sorted(set(values)))
