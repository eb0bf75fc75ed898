"""What the store holds, as rows for people and programs. Filters are keywords; None means all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import sqlalchemy as sa

from collector.store.db.schema import annotations as annotations_table
from collector.store.db.schema import (
    bodies,
    fetch_profiles,
    fetches,
    fires,
    points,
    profile_series,
    revisions,
    series,
    withdrawals,
)
from collector.store.ledger.fetches import windows_of
from collector.store.ledger.fires import Fire
from collector.store.series import groups, snapshots
from collector.store.series.generations import question_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from collector.model import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """What to list: of one *profile*, from *start* up to, not including, *end*, at most *limit* rows.

    Of series and revisions, *labels* chooses those under one of these labels; None means all.
    *offset* rows are left out first; *before* bounds the ids of what is listed with the newest first. *newest_first*
    turns the order of annotations and revisions by their time. Of fetches, *id* chooses one, and *kept* those whose
    body is kept. *sums*: list series that hold the sum of all groups of a dimension, too.
    """

    profile: str | None = None
    labels: Collection[str] | None = None
    start: datetime | None = None
    end: datetime | None = None
    limit: int | None = None
    offset: int | None = None
    before: int | None = None
    newest_first: bool = False
    id: int | None = None
    kept: bool = False
    sums: bool = False

    def within(self, column: sa.Column[Any]) -> list[Any]:
        """Bound *column* by start and end."""
        bounds = [column >= self.start] if self.start is not None else []
        return bounds + ([column < self.end] if self.end is not None else [])


class SeriesChoice(NamedTuple):
    """The fields of ListFilter that choose series."""

    profile: str | None
    labels: Collection[str] | None = None


class Filters(TypedDict, total=False):
    """The fields of ListFilter, as keywords."""

    profile: str | None
    labels: Collection[str] | None
    start: datetime | None
    end: datetime | None
    limit: int | None
    offset: int | None
    before: int | None
    newest_first: bool
    id: int | None
    kept: bool
    sums: bool


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series under one of its labels; *profile* is None for one that an answer in another unit has replaced.

    *group_state* is `open` or `closed` for a group of a dimension, otherwise None.
    """

    id: int
    profile: str | None
    label: str
    active: bool
    dataset: str
    dimension: str
    group: str
    group_state: str | None
    agg_interval: str
    filters: Mapping[str, list[str]]
    normalization: str
    unit: str
    points: int
    first_point: datetime | None
    last_point: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FetchRow:
    """One request and what became of it; *windows*, one per position, is None if an older version sent it.

    *replay_of* is the fetch whose kept body was read again, without a request; *body*: what came is kept.
    """

    id: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    status: int | None
    code: int | None
    message: str | None
    request: str
    profiles: tuple[str, ...]
    positions: int
    agg_interval: str
    last_updated: datetime | None
    normalization: str | None
    unit: str | None
    confidence_level: int | None
    bytes: int | None
    inserted: int | None
    revised: int | None
    unchanged: int | None
    vanished: int | None
    ignored: int | None
    windows: tuple[Window, ...] | None
    replay_of: int | None
    body: bool


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """An annotation of Radar, when it was seen, and since when answers no longer contain it, if so."""

    id: int
    start_date: datetime
    end_date: datetime | None
    data_source: str | None
    event_type: str | None
    description: str | None
    linked_url: str | None
    is_instantaneous: bool
    tags: tuple[str, ...]
    first_seen_at: datetime
    last_seen_at: datetime
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """A value that was replaced: by what, and when each was seen."""

    profile: str | None
    series: str
    timestamp: datetime
    value: float
    new_value: float
    seen_at: datetime
    replaced_at: datetime
    fetch_id: int
    replaced_by: int


def list_series(connection: sa.Connection, chosen: ListFilter) -> list[SeriesRow]:
    """List series with a point between start and end, by id; a series with several labels once per label."""
    first, last = (
        sa.func.coalesce(
            sa.select(extreme(points.c.timestamp)).where(points.c.series_id == series.c.id).scalar_subquery(),
            snapshots.end_of(extreme),
        ).label(name)
        for name, extreme in (("first_point", sa.func.min), ("last_point", sa.func.max))
    )
    columns = [
        series.c[name]
        for name in ("dataset", "dimension", "group", "agg_interval", "filters", "normalization", "unit", "points")
    ]
    label = sa.func.coalesce(profile_series.c.label, series.c.label).label("label")
    active = sa.func.coalesce(profile_series.c.active, sa.false()).label("active")
    select = sa.select(series.c.id, profile_series.c.profile, label, active, *columns, first, last, series.c.created_at)
    select = select.join_from(series, profile_series, profile_series.c.series_id == series.c.id, isouter=True)
    bounds = [] if chosen.sums else [sa.not_(groups.is_sum)]
    bounds += [first < chosen.end] if chosen.end is not None else []
    bounds += [last >= chosen.start] if chosen.start is not None else []
    bounds += [profile_series.c.profile == chosen.profile] if chosen.profile is not None else []
    bounds += [profile_series.c.label.in_(list(chosen.labels))] if chosen.labels is not None else []
    ordered = select.where(*bounds).order_by(series.c.id, profile_series.c.position)
    rows = _rows(connection, ordered.limit(chosen.limit).offset(chosen.offset))
    states = groups.group_states(connection, [row["id"] for row in rows if row["group"]])
    return [
        SeriesRow(
            **{
                **row,
                "group_state": states.get(row["id"]),
                "active": bool(row["active"]),
                "filters": json.loads(row["filters"]),
            }
        )
        for row in rows
    ]


def list_fetches(connection: sa.Connection, chosen: ListFilter) -> list[FetchRow]:
    """List requests started between start and end, the newest first."""
    is_kept = sa.exists().where(bodies.c.fetch_id == fetches.c.id)
    columns = (fetches.c[name] for name in FetchRow.__slots__ if name != "body")
    select = sa.select(*columns, is_kept.label("body")).order_by(fetches.c.id.desc())
    select = select.where(*chosen.within(fetches.c.started_at), *([is_kept] if chosen.kept else []))
    if chosen.profile is not None:
        of_profile = sa.select(fetch_profiles.c.fetch_id).where(fetch_profiles.c.profile == chosen.profile)
        select = select.where(sa.or_(fetches.c.id.in_(of_profile), fetches.c.replay_of.in_(of_profile)))
    if chosen.id is not None:
        select = select.where(fetches.c.id == chosen.id)
    if chosen.before is not None:
        select = select.where(fetches.c.id < chosen.before)
    rows = _rows(connection, select.limit(chosen.limit))
    return [
        FetchRow(
            **{
                **row,
                "profiles": tuple(json.loads(row["profiles"])),
                "windows": windows_of(row["windows"], row["request"], row["positions"]),
                "body": bool(row["body"]),
            }
        )
        for row in rows
    ]


def list_annotations(connection: sa.Connection, chosen: ListFilter) -> list[AnnotationRow]:
    """List annotations that overlap the time between start and end, by start date, or the newest first."""
    table = annotations_table
    names = [name for name in AnnotationRow.__slots__ if name != "withdrawn_at"]
    is_open = sa.and_(withdrawals.c.annotation_id == table.c.id, withdrawals.c.returned_at.is_(None))
    bounds = [table.c.start_date < chosen.end] if chosen.end is not None else []
    if chosen.start is not None:
        end_date = sa.case((table.c.is_instantaneous, table.c.start_date), else_=table.c.end_date)
        bounds.append(sa.or_(end_date.is_(None), end_date >= chosen.start))
    select = sa.select(*(table.c[name] for name in names), withdrawals.c.withdrawn_at)
    select = select.join_from(table, withdrawals, is_open, isouter=True).where(*bounds)
    order = (table.c.start_date, table.c.id)
    ordered = select.order_by(*(column.desc() for column in order) if chosen.newest_first else order)
    rows = _rows(connection, ordered.limit(chosen.limit).offset(chosen.offset))
    return [
        AnnotationRow(
            **{**row, "is_instantaneous": bool(row["is_instantaneous"]), "tags": tuple(json.loads(row["tags"]))}
        )
        for row in rows
    ]


def list_revisions(connection: sa.Connection, chosen: ListFilter) -> list[RevisionRow]:
    """List values replaced, of buckets between start and end, by series, bucket and time; once per label.

    With the newest first it is by when they were replaced.
    """
    later, old = revisions.alias(), revisions.c
    same = sa.and_(later.c.series_id == old.series_id, later.c.timestamp == old.timestamp)
    next_value = sa.select(later.c.value).where(same, later.c.fetch_id == old.replaced_by).scalar_subquery()
    label = sa.func.coalesce(profile_series.c.label, series.c.label).label("series")
    current = sa.and_(points.c.series_id == old.series_id, points.c.timestamp == old.timestamp)
    rest = (old.seen_at, old.replaced_at, old.fetch_id, old.replaced_by)
    newest = series.alias("newest")  # which labels point to, while a bucket may have the unit of an earlier series
    labelled = profile_series.join(newest, newest.c.id == profile_series.c.series_id)
    new_value = sa.func.coalesce(next_value, points.c.value).label("new_value")
    select = (
        sa.select(profile_series.c.profile, label, old.timestamp, old.value, new_value, *rest)
        .join_from(revisions, series, series.c.id == old.series_id)
        .join(points, current)
        .outerjoin(labelled, sa.and_(newest.c.digest == question_of(series.c.digest), profile_series.c.active))
        .where(sa.not_(groups.is_sum), *chosen.within(old.timestamp))
    )
    if chosen.profile is not None:
        select = select.where(profile_series.c.profile == chosen.profile)
    if chosen.labels is not None:
        select = select.where(profile_series.c.label.in_(list(chosen.labels)))
    latest = (old.replaced_at.desc(),) if chosen.newest_first else ()
    ordered = select.order_by(*latest, old.series_id, profile_series.c.position, old.timestamp, old.replaced_at)
    rows = _rows(connection, ordered.limit(chosen.limit).offset(chosen.offset))
    return [RevisionRow(**row) for row in rows]


def list_fires(connection: sa.Connection, chosen: ListFilter) -> list[Fire]:
    """List due moments between start and end with their outcomes, the newest first."""
    select = sa.select(fires).where(*chosen.within(fires.c.due))
    if chosen.profile is not None:
        select = select.where(fires.c.profile == chosen.profile)
    ordered = select.order_by(fires.c.due.desc(), fires.c.profile).limit(chosen.limit)
    return [Fire(**row) for row in _rows(connection, ordered)]


def _rows(connection: sa.Connection, select: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select).mappings()]
