"""Copy one store into another, from SQLite to Postgres or back: rows as they are, with their ids.

plan: open the source for reading and one state of it, mark the target   →   do: tables in blocks   →   compare digests

A target that is not complete has a schema revision that no collector opens. Its rows show how far the copy got: a copy
of an unchanged source continues behind them. If the source has changed meanwhile, the copy starts again.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.errors import UsageError
from collector.store.admin import dump
from collector.store.db import migrate, sql, sqlite_file
from collector.store.db.column_types import epoch
from collector.store.db.engine import Location, locate, translate_errors
from collector.store.db.lock_file import hold_lock
from collector.store.db.schema import bodies, fetches, metadata, revisions
from collector.store.db.schema import points as points_table
from collector.store.errors import StoreCorrupt, ValueRejected
from collector.store.series import snapshots
from collector.store.store import open_database
from collector.store.write import points
from collector.store.write.points import NewPoints

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from collector.store.db.database import Database

    OnProgress = Callable[[str, int, int], None]

_ROWS_AT_ONCE = 5_000
_MARK = "copying"
_ITS_OWN = ("state", "replicas")
"""Tables that are not copied as they are: key-value pairs come last, and the processes at work on the source are not
here."""
_LARGE_ROWS_AT_ONCE = 16
_GROWING = (
    "points",
    "series_days",
    "revisions",
    "vanished",
    "answers",
    "series_ranges",
    "fetches",
    "fetch_profiles",
    "fires",
    "snapshot_points",
    "bodies",
)
"""Tables that are copied in blocks, in the order of their keys; the others are small and copied at once, at the end."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy brought over, and the digest that both stores have now."""

    rows: int
    digest: str


def copy(source_url: str, target_url: str, on_progress: OnProgress = lambda _table, _done, _total: None) -> CopyResult:
    """Copy the store at *source_url* into an empty one, or continue a copy that was interrupted.

    *on_progress* is called with the table, the number of its rows that are copied, and the number of all. Raises
    UsageError if both stores are the same, ValueRejected if the target contains anything else, StoreCorrupt if the
    digests differ at the end.
    """
    source, target = locate(source_url), locate(target_url)
    if str(source) == str(target) or _same_file(source, target):
        raise UsageError(f"{target} is the store itself")
    with (
        open_database(source_url, owner=None) as origin,
        origin.read() as connection,
        _receiving(target_url) as database,
    ):
        migrate.check(migrate.current(connection))
        state = _state(connection)
        _prepare(database, {"source": str(source), "state": state})
        rows = 0
        for name in _GROWING:
            rows += _fill(connection, database, metadata.tables[name], on_progress)
        rows += _fill_rest(connection, database)
        digest = _compare(connection, database)
        _close(connection, database)
        return CopyResult(rows, digest)


def _same_file(source: Location, target: Location) -> bool:
    return bool(source.path and target.path and target.path.exists() and source.path.samefile(target.path))


@contextmanager
def _receiving(url: str) -> Iterator[Database]:
    """Open the target for writing, whatever its schema; a missing SQLite file is created."""
    location = locate(url)
    if location.path and not location.path.exists():
        sqlite_file.make_folder(location)
        with (
            hold_lock(location.path, "db copy", named=location.named),
            translate_errors(location),
            sqlite_file.creating(location) as connection,
        ):
            migrate.upgrade(connection)
    with open_database(url, owner="db copy") as database:
        yield database


def _state(connection: sa.Connection) -> str:
    """Return a fingerprint of the source's state: every write changes a count, or the newest row of its kind."""
    selects: list[Any] = [sa.select(sa.func.count()).select_from(table) for table in metadata.sorted_tables]
    selects += [sa.select(sa.func.max(newest)) for newest in (fetches.c.id, fetches.c.finished_at)]
    selects.append(sa.select(sa.func.max(revisions.c.replaced_at)))
    counts_and_maxima = [str(connection.execute(select).scalar()) for select in selects]
    return hashlib.sha256(json.dumps(counts_and_maxima).encode()).hexdigest()


def _prepare(database: Database, mark: dict[str, str]) -> None:
    """Make sure that the target is empty or a copy of the same source, and mark it as unfinished."""
    with database.read() as connection:
        revision = migrate.current(connection)
        begun = json.loads(sql.get_state(connection, _MARK) or "null") if revision == migrate.COPYING else None
        empty = revision is None or (revision == migrate.HEAD and _is_empty(connection))
    if revision not in (None, migrate.COPYING):
        migrate.check(revision)
    if begun == mark:
        return
    if not empty and (begun is None or begun["source"] != mark["source"]):
        what = f"an unfinished copy of {begun['source']}" if begun else "a store with something in it"
        raise ValueRejected(f"{database.location} is {what}: copy into an empty database, or a new file")
    database.write_now(lambda connection: _start_copy(connection, mark))


def _is_empty(connection: sa.Connection) -> bool:
    tables = [table for name, table in metadata.tables.items() if name != "state"]
    has_rows = [connection.execute(sa.select(sa.exists().select_from(table))).scalar() for table in tables]
    return not any(has_rows)


def _start_copy(connection: sa.Connection, mark: dict[str, str]) -> None:
    if migrate.current(connection) is None:
        migrate.upgrade(connection)
    for table in metadata.sorted_tables:
        connection.execute(sa.delete(table))
    migrate.stamp(connection, migrate.COPYING)
    sql.put_state(connection, _MARK, json.dumps(mark))


def _fill(source: sa.Connection, target: Database, table: sa.Table, on_progress: OnProgress) -> int:
    """Copy one table in blocks, behind the rows that exist; returns the number of rows at the end."""
    total = source.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    with target.read() as connection:
        done: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    on_progress(table.name, done, total)
    with closing(_blocks(source, table, done)) as blocks:
        for block in blocks:
            target.write_now(partial(_add, table=table, rows=block), repeatable=False)
            done += len(block)
            on_progress(table.name, done, total)
    return done


def _blocks(source: sa.Connection, table: sa.Table, done: int) -> Generator[Sequence[Any], None, None]:
    columns: Any = [epoch(column) if column is points_table.c.timestamp else column for column in table.c]
    select = sa.select(*columns).order_by(*table.primary_key).offset(done)
    few = _LARGE_ROWS_AT_ONCE if table is bodies else _ROWS_AT_ONCE
    result = source.execute(select.execution_options(yield_per=few))
    try:
        yield from result.partitions()
    finally:
        result.close()


def _add(connection: sa.Connection, table: sa.Table, rows: Sequence[Any]) -> None:
    if table is points_table:
        runs = groupby(rows, key=itemgetter(0, 3))
        points.insert(connection, (NewPoints(i, f, {t: v for _, t, v, _ in run}) for (i, f), run in runs))
    elif rows:
        connection.execute(sa.insert(table), [dict(zip(table.c.keys(), row, strict=True)) for row in rows])


def _fill_rest(source: sa.Connection, target: Database) -> int:
    """Copy the small tables completely, and let new ids follow the highest one. Returns the number of rows."""
    names = [name for name in metadata.tables if name not in (*_GROWING, *_ITS_OWN)]
    rows_by_table = {name: source.execute(sa.select(metadata.tables[name])).all() for name in names}

    def write(connection: sa.Connection) -> None:
        for name, rows in rows_by_table.items():
            table = metadata.tables[name]
            connection.execute(sa.delete(table))
            _add(connection, table, rows)
        if connection.dialect.name == "postgresql":
            for table in metadata.sorted_tables:
                if "id" in table.c:
                    connection.execute(_renumber(table))

    target.write_now(write)
    return sum(len(rows) for rows in rows_by_table.values())


def _renumber(table: sa.Table) -> Any:
    sequence = sa.func.pg_get_serial_sequence(table.name, "id")
    highest = sa.select(sa.func.max(table.c.id)).scalar_subquery()
    return sa.select(sa.func.setval(sequence, sa.func.coalesce(highest, 1), highest.is_not(None)))


def _compare(source: sa.Connection, target: Database) -> str:
    """Hold the copy to the source: as many rows in every table, and the same digest."""
    digest = dump.digest(source)
    with target.read() as connection:
        same = digest == dump.digest(connection) and not snapshots.count_wrong(connection)[1]
        for table in metadata.tables.values() if same else ():
            count = sa.select(sa.func.count()).select_from(table)
            numbers = [side.execute(count).scalar_one() for side in (source, connection)]
            same = same and (table.name in _ITS_OWN or numbers[0] == numbers[1])
    if not same:
        raise StoreCorrupt(f"the copy in {target.location} does not say what the store says: empty it, and copy again")
    return digest


def _close(source: sa.Connection, target: Database) -> None:
    """Bring over the small facts, of which the mark is one, and make the copy a store."""
    state = metadata.tables["state"]
    rows = source.execute(sa.select(state)).all()

    def write(connection: sa.Connection) -> None:
        connection.execute(sa.delete(state))
        _add(connection, state, rows)
        migrate.stamp(connection, migrate.HEAD)

    target.write_now(write)
