"""Fold coverage when its buckets are final, and change folded rows when points, revisions or series are deleted.

read: sets of one period   →   decide: which answers join without a hole (pure)   →   write: one row for many

A period has 96 buckets, so that a row of content fills a good part of a page. It is folded once, when all its buckets
are final and no answer under way can be compared with its answers any more. Few answers, those that prove a gap, and
those that reach as far as the newest one of their set stay as they are.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.model import Normalization
from collector.rules.finality import DEFAULT_SETTLE
from collector.store.checksums import CHECKSUMS, microseconds
from collector.store.db import sql
from collector.store.db.column_types import epoch
from collector.store.db.schema import (
    absences,
    answers,
    fetches,
    folded_answers,
    series,
    series_ranges,
    series_set_members,
)
from collector.store.series import coverage, folds
from collector.store.series.coverage import CoverageRow
from collector.store.series.folds import FoldedAnswer
from collector.timestamps import from_epoch, rfc3339, utc

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from collector.store.series.folds import FoldedRow

CONSIDERED_KEY = "fetches_considered"
"""The key in the table `state` of the fetches that `prune` has considered."""
_FOLDED_KEY = "folded:{}"
"""The key of the end of the periods that are folded, by interval."""
_BUCKETS = 96
_FEWEST = 8
"""Fewer answers are not folded, because a row of their own costs as much."""
_MARGIN = timedelta(days=1)
_COMPARED = timedelta(days=2)
"""An answer that came longer ago is not compared with one under way."""
_ABSOLUTE = [normalization.value for normalization in Normalization]


class Period(NamedTuple):
    """The windows of an interval that end in (start, end], in epoch seconds, and the sets that have many of them."""

    interval: AggInterval
    start: int
    end: int
    set_ids: tuple[int, ...]


class FoldableAnswer(NamedTuple):
    """A row of `answers`, with its own checksum."""

    answer: FoldedAnswer
    checksum: int


def next_period(connection: sa.Connection, now: datetime) -> Period | None:
    """Return the first final period that is not folded; None if there is none. Its sets may be none at the end."""
    if connection.execute(sa.select(series_ranges.c.series_id).limit(1)).first():
        return None  # because they become rows of `answers` first
    for interval in AggInterval:
        length = _BUCKETS * interval.seconds
        until = int((now - _settle(connection, interval) - _MARGIN).timestamp()) // length * length
        if period := _next_of(connection, interval, length, until):
            return period
    return None


def _settle(connection: sa.Connection, interval: AggInterval) -> timedelta:
    longest = sa.select(sa.func.max(series.c.settle)).where(series.c.agg_interval == interval.value)
    return timedelta(seconds=max(connection.execute(longest).scalar() or 0, DEFAULT_SETTLE))


def _next_of(connection: sa.Connection, interval: AggInterval, length: int, until: int) -> Period | None:
    text = sql.get_state(connection, _FOLDED_KEY.format(interval.value))
    start = int(utc(text).timestamp()) if text else 0
    if start >= until:
        return None
    while start < until:
        first = connection.execute(_first_end(interval, start)).scalar()
        if first is None or first > until:
            break
        start = (first - 1) // length * length
        end = start + length
        if set_ids := list(connection.execute(_sets_with_many(interval, start, end)).scalars()):
            return Period(interval, start, end, tuple(set_ids))
        start = end
    return Period(interval, until, until, ())


def _sets(interval: AggInterval) -> sa.Select[Any]:
    """Select the sets of series of an interval whose values compare across answers."""
    member = series_set_members.c
    select = sa.select(member.set_id).distinct().join(series, series.c.id == member.series_id)
    return select.where(series.c.agg_interval == interval.value, series.c.normalization.in_(_ABSOLUTE))


def _first_end(interval: AggInterval, after: int) -> Any:
    sets = _sets(interval).subquery()
    first = sa.select(sa.func.min(answers.c.end))
    first = first.where(answers.c.set_id == sets.c.set_id, answers.c.end > from_epoch(after))
    return sa.select(epoch(sa.func.min(first.scalar_subquery()))).select_from(sets)


def _sets_with_many(interval: AggInterval, start: int, end: int) -> sa.Select[Any]:
    within = answers.c.set_id.in_(_sets(interval)), *_ends_in(start, end)
    select = sa.select(answers.c.set_id).where(*within).group_by(answers.c.set_id)
    return select.having(sa.func.count() >= _FEWEST).order_by(answers.c.set_id)


def _ends_in(start: int, end: int) -> list[sa.ColumnElement[bool]]:
    return [answers.c.end > from_epoch(start), answers.c.end <= from_epoch(end)]


def fold(connection: sa.Connection, period: Period, set_ids: Sequence[int], now: datetime) -> int:
    """Fold what some sets have in a period. Returns how many rows of `answers` are folded."""
    coverage.lock(connection)
    count, first = 0, None
    for set_id in set_ids:
        for joined in runs(_foldable(connection, set_id, period, now)):
            rows = [each.answer for each in joined]
            folds.add(connection, set_id, rows, sum(each.checksum for each in joined))
            _delete(connection, set_id, rows)
            count += len(rows)
            first = min([row.fetch_id for row in rows] + ([] if first is None else [first]))
    if first is not None:
        _consider_again_from(connection, first)
    return count


def _foldable(connection: sa.Connection, set_id: int, period: Period, now: datetime) -> list[FoldableAnswer]:
    newest = sa.select(sa.func.max(answers.c.end)).where(answers.c.set_id == set_id, answers.c.overruled.is_(None))
    proves = sa.exists().where(absences.c.fetch_id == answers.c.fetch_id)
    columns = (answers.c.fetch_id, epoch(answers.c.start), epoch(answers.c.end), answers.c.start_time)
    rest = (answers.c.end_time, answers.c.overruled, fetches.c.finished_at, fetches.c.last_updated)
    select = sa.select(*columns, *rest, fetches.c.confidence_level, answers.c.checksum)
    select = select.join(fetches, fetches.c.id == answers.c.fetch_id).where(answers.c.set_id == set_id)
    select = select.where(*_ends_in(period.start, period.end), answers.c.end != newest.scalar_subquery(), ~proves)
    came = fetches.c.outcome == "ok", fetches.c.finished_at <= now - _COMPARED, fetches.c.last_updated.is_not(None)
    return [
        FoldableAnswer(
            FoldedAnswer(
                fetch_id,
                start,
                end,
                _micros(start_time),
                _micros(end_time),
                bool(overruled),
                microseconds(finished_at),
                microseconds(last_updated),
                level,
            ),
            checksum,
        )
        for fetch_id, start, end, start_time, end_time, overruled, finished_at, last_updated, level, checksum in (
            connection.execute(select.where(*came))
        )
    ]


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else microseconds(moment)


def runs(rows: Iterable[FoldableAnswer]) -> list[list[FoldableAnswer]]:
    """Return the rows whose windows join without a hole, if there are enough of them."""
    joined: list[list[FoldableAnswer]] = []
    end = -1
    for row in sorted(rows, key=lambda each: each.answer.start):
        if not joined or row.answer.start > end:
            joined.append([])
            end = row.answer.end
        joined[-1].append(row)
        end = max(end, row.answer.end)
    return [run for run in joined if len(run) >= _FEWEST]


def _delete(connection: sa.Connection, set_id: int, rows: Sequence[FoldedAnswer]) -> None:
    this = answers.c.end == sa.bindparam("e"), answers.c.fetch_id == sa.bindparam("f")
    delete = sa.delete(answers).where(answers.c.set_id == set_id, *this)
    connection.execute(delete, [{"e": from_epoch(row.end), "f": row.fetch_id} for row in rows])


def _consider_again_from(connection: sa.Connection, fetch_id: int) -> None:
    """Let fetches be considered again when fetches are pruned, because one without unfolded coverage may go."""
    considered, _, cutoff = (sql.get_state(connection, CONSIDERED_KEY) or "").partition(" ")
    if cutoff and int(considered) >= fetch_id:
        sql.put_state(connection, CONSIDERED_KEY, f"{fetch_id - 1} {cutoff}")


def end_period(connection: sa.Connection, period: Period) -> None:
    """Record that a period is folded."""
    sql.put_state(connection, _FOLDED_KEY.format(period.interval.value), rfc3339(from_epoch(period.end)))


def _unfolded(row: FoldedRow, members: tuple[int, ...], answer: FoldedAnswer) -> CoverageRow:
    """Return one answer as a row of coverage, which can compute its own checksum."""
    times = answer.start, answer.end, answer.date_range
    return CoverageRow(folded_answers, row.set_id, members, answer.fetch_id, *times, 0)


def begin_at(connection: sa.Connection, series_ids: Collection[int], start: int) -> list[str]:
    """Let folded rows begin at *start*, as if their fetches had written nothing before.

    Returns a sentence for each damage. Call it before the values are deleted.
    """
    moment, damaged = from_epoch(start), []
    sets = coverage.sets_of(connection, series_ids)
    for row in folds.rows(connection, series_ids, folded_answers.c.end > moment, folded_answers.c.start < moment):
        if not row.is_intact:
            damaged.append(described(row, sets[row.set_id]))
            continue
        single = [_unfolded(row, sets[row.set_id], answer) for answer in row.answers]
        written = coverage.written(connection, single)
        now = sum(each.checksum_of(i, written) for each in single for i in each.members)
        left = [each for each in single if each.end > start]
        then = sum(each.checksum_of(i, written, max(start, each.start)) for each in left for i in each.members)
        if now % CHECKSUMS != row.checksum:
            damaged.append(described(row, sets[row.set_id]))
        kept = [each._replace(start=max(start, each.start)) for each in row.answers if each.end > start]
        folds.change(connection, row, kept, then - now)
    return damaged


def described(row: FoldedRow, members: Sequence[int]) -> str:
    """Return the sentence for a row that is not what it was."""
    owners = ", ".join(map(str, members))
    period = f"{rfc3339(from_epoch(row.start))}..{rfc3339(from_epoch(row.end))}"
    return f"what fetches brought for {period}, of series {owners}, is not what it was (checksum of folded coverage)"


def delete_before(connection: sa.Connection, series_ids: Collection[int], end: datetime) -> set[int]:
    """Delete the rows that end at *end* or earlier. Returns the fetches that had a part in them."""
    ended = folds.rows(connection, series_ids, folded_answers.c.end <= end)
    _delete_rows(connection, ended)
    return folds.fetch_ids(ended)


def _delete_rows(connection: sa.Connection, rows: Iterable[FoldedRow]) -> None:
    ids = [{"i": row.id} for row in rows]
    if ids:
        connection.execute(sa.delete(folded_answers).where(folded_answers.c.id == sa.bindparam("i")), ids)


def forget_values(connection: sa.Connection, series_id: int, keys: Collection[tuple[int, int]]) -> None:
    """Take values (fetch_id, timestamp) of a series out of the checksums. Call it before they are deleted."""
    fetch_ids = {fetch_id for fetch_id, _ in keys}
    sets = coverage.sets_of(connection, [series_id])
    for row in folds.of_fetches(connection, [series_id], fetch_ids):
        if not row.is_intact:
            continue
        single = [_unfolded(row, sets[row.set_id], each) for each in row.answers if each.fetch_id in fetch_ids]
        before = coverage.written(connection, single, series_id)
        after = {
            (i, fetch_id): [(t, value) for t, value in values if (fetch_id, t) not in keys]
            for (i, fetch_id), values in before.items()
        }
        difference = sum(each.checksum_of(series_id, after) - each.checksum_of(series_id, before) for each in single)
        if difference:
            folds.change(connection, row, None, difference)


def delete_series(connection: sa.Connection, series_ids: Collection[int]) -> None:
    """Take series out of all folded rows. Call it before their values and sets are deleted."""
    own = set(series_ids)
    sets = coverage.sets_of(connection, own)
    for row in folds.rows(connection, own):
        members = sets[row.set_id]
        if own.issuperset(members):
            _delete_rows(connection, [row])
        elif row.is_intact:
            single = [_unfolded(row, members, each) for each in row.answers]
            for series_id in own.intersection(members):
                written = coverage.written(connection, single, series_id)
                gone = sum(each.checksum_of(series_id, written) for each in single)
                folds.change(connection, row, None, -gone)
                row = row._replace(checksum=(row.checksum - gone) % CHECKSUMS)  # noqa: PLW2901 - of the next member


def damaged(connection: sa.Connection) -> list[str]:
    """Return a sentence for each folded row that is not as it was written."""
    wrong = [row for row in folds.all_rows(connection) if not row.is_intact]
    if not wrong:
        return []
    members = coverage.members_of(connection, {row.set_id for row in wrong})
    return [described(row, members.get(row.set_id, ())) for row in wrong]
