"""Compaction: give the room of deleted rows back, by VACUUM. The content of the store stays as it is.

SQLite: VACUUM copies what is in use to a temporary file, and from there, in one write transaction, to the write-ahead
log. The checkpoint writes the log to the file and cuts both. Writes wait meanwhile; readers go on with the state that
they began with. If the process is killed, the store is what it was before or after VACUUM.

Postgres: VACUUM marks the room of deleted rows as free for new ones, and gives free pages at the end of a table back.
Readers and writers go on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from collector.errors import os_error_text
from collector.store.db import records
from collector.store.db.database import run_in_thread
from collector.store.db.schema import metadata
from collector.store.db.size import stored_bytes
from collector.store.errors import StoreUnavailable, TooLittleRoom

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

    from collector.store.db.database import Database

_LOG_BYTES = 8 * 2**20
"""The largest write-ahead log that stays when SQLite begins it again. Without compaction it has about 4 MiB."""
_READERS_SECONDS = 10.0
"""How long to wait for readers that still need the old pages."""
_PAUSE_SECONDS = 0.2
_MORE = 1.05
"""The log takes 24 bytes for each page of 4096, and the new file may have a few pages more than are in use now."""
_MORE_BYTES = 2**20
_ACCESS = os.W_OK | os.X_OK
_TABLES = """
SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE pg_class.oid IN (SELECT CAST(name AS regclass) FROM unnest(CAST(:tables AS text[])) AS name) ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The bytes of the store before and after.

    If it *waits_for_readers*, a reader needs the old pages of the SQLite file for longer than ten seconds. The file
    becomes small with later writes, after its end.
    """

    bytes_before: int
    bytes_after: int
    waits_for_readers: bool = False


async def compact(database: Database) -> Compacted:
    """Give the room of deleted rows back. A caller that is cancelled leaves the store as it was, or compacted.

    Raises TooLittleRoom if the disk cannot hold the copies that SQLite makes.
    """
    read_size = partial(stored_bytes, location=database.location)
    before = await database.read_in_thread(read_size)
    waits = False
    if path := database.location.path:
        await _vacuum_file(database, path)
        waits = not await _wait_for_readers(database)
    else:
        await _vacuum_tables(database)
    return Compacted(before, await database.read_in_thread(read_size), waits)


async def _vacuum_file(database: Database, path: Path) -> None:
    needed = int(await database.read_in_thread(_bytes_in_use) * _MORE) + _MORE_BYTES
    await run_in_thread(None, check_room, path, needed)
    try:
        await database.run_alone(_vacuum)
    finally:  # also after a failure, because the log may have grown in vain
        await database.run_alone(_write_log_to_file)


def _bytes_in_use(connection: sa.Connection) -> int:
    """Return the bytes of the pages that are not free, about the size of the file after VACUUM."""
    pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def check_room(path: Path, needed: int) -> None:
    """Raise TooLittleRoom unless there are *needed* bytes next to the file *path*, and as many for SQLite's copy."""
    try:
        disks = _disks((path.parent, temporary_folder()))
    except OSError as error:
        raise StoreUnavailable(f"the free room of the disk is unknown ({os_error_text(error)})") from error
    for free, folders in disks:
        if free < needed * len(folders):
            names = " and ".join(map(str, dict.fromkeys(folders)))
            raise TooLittleRoom(str(path), names, needed * len(folders), free)


def _disks(folders: Iterable[Path]) -> list[tuple[int, list[Path]]]:
    """Group *folders* by disk; returns the free bytes of each disk with its folders."""
    by_device: dict[int, list[Path]] = defaultdict(list)
    for folder in folders:
        by_device[folder.stat().st_dev].append(folder)
    return [(shutil.disk_usage(same[0]).free, same) for same in by_device.values()]


def temporary_folder() -> Path:
    """Return where SQLite puts its temporary files, https://sqlite.org/tempfiles.html#temporary_file_storage_locations."""
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - SQLite's own
    folders = (Path(name) for name in named if name)
    usable = (folder for folder in folders if folder.is_dir() and os.access(folder, _ACCESS))
    return next(usable, Path())


def _vacuum(driver: Connection) -> None:
    driver.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    driver.execute(records.DELETE_UNUSED_TEXTS)
    driver.execute("VACUUM")


async def _wait_for_readers(database: Database) -> bool:
    """Try until the file and the log are small. Returns False if a reader needs the old pages for too long."""
    last = time.monotonic() + _READERS_SECONDS
    while not await database.run_alone(_write_log_to_file):
        if time.monotonic() > last:
            return False
        await asyncio.sleep(_PAUSE_SECONDS)
    return True


def _write_log_to_file(driver: Connection) -> bool:
    """Write the log to the file and empty it, without waiting for readers. Returns whether that was possible."""
    milliseconds = driver.execute("PRAGMA busy_timeout").fetchone()[0]
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        driver.execute(f"PRAGMA busy_timeout = {milliseconds}")
    return not busy


async def _vacuum_tables(database: Database) -> None:
    names = await database.read_in_thread(_list_tables)
    warnings: list[str] = []
    for name in names:
        await database.write(partial(_check_lock, name=name))
        warnings += await database.run_alone(partial(_vacuum_table, name=name))
    if warnings:
        raise StoreUnavailable(f"the store {database.location} is compacted in part only ({warnings[0]})")


def _list_tables(connection: sa.Connection) -> list[str]:
    """Return the names of the store's tables, quoted, with their schema."""
    return list(connection.execute(sa.text(_TABLES), {"tables": list(metadata.tables)}).scalars())


def _check_lock(connection: sa.Connection, name: str) -> None:
    """Raise an error if another program locks the table for long, because VACUUM would wait without an end.

    Only a transaction can have a time-out of its own.
    """
    connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE UPDATE EXCLUSIVE MODE")


def _vacuum_table(driver: Any, name: str) -> list[str]:
    """Run VACUUM. Returns warnings: that is how the server says that it skips a table, which then is no error."""
    warnings: list[str] = []

    def note(notice: Any) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(notice.message_primary)

    driver.add_notice_handler(note)
    driver.execute(f"VACUUM {name}")
    return warnings
