"""Where a store is, and its two engines: one that writes and one that reads.

A store is at `sqlite:///FILE` or `postgresql://user:password@host/name`. SQLite: one connection writes, in WAL with
synchronous=FULL. Before 3.51.3 two connections that write can damage a WAL file, and NORMAL loses acknowledged commits
when the power fails. Any number of other connections read. Postgres: every transaction sets all settings of its
session, see session.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from collector.errors import UsageError
from collector.settings.values import database_url, sqlite_path
from collector.store.db import session

BUSY_SECONDS = 5.0
"""How long to wait for a lock that another program holds."""
FROZEN = timedelta(seconds=10)
"""A transaction that writes waits for nothing, and computes for a second or two where a large answer is compared: one
that is silent for so long is a frozen process's, and is ended."""
READERS = 8
"""So many transactions read at once; streams, which hold a connection while nothing is read, are not counted."""
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
    engine = sa.create_engine(_file(path, "rw"), pool_size=1, max_overflow=0, **_SQLITE)
    return _prepared(engine, _PRAGMAS, "BEGIN IMMEDIATE")


def sqlite_reader(path: Path, *, immutable: bool = False) -> sa.Engine:
    """Open an existing SQLite file with connections that cannot write; *immutable* as in sqlite_file.uri."""
    engine = sa.create_engine(_file(path, "ro", immutable=immutable), pool_size=READERS, max_overflow=-1, **_SQLITE)
    return _prepared(engine, _READING_PRAGMAS, "BEGIN")


def busy() -> timedelta:
    """Return how long to wait for a lock that another program holds."""
    return timedelta(seconds=BUSY_SECONDS)


def _file(path: Path, mode: str, *, immutable: bool = False) -> sa.URL:
    query = {"mode": mode, "uri": "true"} | ({"immutable": "1"} if immutable else {})
    return sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)


def _prepared(engine: sa.Engine, pragmas: tuple[str, ...], begin: str) -> sa.Engine:
    sa.event.listen(engine, "connect", lambda connection, _record: _run(connection, pragmas))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _run(connection: Any, statements: tuple[str, ...]) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def postgres_engines(location: Location, *, writes: bool) -> tuple[sa.Engine, sa.Engine]:
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
    engines = sa.create_engine(url, **options), sa.create_engine(url, **options)
    for engine in engines:
        engine.dialect.use_insertmanyvalues_wo_returning = True
        sa.event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(conn.get_execution_options()["begin"]))
        if writes:
            sa.event.listen(engine, "connect", lambda connection, _record: session.check_encoding(connection, location))
    begin_to_write, begin_to_read = session.begin_to_write(busy(), FROZEN), session.begin_to_read(busy())
    return engines[0].execution_options(begin=begin_to_write), engines[1].execution_options(begin=begin_to_read)


@dataclass(frozen=True, slots=True)
class Location:
    """A store's address. As text it shows no user and no password.

    *path* is the file of a SQLite store, symbolic links followed. *named* is the path as the address has it.
    """

    url: sa.URL
    path: Path | None
    named: Path | None = None

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return "postgresql" if self.path is None else "sqlite"

    def redacted(self, text: str) -> str:
        """Take the password out of *text*."""
        for secret in (self.url.password, self.url.query.get("password")):
            if isinstance(secret, str) and secret:
                text = text.replace(secret, "***")
        return text

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        host = self.url.host or self.url.query.get("host") or "localhost"
        port = f":{self.url.port}" if self.url.port else ""
        return f"postgresql://{host}{port}/{self.url.database or ''}"


def locate(url: str) -> Location:
    """Read a store's address; UsageError for one that names neither a SQLite file nor a Postgres database."""
    try:
        checked = database_url(url)
        if checked.startswith("sqlite:"):
            return at(sqlite_path(checked))
        return Location(sa.make_url(checked).set(drivername="postgresql+psycopg"), None)
    except (sa.exc.ArgumentError, ValueError) as error:
        reason = "" if isinstance(error, sa.exc.ArgumentError) else f" ({error})"
        raise UsageError(
            f"the address of the store is refused{reason}: write sqlite:///FILE or postgresql://user:password@host/name"
        ) from None


def at(path: Path) -> Location:
    """Locate the SQLite store in the file *path*."""
    named = path.absolute()
    if not named.name:
        raise UsageError(f"the store must be a file, and {named} is a folder")
    return Location(sa.URL.create("sqlite", database=str(named)), Path(os.path.realpath(named)), named)
