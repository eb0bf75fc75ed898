"""Finds damage, silent damage included, and changes nothing.

SQLite's own check sees broken pages, but not a value with a bit turned over. So what every fetch wrote is put together
again from points and revisions and compared with its checksum, and all that is kept twice is compared.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from struct import error as StructError  # noqa: N812 - it is a class
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.model import AggInterval, from_epoch, rfc3339
from collector.store.admin import verify_references
from collector.store.checksums import answered_range, checksum
from collector.store.db import migrate, sqlite_file
from collector.store.db.column_types import epoch
from collector.store.db.location import locate
from collector.store.db.schema import date_ranges, points, revisions, series
from collector.store.db.translate_errors import UNREADABLE_VALUE, translate
from collector.store.errors import StoreCorrupt
from collector.store.opening import open_database
from collector.store.series import generations, grids, snapshots
from collector.windows import merge

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from collector.store.checksums import CheckedRange
    from collector.store.db.location import Location

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
        """Note a finding once; of very many the first ones are enough."""
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
            for finding in verify_references.findings(connection):
                verified.add(finding)
            _verify_series(connection, verified)
        except sa.exc.DBAPIError as error:
            verified.add(str(translate(error.orig or error, database.location)))
        except UNREADABLE_VALUE as error:
            verified.add(f"a stored value is not what its column may hold ({error})")


def _file(connection: sa.Connection, location: Location) -> list[str]:
    """Let SQLite check its pages; Postgres has no such check that every user may call."""
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
    columns = (series.c.id, series.c.label, series.c.agg_interval, series.c.points, series.c.digest)
    for series_id, label, agg_interval, counted, digest in connection.execute(sa.select(*columns)).all():
        stored = counts.pop(series_id, 0) + (taken[series_id].points if series_id in taken else 0)
        verified.series += 1
        verified.points += stored
        if stored != counted:
            verified.add(f"{label}: points counted as they came: {counted}; stored: {stored}")
        interval, former = AggInterval(agg_interval), generations.former_offset(digest)
        edge = _A_MONDAY + (in_force[interval].seconds if former is None else former)
        _verify_one(connection, verified, series_id, (label, interval.seconds, edge))
    for series_id, stored in counts.items():
        verified.add(f"points of a series {series_id} that does not exist: {stored}")
    known = sa.select(series.c.id)
    for table in (revisions, date_ranges):
        strays = sa.select(sa.func.count()).select_from(table).where(table.c.series_id.not_in(known))
        if number := connection.execute(strays).scalar_one():
            verified.add(f"rows of {table.name} of a series that does not exist: {number}")


def _counts(connection: sa.Connection, table: sa.Table) -> dict[int, int]:
    found = connection.execute(sa.select(table.c.series_id, sa.func.count()).group_by(table.c.series_id))
    return {row[0]: row[1] for row in found}


def _verify_one(
    connection: sa.Connection, verified: VerifyResult, series_id: int, described: tuple[str, int, int]
) -> None:
    """Walk a series' values and date ranges side by side, fetch by fetch."""
    label, step, edge = described
    with (
        closing(_groups(connection, _values(series_id))) as values,
        closing(_groups(connection, _ranges(series_id))) as ranges,
    ):
        for fetch_id, wrote, answered in _side_by_side(values, ranges):
            verified.checksums += len(answered)
            for finding in compare(series_id, fetch_id, wrote, answered, step, edge):
                verified.add(f"{label}: {finding}")


def _values(series_id: int) -> Any:
    """All that fetches wrote to a series: what stands, and what was replaced."""
    parts = [
        sa.select(table.c.fetch_id.label("f"), epoch(table.c.timestamp).label("t"), table.c.value.label("v")).where(
            table.c.series_id == series_id
        )
        for table in (points, revisions)
    ]
    both = sa.union_all(*parts).subquery()
    return sa.select(both).order_by(both.c.f, both.c.t)


def _ranges(series_id: int) -> Any:
    table = date_ranges.c
    columns = (table.fetch_id, epoch(table.start).label("a"), epoch(table.end), table.start_time, table.end_time)
    select = sa.select(*columns, table.checksum).where(table.series_id == series_id)
    return select.order_by(table.fetch_id, table.end)


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
    """Pair the groups of two streams that are ordered alike; either side may lack one."""
    left, right = next(values, None), next(ranges, None)
    while left or right:
        key = min(group[0] for group in (left, right) if group)
        yield key, left[1] if left and left[0] == key else [], right[1] if right and right[0] == key else []
        left = next(values, None) if left and left[0] == key else left
        right = next(ranges, None) if right and right[0] == key else right


def compare(  # noqa: PLR0913, PLR0917 - what the rows are of
    series_id: int, fetch_id: int, wrote: Sequence[Any], answered: Sequence[Any], step: int, edge: int = _A_MONDAY
) -> list[str]:
    """Say what is wrong with what one fetch *wrote* to a series, given the date ranges it *answered*.

    Buckets are *step* seconds wide, and one starts at *edge*. Both are rows of the fetch: (_, timestamp, value),
    ascending, and (_, start, end, start_time, end_time, checksum).
    """
    timestamps, values = [row[1] for row in wrote], [row[2] for row in wrote]
    found = []
    for _, start, end, start_time, end_time, kept in answered:
        first, last = bisect_left(timestamps, start), bisect_left(timestamps, end)
        head = answered_range(series_id, fetch_id, start, end, (start_time, end_time))
        if not _agrees(head, timestamps[first:last], values[first:last], kept):
            found.append(f"what fetch {fetch_id} brought for {_period(start, end)} is not what it was (checksum)")
    if any((timestamp - edge) % step for timestamp in timestamps):
        found.append(f"fetch {fetch_id} has values beside the grid of buckets")
    within = sum(
        bisect_left(timestamps, end) - bisect_left(timestamps, start)
        for start, end in merge((start, end) for _, start, end, *_ in answered)
    )
    if within != len(timestamps):
        found.append(f"values said to be from fetch {fetch_id}, which brought none there: {len(timestamps) - within}")
    return found


def _agrees(answered: CheckedRange, timestamps: Sequence[int], values: Sequence[float], kept: int) -> bool:
    try:
        return checksum(answered, timestamps, values) == kept
    except (StructError, TypeError):  # a damaged record may hold text, or nothing, instead of a number
        return False


def _period(start: int, end: int) -> str:
    try:
        return f"{rfc3339(from_epoch(start))}..{rfc3339(from_epoch(end))}"
    except (OverflowError, ValueError, OSError):
        return f"{start}..{end}"
