"""The engines of a store: one that writes and one that reads.

SQLite: one connection writes, in WAL with synchronous=FULL, for before 3.51.3 two that write can damage a WAL file, and
NORMAL loses acknowledged commits when the power fails; any number of others read. Postgres: what a session could have
set is set anew in every transaction, see session.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa

from collector.store.db import session

if TYPE_CHECKING:
    from pathlib import Path

    from collector.store.db.location import Location

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
