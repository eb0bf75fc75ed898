"""The statements of `as_of`: what is known now, or at a moment.

To build a SELECT costs more than to run it, so the recent ones are cached. *as_of* is the moment, or None for now. A
statement that is used for every answer has it as a parameter, if it is about what was known *then*.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import Normalization
from collector.store.db.column_types import Timestamp, epoch
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import annotations as annotations_table
from collector.store.db.schema import (
    answers,
    fetches,
    points,
    profile_series,
    revisions,
    series_ranges,
    series_set_members,
    unfolded_ranges,
)
from collector.store.db.schema import series as series_table
from collector.store.db.schema import withdrawals as gone
from collector.store.read.points import seen_by
from collector.store.series import coverage
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from datetime import datetime

    from collector.store.series.folds import LateFetches

_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_DIGESTS: sa.BindParameter[Any] = sa.bindparam("digests", expanding=True)
_DATASET: sa.BindParameter[Any] = sa.bindparam("dataset")
_DIMENSION: sa.BindParameter[Any] = sa.bindparam("dimension")
_SINCE: sa.BindParameter[Any] = sa.bindparam("since", type_=Timestamp)
_UNTIL: sa.BindParameter[Any] = sa.bindparam("until", type_=Timestamp)
_AS_OF: sa.BindParameter[Any] = sa.bindparam("as_of", type_=Timestamp)


@cache
def series(*, chosen: bool = False) -> DriverSelect:
    """Rows of a *dataset*'s series, one per label, by id; labels in use come first. If *chosen*, those of *digests*.

    Shares of a group are left out, because the API has none beside a filter. The sums of the groups of *dimension* are
    included, if it is not empty.
    """
    table, labels = series_table, profile_series
    question = ("dataset", "agg_interval", "filters", "dimension", "group")
    columns = [table.c[name] for name in ("id", *question, "normalization", "unit")]
    force = (table.c.created_at, table.c.in_force_at)
    digests = [table.c.digest.in_(_DIGESTS)] if chosen else []
    is_wanted_sum = sa.and_(table.c.group == "", table.c.dimension == _DIMENSION)
    is_shown = sa.and_(table.c.group != "", table.c.normalization != Normalization.PERCENTAGE)
    select = (
        sa.select(table.c.digest, *columns, *force, labels.c.label)
        .join_from(table, labels, labels.c.series_id == table.c.id, isouter=True)
        .where(table.c.dataset == _DATASET, sa.or_(table.c.dimension == "", is_shown, is_wanted_sum), *digests)
        .order_by(table.c.id, labels.c.active.desc(), labels.c.profile, labels.c.position)
    )
    return DriverSelect(select)


@lru_cache(maxsize=16)
def extents(as_of: datetime | None, late: LateFetches | None = None) -> Any:
    """(id, oldest timestamp, newest timestamp) of the series *ids*; None for none.

    *late* are their folded fetches that ended after *as_of*.
    """
    ends = [_end(newest=newest, as_of=as_of, late=late) for newest in (False, True)]
    return sa.select(series_table.c.id, *ends).where(series_table.c.id.in_(_IDS))


def _end(*, newest: bool, as_of: datetime | None, late: LateFetches | None) -> Any:
    extreme, order = (sa.func.max, sa.desc) if newest else (sa.func.min, sa.asc)
    if as_of is None:  # over many partitions cheaper than their extremes
        select = sa.select(epoch(points.c.timestamp)).where(points.c.series_id == series_table.c.id)
        return select.order_by(order(points.c.timestamp)).limit(1).scalar_subquery()
    known = seen_by(as_of, *(late or ()))
    stored = sa.select(epoch(points.c.timestamp)).join_from(
        points, fetches, fetches.c.id == points.c.fetch_id, isouter=True
    )
    stored = stored.where(points.c.series_id == series_table.c.id, known).order_by(order(points.c.timestamp))
    replaced = sa.select(epoch(extreme(revisions.c.timestamp))).where(
        revisions.c.series_id == series_table.c.id, revisions.c.seen_at <= as_of, revisions.c.replaced_at > as_of
    )
    of_points, of_revisions = stored.limit(1).scalar_subquery(), replaced.scalar_subquery()
    further = of_points > of_revisions if newest else of_points < of_revisions
    return sa.case(
        (of_revisions.is_(None), of_points),
        (of_points.is_(None), of_revisions),
        (further, of_points),
        else_=of_revisions,
    )


@cache
def furthest_answers(*, then: bool) -> DriverSelect:
    """Select (series_id, end, fetch_id, last_updated, finished_at) of answers about the series *ids*.

    Of each set of series, it is the answer that reached furthest, and of such the newest; *end* is in epoch seconds.
    """
    members = series_set_members.c
    sets = sa.select(members.set_id.label("id")).where(members.series_id.in_(_IDS)).distinct().subquery("sets")
    alone = sa.select(series_table.c.id).where(series_table.c.id.in_(_IDS)).subquery("alone")
    grouped, single = _furthest(answers, sets, then=then), _furthest(series_ranges, alone, then=then)
    times = fetches.c.last_updated, fetches.c.finished_at
    of_sets = sa.select(members.series_id, grouped.c.end, grouped.c.fetch_id, *times)
    of_sets = of_sets.join_from(grouped, fetches, fetches.c.id == grouped.c.fetch_id)
    of_sets = of_sets.join(series_set_members, members.set_id == grouped.c.id).where(members.series_id.in_(_IDS))
    of_one = sa.select(single.c.id, single.c.end, single.c.fetch_id, *times)
    return DriverSelect(sa.union_all(of_sets, of_one.join_from(single, fetches, fetches.c.id == single.c.fetch_id)))


def _furthest(table: sa.Table, owners: sa.Subquery, *, then: bool) -> sa.CTE:
    """Select (id, end, fetch_id) of the furthest answer of each owner of rows of *table*: a set, or a series."""

    def furthest(column: Any) -> Any:
        select = sa.select(column).where(coverage.owner(table) == owners.c.id, table.c.overruled.is_(None))
        if then:
            select = select.join_from(table, fetches, fetches.c.id == table.c.fetch_id).where(*_known(_AS_OF))
        return select.order_by(table.c.end.desc(), table.c.fetch_id.desc()).limit(1).scalar_subquery()

    columns = furthest(epoch(table.c.end)).label("end"), furthest(table.c.fetch_id).label("fetch_id")
    of_owners = sa.select(owners.c.id, *columns).cte(f"of_{owners.name}")
    return of_owners.prefix_with("MATERIALIZED")  # else SQLite reads it again for each series of a set


def parameters(start: int, end: int) -> dict[str, datetime]:
    """Return the parameters of a statement about one window, in epoch seconds."""
    return {"since": from_epoch(start), "until": from_epoch(end)}


@cache
def confidence_levels(*, then: bool) -> DriverSelect:
    """Select the distinct levels of the answers on the buckets from *since* to *until* of the series *ids*.

    The tables are named instead of their view, because SQLite would first read all answers on the series.
    """
    members = series_set_members.c
    sets = sa.select(members.set_id).where(members.series_id.in_(_IDS))
    grouped = _levels_in(answers, answers.c.set_id.in_(sets), then=then)
    return DriverSelect(grouped.union(_levels_in(series_ranges, series_ranges.c.series_id.in_(_IDS), then=then)))


def _levels_in(table: sa.Table, of_series: sa.ColumnElement[bool], *, then: bool) -> sa.Select[Any]:
    """Select the levels of answers; an overruled one does not describe the present."""
    levels = sa.select(fetches.c.confidence_level).join_from(table, fetches, fetches.c.id == table.c.fetch_id)
    inside = table.c.end > _SINCE, table.c.start < _UNTIL
    return levels.where(of_series, *inside, table.c.overruled.is_(None), *_known_then(then=then))


@lru_cache(maxsize=128)
def confidence(windows: tuple[tuple[int, int, int], ...], as_of: datetime | None) -> Any:
    """Select (fetch_id, series_id, start, end, level) of the answers on *windows* that are not folded."""
    ids_by_window: dict[tuple[int, int], list[int]] = defaultdict(list)
    for series_id, *window in windows:
        ids_by_window[window[0], window[1]].append(series_id)
    overlapping = [
        sa.and_(
            unfolded_ranges.c.series_id.in_(ids),
            unfolded_ranges.c.end > from_epoch(start),
            unfolded_ranges.c.start < from_epoch(end),
        )
        for (start, end), ids in ids_by_window.items()
    ]
    ranges = unfolded_ranges.c
    columns = (ranges.fetch_id, ranges.series_id, epoch(ranges.start), epoch(ranges.end))
    select = sa.select(*columns, fetches.c.confidence_level)
    select = select.join_from(unfolded_ranges, fetches, fetches.c.id == ranges.fetch_id)
    return select.where(sa.or_(sa.false(), *overlapping), *_known(as_of), ranges.overruled.is_(None))


@cache
def remarks(*, then: bool) -> DriverSelect:
    """The annotations of a *dataset* that share more than an edge with [since, until) and are not withdrawn."""
    table = annotations_table
    concerns = sa.or_(
        sa.and_(table.c.is_instantaneous, table.c.start_date >= _SINCE, table.c.start_date < _UNTIL),
        sa.and_(
            sa.not_(table.c.is_instantaneous),
            table.c.start_date < _UNTIL,
            sa.or_(table.c.end_date.is_(None), table.c.end_date > _SINCE),
        ),
    )
    withdrawn = sa.select(gone.c.annotation_id).where(gone.c.annotation_id == table.c.id)
    if then:
        still = sa.or_(gone.c.returned_at.is_(None), gone.c.returned_at > _AS_OF)
        withdrawn = withdrawn.where(gone.c.withdrawn_at <= _AS_OF, still)
    else:
        withdrawn = withdrawn.where(gone.c.returned_at.is_(None))
    seen = [table.c.first_seen_at <= _AS_OF] if then else []
    select = sa.select(table).where(table.c.dataset == _DATASET, concerns, ~withdrawn.exists(), *seen)
    return DriverSelect(select.order_by(table.c.start_date, table.c.id))


def _known_then(*, then: bool) -> list[Any]:
    return _known(_AS_OF) if then else []


def _known(as_of: Any) -> list[Any]:
    return [] if as_of is None else [fetches.c.finished_at <= as_of]
