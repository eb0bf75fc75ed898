"""What the series in the store know of the values of a filter: their newest count, and when they were seen.

A value is known by a series with that one filter value, and by a series of a group of the filter's dimension.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.datasets import dataset_named, snake_case
from collector.interval import AggInterval
from collector.model import Normalization, is_absolute, known_spelling
from collector.store.db.schema import series
from collector.store.read.as_of import AsOfReader
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime


class KnownValue(NamedTuple):
    """A value of a filter that a series knows.

    *volume* is the count of the newest bucket, which starts at *bucket*, and *share* its part of the count without the
    filter, if the store has that. *first_seen* and *last_seen* are buckets with a count; None if there is none.
    """

    name: str
    agg_interval: AggInterval
    volume: float
    bucket: datetime
    share: float | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None


class _Stored(NamedTuple):
    """A series about one value; *name* is empty for a series that counts all: without filters, or a sum of groups."""

    name: str
    id: int
    agg_interval: AggInterval
    unit: str
    is_sum: bool


def group_names(connection: sa.Connection, filter_name: str) -> list[str]:
    """List the groups with points of the dimension of a filter, sorted."""
    select = sa.select(series.c.group).where(series.c.dimension == _dimension(filter_name), series.c.points > 0)
    return sorted({name for name in connection.execute(select).scalars() if name})


def known_values(
    connection: sa.Connection, dataset: str, filter_name: str, as_of: datetime | None = None
) -> list[KnownValue]:
    """List what the series know of each value of a filter, sorted by name, as of a moment.

    They are read at one interval: that of the most values, of several the finest.
    """
    reader = AsOfReader(connection, as_of)
    stored = _series(connection, dataset, filter_name)
    extents = reader.extents([each.id for each in stored])
    stored = [each for each in stored if each.id in extents]
    counts = Counter(each.agg_interval for each in stored if each.name)
    if not counts:
        return []
    interval = min(counts, key=lambda each: (-counts[each], each.seconds))
    totals = [each for each in stored if not each.name and each.agg_interval is interval]
    totals.sort(key=lambda each: each.is_sum)
    by_name: dict[str, _Stored] = {}
    for each in stored:
        if each.name and each.agg_interval is interval:
            by_name[each.name] = max(by_name.get(each.name, each), each, key=lambda one: extents[one.id][1])
    values = _Totals(reader, totals)
    return [_known_value(reader, values, by_name[name], extents[by_name[name].id]) for name in sorted(by_name)]


def _series(connection: sa.Connection, dataset: str, filter_name: str) -> list[_Stored]:
    """List the series with points about one value of a filter, and those without any filter."""
    names = ("id", "dimension", "group", "agg_interval", "filters", "normalization", "unit")
    select = sa.select(*(series.c[name] for name in names)).where(series.c.dataset == dataset, series.c.points > 0)
    stored = []
    for row in connection.execute(select.order_by(series.c.id)):
        name = _name(row.dimension, row.group, json.loads(row.filters), filter_name)
        if row.dimension and not row.group and not dataset_named(dataset).adds_up_over_values({}, filter_name):
            continue
        is_count = known_spelling(row.normalization) == Normalization.RAW_VALUES or not row.dimension
        if name is not None and is_count and is_absolute(row.normalization):
            is_sum = bool(row.dimension) and not row.group
            stored.append(_Stored(name, row.id, AggInterval(row.agg_interval), row.unit, is_sum))
    return stored


def _name(dimension: str, group: str, filters: Mapping[str, Collection[str]], filter_name: str) -> str | None:
    if dimension:
        return group if dimension == _dimension(filter_name) and not filters else None
    if not filters:
        return ""
    values = [*filters.get(filter_name, ())]
    return values[0] if len(filters) == len(values) == 1 else None


def _dimension(filter_name: str) -> str:
    return snake_case(filter_name).upper()


class _Totals:
    """The counts without the filter, by unit and bucket; of several series the first counts."""

    def __init__(self, reader: AsOfReader, series_: Collection[_Stored]) -> None:
        self._reader = reader
        self._by_unit = {stored.unit: stored for stored in reversed([*series_])}
        self._read: dict[tuple[str, int], float | None] = {}

    def at(self, unit: str, timestamp: int) -> float | None:
        """Return the count of the bucket at *timestamp*; None if it is not stored."""
        if unit not in self._by_unit:
            return None
        if (unit, timestamp) not in self._read:
            stored = self._by_unit[unit]
            self._read[unit, timestamp] = _value(self._reader, stored, timestamp)
        return self._read[unit, timestamp]


def _value(reader: AsOfReader, stored: _Stored, timestamp: int) -> float | None:
    window = SeriesWindow(stored.id, timestamp, timestamp + stored.agg_interval.seconds)
    return next((value for block in reader.points(window) for _, value in block), None)


def _known_value(reader: AsOfReader, totals: _Totals, stored: _Stored, extent: tuple[int, int]) -> KnownValue:
    oldest, newest = extent
    volume = _value(reader, stored, newest) or 0.0
    total = totals.at(stored.unit, newest)
    window = SeriesWindow(stored.id, oldest, newest + stored.agg_interval.seconds)
    seen = (timestamp for block in reader.points(window) for timestamp, value in block if value)
    first = next(seen, None)
    last = newest if volume else first
    if not volume:
        for timestamp in seen:
            last = timestamp
    return KnownValue(
        stored.name,
        stored.agg_interval,
        volume,
        from_epoch(newest),
        volume / total if total else None,
        from_epoch(first) if first is not None else None,
        from_epoch(last) if last is not None else None,
    )
