"""Engines, and the transactions on them.

SQLite: one connection writes, in WAL with synchronous=FULL, for before 3.51.3 two that write can damage a WAL file, and
NORMAL loses acknowledged commits when the power fails; any number of others read. Postgres: what a session could have
set is set anew in every transaction, see session.

A transaction that writes runs from begin to commit in a thread: changing threads, or waiting on a socket, for each of
its statements costs several times the statements. So does one that answers a question from history. Other reading is
asynchronous, so that an export flows.
"""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from collector.store.db import session
from collector.store.db.group_commit import Alike, Units, all_finished, finished, in_thread
from collector.store.db.translate_errors import boundary, may_succeed, was_cut
from collector.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from collector.store.db.group_commit import Unit, Work
    from collector.store.db.location import Location

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long to wait for a lock that another program holds."""
_FROZEN = timedelta(seconds=10)
"""A transaction that writes waits for nothing, and computes for a second or two where a large answer is compared: one
that is silent for so long is a frozen process's, and is ended."""
_ATTEMPTS = 5
_LONGEST_PAUSE = 0.2
_READERS = 4
_WRITERS = 8
"""Transactions under way at once on Postgres; on SQLite it is one."""
_TOGETHER = 32
"""Units of work that may share a transaction on SQLite, and those that are alike on either; others would wait for each
other's locks on Postgres."""
_SQLITE: dict[str, Any] = {
    "connect_args": {"isolation_level": None, "timeout": BUSY_SECONDS},
    "hide_parameters": True,
}
_PRAGMAS = "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA trusted_schema = OFF"
_READING_PRAGMAS = "PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF"
_POSTGRES_DEFAULTS = {
    "connect_timeout": 5,
    "prepare_threshold": None,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def sqlite_writer(path: Path) -> sa.Engine:
    """Open an existing SQLite file with the one connection that writes."""
    engine = sa.create_engine(_file(path, "sqlite", "rw"), pool_size=1, max_overflow=0, **_SQLITE)
    return _prepared(engine, _PRAGMAS, "BEGIN IMMEDIATE")


def sqlite_reader(path: Path, *, immutable: bool = False) -> AsyncEngine:
    """Open an existing SQLite file with several connections that cannot write; *immutable* as in side_files.uri."""
    url = _file(path, "sqlite+aiosqlite", "ro", immutable=immutable)
    engine = create_async_engine(url, pool_size=_READERS, max_overflow=-1, **_SQLITE)
    _prepared(engine.sync_engine, _READING_PRAGMAS, "BEGIN")
    return engine


def sqlite_quick_reader(path: Path, *, immutable: bool = False) -> sa.Engine:
    """Open an existing SQLite file as `sqlite_reader` does, for use in threads."""
    engine = sa.create_engine(
        _file(path, "sqlite", "ro", immutable=immutable), pool_size=_READERS, max_overflow=0, **_SQLITE
    )
    return _prepared(engine, _READING_PRAGMAS, "BEGIN")


def _file(path: Path, driver: str, mode: str, *, immutable: bool = False) -> sa.URL:
    query = {"mode": mode, "uri": "true"} | ({"immutable": "1"} if immutable else {})
    return sa.URL.create(driver, database=f"file:{quote(str(path))}", query=query)


def _prepared(engine: sa.Engine, pragmas: tuple[str, ...], begin: str) -> sa.Engine:
    sa.event.listen(engine, "connect", lambda connection, _record: _run(connection, pragmas))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _run(connection: Any, statements: tuple[str, ...]) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def postgres_engines(location: Location, *, writes: bool) -> tuple[sa.Engine, AsyncEngine]:
    """Open a Postgres database to write and to read, also behind a pooler of transactions.

    What *writes* raises StoreUnfit as soon as it connects to a database that cannot hold every text.
    """
    url = location.url
    defaults = {key: value for key, value in _POSTGRES_DEFAULTS.items() if key not in url.query}
    options: dict[str, Any] = {
        "connect_args": defaults | session.CONNECT,
        "isolation_level": "AUTOCOMMIT",  # else the driver begins, in a round trip of its own
        "max_overflow": -1,
        "hide_parameters": True,
        "use_native_hstore": False,  # else three round trips on every connection
    }
    writer, reader = sa.create_engine(url, **options), create_async_engine(url, pool_pre_ping=True, **options)
    for engine in (writer, reader.sync_engine):
        engine.dialect.use_insertmanyvalues_wo_returning = True
        sa.event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(conn.get_execution_options()["begin"]))
        if writes:
            sa.event.listen(engine, "connect", lambda connection, _record: session.check_encoding(connection, location))
    begins = session.begin_to_write(_busy(), _FROZEN), session.begin_to_read(_busy())
    return writer.execution_options(begin=begins[0]), reader.execution_options(begin=begins[1])


def _busy() -> timedelta:
    return timedelta(seconds=BUSY_SECONDS)


@contextmanager
def _begun(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Begin a transaction, anew where the connection was found broken: nothing has been done in it yet."""
    with engine.connect() as connection:
        try:
            transaction = connection.begin()
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
            transaction = connection.begin()
        with transaction:
            yield connection


class Database:
    """The engines of one store: `write` and `read` are its units of work."""

    def __init__(self, location: Location, *, writes: bool, immutable: bool = False) -> None:
        self.location = location
        self._writes = writes
        self._immutable = immutable
        self._identity = self._identify(location.path) if location.path else None
        threads, together = (1, _TOGETHER) if location.path else (_WRITERS, 1)
        self._units = Units(self._transact, threads=threads, together=together)
        self._ledger = self._saves = self._units
        if not location.path:
            self._ledger = Units(self._transact, threads=1, together=_TOGETHER)
            self._saves = Units(self._transact, threads=1, together=_TOGETHER)
        self._reading = ThreadPoolExecutor(_READERS, "history")
        if location.path:
            self._writer, self._reader = sqlite_writer(location.path), sqlite_reader(location.path, immutable=immutable)
            self._quick_reader = sqlite_quick_reader(location.path, immutable=immutable)
        else:
            self._writer, self._reader = postgres_engines(location, writes=writes)
            self._quick_reader = self._writer.execution_options(begin=session.begin_to_read(_busy()))

    def belong_to(self, name: str, lease: timedelta) -> None:
        """Let what this process writes to Postgres bear a *name*, and end well before its *lease*, should it freeze."""
        if not self.location.path:
            begin = session.begin_to_write(_busy(), min(_FROZEN, lease / 2), name)
            self._writer = self._writer.execution_options(begin=begin)

    async def close(self) -> None:
        """Close all connections."""
        await self._reader.dispose()
        await in_thread(self._reading, self._quick_reader.dispose)
        for units in {self._ledger, self._saves} - {self._units}:
            await units.close(lambda: None)
        await self._units.close(self._writer.dispose)
        self._reading.shutdown()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that sees one state of the store and changes nothing."""
        with boundary(self.location):
            self._check_file()
            async with self._reader.connect() as connection, connection.begin():
                yield connection
            self._check_unchanged()

    async def read_in_thread(self, work: Work[T]) -> T:
        """Do *work*, many short statements that see one state of the store and change nothing, in one thread."""
        with boundary(self.location):
            return await in_thread(self._reading, self._see, work)

    def _see(self, work: Work[T]) -> T:
        self._check_file()
        with _begun(self._quick_reader) as connection:
            found = finished(work, connection)
        self._check_unchanged()
        return found

    async def write(self, work: Work[T] | Alike[T], *, repeatable: bool = True) -> T:
        """Do *work* in one transaction, again where it only lost against another one.

        Units that are alike and wait at the same time are done at once.

        *repeatable*: the work finds out by itself that it was done already, so it may also be done again when the
        connection broke and nobody knows whether the commit arrived.
        """
        units = self._saves if isinstance(work, Alike) else self._units
        return await self._write(units, work, repeatable=repeatable)

    async def enter(self, work: Work[T] | Alike[T]) -> T:
        """Do *work*, an entry in the ledger of requests, whose writers would only wait for each other: they take turns.

        It is not done again where nobody knows whether it was done.
        """
        return await self._write(self._ledger, work, repeatable=False)

    async def _write(self, units: Units, work: Work[T] | Alike[T], *, repeatable: bool) -> T:
        if not self._writes:
            raise StoreUnavailable(f"the store {self.location} was opened for reading only")
        attempts = range(1, _ATTEMPTS + 1)
        with boundary(self.location):
            for attempt in attempts:
                try:
                    return await units.do(work)
                except sa.exc.DBAPIError as error:
                    again = may_succeed(error) or (repeatable and was_cut(error))
                    if not again or attempt == _ATTEMPTS:
                        raise
                    await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE) * attempt)  # noqa: S311 - no secret
        raise AssertionError("the last attempt returns or raises")

    def _transact(self, works: Sequence[Unit]) -> list[Any]:
        self._check_file()
        with _begun(self._writer) as connection:
            self._check_file()  # once more, for the wait may have been long
            return all_finished(works, connection)

    def _identify(self, path: Path) -> tuple[int, ...]:
        status = path.stat()
        return (status.st_ino, status.st_size, status.st_mtime_ns) if self._immutable else (status.st_ino,)

    def _check_file(self) -> None:
        """What is written to a file that was deleted is lost as soon as it is closed."""
        path = self.location.path
        if path and (not path.exists() or self._identify(path) != self._identity):
            raise StoreUnavailable(f"the store {path} was deleted or replaced while it was open")

    def _check_unchanged(self) -> None:
        """SQLite takes no lock on what is read as immutable, so that a change meanwhile may have been half seen."""
        path = self.location.path
        if self._immutable and path and (not path.exists() or self._identify(path) != self._identity):
            raise StoreUnavailable(f"the store {path} was changed while it was read: repeat the command")
