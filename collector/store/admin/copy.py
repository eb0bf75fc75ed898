"""One store copied into another, from SQLite to Postgres or back: rows as they are, ids included.

plan: open the source for reading and one state of it, mark the target   →   do: tables in blocks   →   compare digests

A target that is not whole bears a schema revision that no collector opens. How far it got, its rows tell: a copy of an
unchanged source goes on behind them, and where the source has changed meanwhile it begins anew.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.errors import UsageError
from collector.store.admin import dump
from collector.store.admin.commands import opened
from collector.store.db import migrate, sqlite_file, state
from collector.store.db.column_types import epoch
from collector.store.db.location import Location, locate
from collector.store.db.lock_file import owning
from collector.store.db.schema import bodies, fetches, metadata, revisions
from collector.store.db.schema import points as points_table
from collector.store.db.translate_errors import boundary
from collector.store.errors import StoreDamaged, StoreRefused
from collector.store.series import snapshots
from collector.store.write import points
from collector.store.write.points import Brought

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.db.engine import Database

    Heard = Callable[[str, int, int], None]

_ROWS_AT_ONCE = 5_000
_MARK = "copying"
_ITS_OWN = ("state", "replicas")
"""Tables that no copy takes over as they are: the small facts come last, and who works on the source is not here."""
_LARGE_ROWS_AT_ONCE = 16
_GROWING = (
    "points",
    "revisions",
    "vanished",
    "date_ranges",
    "fetches",
    "fetch_profiles",
    "fires",
    "snapshot_points",
    "bodies",
)
"""Tables that are copied in blocks, in the order of their keys; the others are small and copied at once, at the end."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy brought over, and the digest that both stores have now."""

    rows: int
    digest: str


async def copy(source_url: str, target_url: str, heard: Heard = lambda _table, _done, _total: None) -> Copied:
    """Copy the store at *source_url* into an empty one, or go on with a copy that was interrupted.

    *heard* is told the table, and how many of its rows are there and are to be. UsageError where both are the same,
    StoreRefused where the target holds anything else, StoreDamaged where the copy does not say the same in the end.
    """
    source, target = locate(source_url), locate(target_url)
    if str(source) == str(target) or _same_file(source, target):
        raise UsageError(f"{target} is the store itself")
    async with (
        opened(source_url, owner=None) as origin,
        origin.read() as connection,
        _receiving(target_url) as database,
    ):
        migrate.check(await migrate.current(connection))
        state = await _state(connection)
        await _prepare(database, {"source": str(source), "state": state})
        rows = 0
        for name in _GROWING:
            rows += await _fill(connection, database, metadata.tables[name], heard)
        rows += await _fill_rest(connection, database)
        digest = await _compare(connection, database)
        await _close(connection, database)
        return Copied(rows, digest)


def _same_file(source: Location, target: Location) -> bool:
    return bool(source.path and target.path and target.path.exists() and source.path.samefile(target.path))


@asynccontextmanager
async def _receiving(url: str) -> AsyncIterator[Database]:
    """Open the target for writing, whatever its schema; a missing SQLite file is created."""
    location = locate(url)
    if location.path and not location.path.exists():
        sqlite_file.make_folder(location)
        with (
            owning(location.path, "db copy", named=location.named),
            boundary(location),
            sqlite_file.creating(location) as connection,
        ):
            await migrate.upgrade(connection)
    async with opened(url, owner="db copy") as database:
        yield database


async def _state(connection: AsyncConnection) -> str:
    """Tell one state of a source from another: whatever is written changes a count, or the newest of its kind."""
    selects: list[Any] = [sa.select(sa.func.count()).select_from(table) for table in metadata.sorted_tables]
    selects += [sa.select(sa.func.max(newest)) for newest in (fetches.c.id, fetches.c.finished_at)]
    selects.append(sa.select(sa.func.max(revisions.c.replaced_at)))
    found = [str((await connection.execute(select)).scalar()) for select in selects]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


async def _prepare(database: Database, mark: dict[str, str]) -> None:
    """Make sure that the target is empty or a copy of the same source, and mark it as unfinished."""
    async with database.read() as connection:
        revision = await migrate.current(connection)
        begun = json.loads(await state.get(connection, _MARK) or "null") if revision == migrate.COPYING else None
        empty = revision is None or (revision == migrate.HEAD and await _is_empty(connection))
    if revision not in (None, migrate.COPYING):
        migrate.check(revision)
    if begun == mark:
        return
    if not empty and (begun is None or begun["source"] != mark["source"]):
        what = f"an unfinished copy of {begun['source']}" if begun else "a store with something in it"
        raise StoreRefused(f"{database.location} is {what}: copy into an empty database, or a new file")
    await database.write(lambda connection: _begin(connection, mark))


async def _is_empty(connection: AsyncConnection) -> bool:
    tables = [table for name, table in metadata.tables.items() if name != "state"]
    found = [(await connection.execute(sa.select(sa.exists().select_from(table)))).scalar() for table in tables]
    return not any(found)


async def _begin(connection: AsyncConnection, mark: dict[str, str]) -> None:
    if await migrate.current(connection) is None:
        await migrate.upgrade(connection)
    for table in metadata.sorted_tables:
        await connection.execute(sa.delete(table))
    await migrate.stamp(connection, migrate.COPYING)
    await state.put(connection, _MARK, json.dumps(mark))


async def _fill(source: AsyncConnection, target: Database, table: sa.Table, heard: Heard) -> int:
    """Copy one table, block by block, behind the rows that are there; gives how many are there in the end."""
    total = (await source.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
    async with target.read() as connection:
        done: int = (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
    heard(table.name, done, total)
    async with aclosing(_blocks(source, table, done)) as blocks:
        async for block in blocks:
            await target.write(partial(_add, table=table, rows=block), repeatable=False)
            done += len(block)
            heard(table.name, done, total)
    return done


async def _blocks(source: AsyncConnection, table: sa.Table, done: int) -> AsyncGenerator[Sequence[Any], None]:
    columns: Any = [epoch(column) if column is points_table.c.timestamp else column for column in table.c]
    select = sa.select(*columns).order_by(*table.primary_key).offset(done)
    few = _LARGE_ROWS_AT_ONCE if table is bodies else _ROWS_AT_ONCE
    result = await source.stream(select.execution_options(yield_per=few))
    try:
        async for block in result.partitions():
            yield block
    finally:
        await result.close()


async def _add(connection: AsyncConnection, table: sa.Table, rows: Sequence[Any]) -> None:
    if table is points_table:
        runs = groupby(rows, key=itemgetter(0, 3))
        await points.insert(connection, (Brought(i, f, {t: v for _, t, v, _ in run}) for (i, f), run in runs))
    elif rows:
        await connection.execute(sa.insert(table), [dict(zip(table.c.keys(), row, strict=True)) for row in rows])


async def _fill_rest(source: AsyncConnection, target: Database) -> int:
    """Copy the small tables whole, and let numbering go on behind the highest ids."""
    names = [name for name in metadata.tables if name not in (*_GROWING, *_ITS_OWN)]
    found = {name: (await source.execute(sa.select(metadata.tables[name]))).all() for name in names}

    async def write(connection: AsyncConnection) -> None:
        for name, rows in found.items():
            table = metadata.tables[name]
            await connection.execute(sa.delete(table))
            await _add(connection, table, rows)
        if connection.dialect.name == "postgresql":
            for table in metadata.sorted_tables:
                if "id" in table.c:
                    await connection.execute(_renumber(table))

    await target.write(write)
    return sum(len(rows) for rows in found.values())


def _renumber(table: sa.Table) -> Any:
    sequence = sa.func.pg_get_serial_sequence(table.name, "id")
    highest = sa.select(sa.func.max(table.c.id)).scalar_subquery()
    return sa.select(sa.func.setval(sequence, sa.func.coalesce(highest, 1), highest.is_not(None)))


async def _compare(source: AsyncConnection, target: Database) -> str:
    """Hold the copy to the source: as many rows in every table, and the same digest."""
    digest = await dump.digest(source)
    async with target.read() as connection:
        same = digest == await dump.digest(connection) and not (await snapshots.count_wrong(connection))[1]
        for table in metadata.tables.values() if same else ():
            count = sa.select(sa.func.count()).select_from(table)
            numbers = [(await side.execute(count)).scalar_one() for side in (source, connection)]
            same = same and (table.name in _ITS_OWN or numbers[0] == numbers[1])
    if not same:
        raise StoreDamaged(f"the copy in {target.location} does not say what the store says: empty it, and copy again")
    return digest


async def _close(source: AsyncConnection, target: Database) -> None:
    """Bring over the small facts, of which the mark is one, and make the copy a store."""
    state = metadata.tables["state"]
    rows = (await source.execute(sa.select(state))).all()

    async def write(connection: AsyncConnection) -> None:
        await connection.execute(sa.delete(state))
        await _add(connection, state, rows)
        await migrate.stamp(connection, migrate.HEAD)

    await target.write(write)
