"""Coverage: the buckets that each fetch answered, with the checksums of what it wrote there.

A fetch has one row in `answers` for all series that it answered over the same window, because in live use each fire is
one request for a new bucket of all series. A row's checksum is the sum of one checksum for each series, so that a
series can leave it. Versions before schema 0011 wrote a row for each series, now in `series_ranges`: `regroup` moves
them to `answers`, some at a time. When buckets are final, `folding` makes one row of many, see
`folds`. Reads use the view `date_ranges`, which has a row for each series, or `unfolded_ranges`, without folded rows.
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from collector.store.checksums import CHECKSUMS, answered_range, checksum
from collector.store.db.column_types import epoch
from collector.store.db.driver_select import DriverSelect
from collector.store.db.schema import (
    answers,
    fetches,
    folded_answers,
    points,
    revisions,
    series_ranges,
    series_set_members,
    series_sets,
)
from collector.store.db.sql import COVERAGE, advisory_lock, upsert
from collector.store.ledger import fetches as ledger
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    DateRange = tuple[datetime | None, datetime | None]
    Written = Mapping[tuple[int, int], Sequence[tuple[int, float]]]

_MOVED_AT_ONCE = 1_000
_INSERT = sa.insert(answers)
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_SETS = DriverSelect(sa.select(series_sets.c.digest, series_sets.c.id).where(series_sets.c.digest.in_(_IDS)))
_MEMBERS = sa.select(series_set_members).where(series_set_members.c.set_id.in_(_IDS))


def _from_fetches(table: sa.Table, series_id: sa.Column[int]) -> sa.Select[Any]:
    columns = series_id, epoch(table.c.start), epoch(table.c.end)
    times = fetches.c.started_at, fetches.c.finished_at, fetches.c.last_updated
    return sa.select(*columns, *times).join_from(fetches, table, table.c.fetch_id == fetches.c.id)


def _plus(column: sa.Column[int]) -> Any:
    return sa.literal_column(f"+{column.table.name}.{column.name}", sa.BigInteger)


_member = series_set_members.c
OF_FETCHES = (
    _from_fetches(answers, _member.series_id)
    .join(series_set_members, _member.set_id == _plus(answers.c.set_id))
    .where(_plus(_member.series_id).in_(_IDS)),
    _from_fetches(series_ranges, series_ranges.c.series_id).where(_plus(series_ranges.c.series_id).in_(_IDS)),
)
"""Two selects of (series_id, start, end, started_at, finished_at, last_updated) of the series *ids*.

A condition on `fetches` must narrow them to few. The plus keeps SQLite from reading all the answers about a series, a
growing number, for those few."""


class AnsweredWindow(NamedTuple):
    """The buckets [start, end) that a fetch answered for a series, in epoch seconds, with the API's own range.

    *checksum* is that of the range and of the values that the fetch wrote there.
    """

    series_id: int
    fetch_id: int
    start: int
    end: int
    date_range: DateRange
    checksum: int
    overruled: bool = False


def insert(connection: sa.Connection, windows: Iterable[AnsweredWindow]) -> None:
    """Record the windows that fetches answered, one row for all series of a fetch with the same window."""
    groups: dict[tuple[Any, ...], dict[int, int]] = defaultdict(dict)
    for window in windows:
        key = window.fetch_id, window.start, window.end, window.date_range, window.overruled
        groups[key][window.series_id] = window.checksum
    if not groups:
        return
    ids = _set_ids(connection, {tuple(sorted(group)) for group in groups.values()})
    rows = [
        {
            "set_id": ids[tuple(sorted(group))],
            "fetch_id": fetch_id,
            "start": from_epoch(start),
            "end": from_epoch(end),
            "start_time": date_range[0],
            "end_time": date_range[1],
            "checksum": sum(group.values()) % CHECKSUMS,
            "overruled": True if overruled else None,
        }
        for (fetch_id, start, end, date_range, overruled), group in groups.items()
    ]
    connection.execute(_INSERT, rows)


def _set_ids(connection: sa.Connection, sets: Collection[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Return the set_id of each set of series, which is added if there is none."""
    digests = {_digest(members): members for members in sets}
    known = {row.digest: row.id for row in _SETS.rows(connection, {"ids": list(digests)})}
    for digest in sorted(digests.keys() - known.keys()):
        adding = upsert(connection, series_sets).values(digest=digest).on_conflict_do_nothing()
        added = connection.execute(adding.returning(series_sets.c.id)).scalar()
        if added is None:  # another replica has added it just now
            known |= {row.digest: row.id for row in _SETS.rows(connection, {"ids": [digest]})}
        else:
            known[digest] = added
            members = [{"set_id": added, "series_id": series_id} for series_id in digests[digest]]
            connection.execute(sa.insert(series_set_members), members)
    return {members: known[digest] for digest, members in digests.items()}


def _digest(members: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, members)).encode()).hexdigest()


def lock(connection: sa.Connection) -> None:
    """Let no other transaction change or delete rows until this one ends. Rows may still be inserted.

    A change is computed from a row that was read, and a row may move to the other table.
    """
    advisory_lock(connection, COVERAGE)


def regroup(connection: sa.Connection) -> int:
    """Move some rows of `series_ranges`, those of the oldest fetches, to `answers`. Returns how many there were.

    The windows of these fetches are shortened, too, because previous versions wrote one for each position.
    """
    lock(connection)
    oldest = sa.select(series_ranges.c.fetch_id).order_by(series_ranges.c.fetch_id).limit(_MOVED_AT_ONCE)
    fetch_ids = sorted(set(connection.execute(oldest).scalars()))
    if not fetch_ids:
        return 0
    table = series_ranges.c
    moving = sa.delete(series_ranges).where(table.fetch_id >= fetch_ids[0], table.fetch_id <= fetch_ids[-1])
    columns = (table.series_id, table.fetch_id, epoch(table.start), epoch(table.end), table.start_time, table.end_time)
    moved = connection.execute(moving.returning(*columns, table.checksum, table.overruled)).all()
    insert(
        connection,
        (
            AnsweredWindow(series_id, fetch_id, start, end, (a, b), stored, bool(overruled))
            for series_id, fetch_id, start, end, a, b, stored, overruled in moved
        ),
    )
    ledger.shorten_windows(connection, fetch_ids)
    return len(moved)


class CoverageRow(NamedTuple):
    """A row of `answers`, or of `series_ranges` with one of the *members*; *owner* is its set_id or series_id."""

    table: sa.Table
    owner: int
    members: tuple[int, ...]
    fetch_id: int
    start: int
    end: int
    date_range: DateRange
    checksum: int

    def checksum_of(self, series_id: int, written: Written, start: int | None = None) -> int:
        """Return the checksum of one member over the values *written*, for a row that begins at *start*.

        It is 0 if one of them is no number, which a damaged record may hold.
        """
        first = self.start if start is None else start
        values = [pair for pair in written.get((series_id, self.fetch_id), ()) if first <= pair[0] < self.end]
        answered = answered_range(series_id, self.fetch_id, first, self.end, self.date_range)
        try:
            return checksum(answered, [timestamp for timestamp, _ in values], [value for _, value in values])
        except (struct.error, TypeError):
            return 0

    @property
    def owners(self) -> str:
        """The series, in the words of a finding."""
        return f"series {', '.join(map(str, self.members))}"


def rows(
    connection: sa.Connection, series_ids: Collection[int], where: Callable[[sa.Table], sa.ColumnElement[bool]]
) -> list[CoverageRow]:
    """Read the rows about any of some series for which *where* holds, given their table."""
    covered = []
    for table, members in _tables(connection, series_ids):
        whose = owner(table)
        columns = (whose, table.c.fetch_id, epoch(table.c.start), epoch(table.c.end))
        select = sa.select(*columns, table.c.start_time, table.c.end_time, table.c.checksum)
        for owner_id, fetch_id, start, end, *ends, stored in connection.execute(
            select.where(whose.in_(members), where(table))
        ):
            times = start, end, (ends[0], ends[1])
            kept = stored if isinstance(stored, int) else 0  # a damaged record may hold anything
            covered.append(CoverageRow(table, owner_id, members[owner_id], fetch_id, *times, kept))
    return covered


def _tables(
    connection: sa.Connection, series_ids: Collection[int]
) -> list[tuple[sa.Table, dict[int, tuple[int, ...]]]]:
    """Return both tables, each with the owners of the rows about any of some series, and with the owners' members."""
    return [(answers, sets_of(connection, series_ids)), (series_ranges, {i: (i,) for i in series_ids})]


def sets_of(connection: sa.Connection, series_ids: Collection[int]) -> dict[int, tuple[int, ...]]:
    """Return the sets that any of some series belong to, with all their members."""
    own = sa.select(series_set_members.c.set_id).where(series_set_members.c.series_id.in_(series_ids)).distinct()
    return members_of(connection, list(connection.execute(own).scalars()))


def members_of(connection: sa.Connection, set_ids: Collection[int]) -> dict[int, tuple[int, ...]]:
    """Return the members of sets."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in connection.execute(_MEMBERS, {"ids": list(set_ids)}):
        members[row.set_id].append(row.series_id)
    return {set_id: tuple(ids) for set_id, ids in members.items()}


def written(connection: sa.Connection, covered: Sequence[CoverageRow], only: int | None = None) -> Written:
    """Read what the fetches of *covered* wrote: (timestamp, value), ascending, by series_id and fetch_id.

    Only values between the first and the last bucket of all rows are read; with *only*, those of one series.
    """
    if not covered:
        return {}
    fetch_ids = {row.fetch_id for row in covered}
    ids = {only} if only is not None else {series_id for row in covered for series_id in row.members}
    first, last = from_epoch(min(row.start for row in covered)), from_epoch(max(row.end for row in covered))
    values: dict[tuple[int, int], list[tuple[int, float]]] = defaultdict(list)
    for table in (points, revisions):
        columns = (table.c.series_id, table.c.fetch_id, epoch(table.c.timestamp), table.c.value)
        inside = (table.c.series_id.in_(ids), table.c.timestamp >= first, table.c.timestamp < last)
        for series_id, fetch_id, timestamp, value in connection.execute(sa.select(*columns).where(*inside)):
            if fetch_id in fetch_ids:
                values[series_id, fetch_id].append((timestamp, value))
    for pairs in values.values():
        pairs.sort()
    return values


def update(connection: sa.Connection, changes: Iterable[tuple[CoverageRow, int, int]]) -> None:
    """Give rows another start and add a difference to their checksums: (row, start, difference)."""
    by_table: dict[sa.Table, list[dict[str, Any]]] = defaultdict(list)
    for row, start, difference in changes:
        key = {"o": row.owner, "e": from_epoch(row.end), "f": row.fetch_id}
        new = {"a": from_epoch(start), "c": (row.checksum + difference) % CHECKSUMS}
        by_table[row.table].append({**key, **new})
    for table, parameters in by_table.items():
        same = (owner(table) == sa.bindparam("o"), table.c.end == sa.bindparam("e"))
        changing = sa.update(table).where(*same, table.c.fetch_id == sa.bindparam("f"))
        connection.execute(changing.values(start=sa.bindparam("a"), checksum=sa.bindparam("c")), parameters)


def owner(table: sa.Table) -> sa.Column[int]:
    """Return the column of a table of coverage that says whose a row is: a set's, or one series'."""
    return table.c.set_id if table is answers else table.c.series_id


def delete_of_fetches(connection: sa.Connection, fetch_ids: Sequence[int]) -> None:
    """Delete what fetches answered."""
    lock(connection)
    for table in (answers, series_ranges):
        connection.execute(sa.delete(table).where(table.c.fetch_id.in_(fetch_ids)))


def delete_before(connection: sa.Connection, series_ids: Collection[int], end: datetime) -> set[int]:
    """Delete the rows that end at *end* or earlier. *series_ids* are all series of an interval.

    Returns the fetches that had such rows.
    """
    fetch_ids = set[int]()
    for table, members in _tables(connection, series_ids):
        ended = sa.delete(table).where(owner(table).in_(members), table.c.end <= end)
        fetch_ids |= set(connection.execute(ended.returning(table.c.fetch_id)).scalars())
    return fetch_ids


def first_start(connection: sa.Connection, series_ids: Collection[int]) -> datetime | None:
    """Return the first bucket that an answer covers of any of some series; None if there is no answer."""
    firsts = [
        connection.execute(sa.select(sa.func.min(table.c.start)).where(owner(table).in_(members))).scalar()
        for table, members in _tables(connection, series_ids)
    ]
    sets = list(sets_of(connection, series_ids))
    folded = sa.select(sa.func.min(folded_answers.c.start)).where(folded_answers.c.set_id.in_(sets))
    firsts.append(connection.execute(folded).scalar())
    return min((first for first in firsts if first is not None), default=None)


def delete_series(connection: sa.Connection, series_ids: Collection[int]) -> None:
    """Take series out of all rows. Call it before their values are deleted."""
    lock(connection)
    own = set(series_ids)
    connection.execute(sa.delete(series_ranges).where(series_ranges.c.series_id.in_(own)))
    sets = sets_of(connection, own)
    shared = {set_id: members for set_id, members in sets.items() if not own.issuperset(members)}
    for series_id in sorted({series_id for members in shared.values() for series_id in own & set(members)}):
        of_series = [row for row in rows(connection, [series_id], lambda _: sa.true()) if row.owner in shared]
        values = written(connection, of_series, series_id)
        update(connection, ((row, row.start, -row.checksum_of(series_id, values)) for row in of_series))
    alone = sets.keys() - shared.keys()
    connection.execute(sa.delete(answers).where(answers.c.set_id.in_(alone)))
    connection.execute(sa.delete(series_set_members).where(series_set_members.c.series_id.in_(own)))
    connection.execute(sa.delete(series_sets).where(series_sets.c.id.in_(alone)))
    for set_id, members in shared.items():  # an answer about the rest alone may have a set of its own
        digest = f"{_digest(sorted({*members} - own))} of {set_id}"
        connection.execute(sa.update(series_sets).where(series_sets.c.id == set_id).values(digest=digest))


def delete_unused_sets(connection: sa.Connection, series_ids: Collection[int]) -> int:
    """Delete the sets without an answer that any of some series, which must be locked, belong to.

    Returns their number.
    """
    used = (sa.exists().where(table.c.set_id == series_sets.c.id) for table in (answers, folded_answers))
    unused = set(connection.execute(sa.select(series_sets.c.id).where(*(~each for each in used))).scalars())
    unused = unused and unused & sets_of(connection, series_ids).keys()
    connection.execute(sa.delete(series_set_members).where(series_set_members.c.set_id.in_(unused)))
    connection.execute(sa.delete(series_sets).where(series_sets.c.id.in_(unused)))
    return len(unused)


def damaged_sets(connection: sa.Connection) -> list[str]:
    """Return a sentence for each set of series that has not the members it was made of."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in connection.execute(sa.select(series_set_members).order_by(*series_set_members.primary_key)):
        members[row.set_id].append(row.series_id)
    stored = connection.execute(sa.select(series_sets.c.id, series_sets.c.digest)).all()
    return [
        f"the set {set_id} of series has not the members that it was made of (digest)"
        for set_id, digest in stored
        if digest.partition(" ")[0] != _digest(members[set_id])
    ]
