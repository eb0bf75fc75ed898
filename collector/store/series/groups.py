"""The groups of questions with a dimension: a series for each, found by the question, with labels of their own.

A group becomes known with the first answer that lists it. It has the normalization and unit of its question's series,
and is in force with it, so it needs no decision of its own about units. Its label is that of the question with the
group behind it. The series of the question holds the sum of all groups, and is not shown beside them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.datasets import DEFAULT
from collector.datasets.catalogue import list_of_star
from collector.interval import AggInterval
from collector.profile import with_names
from collector.store.db.column_types import epoch
from collector.store.db.schema import catalogue, groups, points, profile_series, series
from collector.store.db.sql import upsert
from collector.store.series import generations, remainders
from collector.store.series.generations import same_measure
from collector.store.series.proposals import row_of
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.datasets import Dataset
    from collector.model import Question
    from collector.profile import Profile

_ENTRY = "entry"
CLOSED_AFTER = timedelta(days=28)
"""A group that complete answers lack for so long is closed. Its next bucket opens it again."""

is_sum: sa.ColumnElement[bool] = sa.and_(series.c.dimension != "", series.c.group == "")
"""Chooses the series that hold the sum of all groups."""

_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_DIGESTS: sa.BindParameter[Any] = sa.bindparam("digests", expanding=True)
_COLUMNS = ("id", "group", "digest", "normalization", "unit", "in_force_at", "settle")
_SUMS = sa.select(*(series.c[name] for name in _COLUMNS)).where(series.c.id.in_(_IDS))
_GROUPS = (
    sa.select(groups.c.question, *(series.c[name] for name in _COLUMNS))
    .join_from(groups, series, series.c.id == groups.c.series_id)
    .where(groups.c.question.in_(_DIGESTS), sa.not_(generations.is_former(series.c.digest)))
    .order_by(series.c.id)
)
_LABELS = sa.select(profile_series).where(profile_series.c.series_id.in_(_IDS))


class _Label(NamedTuple):
    profile: str
    label: str
    position: int
    active: bool


def resolve(
    connection: sa.Connection, query: Question, series_id: int, names: Collection[str], now: datetime
) -> dict[str, int]:
    """Find the series of every known group of *query*, whose own series is *series_id*, and add those of *names*.

    They have the unit of *series_id*. The caller has locked that series.
    """
    own = connection.execute(_SUMS, {"ids": [series_id]}).one()
    known = connection.execute(_GROUPS, {"digests": [query.digest]}).all()
    ids = {row.group: _adopt(connection, row, own) for row in known if _takes(row, own)}
    new = [name for name in dict.fromkeys(names) if name not in ids]
    if new:
        ids |= _add(connection, query, own, new, now)
    if own.in_force_at is not None:
        late = sa.and_(series.c.id.in_(ids.values()), series.c.in_force_at.is_(None))
        if new or any(row.in_force_at is None for row in known):
            connection.execute(sa.update(series).where(late).values(in_force_at=own.in_force_at))
    _label(connection, query, own.id, ids)
    return ids


def _takes(row: Any, own: Any) -> bool:
    """Return whether values in the unit of the question's series belong to the group's series *row*."""
    pairs = zip((row.normalization, row.unit), (own.normalization, own.unit), strict=True)
    measures = [(before, now) for before, now in pairs if before and now]
    return same_measure(_measure([before for before, _ in measures]), _measure([now for _, now in measures]))


def _measure(words: Sequence[str]) -> tuple[str, str]:
    return ",".join(words[:1]), ",".join(words[1:])


def _adopt(connection: sa.Connection, row: Any, own: Any) -> int:
    """Fill in the unit or normalization that the question's series has taken since."""
    lacking = {name: getattr(own, name) for name in ("normalization", "unit") if not getattr(row, name)}
    if any(lacking.values()):
        connection.execute(sa.update(series).where(series.c.id == row.id).values(lacking))
    return int(row.id)


def _add(connection: sa.Connection, query: Question, own: Any, names: Sequence[str], now: datetime) -> dict[str, int]:
    """Add the series of groups that were not known."""
    measure, common = (own.normalization, own.unit), {"settle": own.settle, "in_force_at": own.in_force_at}
    rows = [row_of(query.of_group(name), f"{query.dimension}/{name}", measure, now) | common for name in names]
    connection.execute(upsert(connection, series).on_conflict_do_nothing(), rows)
    digests = {query.of_group(name).digest: name for name in names}
    same = series.c.digest.in_(digests), series.c.normalization == measure[0], series.c.unit == measure[1]
    ids = {digests[digest]: i for digest, i in connection.execute(sa.select(series.c.digest, series.c.id).where(*same))}
    links = [{"series_id": series_id, "question": query.digest} for series_id in ids.values()]
    connection.execute(upsert(connection, groups).on_conflict_do_nothing(), links)
    return ids


def _label(connection: sa.Connection, query: Question, series_id: int, ids: Mapping[str, int]) -> None:
    """Label those groups that have no label yet, as the question's series is labelled."""
    rows = connection.execute(_LABELS, {"ids": [series_id, *ids.values()]}).all()
    labelled = {row.series_id for row in rows}
    unlabelled = {name: i for name, i in ids.items() if i not in labelled}
    if series_id not in labelled or not unlabelled:
        return
    of_sum = [_Label(row.profile, row.label, row.position, row.active) for row in rows if row.series_id == series_id]
    _write_labels(connection, [(label, query, unlabelled) for label in of_sum])


def activate_labels(connection: sa.Connection, wanted: Iterable[tuple[str, int, str, Question]]) -> None:
    """Activate the labels of all known groups of *wanted*: (profile, position, label, question with a dimension)."""
    labels = [(_Label(profile, label, position, active=True), query) for profile, position, label, query in wanted]
    if not labels:
        return
    ids = _current(connection, {query for _, query in labels})
    known = [(label, query, ids[query]) for label, query in labels if ids[query]]
    if known:
        _write_labels(connection, known)


def _current(connection: sa.Connection, queries: Collection[Question]) -> dict[Question, dict[str, int]]:
    """Find the series of each known group that came into force last."""
    by_digest = {query.digest: query for query in queries}
    ids: dict[Question, dict[str, int]] = {query: {} for query in queries}
    rows = connection.execute(_GROUPS, {"digests": list(by_digest)}).all()
    for row in sorted(rows, key=lambda row: (row.in_force_at is not None, row.in_force_at or 0, row.id)):
        ids[by_digest[row.question]][row.group] = row.id
    return ids


def _write_labels(connection: sa.Connection, wanted: Sequence[tuple[_Label, Question, Mapping[str, int]]]) -> None:
    """Write the labels of groups. A label that another question has in use gets a number behind it."""
    rows: list[dict[str, Any]] = [
        {"profile": own.profile, "label": f"{own.label}/{name}", "position": own.position, "series_id": series_id}
        | {"active": own.active, "digest": query.of_group(name).digest}
        for own, query, ids in wanted
        for name, series_id in ids.items()
    ]
    used = _used(connection, rows)
    for row in rows:
        digest, place = row.pop("digest"), (row["profile"], row["label"])
        if used.setdefault(place, digest) != digest:
            row["label"] = f"{row['label']} #{row['series_id']}"
    insert = upsert(connection, profile_series)
    new = {name: insert.excluded[name] for name in ("position", "series_id", "active")}
    connection.execute(insert.on_conflict_do_update(index_elements=["profile", "label"], set_=new), rows)
    shown = [{"i": row["series_id"], "l": row["label"]} for row in rows]
    relabel = sa.update(series).where(series.c.id == sa.bindparam("i"), series.c.label != sa.bindparam("l"))
    connection.execute(relabel.values(label=sa.bindparam("l")), shown)


def _used(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Find the question, by its digest, that the label of each of *rows* stays with: one in use, or one of *rows*."""
    question, wanted = generations.question_of(series.c.digest), {row["digest"] for row in rows}
    select = sa.select(profile_series.c.profile, profile_series.c.label, question, profile_series.c.active)
    select = select.join_from(profile_series, series, series.c.id == profile_series.c.series_id)
    known = connection.execute(select.where(profile_series.c.label.in_([row["label"] for row in rows])))
    return {(profile, label): digest for profile, label, digest, active in known if active or digest in wanted}


class GroupCount(NamedTuple):
    """How many groups of a question are known, and how many points they have."""

    groups: int
    points: int


def count(connection: sa.Connection, queries: Collection[Question]) -> dict[Question, GroupCount]:
    """Count the groups of each of *queries* and their points; absent where no group is known."""
    if not queries:
        return {}
    by_digest = {query.digest: query for query in queries}
    numbers = sa.func.count(sa.distinct(series.c.group)), sa.func.coalesce(sa.func.sum(series.c.points), 0)
    select = sa.select(groups.c.question, *numbers).join_from(groups, series, series.c.id == groups.c.series_id)
    rows = connection.execute(select.where(groups.c.question.in_(by_digest)).group_by(groups.c.question))
    return {by_digest[digest]: GroupCount(number, int(total)) for digest, number, total in rows}


def known_names(
    connection: sa.Connection, filters: Collection[str], dataset: Dataset = DEFAULT
) -> dict[str, tuple[str, ...]]:
    """Return the names that are known of each of *filters*, ascending.

    They are the open groups of stored dimensions, and for a filter without these what Radar's lists have. A filter of
    which nothing is known is absent.
    """
    wanted = {dimension: parameter.name for dimension, parameter in dataset.dimensions.items()}
    wanted = {dimension: name for dimension, name in wanted.items() if name in filters}
    names = _open_names(connection, wanted, dataset) if wanted else {}
    listed = {name: _listed_names(connection, name, dataset) for name in wanted.values() if name not in names}
    return {name: tuple(sorted(known)) for name, known in (names | listed).items() if known}


def _open_names(connection: sa.Connection, wanted: Mapping[str, str], dataset: Dataset) -> dict[str, set[str]]:
    """Find the open groups of each dimension of *wanted*, by its filter."""
    select = sa.select(series.c.id, series.c.dimension, series.c.group)
    select = select.where(series.c.dimension.in_(wanted), series.c.group != "", series.c.dataset == dataset.name)
    rows = connection.execute(select).all()
    states = group_states(connection, [row.id for row in rows])
    names: dict[str, set[str]] = defaultdict(set)
    for series_id, dimension, group in rows:
        name = wanted[dimension]
        if states.get(series_id) == "open" and dataset.filters[name].accepts(group):
            names[name].add(group)
    return dict(names)


def _listed_names(connection: sa.Connection, name: str, dataset: Dataset) -> set[str]:
    """Find the values of the filter *name* in the list of Radar's that has them, of entries that are still listed."""
    known = list_of_star(name)
    if known is None:
        return set()
    select = sa.select(catalogue.c.content).where(catalogue.c.list == known.name, catalogue.c.part == _ENTRY)
    contents = connection.execute(select.where(catalogue.c.valid_to.is_(None))).scalars()
    values = (known.names(json.loads(content), name)[:1] for content in contents)
    return {value for first in values for value in first if dataset.filters[name].accepts(value)}


def placed(connection: sa.Connection, profiles: Sequence[Profile]) -> list[Profile]:
    """Return *profiles* with the known names in place of each star."""
    starred = {name for profile in profiles for name in profile.starred}
    return with_names(profiles, known_names(connection, starred)) if starred else [*profiles]


def group_states(connection: sa.Connection, ids: Collection[int]) -> dict[int, str]:
    """Return of each series of *ids* that is a group whether it is `open` or `closed`."""
    if not ids:
        return {}
    newest = sa.select(epoch(points.c.timestamp)).where(points.c.series_id == groups.c.series_id, points.c.value != 0)
    newest = newest.order_by(points.c.timestamp.desc()).limit(1)
    select = sa.select(groups.c.series_id, groups.c.question, newest.scalar_subquery())
    rows = connection.execute(select.where(groups.c.series_id.in_(ids))).all()
    ends = _ends(connection, {question for _, question, _ in rows})
    return {
        series_id: "closed" if last is not None and _is_closed(connection, ends.get(question), last) else "open"
        for series_id, question, last in rows
    }


class _End(NamedTuple):
    series_id: int
    newest: int
    step: int


def _ends(connection: sa.Connection, digests: Collection[str]) -> dict[str, _End]:
    """Find the newest bucket of each question that has one."""
    newest = sa.select(epoch(sa.func.max(points.c.timestamp))).where(points.c.series_id == series.c.id)
    columns = series.c.digest, series.c.id, series.c.agg_interval, newest.scalar_subquery()
    select = sa.select(*columns).where(series.c.digest.in_(digests))
    rows = connection.execute(select.order_by(series.c.in_force_at.nulls_first(), series.c.id))
    return {
        digest: _End(series_id, last, AggInterval(interval).seconds)
        for digest, series_id, interval, last in rows
        if last is not None
    }


def _is_closed(connection: sa.Connection, end: _End | None, last: int) -> bool:
    """Return whether a group, whose newest certificates are in the bucket *last*, has had none for CLOSED_AFTER.

    Buckets in which something is left beside the listed groups do not count.
    """
    least = CLOSED_AFTER.total_seconds()
    if end is None or end.newest - last < least:
        return False
    counted = sa.select(sa.func.count()).select_from(points)
    counted = counted.where(points.c.series_id == end.series_id, points.c.timestamp > from_epoch(last))
    number = connection.execute(counted).scalar_one() - remainders.count_open(connection, end.series_id, last)
    return bool(number * end.step >= least)
