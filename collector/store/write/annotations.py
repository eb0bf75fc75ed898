"""Annotations: one row each however often seen, and the periods in which answers no longer had them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import rfc3339
from collector.store.db.column_types import clean
from collector.store.db.schema import annotations as table
from collector.store.db.schema import withdrawals
from collector.store.db.sql import ANNOTATIONS, advisory_lock
from collector.store.ledger.fetches import AnswerTime, overrules

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
_NEAR = (
    sa.select(
        *(table.c[name] for name in _NAMES), withdrawals.c.last_updated.label("withdrawn"), withdrawals.c.withdrawn_at
    )
    .join_from(table, withdrawals, _is_open, isouter=True)
    .where(table.c.dataset == sa.bindparam("dataset"), sa.or_(_answered, _overlapping, _inside))
    .order_by(table.c.id)
)
"""Annotations that an answer has, or may lack; built once, for building it costs several times its execution."""


@dataclass(frozen=True, slots=True)
class StoredAnnotation:
    """A stored annotation, as far as decisions need it.

    *last_updated* and *last_seen_at* are those of the newest answer that had it, *withdrawn* and *withdrawn_at* those
    of the answer that lacked it, None while it stands.
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
        """Tell whether *answer* may change the annotation: the answer that spoke of it last does not overrule it."""
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
    """Compare the annotations stored with the digests *answered* over *windows* by the answer of *time*.

    An answer that should carry an annotation and does not withdraws it, unless an answer that had it overrules this
    one; an answer that has a withdrawn one brings it back, unless the one that lacked it overrules this one.
    """
    answered, known = set(answered), {remark.digest for remark in stored}
    seen = [r for r in stored if r.digest in answered]
    lacking = [r for r in stored if r.digest not in answered and r.withdrawn is None]
    return AnnotationChanges(
        new=sorted(answered - known),
        seen=[r.id for r in seen],
        withdrawn=[r.id for r in lacking if r.counts(time) and any(should_contain(w, r) for w in windows)],
        returned=[r.id for r in seen if r.withdrawn is not None and r.counts(time)],
    )


def should_contain(window: Window, remark: StoredAnnotation | Annotation) -> bool:
    """Tell whether an answer over *window* should carry an annotation: they share more than an edge."""
    if remark.is_instantaneous:
        return window.start < remark.start_date < window.end
    return remark.start_date < window.end and (remark.end_date is None or window.start < remark.end_date)


def digest(dataset: str, annotation: Annotation) -> str:
    """Give SHA-256 of an annotation's content, by which it is known again: a text that is null counts as empty."""
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
    """What one answer says of annotations: the *content* of those it had, by digest, over its *windows*."""

    def __init__(self, batch: Batch, meta: Meta, time: AnswerTime) -> None:
        self.dataset = batch.slices[0].series.dataset
        self.windows = [piece.window for piece in batch.slices]
        self.content = {digest(self.dataset, remark): _content(remark) for remark in meta.annotations}
        self.time = time

    def annotation_changes(self, stored: Sequence[StoredAnnotation]) -> AnnotationChanges:
        """Compare with the annotations *stored*."""
        return annotation_changes(stored, self.content, self.windows, self.time)


def save(connection: sa.Connection, answers: Sequence[AnsweredAnnotations]) -> None:
    """Note which annotations the answers about one dataset had, and which they lacked."""
    stored = _read(connection, answers)
    decisions = [answer.annotation_changes(stored) for answer in answers]
    if any(decision.new or decision.withdrawn or decision.returned for decision in decisions):
        # Of answers that see the same change, each must see what the one before it has written.
        advisory_lock(connection, ANNOTATIONS)
        for answer in answers:
            _write(connection, answer, answer.annotation_changes(_read(connection, [answer])))
    else:
        for answer, decision in zip(answers, decisions, strict=True):
            _write(connection, answer, decision)


def add_new(connection: sa.Connection, answer: AnsweredAnnotations) -> None:
    """Add the annotations that no answer has had so far; what *answer* says of others changes nothing."""
    advisory_lock(connection, ANNOTATIONS)
    new = answer.annotation_changes(_read(connection, [answer])).new
    _write(connection, answer, AnnotationChanges(new=new))


def _read(connection: sa.Connection, answers: Sequence[AnsweredAnnotations]) -> list[StoredAnnotation]:
    windows = [window for answer in answers for window in answer.windows]
    end, start = max(window.end for window in windows), min(window.start for window in windows)
    digests = [digest for answer in answers for digest in answer.content]
    about = {"dataset": answers[0].dataset, "digests": digests, "start": start, "end": end}
    found = connection.execute(_NEAR, about)
    return [StoredAnnotation(*tuple(row)) for row in found]


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
    """Find the annotations of which one answer alone has spoken, that came between two moments: dataset, start date.

    They were seen once, or an answer that should have had them did not.
    """
    once = sa.and_(table.c.first_seen_at == table.c.last_seen_at, withdrawals.c.annotation_id.is_(None))
    seen = sa.and_(once, table.c.first_seen_at > after, table.c.first_seen_at <= until)
    gone = sa.and_(withdrawals.c.withdrawn_at > after, withdrawals.c.withdrawn_at <= until)
    select = sa.select(table.c.dataset, table.c.start_date).join_from(table, withdrawals, _is_open, isouter=True)
    found = connection.execute(select.where(sa.or_(seen, gone)).order_by(table.c.start_date))
    return [(row.dataset, row.start_date) for row in found]


def _later(column: sa.Column[datetime], moment: datetime) -> sa.ColumnElement[datetime]:
    return sa.case((column < moment, sa.bindparam(None, moment, column.type)), else_=column)
