"""The groups of a question compared with a total from another answer: which series are a pair, and what has a result.

The total is the series of the question with the same filters and interval and without a dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from collector.datasets import adds_up_over_values, dataset_of
from collector.interval import AggInterval
from collector.model import Normalization, known_spelling
from collector.rules import proof
from collector.rules.finality import DEFAULT_SETTLE, final_windows
from collector.rules.proof import CHANGED, DIFFERS, MISSING, PROVEN, UNLISTED, ProofRun
from collector.store.db.column_types import epoch
from collector.store.db.schema import proofs as table
from collector.store.db.schema import series
from collector.store.read.stored_series import StoredQuestions
from collector.store.series import evidence, proofs, remainders
from collector.store.series.generations import same_measure
from collector.store.write import points
from collector.windows import SeriesWindow, intersect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from collector.model import Question
    from collector.store.read.stored_series import StoredSeries
    from collector.windows import EpochWindow

_BUCKETS_AT_ONCE = 5_000
OVERLAP = "overlap"
"""A certificate may count in several groups."""
PERCENTAGE = "percentage"
"""Shares of all groups have no total to compare with."""
NO_TOTAL = "no_total"
"""No series has the same filters and interval and no dimension."""
UNIT = "unit"
"""The total has another unit or normalization."""


class Pair(NamedTuple):
    """The series that holds the sum of all groups of a question, and the one of the *total*."""

    sums: StoredSeries
    total: StoredSeries


def total_of(query: Question) -> Question:
    """Return the question for the total: the same filters and interval, without the dimension."""
    return replace(query, dimension="", group="", normalization="", most_groups=0)


def find_pair(connection: sa.Connection, known: StoredQuestions, query: Question) -> Pair | str:
    """Find the series to compare for *query*, or the reason why nothing can be compared."""
    if not adds_up_over_values(query, dataset_of(query).dimensions[query.dimension].name):
        return OVERLAP
    if query.normalization == Normalization.PERCENTAGE:
        return PERCENTAGE
    current = known.current([query, total_of(query)])
    if query not in current or total_of(query) not in current or current[total_of(query)].extent is None:
        return NO_TOTAL
    pair = Pair(current[query], current[total_of(query)])
    select = sa.select(series.c.id, series.c.normalization, series.c.unit)
    rows = connection.execute(select.where(series.c.id.in_([pair.sums.id, pair.total.id])))
    measures = [(row.normalization, row.unit) for row in rows]
    is_count = all(known_spelling(word) == Normalization.RAW_VALUES for word, _ in measures)
    return pair if is_count and same_measure(*measures) else UNIT


def compare(connection: sa.Connection, query: Question, after: int = 0) -> int | None:
    """Compare the first buckets of *query* from *after* on that can be compared and were not.

    Returns where to continue; None if nothing is left.
    """
    pair = find_pair(connection, StoredQuestions(connection), query)
    if isinstance(pair, str):
        return None
    proofs.lock(connection, [pair.sums.id, pair.total.id])
    before = proofs.runs_of(connection, [pair.sums.id])[pair.sums.id]
    known = [run for run, total_id in before if total_id == pair.total.id]
    divided = proof.divide(known, comparable(connection, pair))
    windows = proof.first_buckets(divided.due, after, _BUCKETS_AT_ONCE, pair.sums.step)
    runs = proof.replaced(divided.runs, _judged(connection, pair, windows), pair.sums.step) if windows else divided.runs
    proofs.write(connection, pair.sums.id, before, [(run, pair.total.id) for run in runs])
    return windows[-1][1] if windows else None


def comparable(connection: sa.Connection, pair: Pair) -> list[EpochWindow]:
    """Return the windows in which both values are final."""
    if pair.sums.extent is None or pair.total.extent is None:
        return []
    rows = evidence.read(connection, [pair.sums.id, pair.total.id])
    final = [
        intersect(final_windows(rows[stored.id], _settle(stored), stored.step), [stored.extent or (0, 0)])
        for stored in pair
    ]
    return intersect(*final)


def _settle(stored: StoredSeries) -> int:
    return DEFAULT_SETTLE if stored.settle is None else stored.settle


def _judged(connection: sa.Connection, pair: Pair, windows: Sequence[EpochWindow]) -> dict[int, str]:
    sums, totals = _values(connection, pair, windows)
    states = proof.judge(windows, pair.sums.step, sums, totals)
    differing = [timestamp for timestamp, state in states.items() if state == DIFFERS]
    if differing:
        left = remainders.read(connection, pair.sums.id, (differing[0], differing[-1] + 1))
        for timestamp in differing:  # what is left is unknown where its bound is that of the smallest group
            rest = left.get(timestamp)
            if rest and rest.other == rest.smallest and sums[timestamp] < totals[timestamp]:
                states[timestamp] = UNLISTED
    return states


def _values(
    connection: sa.Connection, pair: Pair, windows: Sequence[EpochWindow]
) -> tuple[dict[int, float], dict[int, float]]:
    """Read both values by bucket, without those that Radar no longer had."""
    spans = [SeriesWindow(stored.id, *window) for stored in pair for window in windows]
    stored, vanished = points.read_values(connection, spans), points.read_vanished(connection, spans)
    sums, totals = (
        {timestamp: value for _, timestamp, value in stored.get(i, ()) if timestamp not in vanished.get(i, ())}
        for i in (pair.sums.id, pair.total.id)
    )
    return sums, totals


def mark_reread(connection: sa.Connection, query: Question, windows: Sequence[EpochWindow], now: datetime) -> None:
    """Record that both values of *windows* were read again because they differed."""
    pair = find_pair(connection, StoredQuestions(connection), query)
    if isinstance(pair, str):
        return
    proofs.lock(connection, [pair.sums.id, pair.total.id])
    before = [row for row in proofs.runs_of(connection, [pair.sums.id])[pair.sums.id] if row[1] == pair.total.id]
    after = proof.reread([run for run, _ in before], windows, now.timestamp())
    proofs.write(connection, pair.sums.id, before, [(run, pair.total.id) for run in after])


def to_reread(
    connection: sa.Connection, known: StoredQuestions, queries: Collection[Question]
) -> dict[Question, list[EpochWindow]]:
    """Return the windows of each query that differ and were not read again since."""
    pairs = {query: find_pair(connection, known, query) for query in queries}
    sums = {query: pair.sums.id for query, pair in pairs.items() if isinstance(pair, Pair)}
    runs = proofs.runs_of(connection, sums.values()) if sums else {}
    due = {
        query: [(run.start, run.end) for run, _ in runs.get(i, ()) if run.state == DIFFERS and run.reread_at is None]
        for query, i in sums.items()
    }
    return {query: windows for query, windows in due.items() if windows}


class ProofCount(NamedTuple):
    """How many buckets of a question are proven, differ, and have a sum that cannot be compared."""

    proven: int
    differing: int
    not_comparable: int


def count(
    connection: sa.Connection, known: StoredQuestions, queries: Collection[Question]
) -> dict[Question, ProofCount]:
    """Count the stored buckets of each of *queries* by their result."""
    sums = known.current(queries)
    if not sums:
        return {}
    seconds = sa.func.sum(epoch(table.c.end) - epoch(table.c.start))
    select = sa.select(table.c.series_id, table.c.state, seconds).group_by(table.c.series_id, table.c.state)
    rows = connection.execute(select.where(table.c.series_id.in_([stored.id for stored in sums.values()])))
    numbers = {(series_id, state): int(total) for series_id, state, total in rows}
    counts = {}
    for query, stored in sums.items():
        proven, differing = (numbers.get((stored.id, state), 0) // stored.step for state in (PROVEN, DIFFERS))
        counts[query] = ProofCount(proven, differing, max(stored.points - proven - differing, 0))
    return counts


@dataclass(frozen=True, slots=True)
class QuestionProof:
    """How the groups of a question compare with the total.

    *extent* has all stored buckets. *runs* are what was compared, *comparable* where both values are final. *reason*
    says why nothing can be compared, None if something can.
    """

    extent: EpochWindow
    runs: Sequence[ProofRun] = ()
    comparable: Sequence[EpochWindow] = ()
    reason: str | None = None
    differences: Mapping[int, float] = field(default_factory=dict)
    """The sum less the total of each bucket that differs."""


def read(
    connection: sa.Connection, known: StoredQuestions, query: Question, window: EpochWindow
) -> QuestionProof | None:
    """Read the comparison of *query* for the buckets that start in *window*; None if nothing of it is stored."""
    stored = known.current([query]).get(query)
    inside = _buckets(stored, window) if stored else []
    if not inside:
        return None
    pair = find_pair(connection, known, query)
    if isinstance(pair, str):
        return QuestionProof(inside[0], reason=pair)
    runs = [
        run._replace(start=start, end=end)
        for run, total_id in proofs.runs_of(connection, [pair.sums.id])[pair.sums.id]
        for start, end in intersect([(run.start, run.end)], inside)
        if total_id == pair.total.id
    ]
    windows = [(run.start, run.end) for run in runs if run.state == DIFFERS]
    sums, totals = _values(connection, pair, windows) if windows else ({}, {})
    differences = {t: value - totals[t] for t, value in sums.items() if t in totals}
    return QuestionProof(inside[0], runs, comparable(connection, pair), None, differences)


def _buckets(stored: StoredSeries, window: EpochWindow) -> list[EpochWindow]:
    """Return the part of a series' extent whose buckets start in *window*."""
    if stored.extent is None:
        return []
    anchor, step = stored.extent[0], stored.step
    start, end = (anchor - (anchor - moment) // step * step for moment in window)
    return intersect([stored.extent], [(start, end)])


def findings(connection: sa.Connection) -> list[str]:
    """Return a sentence for each series whose stored values contradict what is kept of the comparison."""
    problems = []
    rows_of_series = connection.execute(sa.select(series.c.id, series.c.agg_interval))
    words = {row.id: row.agg_interval for row in rows_of_series}
    steps = {i: AggInterval(word).seconds for i, word in words.items() if word in list(AggInterval)}
    for series_id, rows in proofs.every_run(connection).items():
        if not {series_id, *(total_id for _, total_id in rows)} <= words.keys():
            problems.append(f"a comparison of the groups of series {series_id} with a total, one of which is not there")
            continue
        if any(run.end > later.start for (run, _), (later, _) in pairwise(rows)):
            problems.append(f"two comparisons of the groups of series {series_id} with a total in one bucket")
        if series_id not in steps:
            continue
        wrong = sum(_count_wrong(connection, series_id, run, total_id, steps[series_id]) for run, total_id in rows)
        if wrong:
            problems.append(f"buckets in which the groups of series {series_id} do not compare as is said: {wrong}")
    return problems


def _count_wrong(connection: sa.Connection, series_id: int, run: ProofRun, total_id: int, step: int) -> int:
    """Count the buckets of a run whose values do not say what it says."""
    if run.state not in {PROVEN, DIFFERS}:
        return 0 if run.state in {UNLISTED, MISSING, CHANGED} else (run.end - run.start) // step
    spans = [SeriesWindow(i, run.start, run.end) for i in (series_id, total_id)]
    stored = points.read_values(connection, spans)
    sums, totals = ({t: value for _, t, value in stored.get(i, ())} for i in (series_id, total_id))
    states = proof.judge([(run.start, run.end)], step, sums, totals)
    return sum(state != run.state for state in states.values())
