"""The SELECTs that answer questions from history.

Putting one together costs more than running it, so those of late are kept; *as_of* (None: now) is when things must have
been known.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import from_epoch
from collector.store.db.column_types import epoch
from collector.store.db.schema import annotations as annotations_table
from collector.store.db.schema import date_ranges, fetches, points, profile_series, revisions
from collector.store.db.schema import series as series_table
from collector.store.db.schema import withdrawals as gone

if TYPE_CHECKING:
    from datetime import datetime

_counts = date_ranges.c.overruled.is_(None)
"""Answers that a newer one had overruled say nothing of the present."""
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_DATASET: sa.BindParameter[Any] = sa.bindparam("dataset")


@lru_cache(maxsize=1)
def series() -> Any:
    """Rows of a *dataset*'s series, one per label, by id; labels in use come first."""
    table, labels = series_table, profile_series
    asked = [table.c[name] for name in ("id", "dataset", "agg_interval", "filters", "normalization", "unit")]
    force = (table.c.created_at, table.c.in_force_at)
    return (
        sa.select(table.c.digest, *asked, *force, labels.c.label)
        .join_from(table, labels, labels.c.series_id == table.c.id, isouter=True)
        .where(table.c.dataset == _DATASET, table.c.dimension == "", table.c.group == "")
        .order_by(table.c.id, labels.c.active.desc(), labels.c.profile, labels.c.position)
    )


@lru_cache(maxsize=16)
def extents(as_of: datetime | None) -> Any:
    """(id, oldest timestamp, newest timestamp) of the series *ids*; None for none."""
    ends = [_end(newest=newest, as_of=as_of) for newest in (False, True)]
    return sa.select(series_table.c.id, *ends).where(series_table.c.id.in_(_IDS))


def _end(*, newest: bool, as_of: datetime | None) -> Any:
    extreme, order = (sa.func.max, sa.desc) if newest else (sa.func.min, sa.asc)
    if as_of is None:  # over many partitions cheaper than their extremes
        select = sa.select(epoch(points.c.timestamp)).where(points.c.series_id == series_table.c.id)
        return select.order_by(order(points.c.timestamp)).limit(1).scalar_subquery()
    known = sa.or_(fetches.c.finished_at.is_(None), fetches.c.finished_at <= as_of)
    standing = sa.select(epoch(points.c.timestamp)).join_from(
        points, fetches, fetches.c.id == points.c.fetch_id, isouter=True
    )
    standing = standing.where(points.c.series_id == series_table.c.id, known).order_by(order(points.c.timestamp))
    replaced = sa.select(epoch(extreme(revisions.c.timestamp))).where(
        revisions.c.series_id == series_table.c.id, revisions.c.seen_at <= as_of, revisions.c.replaced_at > as_of
    )
    one, other = standing.limit(1).scalar_subquery(), replaced.scalar_subquery()
    further = one > other if newest else one < other
    return sa.case((other.is_(None), one), (one.is_(None), other), (further, one), else_=other)


@lru_cache(maxsize=16)
def last_updated(as_of: datetime | None) -> Any:
    """(id, told): the lastUpdated of the answer that reached furthest, the newest of such, of the series *ids*."""
    newest = (
        sa.select(fetches.c.last_updated)
        .join_from(date_ranges, fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id == series_table.c.id, *_known(as_of), _counts)
        .order_by(date_ranges.c.end.desc(), date_ranges.c.fetch_id.desc())
        .limit(1)
    )
    told = newest.scalar_subquery().label("told")
    return sa.select(series_table.c.id, told).where(series_table.c.id.in_(_IDS))


@lru_cache(maxsize=16)
def heard(as_of: datetime | None) -> Any:
    """(id, last_updated, finished_at) of the answer that `last_updated` chooses, of the series *ids*."""
    newest = (
        sa.select(fetches.c.id)
        .join_from(date_ranges, fetches, fetches.c.id == date_ranges.c.fetch_id)
        .where(date_ranges.c.series_id == series_table.c.id, *_known(as_of), _counts)
        .order_by(date_ranges.c.end.desc(), date_ranges.c.fetch_id.desc())
        .limit(1)
    )
    columns = series_table.c.id, fetches.c.last_updated, fetches.c.finished_at
    select = sa.select(*columns).join_from(series_table, fetches, fetches.c.id == newest.scalar_subquery())
    return select.where(series_table.c.id.in_(_IDS))


@lru_cache(maxsize=128)
def confidence(stretches: tuple[tuple[int, int, int], ...], as_of: datetime | None) -> tuple[Any, Any]:
    """Two: the levels of the answers on *stretches* (series_id, start, end); then (series_id, start, end, level).

    The second has the newest answer first.
    """
    overlapping = [
        sa.and_(
            date_ranges.c.series_id == series_id,
            date_ranges.c.end > from_epoch(start),
            date_ranges.c.start < from_epoch(end),
        )
        for series_id, start, end in stretches
    ]
    levels = sa.select(fetches.c.confidence_level).join_from(
        date_ranges, fetches, fetches.c.id == date_ranges.c.fetch_id
    )
    levels = levels.where(sa.or_(sa.false(), *overlapping), *_known(as_of), _counts)
    columns = (date_ranges.c.series_id, epoch(date_ranges.c.start), epoch(date_ranges.c.end))
    detailed = levels.with_only_columns(*columns, fetches.c.confidence_level)
    return levels.distinct(), detailed.order_by(date_ranges.c.fetch_id.desc())


@lru_cache(maxsize=128)
def remarks(windows: tuple[tuple[int, int], ...], as_of: datetime | None) -> Any:
    """The annotations of a *dataset* that share more than an edge with any window and are not withdrawn."""
    table = annotations_table
    concerning = [
        sa.or_(
            sa.and_(table.c.is_instantaneous, table.c.start_date >= start, table.c.start_date < end),
            sa.and_(
                sa.not_(table.c.is_instantaneous),
                table.c.start_date < end,
                sa.or_(table.c.end_date.is_(None), table.c.end_date > start),
            ),
        )
        for start, end in ((from_epoch(a), from_epoch(b)) for a, b in windows)
    ]
    withdrawn = sa.select(gone.c.annotation_id).where(gone.c.annotation_id == table.c.id)
    if as_of is None:
        withdrawn = withdrawn.where(gone.c.returned_at.is_(None))
    else:
        still = sa.or_(gone.c.returned_at.is_(None), gone.c.returned_at > as_of)
        withdrawn = withdrawn.where(gone.c.withdrawn_at <= as_of, still)
    seen = [] if as_of is None else [table.c.first_seen_at <= as_of]
    select = sa.select(table).where(table.c.dataset == _DATASET, sa.or_(sa.false(), *concerning))
    return select.where(~withdrawn.exists(), *seen).order_by(table.c.start_date, table.c.id)


def _known(as_of: datetime | None) -> list[Any]:
    return [] if as_of is None else [fetches.c.finished_at <= as_of]
