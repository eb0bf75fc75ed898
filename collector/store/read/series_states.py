"""What is stored of a series and how far it is known to be true, for the decision what to read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.finality import DAY, final_windows
from collector.model import from_epoch
from collector.store.db.column_types import epoch
from collector.store.db.schema import points
from collector.store.db.schema import series as series_table
from collector.store.series import edges, evidence, generations, identity
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from collector.finality import Evidence
    from collector.model import Question, Window
    from collector.profile import Profile
    from collector.windows import EpochWindow

_UNCONFIRMED_WINDOWS = 200
"""So many windows are counted in one statement."""


@dataclass(frozen=True, slots=True)
class SeriesState:
    """A series with a point: its *extent* from the oldest to behind the newest bucket, and the *evidence* for it.

    The extent holds what is stored in earlier units, too; *current* is the part in the present one, with evidence.
    *settle* is the longest one of the profiles that want it, in seconds, None if none has yet. *sums_differ*: Radar's
    daily values are not the sums of its finer ones. *absent* is what Radar does not have, or not any more.
    """

    series_id: int
    extent: EpochWindow
    current: EpochWindow
    evidence: Sequence[Evidence]
    settle: int | None
    sums_differ: bool = False
    absent: EpochWindow | None = None

    @property
    def told_until(self) -> int:
        """The end of the newest bucket that an answer has spoken for."""
        return max([self.extent[1], *(row.end for row in self.evidence)])

    def still_there(self, windows: Iterable[EpochWindow]) -> list[EpochWindow]:
        """The parts of *windows* that Radar may still have, ascending."""
        return [part for window in windows for part in (subtract(window, [self.absent]) if self.absent else [window])]


def series_states(connection: sa.Connection, queries: Sequence[Question]) -> dict[Question, SeriesState]:
    """Read the state of each query's current series; absent if it has no point."""
    ids = {query: same[0] for query, same in generations.ids_of(connection, queries).items()}
    extents = identity.extents(connection, queries)
    ends = identity.ends(connection, [ids[query] for query in extents])
    rows = evidence.read(connection, [ids[query] for query in extents])
    absent = {query: edge.absent for query, edge in edges.read(connection, ids).items() if edge.is_accepted}
    columns = (series_table.c.id, series_table.c.settle, series_table.c.sums_differ)
    known = {row.id: row for row in connection.execute(sa.select(*columns).where(series_table.c.id.in_(ids.values())))}
    return {
        query: SeriesState(
            ids[query],
            (oldest, newest + query.agg_interval.seconds),
            _current(ends.get(ids[query]), query.agg_interval.seconds),
            rows.get(ids[query], []),
            known[ids[query]].settle,
            bool(known[ids[query]].sums_differ),
            absent.get(query),
        )
        for query, (oldest, newest) in extents.items()
    }


def _current(ends: EpochWindow | None, step: int) -> EpochWindow:
    return (ends[0], ends[1] + step) if ends else (0, 0)


def unconfirmed(connection: sa.Connection, profiles: Sequence[Profile]) -> dict[str, int]:
    """Count the points of each profile that are final, that only one answer has told, and that Radar still has."""
    queries: dict[Question, timedelta] = {}
    for profile in profiles:
        for one in profile.series:
            queries[one.query] = max(profile.settle, queries.get(one.query, profile.settle))
    states = series_states(connection, list(queries))
    windows = []
    for query, state in states.items():
        settle = max(state.settle or 0, int(queries[query].total_seconds()))
        found = final_windows(state.evidence, settle, query.agg_interval.seconds, confirmed=False)
        windows += [(state.series_id, window) for window in state.still_there(found)]
    counts: dict[int, int] = {}
    for first in range(0, len(windows), _UNCONFIRMED_WINDOWS):
        for series_id, number in _count(connection, windows[first : first + _UNCONFIRMED_WINDOWS]):
            counts[series_id] = counts.get(series_id, 0) + number
    return {
        profile.name: sum(
            counts.get(states[series.query].series_id, 0) for series in profile.series if series.query in states
        )
        for profile in profiles
    }


def _count(connection: sa.Connection, windows: Sequence[tuple[int, EpochWindow]]) -> list[tuple[int, int]]:
    counts = [
        sa.select(sa.literal(series_id, sa.BigInteger), sa.func.count()).where(
            points.c.series_id == series_id,
            points.c.timestamp >= from_epoch(start),
            points.c.timestamp < from_epoch(end),
        )
        for series_id, (start, end) in windows
    ]
    return [(row[0], row[1]) for row in connection.execute(sa.union_all(*counts))]


def daily_sums(connection: sa.Connection, query: Question, window: Window, offset: int = 0) -> dict[int, float]:
    """Sum the stored values by day: epoch seconds of its begin to the sum; a day without a point is absent.

    Days begin *offset* seconds after midnight UTC.
    """
    series_id = identity.current(connection, [query]).get(query)
    day = ((epoch(points.c.timestamp) - offset) // DAY).label("day")
    select = sa.select(day, sa.func.sum(points.c.value)).where(
        points.c.series_id == series_id, points.c.timestamp >= window.start, points.c.timestamp < window.end
    )
    return {number * DAY + offset: total for number, total in connection.execute(select.group_by(day))}


def confirm(connection: sa.Connection, query: Question, windows: Sequence[EpochWindow], settle: int) -> None:
    """Note that a second, independent answer agrees with the final values of *windows*."""
    series_id = identity.current(connection, [query]).get(query)
    if series_id is not None:
        evidence.confirm(connection, series_id, windows, settle)


def set_sums_differ(connection: sa.Connection, query: Question) -> None:
    """Note that daily values are not the sums of finer ones."""
    same = series_table.c.digest == query.digest
    connection.execute(sa.update(series_table).where(same).values(sums_differ=True))
