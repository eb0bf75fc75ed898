"""The address of a store, its two engines (one writes, one reads), and the meaning of their errors.

A store is at `sqlite:///FILE` or `postgresql://user:password@host/name`. SQLite: one connection writes, in WAL mode
with synchronous=FULL, because before 3.51.3 two writing connections can damage a WAL file, and NORMAL loses
acknowledged commits when the power fails. Any number of other connections read.

Postgres: every transaction sets all settings of its session, so the settings of the database, the role, the environment
and the address do not matter. They are set for one transaction only, because a pooler of transactions may run each one
in another session. One statement begins the transaction and sets them, so this costs no round trip. Settings that
cannot change an answer are not set: how a statement is planned and run (`enable_…`, `jit`, `work_mem`), what the server
logs, how words and money are formatted (`lc_…`). Settings that need a superuser are not set either: the store has no
triggers that `session_replication_role` could turn off, and its own checksums detect `zero_damaged_pages`.

An error of a driver becomes a StoreError: a sentence about the store, without its password.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import sqlalchemy as sa

from collector.errors import UsageError
from collector.settings.values import database_url, sqlite_path
from collector.store.errors import (
    NotAStore,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    StoreUnfit,
    ValueRejected,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BUSY_SECONDS = 5.0
"""How long to wait for a lock that another program holds."""
FROZEN = timedelta(seconds=10)
"""A writing transaction waits for nothing, and computes for a second or two when it compares a large answer. A
transaction that sends nothing for this long belongs to a frozen process, and the server ends it."""
READERS = 8
"""So many transactions read at once; streams, which hold a connection while nothing is read, are not counted."""
_SQLITE_OPTIONS: dict[str, Any] = {
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


def sqlite_engine(path: Path, *, writes: bool, immutable: bool = False) -> sa.Engine:
    """Open an existing SQLite file: with the one connection that *writes*, or with connections that cannot write.

    An *immutable* file is read without any file beside it.
    """
    query = {"mode": "rw" if writes else "ro", "uri": "true"} | ({"immutable": "1"} if immutable else {})
    url = sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
    pool = {"pool_size": 1, "max_overflow": 0} if writes else {"pool_size": READERS, "max_overflow": -1}
    engine = sa.create_engine(url, **pool, **_SQLITE_OPTIONS)
    pragmas, begin = (_PRAGMAS, "BEGIN IMMEDIATE") if writes else (_READING_PRAGMAS, "BEGIN")

    @sa.event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: Any) -> None:
        with closing(connection.cursor()) as cursor:
            for pragma in pragmas:
                cursor.execute(pragma)

    @sa.event.listens_for(engine, "begin")
    def begin_transaction(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def busy() -> timedelta:
    """Return how long to wait for a lock that another program holds."""
    return timedelta(seconds=BUSY_SECONDS)


def postgres_engines(location: Location, *, writes: bool) -> tuple[sa.Engine, sa.Engine]:
    """Open a Postgres database to write and to read, also behind a pooler of transactions.

    What *writes* raises StoreUnfit as soon as it connects to a database that cannot hold every text.
    """
    url = location.url
    defaults = {key: value for key, value in _POSTGRES_DEFAULTS.items() if key not in url.query}
    options: dict[str, Any] = {
        "connect_args": defaults | CONNECT,
        "isolation_level": "AUTOCOMMIT",  # otherwise the driver begins a transaction, in a round trip of its own
        "max_overflow": -1,
        "hide_parameters": True,
        "use_native_hstore": False,  # otherwise three round trips on every connection
    }
    engines = sa.create_engine(url, **options), sa.create_engine(url, **options)
    for engine in engines:
        engine.dialect.use_insertmanyvalues_wo_returning = True
        sa.event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(conn.get_execution_options()["begin"]))
        if writes:
            sa.event.listen(engine, "connect", lambda connection, _record: check_encoding(connection, location))
    writer, reader = engines
    writing, reading = begin_to_write(busy(), FROZEN), begin_to_read(busy())
    return writer.execution_options(begin=writing), reader.execution_options(begin=reading)


class Location(NamedTuple):
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
    address_path = path.absolute()
    if not address_path.name:
        raise UsageError(f"the store must be a file, and {address_path} is a folder")
    return Location(
        sa.URL.create("sqlite", database=str(address_path)), Path(os.path.realpath(address_path)), address_path
    )


_SQLITE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (StoreUnavailable, "is locked by another program"),
    sqlite3.SQLITE_LOCKED: (StoreUnavailable, "is locked by another program"),
    sqlite3.SQLITE_FULL: (StoreUnavailable, "cannot grow: the disk is full"),
    sqlite3.SQLITE_READONLY: (StoreUnavailable, "is read-only"),
    sqlite3.SQLITE_IOERR: (StoreUnavailable, "cannot be read or written: the disk reports an error"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnavailable, "cannot be opened"),
    sqlite3.SQLITE_PERM: (StoreUnavailable, "may not be opened by this user"),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, "is damaged"),
    sqlite3.SQLITE_NOTADB: (NotAStore, "is not a SQLite database"),
    sqlite3.SQLITE_CONSTRAINT: (ValueRejected, "refused a value"),
    sqlite3.SQLITE_MISMATCH: (ValueRejected, "refused a value"),
    sqlite3.SQLITE_TOOBIG: (ValueRejected, "refused a value"),
}
_PASSWORD = (StoreDenied, "does not accept the password")
_USER = (StoreDenied, "does not accept the user")
_DATABASE = (StoreDenied, "does not exist on that server: create the database, or name another")
_POSTGRES: dict[str, tuple[type[StoreError], str]] = {
    "22": (ValueRejected, "refused a value"),
    "23": (ValueRejected, "refused a value"),
    "XX001": (StoreCorrupt, "is damaged"),
    "XX002": (StoreCorrupt, "is damaged"),
    "42P07": (NotAStore, "holds a table of another program under the name of one of ours"),
    "42P01": (StoreUnavailable, "lacks a table"),
    "2BP01": (ValueRejected, "has something of another program that depends on a table of ours"),
    "42501": (StoreUnavailable, "does not grant this user what is needed"),
    "55P03": (StoreUnavailable, "is locked by another program"),
    "53": (StoreUnavailable, "is out of resources"),
    "57014": (StoreUnavailable, "ended a statement"),
    "25006": (StoreUnavailable, "is read-only"),
    "28": _PASSWORD,
    "3D000": _DATABASE,
}
_STANDBY = (
    StoreUnavailable,
    "is on a standby, which takes no writes: name the primary, or all servers and target_session_attrs=read-write",
)
_WORDS: tuple[tuple[re.Pattern[str], tuple[type[StoreError], str]], ...] = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"password authentication failed|no password supplied|authentication failed for user", _PASSWORD),
        (r'role "[^"]*" does not exist|is not permitted to log in|pg_hba\.conf', _USER),
        (r'database "[^"]*" does not exist', _DATABASE),
        (r"permission denied for database", (StoreDenied, "does not grant this user to connect")),
        (
            (
                r"invalid connection option|bad value for|invalid [a-z_]+ value|invalid value for parameter|"
                r"unrecognized configuration parameter|for connection option|definition of service|"
                r"could not parse network"
            ),
            (StoreDenied, "cannot be connected to with this option of its address"),
        ),
        (
            r"certificate verify failed|certificate file|server certificate for|SSL was required",
            (StoreDenied, "cannot be connected to over TLS as its address asks"),
        ),
        (r"during recovery", _STANDBY),
        (
            r"session is (not )?read-only|server is (not )?in hot standby mode",
            (StoreUnavailable, "is not on a server of the kind that target_session_attrs asks for"),
        ),
    )
)
"""A connection that is refused comes without the five characters, only with the server's or the library's words."""
UNREADABLE_VALUE = AttributeError, LookupError, TypeError, ValueError, OverflowError, OSError, sa.exc.StatementError
"""What Python raises where a stored value is not what its column may hold: SQLite reads damage back as it is."""
_AGAIN = {"40001", "40P01"}  # serialization failure, deadlock


@contextmanager
def translate_errors(location: Location) -> Iterator[None]:
    """Raise what the driver raises inside as a StoreError about *location*."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise translate(error.orig or error, location) from error
    except (sqlite3.Error, sa.exc.TimeoutError, OSError) as error:
        raise translate(error, location) from error
    except UnicodeDecodeError as error:  # from SQLite, which checks no text
        raise StoreCorrupt(f"the store {location} is damaged (a text in it is none)") from error


def translate(error: BaseException, location: Location) -> StoreError:
    """Return the StoreError for *error* of either driver."""
    kind, sentence = _meaning(error)
    if location.path and isinstance(error, OSError):
        sentence = "cannot be read or written"
    reason = location.redacted(str(error).strip().partition("\n")[0])
    return kind(f"the store {location} {sentence}" + (f" ({reason})" if reason else ""))


def _meaning(error: BaseException) -> tuple[type[StoreError], str]:
    if isinstance(error, sqlite3.Error):
        code: int = getattr(error, "sqlite_errorcode", 0)
        return _SQLITE.get(code & 0xFF, (StoreUnavailable, "cannot be used"))
    state = sqlstate(error)
    return _POSTGRES.get(state) or _POSTGRES.get(state[:2]) or _by_words(str(error))


def _by_words(text: str) -> tuple[type[StoreError], str]:
    """Return the class and the sentence of the error for a rejected connection.

    If *text* names several servers, one that may answer later decides.
    """
    attempts = re.split(r"^- host: ", text, flags=re.MULTILINE)[1:] or [text]
    meanings = [next((meaning for pattern, meaning in _WORDS if pattern.search(attempt)), None) for attempt in attempts]
    waits = [meaning for meaning in meanings if meaning is None or issubclass(meaning[0], StoreUnavailable)]
    return (waits or meanings)[0] or (StoreUnavailable, "does not answer")


def sqlstate(error: BaseException | None) -> str:
    """Return the SQLSTATE of an error of Postgres; empty if there is none."""
    return getattr(error, "sqlstate", None) or ""


def is_retryable(error: sa.exc.DBAPIError) -> bool:
    """Return whether the same transaction may succeed at once, because it only lost against another one."""
    return sqlstate(error.orig) in _AGAIN


def connection_lost(error: sa.exc.DBAPIError) -> bool:
    """Return whether the connection broke, so that the outcome of the commit is unknown."""
    return error.connection_invalidated


READ_ONE_STATE: Final = "REPEATABLE READ READ ONLY"
WRITE: Final = "READ COMMITTED READ WRITE"

CONNECT: Final = {"client_encoding": "utf8"}
"""Arguments of a connection, which override the address and `PGCLIENTENCODING`: psycopg decodes text by it."""
ENCODINGS: Final = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of a database that hold every text: SQL_ASCII holds the bytes that are written, which are UTF-8."""

_ALWAYS: Final = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",  # each double is written so that it is read back as it is
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "row_security": "off",  # a policy that would hide rows raises an error instead
    "check_function_bodies": "on",
    "exit_on_error": "off",  # otherwise a lost transaction could not be repeated
    "statement_timeout": "0",
}
_WHERE_KNOWN: Final = {
    "restrict_nonsystem_relation_kind": "",
    "transaction_timeout": "0",
    "timescaledb.max_tuples_decompressed_per_dml_transaction": "0",
}
"""Settings that some servers do not have. The last one: on a hypertable of compressed chunks, what an answer changes is
written whole, however much it is."""

_SEARCHED: Final = "array_remove(current_schemas(false), 'pg_catalog')"
_HOME: Final = (
    "(pg_identify_object('pg_catalog.pg_class'::regclass, to_regclass('schema_revision'), 0)).schema"  # if it exists
)
_SEARCH_PATH: Final = f"""set_config('search_path', '"' || replace(replace(
  array_to_string(coalesce({_HOME}, ({_SEARCHED})[1], 'public')::name || {_SEARCHED}, chr(1)),
  '"', '""'), chr(1), '","') || '"', true)"""
"""The schema of the store comes first, so that new tables are created in it. `search_path` still decides where the
store is: in the first of its schemas that has one, otherwise it is created in the first one that exists, or in
`public`. There are only calls of functions, because a subquery would be planned for every transaction."""
_DURABLE: Final = """CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
  THEN set_config('synchronous_commit', 'on', true) END"""
"""What was acknowledged survives a crash of the server, and the promotion of its synchronous standby where it has one.
`remote_apply`, which promises more, stays."""


def begin_to_read(lock_timeout: timedelta) -> str:
    """Begin a transaction that sees one state of the store; a reader may take its time."""
    settings = {"idle_in_transaction_session_timeout": "0", "lock_timeout": _milliseconds(lock_timeout)}
    return _begin(READ_ONE_STATE, settings)


def begin_to_write(lock_timeout: timedelta, frozen: timedelta, application_name: str | None = None) -> str:
    """Begin a writing transaction; the server ends it if its client sends nothing for longer than *frozen*.

    The *application_name* must not need quoting.
    """
    settings = {
        "idle_in_transaction_session_timeout": _milliseconds(frozen),
        "lock_timeout": _milliseconds(lock_timeout),
        "collector.keeps_days": "on",  # a trigger looks after the rows of days for versions that do not know them
    }
    if application_name is not None:
        settings["application_name"] = application_name
    return _begin(WRITE, settings, [_DURABLE])


def _begin(mode: str, settings: Mapping[str, str], more: Iterable[str] = ()) -> str:
    calls = [f"set_config('{name}', '{value}', true)" for name, value in {**_ALWAYS, **settings}.items()]
    known = [
        f"CASE WHEN current_setting('{name}', true) IS NOT NULL THEN set_config('{name}', '{value}', true) END"
        for name, value in _WHERE_KNOWN.items()
    ]
    return f"BEGIN ISOLATION LEVEL {mode}; SELECT " + ", ".join([*calls, *known, *more, _SEARCH_PATH])


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))


def check_encoding(connection: Any, location: Location) -> None:
    """Close a psycopg *connection* that is to write, and raise StoreUnfit, if its database cannot hold every text."""
    encoding = getattr(connection, "driver_connection", connection).info.parameter_status("server_encoding")
    if encoding and encoding not in ENCODINGS:
        connection.close()
        raise StoreUnfit(
            f"the database of the store {location} has the encoding {encoding}, which cannot hold every text:"
            " copy the store into a database made by CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
