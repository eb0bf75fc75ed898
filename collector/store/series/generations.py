"""Generations: the series of one question, one per unit and normalization, and which of them are in force.

Spellings of a unit that differ in case or blanks are one unit. Labels point to the newest generation. Points of earlier
units stay in force where no newer generation has a bucket. `proposals` decides what comes into force.

The verdicts on unknown normalizations and the names of units are stored here, too; see `collector.normalization`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector import model
from collector.interval import AggInterval
from collector.model import spelling_free
from collector.rules.normalization import Verdict, load
from collector.store.db import sql
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import points, profile_series, series
from collector.store.db.schema import state as state_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.interval import Grid
    from collector.model import Question

    Measure = tuple[str, str]

_NEVER = datetime.min.replace(tzinfo=UTC)

_SEPARATOR = "@"
"""Separates the digest of a series on a former grid from the offset of that grid."""
_LENGTH = 64


def former(digest: str, grid: Grid) -> str:
    """Return the digest under which the history on a former *grid* is kept."""
    return f"{digest}{_SEPARATOR}{grid.seconds}"


def question(digest: str) -> str:
    """Return the digest of the question, whatever the grid."""
    return digest.partition(_SEPARATOR)[0]


def former_offset(digest: str) -> int | None:
    """Return the offset in seconds of the former grid that a digest names; None for the grid in force."""
    _, _, offset = digest.partition(_SEPARATOR)
    return int(offset) if offset else None


def question_of(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """Select `question` of a column."""
    return sa.func.substr(column, 1, _LENGTH, type_=sa.Text)


def is_former(column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Choose the series on a former grid."""
    condition: Any = sa.func.length(column) > _LENGTH
    return condition  # type: ignore[no-any-return]


_NAMES = ("id", "digest", "agg_interval", "normalization", "unit", "created_at", "in_force_at")
_IDENTITY = tuple(series.c[name] for name in _NAMES)
_QUESTION = question_of(series.c.digest)
_LABELLED = series.c.id.in_(sa.select(profile_series.c.series_id))
_OF_QUERIES = sa.select(*_IDENTITY, _LABELLED.label("labelled"))
_OF_QUERIES = _OF_QUERIES.where(series.c.digest.in_(sa.bindparam("digests", expanding=True)))
_REPEATED = sa.select(_QUESTION).group_by(_QUESTION).having(sa.func.count() > 1)
_SEVERAL = DriverSelect(sa.select(*_IDENTITY, _LABELLED.label("labelled")).where(_QUESTION.in_(_REPEATED)))
_FORMER = sa.select(series.c.id, _QUESTION.label("question")).where(is_former(series.c.digest))
_PROPOSED = sa.select(series.c.id, series.c.digest, series.c.normalization, series.c.unit, series.c.proposed_at)
_PROPOSED = _PROPOSED.where(series.c.proposed_at.is_not(None)).order_by(series.c.proposed_at, series.c.id)


def same_measure(measure: Measure, other: Measure) -> bool:
    """Return whether two pairs of normalization and unit differ at most in case and blanks."""
    return measure == other or all(spelling_free(a) == spelling_free(b) for a, b in zip(measure, other, strict=True))


def described(measure: Measure, other: Measure) -> str:
    """Return the unit of *measure* for a person, with its normalization if that differs from *other*'s."""
    normalization, unit = measure
    if spelling_free(normalization) == spelling_free(other[0]):
        return repr(unit)
    return f"{unit!r} ({normalization})"


class Generation(NamedTuple):
    """A series as one of several of the same question, by *digest*; *since* is when it came into force.

    *step* is the width of its buckets in seconds, 0 if it was not read.
    """

    id: int
    digest: str
    normalization: str
    unit: str
    since: datetime | None
    labelled: bool
    step: int = 0

    @property
    def former_offset(self) -> int | None:
        """The offset in seconds of the former grid that its buckets are of; None for the grid in force."""
        return former_offset(self.digest)

    @property
    def measure(self) -> Measure:
        """(normalization, unit)."""
        return self.normalization, self.unit


class UnitChange(NamedTuple):
    """A query's unit or normalization changed: *in_force* since *moment*, or proposed then. The texts name both."""

    query: Question
    old: str
    new: str
    moment: datetime
    in_force: bool


def generation(row: Any, *, labelled: bool) -> Generation:
    """Read a row of `series`. Earlier versions leave in_force_at empty: then a series with a label is in force."""
    since = row.in_force_at or (row.created_at if labelled else None)
    interval = getattr(row, "agg_interval", None)
    step = AggInterval(interval).seconds if interval else 0
    return Generation(row.id, row.digest, row.normalization, row.unit, since, labelled, step)


def in_force(same: Iterable[Generation], as_of: datetime | None = None) -> list[Generation]:
    """Choose the generations of one query that are in force, or were at *as_of*; newest first, at least one.

    A generation that is in force now, and that came back into force after *as_of*, counts at *as_of* if it was the
    first one.
    """
    known = sorted(same, key=attrgetter("id"))
    ever_in_force = [generation_ for generation_ in known if generation_.since is not None] or known[-1:]
    if as_of is None:
        return sorted(ever_in_force, key=_newest, reverse=True)
    then = sorted(
        (generation_ for generation_ in ever_in_force if (generation_.since or _NEVER) <= as_of),
        key=lambda generation_: _newest(generation_)[1:],
    )[::-1]
    first = [generation_ for generation_ in known[:1] if generation_ in ever_in_force and generation_ not in then]
    return then + first or ever_in_force[:1]


def _newest(generation_: Generation) -> tuple[bool, datetime, int]:
    return generation_.labelled, generation_.since or _NEVER, generation_.id


def _grouped(rows: Iterable[Any]) -> dict[str, list[Generation]]:
    by_question: dict[str, list[Generation]] = defaultdict(list)
    for row in rows:
        by_question[question(row.digest)].append(generation(row, labelled=bool(row.labelled)))
    return by_question


def of_queries(connection: sa.Connection, queries: Iterable[Question]) -> dict[Question, list[Generation]]:
    """Find the generations in force of each query, newest first; absent where there is no series yet."""
    by_digest = {query.digest: query for query in queries}
    rows = connection.execute(_OF_QUERIES, {"digests": list(by_digest)})
    return {by_digest[key]: in_force(same) for key, same in _grouped(rows).items()}


def ids_of(connection: sa.Connection, queries: Iterable[Question]) -> dict[Question, list[int]]:
    """Find the series in which values of each query are stored, newest first; absent where there is none yet.

    It is one id until the unit changes. An earlier series whose values were relative to one answer is left out,
    because a later unit cannot continue it.
    """
    by_query = of_queries(connection, queries)
    earlier = {generation_.normalization for same in by_query.values() for generation_ in same[1:]}
    lasting = {"", *absolute_words(connection, earlier)}
    return {
        query: [generation_.id for n, generation_ in enumerate(same) if not n or generation_.normalization in lasting]
        for query, same in by_query.items()
    }


def on_former_grids(connection: sa.Connection, queries: Iterable[Question]) -> dict[Question, list[int]]:
    """Find the series in which buckets of each query are kept that start elsewhere; absent for none."""
    by_digest, ids = {query.digest: query for query in queries}, defaultdict(list)
    for series_id, digest in connection.execute(_FORMER):
        if digest in by_digest:
            ids[by_digest[digest]].append(series_id)
    return dict(ids)


def several(connection: sa.Connection, as_of: datetime | None = None) -> dict[int, list[Generation]]:
    """Find the queries with more than one series: those in force, newest first, by the id that labels point to.

    With *as_of* those that were in force then; the key is still the id that labels point to now.
    """
    by_question = _grouped(_SEVERAL.rows(connection, {}))
    return {
        generation_.id: in_force(same, as_of)
        for same in by_question.values()
        for generation_ in same
        if generation_.labelled
    }


def unit_changes(connection: sa.Connection, queries: Iterable[Question]) -> list[UnitChange]:
    """List where the unit or normalization of *queries* changed, and what is proposed; by query, in order of time.

    A change is left out if no bucket has a value in the earlier unit.
    """
    by_digest = {query.digest: query for query in queries}
    by_query = of_queries(connection, by_digest.values())
    proposed: dict[Question, list[Any]] = defaultdict(list)
    for row in connection.execute(_PROPOSED):
        if row.digest in by_digest:
            proposed[by_digest[row.digest]].append(row)
    changes = []
    for query, same in by_query.items():
        for old, new in pairwise(reversed(same)):
            if same_measure(old.measure, new.measure) or not new.since:
                continue
            if _is_shown(connection, old.id, new.id):
                changes.append(_change(query, old.measure, new.measure, new.since, in_force=True))
        for row in proposed[query]:
            measure = row.normalization, row.unit
            if row.id != same[0].id:
                changes.append(_change(query, same[0].measure, measure, row.proposed_at, in_force=False))
    return changes


def _is_shown(connection: sa.Connection, old_id: int, new_id: int) -> bool:
    """Return whether a bucket of the older series counts, because the newer one has none there."""
    old, new = points.alias("old"), points.alias("new")
    covered = sa.exists().where(new.c.series_id == new_id, new.c.timestamp == old.c.timestamp).correlate(old)
    shown = sa.select(old.c.series_id).where(old.c.series_id == old_id, ~covered).limit(1)
    return connection.execute(shown).first() is not None


def _change(query: Question, old: Measure, new: Measure, moment: datetime, *, in_force: bool) -> UnitChange:
    return UnitChange(query, described(old, new), described(new, old), moment, in_force)


_PREFIX = f"normalization:{model.DATASET}:"


def verdict_key(verdict: Verdict) -> str:
    """Return the key of a verdict in the table `state`."""
    return _PREFIX + model.spelling_free(verdict.name)


def list_verdicts(connection: sa.Connection) -> list[Verdict]:
    """List the verdicts, by name."""
    select = (
        sa.select(state_table.c.value)
        .where(state_table.c.key.startswith(_PREFIX, autoescape=True))
        .order_by(state_table.c.key)
    )
    return [load(text) for text in connection.execute(select).scalars()]


def absolute_words(connection: sa.Connection, words: Iterable[str]) -> set[str]:
    """Find those of *words* whose values compare across answers: the known ones, and those that were judged so."""
    wanted = {word for word in words if word}
    absolute = {word for word in wanted if model.is_absolute(word)}
    unknown = {word for word in wanted - absolute if not model.is_known(word)}
    if unknown:
        judged = {model.spelling_free(verdict.name) for verdict in list_verdicts(connection) if verdict.is_absolute}
        absolute |= {word for word in unknown if model.spelling_free(word) in judged}
    return absolute


_USUAL = ("*",)
_UNIT_KEY = "unit_names:{}"


def read_unit_names(connection: sa.Connection, unit: str) -> tuple[str, ...]:
    """Return the names that the newest answer gave *unit*, `*` unless others are on record."""
    text = sql.get_state(connection, _UNIT_KEY.format(spelling_free(unit)))
    return tuple(json.loads(text)) if text else _USUAL


def write_unit_names(connection: sa.Connection, unit: str, names: Sequence[str]) -> None:
    """Store the names of *unit*, if they have changed."""
    if read_unit_names(connection, unit) != tuple(names):
        sql.put_state(connection, _UNIT_KEY.format(spelling_free(unit)), json.dumps(list(names), ensure_ascii=False))
