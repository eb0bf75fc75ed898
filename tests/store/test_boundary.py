import sqlite3

import psycopg
import pytest
import sqlalchemy as sa

from collector.store import StoreDamaged, StoreForeign, StoreRefused, StoreUnavailable
from collector.store.boundary import boundary, may_succeed, translate
from collector.store.location import locate

FILE = locate("sqlite:////data/collector.db")
SERVER = locate("postgresql://user:s3cr%40t@host/name")


def sqlite_error(code, text="reason"):
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("kind", "sentence", "code"),
    [
        (StoreUnavailable, "is locked by another program", sqlite3.SQLITE_BUSY),
        (StoreUnavailable, "is locked by another program", sqlite3.SQLITE_BUSY_SNAPSHOT),
        (StoreUnavailable, "the disk is full", sqlite3.SQLITE_FULL),
        (StoreUnavailable, "the disk reports an error", sqlite3.SQLITE_IOERR_FSYNC),
        (StoreUnavailable, "is read-only", sqlite3.SQLITE_READONLY_DBMOVED),
        (StoreUnavailable, "cannot be opened", sqlite3.SQLITE_CANTOPEN),
        (StoreUnavailable, "cannot be used", sqlite3.SQLITE_ERROR),
        (StoreDamaged, "is damaged", sqlite3.SQLITE_CORRUPT),
        (StoreForeign, "is not a SQLite database", sqlite3.SQLITE_NOTADB),
        (StoreRefused, "refused a value", sqlite3.SQLITE_CONSTRAINT_CHECK),
    ],
)
def test_what_an_error_of_sqlite_means(kind, sentence, code):
    error = translate(sqlite_error(code), FILE)
    assert type(error) is kind
    assert "/data/collector.db" in str(error)
    assert sentence in str(error)


@pytest.mark.parametrize(
    ("kind", "sentence", "error"),
    [
        (StoreUnavailable, "does not answer", psycopg.OperationalError("connection refused")),
        (StoreUnavailable, "does not answer", psycopg.errors.AdminShutdown("x")),
        (StoreUnavailable, "is locked by another program", psycopg.errors.LockNotAvailable("x")),
        (StoreUnavailable, "out of resources", psycopg.errors.DiskFull("x")),
        (StoreUnavailable, "out of resources", psycopg.errors.TooManyConnections("x")),
        (StoreUnavailable, "lacks a table", psycopg.errors.UndefinedTable("x")),
        (StoreUnavailable, "does not grant", psycopg.errors.InsufficientPrivilege("x")),
        (StoreDamaged, "is damaged", psycopg.errors.DataCorrupted("x")),
        (StoreRefused, "refused a value", psycopg.errors.CheckViolation("x")),
        (StoreRefused, "refused a value", psycopg.errors.NumericValueOutOfRange("x")),
    ],
)
def test_what_an_error_of_postgres_means(kind, sentence, error):
    error = translate(error, SERVER)
    assert type(error) is kind
    assert str(error).startswith("the store postgresql://host/name ")
    assert sentence in str(error)


def test_only_the_first_line_is_told_and_no_password():
    error = translate(psycopg.OperationalError('no "s3cr@t"\nDETAIL: more'), SERVER)
    assert str(error) == 'the store postgresql://host/name does not answer (no "***")'


def test_what_is_no_error_of_the_database_passes():
    with pytest.raises(LookupError), boundary(FILE):
        raise LookupError


@pytest.mark.parametrize("error", [sqlite_error(sqlite3.SQLITE_BUSY), OSError("disk"), sa.exc.TimeoutError()])
def test_the_cause_is_kept(error):
    with pytest.raises(StoreUnavailable) as raised, boundary(FILE):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (True, psycopg.errors.SerializationFailure("x")),
        (True, psycopg.errors.DeadlockDetected("x")),
        (False, psycopg.errors.LockNotAvailable("x")),
        (False, psycopg.OperationalError("x")),
        (False, sqlite_error(sqlite3.SQLITE_BUSY)),
    ],
)
def test_who_lost_against_another_transaction_may_try_again(expected, error):
    assert may_succeed(sa.exc.DBAPIError("", None, error)) == expected
