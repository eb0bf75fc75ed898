"""Annotations: one row each however often seen, and the periods in which answers no longer had them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.db.column_types import clean
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import annotations as table
from collector.store.db.schema import withdrawals
from collector.store.db.sql import ANNOTATIONS, advisory_lock
from collector.store.ledger.fetches import AnswerTime, overrules
from collector.timestamps import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.model import Annotation, Batch, Meta, Window

_TEXTS = ("data_source", "event_type", "description", "linked_url")
_NAMES = ("id", "digest", "start_date", "end_date", "is_instantaneous", "last_updated", "last_seen_at")
_is_open = sa.and_(withdrawals.c.annotation_id == table.c.id, withdrawals.c.returned_at.is_(None))
_start: sa.BindParameter[datetime] = sa.bindparam("start")
_end: sa.BindParameter[datetime] = sa.bindparam("end")
_overlapping = sa.and_(table.c.start_date < _end, sa.or_(table.c.end_date.is_(None), table.c.end_date > _start))
_inside = sa.and_(table.c.start_date > _start, table.c.start_date < _end)
_answered = table.c.digest.in_(sa.bindparam("digests", expanding=True))
_NEAR = DriverSelect(
    sa.select(
        *(table.c[name] for name in _NAMES), withdrawals.c.last_updated.label("withdrawn"), withdrawals.c.withdrawn_at
    )
    .join_from(table, withdrawals, _is_open, isouter=True)
    .where(table.c.dataset == sa.bindparam("dataset"), sa.or_(_answered, _overlapping, _inside))
    .order_by(table.c.id)
)
"""Annotations that an answer contains, or may lack. Built once, because building it costs several times its
execution."""


class StoredAnnotation(NamedTuple):
    """The columns of a stored annotation that decisions need.

    *last_updated* and *last_seen_at* are those of the newest answer that had it, *withdrawn* and *withdrawn_at* those
    of the answer that lacked it, None while it is in force.
    """

    id: int
    digest: str
    start_date: datetime
    end_date: datetime | None
    is_instantaneous: bool
    last_updated: datetime
    last_seen_at: datetime
    withdrawn: datetime | None
    withdrawn_at: datetime | None

    def counts(self, answer: AnswerTime) -> bool:
        """Return whether *answer* may change the annotation: the last answer about it does not overrule this one."""
        if self.withdrawn is not None and self.withdrawn_at is not None:
            return not overrules(AnswerTime(self.withdrawn_at, self.withdrawn_at, self.withdrawn), answer)
        return not overrules(AnswerTime(self.last_seen_at, self.last_seen_at, self.last_updated), answer)


@dataclass(frozen=True, slots=True)
class AnnotationChanges:
    """What an answer changes: digests seen for the first time, and ids seen again, withdrawn and returned."""

    new: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)


def annotation_changes(
    stored: Sequence[StoredAnnotation], answered: Iterable[str], windows: Sequence[Window], time: AnswerTime
) -> AnnotationChanges:
    """Compare the *stored* annotations with the digests *answered* over *windows* by the answer of *time*.

    If this answer should contain an annotation and lacks it, the annotation is withdrawn, unless an answer that had it
    overrules this one. If this answer contains a withdrawn annotation, the annotation is returned, unless the answer
    that lacked it overrules this one.
    """
    digests, known = set(answered), {annotation.digest for annotation in stored}
    seen = [annotation for annotation in stored if annotation.digest in digests]
    lacking = [annotation for annotation in stored if annotation.digest not in digests and annotation.withdrawn is None]
    return AnnotationChanges(
        new=sorted(digests - known),
        seen=[annotation.id for annotation in seen],
        withdrawn=[
            annotation.id
            for annotation in lacking
            if annotation.counts(time) and any(should_contain(w, annotation) for w in windows)
        ],
        returned=[annotation.id for annotation in seen if annotation.withdrawn is not None and annotation.counts(time)],
    )


def should_contain(window: Window, annotation: StoredAnnotation | Annotation) -> bool:
    """Return whether an answer over *window* should contain an annotation: they share more than an edge."""
    if annotation.is_instantaneous:
        return window.start < annotation.start_date < window.end
    return annotation.start_date < window.end and (annotation.end_date is None or window.start < annotation.end_date)


def digest(dataset: str, annotation: Annotation) -> str:
    """Return SHA-256 of an annotation's content, by which it is recognised: a text that is null counts as empty."""
    content = _content(annotation) | {name: clean(getattr(annotation, name) or "") for name in _TEXTS}
    return hashlib.sha256(json.dumps([dataset, *content.values()], default=rfc3339).encode()).hexdigest()


def _content(annotation: Annotation) -> dict[str, Any]:
    return {
        "start_date": annotation.start_date,
        "end_date": annotation.end_date,
        "data_source": annotation.data_source,
        "event_type": annotation.event_type,
        "description": annotation.description,
        "linked_url": annotation.linked_url,
        "is_instantaneous": annotation.is_instantaneous,
        "tags": json.dumps([clean(tag) for tag in annotation.tags], ensure_ascii=False),
    }


class AnsweredAnnotations:
    """The annotations of one answer: the *content* of each by digest, over its *windows*."""

    def __init__(self, batch: Batch, meta: Meta, time: AnswerTime) -> None:
        self.dataset = batch.slices[0].series.dataset
        self.windows = [slice_.window for slice_ in batch.slices]
        self.content = {digest(self.dataset, annotation): _content(annotation) for annotation in meta.annotations}
        self.time = time


def save(connection: sa.Connection, answers: Sequence[AnsweredAnnotations]) -> None:
    """Record which annotations the answers about one dataset had, and which they lacked."""
    stored = _read(connection, answers)
    decisions = [annotation_changes(stored, answer.content, answer.windows, answer.time) for answer in answers]
    if any(decision.new or decision.withdrawn or decision.returned for decision in decisions):
        # Of answers that see the same change, each must see what the one before it has written.
        advisory_lock(connection, ANNOTATIONS)
        for answer in answers:
            stored = _read(connection, [answer])
            changes = annotation_changes(stored, answer.content, answer.windows, answer.time)
            _write(connection, answer, changes)
    else:
        for answer, decision in zip(answers, decisions, strict=True):
            _write(connection, answer, decision)


def add_new(connection: sa.Connection, answer: AnsweredAnnotations) -> None:
    """Add the annotations that no answer has had so far; other ones are not changed."""
    advisory_lock(connection, ANNOTATIONS)
    stored = _read(connection, [answer])
    new = annotation_changes(stored, answer.content, answer.windows, answer.time).new
    _write(connection, answer, AnnotationChanges(new=new))


def _read(connection: sa.Connection, answers: Sequence[AnsweredAnnotations]) -> list[StoredAnnotation]:
    windows = [window for answer in answers for window in answer.windows]
    end, start = max(window.end for window in windows), min(window.start for window in windows)
    digests = [digest for answer in answers for digest in answer.content]
    about = {"dataset": answers[0].dataset, "digests": digests, "start": start, "end": end}
    return [StoredAnnotation(*row) for row in _NEAR.rows(connection, about)]


def _write(connection: sa.Connection, answer: AnsweredAnnotations, decision: AnnotationChanges) -> None:
    last_updated, now = answer.time.last_updated, answer.time.came_at
    if decision.new:
        seen = {"first_seen_at": now, "last_seen_at": now, "last_updated": last_updated, "dataset": answer.dataset}
        rows = [{"digest": key, **answer.content[key], **seen} for key in decision.new]
        connection.execute(sa.insert(table), rows)
    if decision.seen:
        again = table.c.id.in_(decision.seen)
        newest = {"last_seen_at": _later(table.c.last_seen_at, now)}
        newest["last_updated"] = _later(table.c.last_updated, last_updated)
        connection.execute(sa.update(table).where(again).values(newest))
    if decision.withdrawn:
        gone = [{"annotation_id": i, "withdrawn_at": now, "last_updated": last_updated} for i in decision.withdrawn]
        connection.execute(sa.insert(withdrawals), gone)
    if decision.returned:
        back = sa.and_(withdrawals.c.annotation_id.in_(decision.returned), withdrawals.c.returned_at.is_(None))
        connection.execute(sa.update(withdrawals).where(back).values(returned_at=now))


def doubtful(connection: sa.Connection, after: datetime, until: datetime) -> list[tuple[str, datetime]]:
    """Return dataset and start date of the annotations that only one answer shows, between two moments.

    They were seen once, or an answer that should have contained them did not.
    """
    once = sa.and_(table.c.first_seen_at == table.c.last_seen_at, withdrawals.c.annotation_id.is_(None))
    seen = sa.and_(once, table.c.first_seen_at > after, table.c.first_seen_at <= until)
    gone = sa.and_(withdrawals.c.withdrawn_at > after, withdrawals.c.withdrawn_at <= until)
    select = sa.select(table.c.dataset, table.c.start_date).join_from(table, withdrawals, _is_open, isouter=True)
    rows = connection.execute(select.where(sa.or_(seen, gone)).order_by(table.c.start_date))
    return [(row.dataset, row.start_date) for row in rows]


def _later(column: sa.Column[datetime], moment: datetime) -> sa.ColumnElement[datetime]:
    return sa.case((column < moment, sa.bindparam(None, moment, column.type)), else_=column)
