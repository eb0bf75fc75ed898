"""Find damage, also silent damage, and change nothing.

SQLite's own check finds broken pages, but not a value with one wrong bit. So the values that every fetch wrote are
collected from points and revisions and compared with its checksum, and everything that is stored twice is compared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from struct import error as struct_error
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.interval import AggInterval
from collector.store.admin import agreement
from collector.store.checksums import CHECKSUMS, answered_range, checksum
from collector.store.db import migrate, schema, sqlite_file
from collector.store.db.column_types import epoch
from collector.store.db.engine import UNREADABLE_VALUE, locate, translate
from collector.store.db.schema import (
    answers,
    date_ranges,
    points,
    revisions,
    series,
    series_ranges,
    series_set_members,
)
from collector.store.errors import StoreCorrupt
from collector.store.series import coverage, days, folding, folds, generations, grids, snapshots
from collector.store.store import open_database
from collector.timestamps import from_epoch, rfc3339
from collector.windows import merge

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from collector.store.checksums import CheckedRange
    from collector.store.db.engine import Location

    Group = tuple[int, list[Any]]


_MOST = 100
_ROWS_AT_ONCE = 5_000
_A_MONDAY = 345_600


@dataclass(slots=True)
class VerifyResult:
    """How much was compared, and a sentence for each thing that is not as it was written."""

    points: int = 0
    series: int = 0
    checksums: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, finding: str) -> None:
        """Add a finding once; of very many only the first ones are kept."""
        if finding in self.findings:
            return
        if len(self.findings) < _MOST:
            self.findings.append(finding)
        elif len(self.findings) == _MOST:
            self.findings.append(f"… and more: only the first {_MOST} findings are shown")


def verify(url: str) -> VerifyResult:
    """Compare all that is stored with what was written; a StoreError where there is no store that could be read."""
    verified = VerifyResult()
    path = locate(url).path
    if path and path.is_file():
        sqlite_file.check_header(path)
    try:
        _verify(url, verified)
    except StoreCorrupt:  # SQLite cannot even end the transaction in which it found a damaged page
        if not verified.findings:
            raise
    return verified


def _verify(url: str, verified: VerifyResult) -> None:
    with open_database(url, owner=None) as database, database.read() as connection:
        for finding in _file(connection, database.location):
            verified.add(finding)
        migrate.check(migrate.current(connection))
        try:
            for finding in agreement.findings(connection):
                verified.add(finding)
            _verify_series(connection, verified)
        except sa.exc.DBAPIError as error:
            verified.add(str(translate(error.orig or error, database.location)))
        except UNREADABLE_VALUE as error:
            verified.add(f"a stored value is not what its column may hold ({error})")


def _file(connection: sa.Connection, location: Location) -> list[str]:
    """Run SQLite's check of its pages; Postgres has no such check for every user."""
    if location.path is None:
        return []
    try:
        said = connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})").scalars().all()
    except sa.exc.DBAPIError as error:
        return [str(translate(error.orig or error, location))]
    except UnicodeDecodeError:  # it quotes a damaged schema
        return ["SQLite's own check: the schema is damaged"]
    lines = (line for text in said if text != "ok" for line in str(text).splitlines())
    return [f"SQLite's own check: {line}" for line in lines if not line.startswith("*** in database")]


def _verify_series(connection: sa.Connection, verified: VerifyResult) -> None:
    counts = _counts(connection, points)
    taken = snapshots.newest(connection)
    number, findings = snapshots.count_wrong(connection)
    verified.checksums += number
    for finding in findings:
        verified.add(finding)
    in_force = grids.in_force(connection)
    shared = _SharedRows(connection)
    columns = (series.c.id, series.c.label, series.c.agg_interval, series.c.points, series.c.digest)
    for series_id, label, agg_interval, counted, digest in connection.execute(sa.select(*columns)).all():
        stored = counts.pop(series_id, 0) + (taken[series_id].points if series_id in taken else 0)
        verified.series += 1
        verified.points += stored
        if stored != counted:
            verified.add(f"{label}: points counted as they came: {counted}; stored: {stored}")
        interval, former = AggInterval(agg_interval), generations.former_offset(digest)
        edge = _A_MONDAY + (in_force[interval].seconds if former is None else former)
        _verify_one(connection, verified, series_id, (label, interval.seconds, edge), shared)
    for finding in (*shared.findings(), *days.findings(connection)):
        verified.add(finding)
    for series_id, stored in counts.items():
        verified.add(f"points of a series {series_id} that does not exist: {stored}")
    known = sa.select(series.c.id)
    for table in (revisions, date_ranges, schema.groups, schema.remainders):
        dangling = sa.select(sa.func.count()).select_from(table).where(table.c.series_id.not_in(known))
        if number := connection.execute(dangling).scalar_one():
            verified.add(f"rows of {table.name} of a series that does not exist: {number}")


def _counts(connection: sa.Connection, table: sa.Table) -> dict[int, int]:
    rows = connection.execute(sa.select(table.c.series_id, sa.func.count()).group_by(table.c.series_id))
    return {row[0]: row[1] for row in rows}


def _verify_one(
    connection: sa.Connection,
    verified: VerifyResult,
    series_id: int,
    described: tuple[str, int, int],
    shared: _SharedRows,
) -> None:
    """Walk a series' values and date ranges side by side, fetch by fetch."""
    label, step, edge = described
    with (
        closing(_groups(connection, _values(series_id))) as values,
        closing(_groups(connection, _ranges(series_id))) as unfolded,
        closing(_folded(connection, series_id)) as folded,
    ):
        ranges = _together(unfolded, folded)
        for fetch_id, wrote, answered in _side_by_side(values, ranges):
            verified.checksums += len(answered)
            rows = shared.add(series_id, fetch_id, wrote, answered)
            for finding in compare(series_id, fetch_id, wrote, rows, step, edge):
                verified.add(f"{label}: {finding}")


def _values(series_id: int) -> Any:
    """Read all values that fetches wrote to a series: the current ones and the replaced ones."""
    parts = [
        sa.select(table.c.fetch_id.label("f"), epoch(table.c.timestamp).label("t"), table.c.value.label("v")).where(
            table.c.series_id == series_id
        )
        for table in (points, revisions)
    ]
    both = sa.union_all(*parts).subquery()
    return sa.select(both).order_by(both.c.f, both.c.t)


def _ranges(series_id: int) -> Any:
    """Read the windows that fetches answered for a series, with the checksum of the row, and its set_id or NULL."""
    alone, grouped, member = series_ranges.c, answers.c, series_set_members.c
    old = sa.select(
        alone.fetch_id.label("f"),
        epoch(alone.start).label("a"),
        epoch(alone.end).label("b"),
        alone.start_time,
        alone.end_time,
        alone.checksum,
        sa.null().label("set_id"),
    ).where(alone.series_id == series_id)
    columns = (grouped.fetch_id, epoch(grouped.start), epoch(grouped.end), grouped.start_time, grouped.end_time)
    of_sets = sa.select(*columns, grouped.checksum, grouped.set_id).join_from(
        series_set_members, answers, grouped.set_id == member.set_id
    )
    both = sa.union_all(old, of_sets.where(member.series_id == series_id)).subquery()
    return sa.select(both).order_by(both.c.f, both.c.b)


def _folded(connection: sa.Connection, series_id: int) -> Generator[Group, None, None]:
    """Stream the folded answers about a series by fetch, as `_ranges` has the others, with the row instead of a set."""
    with closing(folds.answers_of(connection, series_id)) as answered:
        for fetch_id, group in groupby(answered, key=lambda each: each[1].fetch_id):
            rows = [(fetch_id, each.start, each.end, *each.date_range, None, row) for row, each in group]
            yield fetch_id, rows


def _together(unfolded: Iterator[Group], folded: Iterator[Group]) -> Iterator[Group]:
    """Merge two streams of groups in the same order."""
    for fetch_id, left, right in _side_by_side(unfolded, folded):
        yield fetch_id, [*left, *right]


class _SharedRows:
    """The rows of coverage that several series or answers share, whose checksum is the sum of one for each.

    Sums are compared by fetch, and row by row only where they differ; those of folded rows by row.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        counts = sa.select(series_set_members.c.set_id, sa.func.count()).group_by(series_set_members.c.set_id)
        self._shared = {set_id for set_id, count in connection.execute(counts) if count > 1}
        self._sums: dict[int, int] = defaultdict(int)
        self._folded: dict[int, int] = defaultdict(int)

    def add(self, series_id: int, fetch_id: int, wrote: Sequence[Any], answered: Sequence[Any]) -> list[Any]:
        """Add the checksums of what one fetch *wrote* to a series.

        Returns the rows that *answered* for `compare`: the checksum of a shared row is None.
        """
        rows = []
        for *row, stored, owner in answered:
            is_folded = isinstance(owner, folds.FoldedRow)
            is_shared = is_folded or owner in self._shared
            if is_shared:
                _, start, end, *date_range = row
                values = [each for each in wrote if start <= each[1] < end]
                head = answered_range(series_id, fetch_id, start, end, date_range)
                single = _checksum(head, [each[1] for each in values], [each[2] for each in values]) or 0
                sums, key = (self._folded, owner.id) if is_folded else (self._sums, fetch_id)
                sums[key] += single
            rows.append((*row, None if is_shared else stored))
        return rows

    def findings(self) -> Iterator[str]:
        """Return a sentence for each row that does not agree with the values of its series."""
        grouped = answers.c
        of_fetches = sa.select(grouped.fetch_id, sa.func.sum(grouped.checksum)).where(grouped.set_id.in_(self._shared))
        expected = {row[0]: int(row[1] or 0) for row in self._connection.execute(of_fetches.group_by(grouped.fetch_id))}
        for fetch_id in sorted(expected.keys() | self._sums.keys()):
            if (expected.get(fetch_id, 0) - self._sums.get(fetch_id, 0)) % CHECKSUMS:
                yield from self._differing(fetch_id)
        for row in folds.all_rows(self._connection):
            if row.is_intact and (row.checksum - self._folded.get(row.id, 0)) % CHECKSUMS:
                members = coverage.members_of(self._connection, [row.set_id])
                yield folding.described(row, members.get(row.set_id, ()))

    def _differing(self, fetch_id: int) -> Iterator[str]:
        ids = self._connection.execute(
            sa.select(series_set_members.c.series_id)
            .distinct()
            .join(answers, answers.c.set_id == series_set_members.c.set_id)
            .where(answers.c.fetch_id == fetch_id)
        )
        for row in coverage.rows(self._connection, list(ids.scalars()), lambda table: table.c.fetch_id == fetch_id):
            written = coverage.written(self._connection, [row])
            now = sum(row.checksum_of(series_id, written) for series_id in row.members)
            if len(row.members) > 1 and now % CHECKSUMS != row.checksum:
                period = _period(row.start, row.end)
                yield f"what fetch {fetch_id} brought for {period}, of {row.owners}, is not what it was (checksum)"


def _groups(connection: sa.Connection, select: Any) -> Generator[Group, None, None]:
    """Stream rows by their first column, which they are ordered by: (its value, the rows without it)."""
    result = connection.execute(select.execution_options(yield_per=_ROWS_AT_ONCE))
    held: list[Any] = []
    try:
        for block in result.partitions():
            *whole, (_, rows) = ((key, list(group)) for key, group in groupby([*held, *block], key=itemgetter(0)))
            yield from whole
            held = rows
        if held:
            yield held[0][0], held
    finally:
        result.close()


def _side_by_side(
    values: Iterator[Group], ranges: Iterator[Group]
) -> Generator[tuple[int, list[Any], list[Any]], None, None]:
    """Pair the groups of two streams in the same order; a group may be missing on either side."""
    left, right = next(values, None), next(ranges, None)
    while left or right:
        key = min(group[0] for group in (left, right) if group)
        yield key, left[1] if left and left[0] == key else [], right[1] if right and right[0] == key else []
        left = next(values, None) if left and left[0] == key else left
        right = next(ranges, None) if right and right[0] == key else right


def compare(  # noqa: PLR0913, PLR0917 - what the rows are of
    series_id: int, fetch_id: int, wrote: Sequence[Any], answered: Sequence[Any], step: int, edge: int = _A_MONDAY
) -> list[str]:
    """Return the contradictions between the points that one fetch *wrote* to a series and its date ranges.

    Buckets are *step* seconds wide, and one starts at *edge*. Both are rows of the fetch: (_, timestamp, value),
    ascending, and (_, start, end, start_time, end_time, checksum); a checksum of None is not compared.
    """
    timestamps, values = [row[1] for row in wrote], [row[2] for row in wrote]
    problems = []
    for _, start, end, start_time, end_time, kept in answered:
        first, last = bisect_left(timestamps, start), bisect_left(timestamps, end)
        head = answered_range(series_id, fetch_id, start, end, (start_time, end_time))
        if kept is not None and _checksum(head, timestamps[first:last], values[first:last]) != kept:
            problems.append(f"what fetch {fetch_id} brought for {_period(start, end)} is not what it was (checksum)")
    if any((timestamp - edge) % step for timestamp in timestamps):
        problems.append(f"fetch {fetch_id} has values beside the grid of buckets")
    within = sum(
        bisect_left(timestamps, end) - bisect_left(timestamps, start)
        for start, end in merge((start, end) for _, start, end, *_ in answered)
    )
    if within != len(timestamps):
        problems.append(
            f"values said to be from fetch {fetch_id}, which brought none there: {len(timestamps) - within}"
        )
    return problems


def _checksum(answered: CheckedRange, timestamps: Sequence[int], values: Sequence[float]) -> int | None:
    try:
        return checksum(answered, timestamps, values)
    except (struct_error, TypeError):  # a damaged record may hold text, or nothing, instead of a number
        return None


def _period(start: int, end: int) -> str:
    try:
        return f"{rfc3339(from_epoch(start))}..{rfc3339(from_epoch(end))}"
    except (OverflowError, ValueError, OSError):
        return f"{start}..{end}"
