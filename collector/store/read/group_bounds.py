"""What is known of groups in buckets where they have no point: nothing counted, or a bound.

In a bucket that the answers to the question covered, a group without a point had nothing, unless something was left
beside the listed groups. Then it is unknown, and has at most what `Remainder.most` says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import BucketTime, Timestamp, epoch
from collector.store.db.schema import fetches, groups, points, remainders, revisions, series, vanished
from collector.store.read.as_of import AsOfReader
from collector.store.read.points import driver_rows, seen_parameters, was_seen
from collector.store.read.sums import period_sums
from collector.store.series.generations import same_measure
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from collector.store.read.selection import SelectedSeries, Selection

    Span = tuple[int, int]

_DAY = 86_400
_EVER = 0, 253_370_764_800
_SUMS = (
    sa.select(groups.c.series_id, *(series.c[name] for name in ("id", "label", "normalization", "unit")))
    .join_from(groups, series, series.c.digest == groups.c.question)
    .where(groups.c.series_id.in_(sa.bindparam("ids", expanding=True)))
)


class GroupBounds(NamedTuple):
    """Of each period: how many buckets are *covered*, in how many the group is *unknown*, and the *most* in these.

    *vanished* is the number of stored points that do not count, because a later answer left nothing for the group
    there, and *vanished_sum* their sum.
    """

    covered: list[int]
    unknown: list[int]
    most: list[float]
    vanished: list[int]
    vanished_sum: list[float]


class UnknownWindow(NamedTuple):
    """Buckets in a row in which a group is unknown, in epoch seconds, and the *most* it has in all of them together."""

    start: int
    end: int
    most: float


def sums_of_groups(connection: sa.Connection, chosen: Sequence[SelectedSeries]) -> dict[int, SelectedSeries]:
    """Find the series with the sum of all groups, by the id of each of *chosen* that is a group in a history."""
    members = {each.series_id: each for each in chosen if each.query and each.query.group and not each.asked_at}
    sums: dict[int, SelectedSeries] = {}
    rows = connection.execute(_SUMS, {"ids": [*members]}) if members else ()
    for series_id, sum_id, label, *measure in rows:
        member = members[series_id]
        if member.query and same_measure((measure[0], measure[1]), member.measure):
            query = replace(member.query, group="")
            sums[series_id] = member._replace(series_id=sum_id, label=label, unit=measure[1], query=query)
    return sums


def group_bounds(
    connection: sa.Connection,
    selection: Selection,
    chosen: Sequence[SelectedSeries],
    edges: Sequence[int],
    bounds: Span,
) -> dict[int, GroupBounds]:
    """Return what is known beside the points of each group of *chosen*, as `period_sums` reads them; by series_id.

    Absent are groups of which nothing is known at the moment of *selection*, and those whose unit or grid has changed.
    """
    span = max(bounds[0], edges[0]), min(bounds[1], edges[-1])
    plain = [each for each in chosen if each.series_id not in selection.several]
    sums, as_of = sums_of_groups(connection, plain), selection.chosen.as_of
    if as_of is not None and sums:
        seen = AsOfReader(connection, as_of).extents([*sums])
        sums = {series_id: each for series_id, each in sums.items() if series_id in seen}
    if not sums or span[0] >= span[1]:
        return {}
    members: dict[int, list[int]] = defaultdict(list)
    for series_id, each in sums.items():
        members[each.series_id].append(series_id)
    known: dict[int, GroupBounds] = {}
    unique = [*{each.series_id: each for each in sums.values()}.values()]
    covered = period_sums(connection, selection, unique, edges, bounds)
    for each, (_, counts) in zip(unique, covered, strict=True):
        for series_id in members[each.series_id]:
            none, nothing = [0] * len(counts), [0.0] * len(counts)
            known[series_id] = GroupBounds(counts, [*none], [*nothing], [*none], [*nothing])
        for series_id, start, count, most in _unknown(
            connection, each.series_id, members[each.series_id], _columns(edges), span, as_of
        ):
            place = bisect_right(edges, max(start, span[0])) - 1
            known[series_id].unknown[place] += count
            known[series_id].most[place] += most
    for series_id, timestamp, value in _vanished(connection, [*known], span, as_of):
        place = bisect_right(edges, timestamp) - 1
        known[series_id].vanished[place] += 1
        known[series_id].vanished_sum[place] += value
    return known


def unknown_windows(
    connection: sa.Connection, selection: Selection, chosen: SelectedSeries, after: int | None, until: int | None
) -> list[UnknownWindow]:
    """List the windows behind the bucket at *after* and before that at *until* in which a group is unknown."""
    start, end = selection.chosen.start, selection.chosen.end
    first = max(_EVER[0] if start is None else -int(-start.timestamp() // 1), 0 if after is None else after + 1)
    last = min(_EVER[1] if end is None else -int(-end.timestamp() // 1), _EVER[1] if until is None else until)
    sums, as_of = sums_of_groups(connection, [chosen]), selection.chosen.as_of
    if not sums or first >= last or chosen.series_id in selection.several:
        return []
    if as_of is not None and not AsOfReader(connection, as_of).extents([chosen.series_id]):
        return []
    sum_id = sums[chosen.series_id].series_id
    rows = _unknown(connection, sum_id, [chosen.series_id], (0, 1), (first, last), as_of)
    return [*_joined(sorted(rows), chosen.agg_interval.seconds)]


def _joined(rows: Sequence[tuple[int, int, int, float]], step: int) -> Iterator[UnknownWindow]:
    window: UnknownWindow | None = None
    for _, start, _, most in rows:
        if window and window.end == start:
            window = UnknownWindow(window.start, start + step, window.most + most)
            continue
        if window:
            yield window
        window = UnknownWindow(start, start + step, most)
    if window:
        yield window


def _columns(edges: Sequence[int]) -> Span:
    """Return (start, width) of columns that none of *edges* cuts; if these are not even, they are at midnight."""
    width = edges[1] - edges[0]
    is_even = edges[-1] - edges[0] == width * (len(edges) - 1)
    return (edges[0], width) if is_even else (edges[0] // _DAY * _DAY, _DAY)


def _unknown(  # noqa: PLR0913, PLR0917 - what a read is bounded by
    connection: sa.Connection, sum_id: int, ids: Sequence[int], columns: Span, span: Span, as_of: datetime | None
) -> list[tuple[int, int, int, float]]:
    """Count the buckets in which each of *ids* is unknown: (series_id, start of the column, buckets, most)."""
    (origin, width), (since, until) = columns, map(from_epoch, span)
    parameters = {"sum": sum_id, "ids": [*ids], "origin": origin, "width": width, "since": since, "until": until}
    seen = seen_parameters(connection, ids, as_of)
    rows = driver_rows(connection.execute(_unknown_select(frozenset(seen)), parameters | seen))
    return [(series_id, origin + number * width, count, most) for series_id, number, count, most in rows]


def _vanished(
    connection: sa.Connection, ids: Sequence[int], span: Span, as_of: datetime | None
) -> list[tuple[int, int, float]]:
    """Read the stored points of *ids* that are marked as vanished: (series_id, timestamp, value)."""
    start, end = map(from_epoch, span)
    table, same = (
        vanished.c,
        sa.and_(points.c.series_id == vanished.c.series_id, points.c.timestamp == vanished.c.timestamp),
    )
    select = sa.select(table.series_id, epoch(table.timestamp), points.c.value).join_from(vanished, points, same)
    select = select.where(table.series_id.in_(ids), table.timestamp >= start, table.timestamp < end)
    if as_of is not None:
        select = select.where(table.seen_at <= as_of)
    return driver_rows(connection.execute(select))


@lru_cache(maxsize=3)
def _unknown_select(seen: frozenset[str]) -> Any:
    left = _left(seen=bool(seen)).subquery()
    origin, width = (sa.bindparam(name, type_=sa.BigInteger) for name in ("origin", "width"))
    column = ((epoch(left.c.timestamp) - origin) // width).label("column")
    has_point = _has_point(left, seen)
    select = sa.select(series.c.id, column, sa.func.count(), sa.func.sum(left.c.most))
    select = select.select_from(series.join(left, sa.true()))
    chosen = series.c.id.in_(sa.bindparam("ids", expanding=True))
    return select.where(chosen, ~has_point).group_by(series.c.id, column)


def _left(*, seen: bool) -> sa.Select[Any]:
    """Select the buckets in which something is left beside the listed groups, with the most that another may have."""
    table, newer = remainders.c, remainders.alias()
    since, until = (sa.bindparam(name, type_=BucketTime) for name in ("since", "until"))
    moment = sa.bindparam("as_of", type_=Timestamp)
    same = newer.c.series_id == table.series_id, newer.c.timestamp == table.timestamp
    later = [*same, newer.c.fetch_id > table.fetch_id, *([newer.c.seen_at <= moment] if seen else [])]
    most = sa.case((table.other < table.smallest, table.other), else_=table.smallest).label("most")
    select = sa.select(table.timestamp, most).where(table.series_id == sa.bindparam("sum"), table.other != 0)
    select = select.where(
        table.timestamp >= since, table.timestamp < until, *([table.seen_at <= moment] if seen else [])
    )
    return select.where(~sa.exists().where(*later).correlate(remainders))


def _has_point(left: sa.Subquery, seen: frozenset[str]) -> sa.ColumnElement[bool]:
    """Return whether a group has a point in a bucket in which something is left, and the point has not vanished.

    A value of 0 does not vanish, because an answer that leaves nothing for the group says the same.
    """
    of_points = points.c.series_id == series.c.id, points.c.timestamp == left.c.timestamp
    of_vanished = vanished.c.series_id == points.c.series_id, vanished.c.timestamp == points.c.timestamp
    has_vanished = sa.exists().select_from(vanished.join(points, sa.and_(*of_vanished)))
    has_vanished = has_vanished.where(*of_points, points.c.value != 0)
    if not seen:
        has_vanished = has_vanished.correlate(series, left)
        return sa.and_(sa.exists().where(*of_points).correlate(series, left), ~has_vanished)
    moment = sa.bindparam("as_of", type_=Timestamp)
    fetched = sa.select(points.c.series_id).join_from(points, fetches, fetches.c.id == points.c.fetch_id, isouter=True)
    of_revisions = revisions.c.series_id == series.c.id, revisions.c.timestamp == left.c.timestamp
    replaced = sa.exists().where(*of_revisions, revisions.c.seen_at <= moment).correlate(series, left)
    is_stored = fetched.where(*of_points, was_seen(seen)).correlate(series, left).exists()
    return sa.and_(
        sa.or_(is_stored, replaced), ~has_vanished.where(vanished.c.seen_at <= moment).correlate(series, left)
    )
