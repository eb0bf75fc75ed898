"""Opens a store: takes the lock of a SQLite file, creates what is missing, migrates what is older."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from collector.store.db import migrate, partitioning, sqlite_file
from collector.store.db.database import Database
from collector.store.db.location import Location, locate
from collector.store.db.lock_file import LockFile, hold_lock
from collector.store.db.translate_errors import translate_errors
from collector.store.errors import SchemaTooOld

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa


class OpenStore(NamedTuple):
    """A store that is open, and on SQLite the lock of the process that writes to it."""

    database: Database
    lock: LockFile | None


@contextmanager
def open_store(url: str, *, owner: str | None, upgrade: bool, timescale: bool) -> Iterator[OpenStore]:
    """Open a store of this version's schema; the parameters and errors are those of `Store.open`."""
    location = locate(url)
    with ExitStack() as stack:
        lock = None
        if location.path and owner is not None:
            sqlite_file.make_folder(location)
            lock = stack.enter_context(hold_lock(location.path, owner, named=location.named))
            _create_missing_file(location, lock, upgrade=upgrade)
        database = stack.enter_context(_opened(location, writes=owner is not None))
        timescale = timescale and location.path is None and owner is not None
        _prepare_schema(database, upgrade=upgrade and owner is not None, timescale=timescale)
        yield OpenStore(database, lock)


@contextmanager
def open_database(url: str, *, owner: str | None) -> Iterator[Database]:
    """Open an existing store whatever its schema; *owner* as in `Store.open`."""
    location = locate(url)
    with ExitStack() as stack:
        if location.path and owner is not None and location.path.exists():
            stack.enter_context(hold_lock(location.path, owner, named=location.named))
        yield stack.enter_context(_opened(location, writes=owner is not None))


@contextmanager
def _opened(location: Location, *, writes: bool) -> Iterator[Database]:
    with ExitStack() as stack:
        immutable = bool(location.path) and stack.enter_context(sqlite_file.opened(location, writes=writes))
        database = Database(location, writes=writes, immutable=immutable)
        stack.callback(database.close)
        yield database


def _create_missing_file(location: Location, lock: LockFile, *, upgrade: bool) -> None:
    if location.path and not location.path.exists():
        if not upgrade:
            migrate.check(None)
        with translate_errors(location), sqlite_file.creating(location) as connection:
            migrate.upgrade(connection)
        lock.take_file()


def _prepare_schema(database: Database, *, upgrade: bool, timescale: bool) -> None:
    with database.read() as connection:
        revision = migrate.current(connection)
        moves = timescale and not partitioning.is_hypertable(connection)
    if revision == migrate.HEAD and not moves:
        return
    if not upgrade or migrate.is_beyond(revision):  # told before a writer connects, which may change the header
        migrate.check(revision)
        raise SchemaTooOld("the store's points are no hypertable yet: `collector db upgrade` makes them one")

    def work(connection: sa.Connection) -> None:
        migrate.upgrade(connection)
        if moves:
            partitioning.make_hypertable(connection)

    database.write_now(work)
