"""What is stored twice, or refers to something else: whether it still agrees."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.model import Annotation, Normalization, Question
from collector.store import checksums
from collector.store.db import records, schema
from collector.store.db.schema import (
    answers,
    date_ranges,
    fetches,
    fires,
    points,
    revisions,
    series,
    series_sets,
    unfolded_ranges,
    vanished,
)
from collector.store.ledger import bodies
from collector.store.read import comparison
from collector.store.series import coverage, folding, generations
from collector.store.series.generations import same_measure
from collector.store.series.groups import is_sum
from collector.store.write import annotations as remarks
from collector.store.write import catalogue
from collector.store.write import marks as own_marks
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIRE_OUTCOMES = frozenset({"collected", "failed", "coalesced"})
_GRID = 900
_ABSOLUTE = [normalization.value for normalization in Normalization]


def findings(connection: sa.Connection) -> list[str]:
    """Return a sentence for each row that contradicts another one."""
    problems = [finding for row in connection.execute(sa.select(series)) for finding in _series(row)]
    problems += [finding for row in connection.execute(sa.select(schema.annotations)) for finding in _remark(row)]
    problems += [finding for row in connection.execute(_labels()) for finding in _label(row)]
    for finding in _fires(connection):
        problems.append(finding)
    problems += checksums.findings(connection)
    problems += bodies.findings(connection)
    problems += own_marks.findings(connection)
    problems += _other_units(connection)
    problems += coverage.damaged_sets(connection)
    problems += folding.damaged(connection)
    problems += catalogue.findings(connection)
    problems += comparison.findings(connection)
    problems += records.findings(connection)
    for select, described in _dangling_rows():
        number = connection.execute(sa.select(sa.func.count()).select_from(select.subquery())).scalar_one()
        problems += [f"{described}: {number}"] if number else []
    return problems


def _series(row: Any) -> list[str]:
    filters = json.loads(row.filters)
    if row.agg_interval not in list(AggInterval):
        return [f"series {row.id} has buckets of {row.agg_interval!r}"]
    query = Question(AggInterval(row.agg_interval), filters, row.dataset, row.dimension, row.group)
    digests = {query.digest, *(replace(query, normalization=word).digest for word in _ABSOLUTE if row.dimension)}
    same = query.filters_json == row.filters and generations.question(row.digest) in digests
    return [] if same else [f"{row.label}: what series {row.id} asks for is not what it was (digest)"]


def _remark(row: Any) -> list[str]:
    names = ("start_date", "end_date", "data_source", "event_type", "description", "linked_url")
    words = {name: getattr(row, name) for name in names}
    content = Annotation(**words, is_instantaneous=bool(row.is_instantaneous), tags=tuple(json.loads(row.tags)))
    same = remarks.digest(row.dataset, content) == row.digest
    return [] if same else [f"annotation {row.id} of {rfc3339(row.start_date)} is not what it was (digest)"]


def _labels() -> Any:
    label = schema.profile_series
    return sa.select(label.c.profile, label.c.label, series.c.id).join_from(
        label, series, series.c.id == label.c.series_id, isouter=True
    )


def _label(row: Any) -> list[str]:
    problems = [] if row.id is not None else [f"the label {row.label!r} names a series that does not exist"]
    if row.label != row.profile and not row.label.startswith(f"{row.profile}/"):
        problems.append(f"the label {row.label!r} is not one that the profile {row.profile!r} gives")
    return problems


def _fires(connection: sa.Connection) -> Iterator[str]:
    result = connection.execute(sa.select(fires).execution_options(yield_per=1_000))
    for fire in result:
        if fire.outcome not in _FIRE_OUTCOMES:
            yield f"{fire.profile}: the fire of {rfc3339(fire.due)} has an outcome {fire.outcome!r}"
        if fire.due.timestamp() % _GRID:
            yield f"{fire.profile}: a fire was due at {rfc3339(fire.due)}, when no bucket ends"


def _other_units(connection: sa.Connection) -> list[str]:
    """Compare the unit of series with those of the answers about them; case and blanks may differ.

    A word that an answer does not name counts as that of the series.
    """
    brought = sa.and_(fetches.c.outcome == "ok", series.c.agg_interval == fetches.c.agg_interval)
    measures = ((series.c[name], sa.func.coalesce(fetches.c[name], "")) for name in ("normalization", "unit"))
    same = sa.and_(brought, *(kept == answered for kept, answered in measures))
    kinds = (series.c.normalization, series.c.unit, fetches.c.normalization, fetches.c.unit, brought)
    select = sa.select(*kinds, sa.func.count()).select_from(date_ranges)
    select = select.join(series, series.c.id == date_ranges.c.series_id)
    select = select.join(fetches, fetches.c.id == date_ranges.c.fetch_id).where(sa.not_(same)).group_by(*kinds)
    number = sum(
        count
        for normalization, unit, answered_normalization, answered_unit, is_brought, count in connection.execute(select)
        if not is_brought
        or not same_measure(
            (normalization, unit), (_named(answered_normalization, normalization), _named(answered_unit, unit))
        )
    )
    said = "date ranges of a series with another unit, normalization or interval than their fetch brought"
    return [f"{said}: {number}"] if number else []


def _named(word: str | None, of_series: str) -> str:
    """Return the word of an answer, or that of its series if the answer did not name it: the record is empty then."""
    return of_series if word == "" else word or ""


def _dangling_rows() -> Iterable[tuple[Any, str]]:
    """Selects of what leads nowhere, each with what that is."""
    for table in (answers, schema.folded_answers):
        lost = sa.select(table.c.fetch_id).where(table.c.set_id.not_in(sa.select(series_sets.c.id)))
        yield lost, f"{'answers' if table is answers else 'folded answers'} of a set of series that is not there"
    of_series = series.c.id == unfolded_ranges.c.series_id
    answered = sa.select(unfolded_ranges.c.series_id).join_from(unfolded_ranges, series, of_series)
    answered = answered.join(fetches, fetches.c.id == unfolded_ranges.c.fetch_id, isouter=True)
    yield answered.where(fetches.c.id.is_(None)), "date ranges of a fetch that is not on record"
    absolute = sa.select(series.c.id).where(series.c.normalization.in_(_ABSOLUTE))
    by = revisions.alias()
    replaced = sa.select(revisions.c.series_id).where(revisions.c.series_id.in_(absolute))
    followers = (
        sa.exists().where(
            table.c.series_id == revisions.c.series_id,
            table.c.timestamp == revisions.c.timestamp,
            table.c.fetch_id == revisions.c.replaced_by,
        )
        for table in (points, by)
    )
    yield (
        replaced.where(*(sa.not_(follower) for follower in followers)),
        "revisions that were replaced by a value that is not there",
    )
    marked = sa.and_(points.c.series_id == vanished.c.series_id, points.c.timestamp == vanished.c.timestamp)
    gone = sa.select(vanished.c.series_id).join_from(vanished, points, marked, isouter=True)
    gone = gone.where(vanished.c.series_id.in_(absolute))
    yield gone.where(points.c.series_id.is_(None)), "buckets marked as vanished that were never there"
    yield from _dangling_groups()
    lost = sa.select(schema.withdrawals.c.annotation_id).where(
        schema.withdrawals.c.annotation_id.not_in(sa.select(schema.annotations.c.id))
    )
    yield lost, "withdrawals of an annotation that is not there"
    yield _lacking(), "annotations that a later answer lacked, and no withdrawal says so"


def _dangling_groups() -> Iterable[tuple[Any, str]]:
    """Selects of groups without their question, and of what was left in buckets that are not there."""
    grouped, left = schema.groups.c, schema.remainders.c
    asked = sa.select(grouped.series_id).where(grouped.question.not_in(sa.select(series.c.digest)))
    yield asked, "groups of a question that is not there"
    not_grouped = sa.exists().where(series.c.id == left.series_id, sa.not_(is_sum))
    yield sa.select(left.series_id).where(not_grouped), "remainders of a series that is no sum of groups"
    point = sa.exists().where(points.c.series_id == left.series_id, points.c.timestamp == left.timestamp)
    yield sa.select(left.series_id).where(~point), "remainders of buckets that are not there"


def _lacking() -> sa.Select[Any]:
    """Select the annotations in force that a later answer should have contained and did not."""
    remark, withdrawal = schema.annotations, schema.withdrawals
    is_open = sa.and_(withdrawal.c.annotation_id == remark.c.id, withdrawal.c.returned_at.is_(None))
    ends_later = sa.or_(remark.c.end_date.is_(None), unfolded_ranges.c.start < remark.c.end_date)
    carries = sa.case(  # as annotations.carries
        (remark.c.is_instantaneous == sa.true(), unfolded_ranges.c.start < remark.c.start_date),
        else_=ends_later,
    )
    lacked = (
        sa.exists()
        .where(unfolded_ranges.c.fetch_id == fetches.c.id, unfolded_ranges.c.series_id == series.c.id)
        .where(series.c.dataset == remark.c.dataset, unfolded_ranges.c.end > remark.c.start_date, carries)
        .where(fetches.c.started_at > remark.c.last_seen_at, fetches.c.last_updated >= remark.c.last_updated)
        .where(fetches.c.replay_of.is_(None))
        .correlate(remark)
    )
    return sa.select(remark.c.id).where(~sa.exists().where(is_open).correlate(remark), lacked)
