"""The series of many questions, read at once: which of them are in force, and how many points each has, between what.

The count is kept by every write. With the ends of the key it shows whether a bucket is absent in between, without
counting: nothing of a complete series has to be searched.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import sqlalchemy as sa

from collector.datasets import is_snapshot
from collector.store.db.column_types import epoch
from collector.store.db.schema import points, profile_series, series
from collector.store.series import generations, snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.windows import EpochWindow


def _end(extreme: Any) -> sa.ScalarSelect[int]:
    return sa.select(epoch(extreme(points.c.timestamp))).where(points.c.series_id == series.c.id).scalar_subquery()


_NAMES = ("id", "normalization", "points", "settle", "sums_differ", "created_at")
_IDENTITY = ("digest", "agg_interval", "unit", "in_force_at")
_LABELLED = series.c.id.in_(sa.select(profile_series.c.series_id))
"""Read once for all series. A subquery for each of them would read half of the labels every time."""
_READ = sa.select(
    *(series.c[name] for name in _NAMES),
    _end(sa.func.min).label("oldest"),
    _end(sa.func.max).label("newest"),
    *(series.c[name] for name in _IDENTITY),
    _LABELLED.label("labelled"),
).where(series.c.digest.in_(sa.bindparam("digests", expanding=True)))
_DIGEST = len(_NAMES) + 2
"""The place of the digest in a row. The values before it are those of a StoredSeries after its *step*."""


class StoredSeries(NamedTuple):
    """One series of a question, with *points* from the bucket *oldest* to *newest*, in epoch seconds; None for none.

    *step* is the width of its buckets in seconds. *settle* is the longest one of the profiles that want it, in seconds,
    None if none has yet. *sums_differ* is true if Radar's daily values are not the sums of its finer ones.
    """

    step: int
    id: int
    normalization: str
    points: int
    settle: int | None
    sums_differ: bool | None
    created_at: datetime
    oldest: int | None
    newest: int | None

    @property
    def extent(self) -> EpochWindow | None:
        """The window from the oldest bucket to behind the newest; None if there is no point."""
        if self.oldest is None or self.newest is None:
            return None
        return self.oldest, self.newest + self.step

    @property
    def absent(self) -> int:
        """The number of buckets inside of the extent that are not stored."""
        return 0 if self.extent is None else self.buckets(self.extent) - self.points

    def buckets(self, window: EpochWindow) -> int:
        """The number of buckets that start in *window*, stored or not."""
        start, end = (-((moment - (self.oldest or 0)) // -self.step) for moment in window)
        return end - start


_T = TypeVar("_T")


def _kept(
    compute: Callable[[StoredQuestions, Sequence[Question]], _T],
) -> Callable[[StoredQuestions, Collection[Question]], _T]:
    """Keep the result for the newest list of questions, which callers must not change.

    The parts of one document take the same list. To compare lists of the same objects costs far less than to hash each.
    """
    name = compute.__name__

    @wraps(compute)
    def method(self: StoredQuestions, queries: Collection[Question]) -> _T:
        listed = [*queries]
        latest = self.newest_results.get(name)
        if latest is None or latest[0] != listed:
            latest = self.newest_results[name] = listed, compute(self, listed)
        return cast("_T", latest[1])

    return method


class StoredQuestions:
    """The series of questions in one state of the store; each question is read once."""

    def __init__(self, connection: sa.Connection) -> None:
        self.newest_results: dict[str, tuple[list[Question], object]] = {}
        self._connection = connection
        self._known: dict[Question, Sequence[StoredSeries]] = {}
        self._several: set[Question] = set()
        self._extents: dict[Question, EpochWindow | None] = {}

    @_kept
    def read(self, queries: Sequence[Question]) -> Mapping[Question, Sequence[StoredSeries]]:
        """Return the series in which values of each query are stored, newest first; empty where there is none yet.

        The first one is the current series, which labels point to. An earlier series whose values were relative to one
        answer is left out, because a later unit cannot continue it.
        """
        unknown = [query for query in dict.fromkeys(queries) if query not in self._known]
        if unknown:
            self._read(unknown)
        return {query: self._known[query] for query in queries}

    def _read(self, queries: Collection[Question]) -> None:
        by_digest = {query.digest: query for query in queries}
        rows: dict[Question, list[Any]] = {query: [] for query in queries}
        for row in self._connection.execute(_READ, {"digests": [*by_digest]}):
            rows[by_digest[row[_DIGEST]]].append(row)
        several = {query: _in_force(same) for query, same in rows.items() if len(same) > 1}
        earlier = {row.normalization for same in several.values() for row in same[1:]}
        lasting = {"", *generations.absolute_words(self._connection, earlier)} if earlier else set[str]()
        for query, same in several.items():
            rows[query] = [row for n, row in enumerate(same) if not n or row.normalization in lasting]
        self._several |= several.keys()
        self._known |= {
            query: [StoredSeries(query.agg_interval.seconds, *row[:_DIGEST]) for row in same]
            for query, same in rows.items()
        }

    def several(self, queries: Collection[Question]) -> list[Question]:
        """Choose the *queries* with more than one series, whether it is in force or not."""
        return [query for query in self.read(queries) if query in self._several]

    @_kept
    def current(self, queries: Sequence[Question]) -> Mapping[Question, StoredSeries]:
        """Find the current series of each query; absent where there is none yet."""
        return {query: same[0] for query, same in self.read(queries).items() if same}

    @_kept
    def extents(self, queries: Sequence[Question]) -> Mapping[Question, EpochWindow]:
        """Find the window from the oldest to behind the newest bucket of each query; absent where it has no point.

        Of a snapshot series these are the ends of its newest snapshot.
        """
        unknown = [query for query in dict.fromkeys(queries) if query not in self._extents]
        if unknown:
            self._extents |= self._read_extents(unknown)
        return {query: extent for query in queries if (extent := self._extents[query])}

    def _read_extents(self, queries: Collection[Question]) -> dict[Question, EpochWindow | None]:
        moving = self.current([query for query in queries if is_snapshot(query)])
        taken = snapshots.ends(self._connection, [stored.id for stored in moving.values()]) if moving else {}
        extents: dict[Question, EpochWindow | None] = {}
        for query, same in self.read(queries).items():
            parts = [extent for stored in same if (extent := _extent(stored, taken)) is not None]
            extents[query] = (min(start for start, _ in parts), max(end for _, end in parts)) if parts else None
        return extents

    @_kept
    def complete_extents(self, queries: Sequence[Question]) -> Mapping[Question, EpochWindow]:
        """Find the extents of those queries of which every bucket in between is stored.

        Where the unit has changed, each of the series must be complete, and the next one begin where it ends at the
        latest.
        """
        extents = {}
        for query, same in self.read(queries).items():
            parts = sorted((stored.extent, stored.absent) for stored in same if stored.extent is not None)
            if parts and not any(absent for _, absent in parts):
                reached = parts[0][0][1]
                for (start, end), _ in parts:
                    if start > reached:
                        break
                    reached = max(reached, end)
                else:
                    extents[query] = parts[0][0][0], reached
        return extents

    def relative(self, queries: Collection[Question]) -> set[Question]:
        """Find the queries whose current series holds values that are relative to one answer."""
        words = {query: stored.normalization for query, stored in self.current(queries).items()}
        absolute = {"", *generations.absolute_words(self._connection, words.values())}
        return {query for query, word in words.items() if word not in absolute}

    def measures(self, queries: Collection[Question]) -> dict[Question, str]:
        """Find the normalization of each query's current series; absent before the first answer."""
        words = {query: stored.normalization for query, stored in self.current(queries).items()}
        return {query: word for query, word in words.items() if word}


def _in_force(rows: Sequence[Any]) -> list[Any]:
    """Choose the rows of the series of one question that are in force, newest first."""
    by_id = {row.id: row for row in rows}
    same = (generations.generation(row, labelled=bool(row.labelled)) for row in rows)
    return [by_id[generation.id] for generation in generations.in_force(same)]


def _extent(stored: StoredSeries, taken: Mapping[int, EpochWindow]) -> EpochWindow | None:
    """Return the extent of a series, or of its newest snapshot: *taken* has the oldest and newest timestamp."""
    if stored.id not in taken:
        return stored.extent
    oldest, newest = taken[stored.id]
    return oldest, newest + stored.step
