"""Settings of a Postgres session that every transaction makes itself.

So it does not matter what the database, the role, the environment or the address set. They are set in each transaction,
for that transaction only, because a pooler of transactions may give every one to another session. One statement begins
the transaction and sets them, so this costs no round trip.

What is not here cannot change an answer: how a statement is planned and run (`enable_…`, `jit`, `work_mem`), what the
server logs, how words and money are formatted (`lc_…`). Nor is what only a superuser may set: the store has no triggers
that `session_replication_role` could turn off, and `zero_damaged_pages` is found out by the store's own checksums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.store.errors import StoreUnfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from collector.store.db.engine import Location

READ_ONE_STATE: Final = "REPEATABLE READ READ ONLY"
WRITE: Final = "READ COMMITTED READ WRITE"

CONNECT: Final = {"client_encoding": "utf8"}
"""Arguments of a connection, over what the address and `PGCLIENTENCODING` say: psycopg reads text by it."""
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
    "exit_on_error": "off",  # else the transaction that lost against another one could not be tried again
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
"""The schema of the store comes first, so that what is created joins it. `search_path` still says where the store is:
in the first of its schemas that has one, else it is created in the first one that exists, or in `public`. There are
only calls of functions, because a subquery would be planned for every transaction."""
_DURABLE: Final = """CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
  THEN set_config('synchronous_commit', 'on', true) END"""
"""What was acknowledged survives a crash of the server, and the promotion of its synchronous standby where it has one.
`remote_apply`, which promises more, stays."""


def begin_to_read(lock_timeout: timedelta) -> str:
    """Begin a transaction that sees one state of the store; a reader may take its time."""
    settings = {"idle_in_transaction_session_timeout": "0", "lock_timeout": _milliseconds(lock_timeout)}
    return _begin(READ_ONE_STATE, settings)


def begin_to_write(lock_timeout: timedelta, frozen: timedelta, application_name: str | None = None) -> str:
    """Begin a transaction that writes; the server ends one whose client is silent for longer than *frozen*.

    The *application_name* must not need quoting.
    """
    settings = {
        "idle_in_transaction_session_timeout": _milliseconds(frozen),
        "lock_timeout": _milliseconds(lock_timeout),
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
