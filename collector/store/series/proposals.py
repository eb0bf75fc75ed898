"""Proposals: which unit and normalization of a query is in force after an answer.

lock the query's series  →  read labels, proposals, newer answers  →  decide (pure)  →  add, propose or move labels

The first answer's unit is in force at once. Another unit is proposed by the first answer that counts, and comes into
force with the second one that was requested an hour later, unless an answer in the unit in force came in between. The
points of an answer always belong to the series of its own unit, so that nothing is mixed.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.model import Window, known_spelling, spelling_free
from collector.store.db.schema import fetches, profile_series, series
from collector.store.db.sql import upsert
from collector.store.ledger.fetches import AnswerTime, overrules
from collector.store.series import coverage
from collector.store.series.generations import described, generation, in_force, same_measure
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.model import Meta, Question
    from collector.store.ledger.fetches import ReceivedAnswer
    from collector.store.series.generations import Measure

log = logging.getLogger(__name__)

UNANSWERED = ("", "")
"""Normalization and unit of a series before the first answer."""
CONFIRMED_AFTER = timedelta(hours=1)
"""How much later than the first answer in another unit the second one must be requested."""
_LABELS_SHOWN = 3
_TICK = timedelta(microseconds=1)

# Statements of every answer are built once: building one costs several times its execution.
_COLUMNS = ("id", "digest", "label", "normalization", "unit", "created_at", "in_force_at", "proposed_at", "settle")
_ROWS = sa.select(*(series.c[name] for name in _COLUMNS)).order_by(series.c.id)
_OF_QUERIES = _ROWS.where(series.c.digest.in_(sa.bindparam("digests", expanding=True)))
_LOCKED = _OF_QUERIES.with_for_update()
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_LABELS_TO = sa.select(profile_series.c.series_id).where(profile_series.c.series_id.in_(_IDS))
_REQUESTED = sa.select(fetches.c.id, fetches.c.started_at).where(fetches.c.id.in_(_IDS))
_NEWER = sa.and_(fetches.c.last_updated >= sa.bindparam("last_updated"), fetches.c.finished_at.is_not(None))
_RIVALS = sa.union_all(*(select.where(_NEWER) for select in coverage.OF_FETCHES))


class Answered(NamedTuple):
    """An answer about *window* of a query: when it was requested and came, and its lastUpdated."""

    window: Window
    time: AnswerTime


def counting(answers: Iterable[Answered], rivals: Collection[Answered]) -> list[datetime]:
    """Choose the answers that no rival about the same buckets overrules. Returns when they were requested, ascending.

    *rivals* are the answers about the same query in other units.
    """
    return sorted(
        answer.time.asked_at
        for answer in answers
        if not any(answer.window.overlaps(rival.window) and overrules(rival.time, answer.time) for rival in rivals)
    )


def proposal(proposed_at: datetime | None, request_times: Iterable[datetime]) -> tuple[datetime | None, bool]:
    """Return since when a unit is proposed, and whether it comes into force.

    *request_times* are those, ascending, of further answers in this unit that count.
    """
    for moment in request_times:
        if proposed_at is None:
            proposed_at = moment
        elif moment >= proposed_at + CONFIRMED_AFTER:
            return proposed_at, True
    return proposed_at, False


@dataclass(slots=True)
class _Contest:
    """A query with several series, *rows*; an answer belongs to *target*, and labels point to *current*."""

    query: Question
    rows: Sequence[Any]
    target: Any
    current: Any

    def rivals(self) -> list[Any]:
        """The series in another unit than the answer."""
        return [row for row in self.rows if not same_measure(_measure(row), _measure(self.target))]

    def is_open(self) -> bool:
        """Return whether the answer can change anything."""
        return self.target.id != self.current.id or any(row.proposed_at is not None for row in self.rivals())

    def force_at(self, now: datetime) -> datetime:
        """When a series comes into force *now*: after all others, even if the clock was set back."""
        others: list[datetime] = [row.in_force_at for row in self.rows if row.in_force_at is not None]
        return max(now, *(moment + _TICK for moment in others)) if others else now


def resolve(
    connection: sa.Connection, queries: Sequence[Question], arrivals: Sequence[ReceivedAnswer]
) -> dict[Question, int]:
    """Find the series of *queries* that *arrivals* belong to, and lock them until the transaction ends.

    All arrivals have the same normalization, unit and lastUpdated. A unit that differs from a known one in case and
    blanks at most is that one; its first spelling stays. A unit or normalization that the answers do not name stays as
    it was. A series without one takes the first that is named. Labels move when another unit comes into force.
    """
    meta, now = arrivals[0].answer.meta, arrivals[0].now
    answer_measure = (known_spelling(meta.normalization), meta.unit)
    known: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(_LOCKED, {"digests": [query.digest for query in queries]}):
        known[row.digest].append(row)
    series_ids: dict[Question, int] = {}
    several: dict[Measure, list[Question]] = defaultdict(list)
    for query in queries:
        rows = known[query.digest]
        measure = as_before(answer_measure, rows) if "" in answer_measure else answer_measure
        if len(rows) == 1 and rows[0].in_force_at is not None and _is_same(rows[0], measure):
            series_ids[query] = _adopt(connection, rows[0], measure)
        elif all(_measure(row) == UNANSWERED and row.in_force_at is None for row in rows):
            series_ids[query] = _put_first_in_force(connection, query, rows, measure, now)
        else:
            several[measure].append(query)
    for measure, alike in several.items():
        contests = _contests(connection, {query: known[query.digest] for query in alike}, measure, now)
        _decide(connection, contests, arrivals)
        series_ids |= {contest.query: int(contest.target.id) for contest in contests}
    return series_ids


def measure_of(connection: sa.Connection, query: Question) -> Measure:
    """Read normalization and unit of the series of *query* that came into force last; empty words for none."""
    rows = connection.execute(_OF_QUERIES, {"digests": [query.digest]}).all()
    return as_before(UNANSWERED, rows)


class SeriesInForce(NamedTuple):
    """The series of a query that an answer would belong to, without any decision about units: *ids* are all of them.

    *is_new*: no answer has begun it yet.
    """

    id: int
    label: str
    measure: Measure
    ids: tuple[int, ...]
    is_new: bool

    def takes(self, measure: Measure) -> bool:
        """Return whether values of this normalization and unit belong to it, as far as both are named."""
        pairs = [(a, b) for a, b in zip(self.measure, measure, strict=True) if a and b]
        return self.is_new or all(spelling_free(a) == spelling_free(b) for a, b in pairs)


def measure_named(meta: Meta) -> Measure:
    """Return the normalization and unit that an answer names; empty words for none."""
    return known_spelling(meta.normalization), meta.unit


def series_in_force(
    connection: sa.Connection, queries: Sequence[Question], *, lock: bool
) -> dict[Question, SeriesInForce]:
    """Find the series that is in force for each query; absent if the store knows none. *lock*: until the end."""
    known: dict[str, list[Any]] = defaultdict(list)
    series_rows = connection.execute(_LOCKED if lock else _OF_QUERIES, {"digests": [query.digest for query in queries]})
    for row in series_rows:
        known[row.digest].append(row)
    ids = [row.id for rows in known.values() for row in rows]
    labelled = set(connection.execute(_LABELS_TO, {"ids": ids}).scalars())
    return {query: _in_force(known[query.digest], labelled) for query in queries if known[query.digest]}


def _in_force(rows: Sequence[Any], labelled: Collection[int]) -> SeriesInForce:
    by_id = {row.id: row for row in rows}
    first = by_id[in_force(generation(row, labelled=row.id in labelled) for row in rows)[0].id]
    is_new = all(_measure(row) == UNANSWERED and row.in_force_at is None for row in rows)
    return SeriesInForce(first.id, first.label, _measure(first), tuple(by_id), is_new)


def put_in_force(connection: sa.Connection, series_: SeriesInForce, measure: Measure, now: datetime) -> None:
    """Fill in the unit and normalization that a series lacks from *measure*; a new series comes into force *now*."""
    values: dict[str, Any] = {
        "normalization": series_.measure[0] or measure[0],
        "unit": series_.measure[1] or measure[1],
    }
    values |= {"in_force_at": now} if series_.is_new else {}
    connection.execute(sa.update(series).where(series.c.id == series_.id).values(values))


def as_before(measure: Measure, rows: Iterable[Any]) -> Measure:
    """Fill in what an answer does not name from the series that came into force last."""
    last = max((row for row in rows if row.in_force_at is not None), key=lambda row: row.in_force_at, default=None)
    if last is None:
        return measure
    return measure[0] or last.normalization, measure[1] or last.unit


def _is_same(row: Any, measure: Measure) -> bool:
    """Return whether *measure* is that of a series, as far as both are named."""
    before = _measure(row)
    return same_measure((before[0] or measure[0], before[1] or measure[1]), measure)


def _adopt(connection: sa.Connection, row: Any, measure: Measure) -> int:
    """Set the missing unit or normalization of a series."""
    before = _measure(row)
    complete = (before[0] or measure[0], before[1] or measure[1])
    if complete != before:
        values = {"normalization": complete[0], "unit": complete[1]}
        connection.execute(sa.update(series).where(series.c.id == row.id).values(values))
    return int(row.id)


def _measure(row: Any) -> Measure:
    return row.normalization, row.unit


def _put_first_in_force(
    connection: sa.Connection, query: Question, rows: Sequence[Any], measure: Measure, now: datetime
) -> int:
    """Put the first series of a question in force: the declared one, otherwise a new one."""
    row = rows[0] if rows else _add(connection, query, "", measure, now)
    if row.in_force_at is None:
        values = {"normalization": measure[0], "unit": measure[1], "in_force_at": now}
        connection.execute(sa.update(series).where(series.c.id == row.id).values(values))
    return int(row.id)


def _add(  # noqa: PLR0913, PLR0917 - what a series is made of
    connection: sa.Connection,
    query: Question,
    label: str,
    measure: Measure,
    now: datetime,
    settle: int | None = None,
) -> Any:
    """Add a series that is not in force. Returns its row, locked; another process may have added it just now."""
    row = row_of(query, label, measure, now) | {"settle": settle}
    insert = upsert(connection, series)
    connection.execute(insert.values(row).on_conflict_do_nothing())
    same = (series.c[name] == row[name] for name in ("digest", "normalization", "unit"))
    return connection.execute(_ROWS.where(*same).with_for_update()).one()


def row_of(query: Question, label: str, measure: Measure, now: datetime) -> dict[str, Any]:
    """Make a row of `series` without points."""
    question = dict(zip(("dataset", "dimension", "group", "agg_interval", "filters"), query.key, strict=True))
    identity = {"digest": query.digest, "normalization": measure[0], "unit": measure[1]}
    return {**question, **identity, "label": label, "points": 0, "created_at": now}


def _contests(
    connection: sa.Connection, known: Mapping[Question, Sequence[Any]], measure: Measure, now: datetime
) -> list[_Contest]:
    ids = [row.id for rows in known.values() for row in rows]
    labelled = set(connection.execute(_LABELS_TO, {"ids": ids}).scalars())
    contests = []
    for query, rows in known.items():
        by_id = {row.id: row for row in rows}
        same = in_force(generation(row, labelled=row.id in labelled) for row in rows)
        current = by_id[same[0].id]
        matching = [row for row in rows if same_measure(_measure(row), measure)]
        ranked = [by_id[generation_.id] for generation_ in same if by_id[generation_.id] in matching] + matching[::-1]
        target = ranked[0] if ranked else _add(connection, query, current.label, measure, now, current.settle)
        contest = _Contest(query, rows if ranked else [*rows, target], target, current)
        _repair(connection, contest, now)
        contests.append(contest)
    return contests


def _repair(connection: sa.Connection, contest: _Contest, now: datetime) -> None:
    """Record when the current series came into force, if a replica of an earlier version has moved the labels to it."""
    current = contest.current
    others = [row.in_force_at for row in contest.rows if row.id != current.id and row.in_force_at is not None]
    if current.in_force_at is None and all(moment < current.created_at for moment in others):
        values = {"in_force_at": current.created_at, "proposed_at": None}
    elif current.in_force_at is None or any(moment > current.in_force_at for moment in others):
        values = {"in_force_at": contest.force_at(now), "proposed_at": None}
    else:
        return
    connection.execute(sa.update(series).where(series.c.id == current.id).values(values))


@dataclass(slots=True)
class _UnitLog:
    """The labels of proposed or moved series, by (outcome, unit before, unit now): one line of the log each."""

    labels: dict[tuple[str, str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: str, contest: _Contest) -> None:
        old, new = _measure(contest.current), _measure(contest.target)
        self.labels[outcome, described(old, new), described(new, old)].append(contest.current.label)

    def log(self) -> None:
        for (outcome, before, unit), labels in self.labels.items():
            more = len(labels) - _LABELS_SHOWN
            shown = ", ".join(labels[:_LABELS_SHOWN]) + (f" and {more} more" if more > 0 else "")
            log.warning("unit", extra={"outcome": outcome, "series": shown, "before": before, "unit": unit})


def _decide(connection: sa.Connection, contests: Iterable[_Contest], arrivals: Sequence[ReceivedAnswer]) -> None:
    """Propose the unit of *arrivals*, move labels to it, or drop what was proposed against it."""
    undecided = [contest for contest in contests if contest.is_open()]
    if not undecided:
        return
    answers = _answers(connection, arrivals)
    rivals = _rivals(connection, undecided, arrivals[0].answer.meta.last_updated)
    unit_log = _UnitLog()
    for contest in undecided:
        spoken = [answer for row in contest.rivals() for answer in rivals.get(row.id, ())]
        request_times = counting(answers[contest.query], spoken)
        if request_times:
            _apply(connection, contest, request_times, arrivals[0].now, unit_log)
    unit_log.log()


def _answers(connection: sa.Connection, arrivals: Sequence[ReceivedAnswer]) -> dict[Question, list[Answered]]:
    rows = connection.execute(_REQUESTED, {"ids": [arrival.fetch_id for arrival in arrivals]})
    requested = {row.id: row.started_at for row in rows}
    answers: dict[Question, list[Answered]] = defaultdict(list)
    for arrival in arrivals:
        time = AnswerTime(requested.get(arrival.fetch_id, arrival.now), arrival.now, arrival.answer.meta.last_updated)
        for slice_ in arrival.batch.slices:
            answers[slice_.series].append(Answered(slice_.window, time))
    return answers


def _rivals(
    connection: sa.Connection, contests: Iterable[_Contest], last_updated: datetime
) -> dict[int, list[Answered]]:
    """Read the answers in other units that may overrule one with *last_updated*, by series_id; hardly ever any."""
    ids = [row.id for contest in contests for row in contest.rivals()]
    rivals: dict[int, list[Answered]] = defaultdict(list)
    for series_id, start, end, *time in connection.execute(_RIVALS, {"ids": ids, "last_updated": last_updated}):
        rivals[series_id].append(Answered(Window(from_epoch(start), from_epoch(end)), AnswerTime(*time)))
    return rivals


def _apply(
    connection: sa.Connection, contest: _Contest, request_times: Sequence[datetime], now: datetime, unit_log: _UnitLog
) -> None:
    target, ids = contest.target, [row.id for row in contest.rivals()]
    proposed = sa.and_(series.c.id.in_(ids), series.c.proposed_at < request_times[-1])
    if any(row.proposed_at is not None for row in contest.rivals()):
        connection.execute(sa.update(series).where(proposed).values(proposed_at=None))
    if target.id == contest.current.id:
        return
    proposed_at, moves = proposal(target.proposed_at, request_times)
    if not moves:
        if target.proposed_at is None:
            unit_log.add("proposed", contest)
        values = {"proposed_at": proposed_at}
    else:
        unit_log.add("moved", contest)
        values = {"proposed_at": None, "in_force_at": contest.force_at(now)}
        others = [row.id for row in contest.rows if row.id != target.id]
        move = sa.update(profile_series).where(profile_series.c.series_id.in_(others))
        connection.execute(move.values(series_id=target.id))
    connection.execute(sa.update(series).where(series.c.id == target.id).values(values))
