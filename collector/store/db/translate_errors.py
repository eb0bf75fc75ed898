"""From a driver's error to ours: a sentence about the store, which never holds its password."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.errors import (
    NotAStore,
    StoreCorrupt,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    ValueRejected,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.store.db.engine import Location

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
    """Say what *error*, of either driver, means."""
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
    """Say what refused a connection; of several servers, one that does not answer may do so later."""
    attempts = re.split(r"^- host: ", text, flags=re.MULTILINE)[1:] or [text]
    found = [next((meaning for pattern, meaning in _WORDS if pattern.search(one)), None) for one in attempts]
    waits = [one for one in found if one is None or issubclass(one[0], StoreUnavailable)]
    return (waits or found)[0] or (StoreUnavailable, "does not answer")


def sqlstate(error: BaseException | None) -> str:
    """Give the five characters by which Postgres names an error; nothing where it never came to that."""
    return getattr(error, "sqlstate", None) or ""


def is_retryable(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the same transaction, tried again at once, may succeed: it only lost against another one."""
    return sqlstate(error.orig) in _AGAIN


def connection_lost(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the connection broke, so that only the record knows whether the transaction was committed."""
    return error.connection_invalidated
