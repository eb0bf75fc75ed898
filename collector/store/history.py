"""One state of the history, as it is now or as it was known at a moment, for answering questions from it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.model import AggInterval, Annotation, SeriesQuery, from_epoch
from collector.store import snapshots, statements
from collector.store.export import first_of_each, select_points
from collector.store.proven import proven_absent
from collector.store.spoken import Spoken, lowest_level

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.snapshots import Snapshot

_ROWS_AT_ONCE = 5_000
_AT_ONCE = _ROWS_AT_ONCE * AggInterval.FIFTEEN_MINUTES.seconds
"""Seconds of history that are read without a cursor, which on Postgres costs three times the reading."""


@dataclass(frozen=True, slots=True)
class KeptSeries:
    """The series that stands for a query; *labels* are those in use first, *normalization* is "" before an answer."""

    id: int
    query: SeriesQuery
    normalization: str
    unit: str
    labels: tuple[str, ...]

    @property
    def answered(self) -> bool:
        """Tell whether Radar has answered for it at all."""
        return bool(self.normalization)


class Stretch(NamedTuple):
    """The buckets of one series from *start* up to, not including, *end*; epoch seconds."""

    series_id: int
    start: int
    end: int


class History:
    """What can be asked of one state of the store; *as_of* (None: now) is when things must have been known."""

    def __init__(self, connection: AsyncConnection, as_of: datetime | None) -> None:
        self._connection = connection
        self._as_of = as_of
        self._taken: dict[int, Snapshot] = {}

    async def series(self, dataset: str) -> list[KeptSeries]:
        """List the series of *dataset*, of each query the one that stands for it, by id.

        A change of normalization or unit makes another series of the same query: it stands once an answer spoke of it.
        """
        labels: dict[int, list[str]] = defaultdict(list)
        rows: dict[int, Any] = {}
        for row in await self._connection.execute(statements.series(), {"dataset": dataset}):
            rows[row.id] = row
            labels[row.id] += [row.label] if row.label is not None else []
        rivals: dict[str, list[KeptSeries]] = defaultdict(list)
        for row in rows.values():
            query = _query(row.agg_interval, row.filters)
            rivals[row.digest].append(KeptSeries(row.id, query, row.normalization, row.unit, tuple(labels[row.id])))
        return sorted([await self._standing(same) for same in rivals.values()], key=lambda one: one.id)

    async def _standing(self, same: Sequence[KeptSeries]) -> KeptSeries:
        """Labels point to the one that stands now; which one stood at a moment, the answers before it tell."""
        if len(same) > 1 and self._as_of is not None:
            told = await self.last_updated([one.id for one in same])
            if told:
                return max((one for one in same if one.id in told), key=lambda one: (told[one.id], one.id))
        return max(same, key=lambda one: (bool(one.labels), one.id))

    async def snapshots(self, ids: Collection[int]) -> dict[int, Snapshot]:
        """Find the newest snapshot of each series, at the moment that is asked about; absent for none.

        From then on `points` reads these snapshots.
        """
        self._taken |= await snapshots.newest(self._connection, ids, self._as_of)
        return {series_id: self._taken[series_id] for series_id in ids if series_id in self._taken}

    async def spans(self, ids: Collection[int]) -> dict[int, tuple[int, int]]:
        """Find the oldest and newest known timestamp of each series; absent for none."""
        found = await self._connection.execute(statements.spans(self._as_of), {"ids": list(ids)})
        return {series_id: (oldest, newest) for series_id, oldest, newest in found if oldest is not None}

    async def last_updated(self, ids: Collection[int]) -> dict[int, datetime]:
        """Find the lastUpdated of the answer that reached furthest, the newest of such, per series; absent for none."""
        found = await self._connection.execute(statements.last_updated(self._as_of), {"ids": list(ids)})
        return {row.id: row.told for row in found if row.told is not None}

    async def published(self, ids: Collection[int], now: float) -> dict[int, float]:
        """Tell up to when Radar has published each series at *now*, as far as its answers let know; epoch seconds.

        lastUpdated lies behind the clock by as much as in the newest answer. A series without any answer on record
        counts as published up to *now*.
        """
        found = dict.fromkeys(ids, now)
        for series_id, told, came in await self._connection.execute(statements.heard(self._as_of), {"ids": list(ids)}):
            if told is not None and came is not None:
                behind = max((came - told).total_seconds(), 0.0)
                found[series_id] = min(now, max(told.timestamp(), now - behind))
        for series_id in self._taken.keys() & found.keys():
            one = self._taken[series_id]
            behind = max((one.asked_at - one.last_updated).total_seconds(), 0.0)
            found[series_id] = min(now, max(one.last_updated.timestamp(), now - behind))
        return found

    async def proven_absent(self, ids: Collection[int]) -> dict[int, list[tuple[int, int]]]:
        """Find the ranges [start, end), in epoch seconds, that Radar is proven not to have; absent for none."""
        return await proven_absent(self._connection, ids, self._as_of)

    async def confidence_level(self, stretches: Sequence[Stretch]) -> int | None:
        """Find the lowest confidence level that the newest answer on any of the buckets had; None for unknown."""
        levels, detailed = statements.confidence(tuple(stretches), self._as_of)
        found = (await self._connection.execute(levels)).scalars().all()
        if len(found) <= 1:
            return found[0] if found else None
        rows = (await self._connection.execute(detailed)).all()
        return lowest_level(stretches, [Spoken(*tuple(row)) for row in rows])

    async def annotations(self, dataset: str, windows: Iterable[tuple[int, int]]) -> list[Annotation]:
        """List the annotations that concern any of *windows* (start, end), by start date, without the withdrawn."""
        select = statements.remarks(tuple(dict.fromkeys(windows)), self._as_of)
        return [_annotation(row) for row in await self._connection.execute(select, {"dataset": dataset})]

    async def points(self, stretch: Stretch) -> Iterator[Sequence[tuple[int, float]]]:
        """Give blocks of (timestamp, value), ascending, in constant memory."""
        within = from_epoch(stretch.start), from_epoch(stretch.end)
        taken = self._taken.get(stretch.series_id)
        select, bounds = select_points(stretch.series_id, *within, self._as_of, taken.asked_at if taken else None)
        if stretch.end - stretch.start <= _AT_ONCE:
            rows = (await self._connection.execute(select, bounds)).all()
            blocks: Iterator[Sequence[Any]] = iter([rows] if rows else [])
        else:
            result = await self._connection.execute(select.execution_options(yield_per=_ROWS_AT_ONCE), bounds)
            blocks = result.partitions()
        return blocks if self._as_of is None or taken else _firsts(blocks)


def _firsts(blocks: Iterable[Sequence[Any]]) -> Iterator[Sequence[tuple[int, float]]]:
    newest: int | None = None
    for block in blocks:
        yield first_of_each(block, newest)
        newest = block[-1][0]


@lru_cache(maxsize=8192)
def _query(agg_interval: str, filters: str) -> SeriesQuery:
    listed = {name: tuple(values) for name, values in json.loads(filters).items()}
    return SeriesQuery(AggInterval(agg_interval), listed)


def _annotation(row: Any) -> Annotation:
    return Annotation(
        start_date=row.start_date,
        end_date=row.end_date,
        data_source=row.data_source,
        event_type=row.event_type,
        description=row.description,
        linked_url=row.linked_url,
        is_instantaneous=bool(row.is_instantaneous),
        tags=tuple(json.loads(row.tags)),
    )
