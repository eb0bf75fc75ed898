import sqlite3

import psycopg
import pytest
import sqlalchemy as sa

from collector.store import NotAStore, StoreCorrupt, StoreDenied, StoreUnavailable, ValueRejected
from collector.store.db.engine import is_retryable, locate, translate, translate_errors

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
        (StoreCorrupt, "is damaged", sqlite3.SQLITE_CORRUPT),
        (NotAStore, "is not a SQLite database", sqlite3.SQLITE_NOTADB),
        (ValueRejected, "refused a value", sqlite3.SQLITE_CONSTRAINT_CHECK),
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
        (StoreCorrupt, "is damaged", psycopg.errors.DataCorrupted("x")),
        (ValueRejected, "refused a value", psycopg.errors.CheckViolation("x")),
        (ValueRejected, "refused a value", psycopg.errors.NumericValueOutOfRange("x")),
    ],
)
def test_what_an_error_of_postgres_means(kind, sentence, error):
    error = translate(error, SERVER)
    assert type(error) is kind
    assert str(error).startswith("the store postgresql://host/name ")
    assert sentence in str(error)


WITH = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("kind", "sentence", "text"),
    [
        (StoreDenied, "does not accept the password", 'FATAL:  password authentication failed for user "u"'),
        (StoreDenied, "does not accept the password", "fe_sendauth: no password supplied"),
        (StoreDenied, "does not accept the user", 'FATAL:  role "u" does not exist'),
        (StoreDenied, "does not accept the user", 'FATAL:  no pg_hba.conf entry for host "h", user "u", database "d"'),
        (StoreDenied, "does not exist on that server", 'FATAL:  database "d" does not exist'),
        (StoreDenied, "does not grant this user", 'FATAL:  permission denied for database "d"'),
        (StoreDenied, "with this option", 'invalid sslmode value: "x"'),
        (StoreDenied, "with this option", 'invalid integer value "x" for connection option "keepalives"'),
        (StoreDenied, "with this option", 'FATAL:  unrecognized configuration parameter "x"'),
        (StoreDenied, "over TLS", "SSL error: certificate verify failed"),
        (StoreDenied, "over TLS", "server does not support SSL, but SSL was required"),
        (StoreUnavailable, "target_session_attrs", "session is read-only"),
        (StoreUnavailable, "does not answer", "FATAL:  the database system is starting up"),
        (StoreUnavailable, "does not answer", 'FATAL:  too many connections for role "u"'),
        (StoreUnavailable, "does not answer", "failed to resolve host 'certificate.example'"),
    ],
)
def test_what_refuses_a_connection_is_said_by_name(kind, sentence, text):
    error = translate(psycopg.OperationalError(WITH + text), SERVER)
    assert type(error) is kind
    assert sentence in str(error)
    assert text in str(error)


DENIED = 'FATAL:  password authentication failed for user "u"'


@pytest.mark.parametrize(
    ("kind", "others"), [(StoreDenied, [DENIED]), (StoreUnavailable, ["Connection refused"]), (StoreDenied, [])]
)
def test_of_several_servers_one_that_does_not_answer_may_do_so_later(kind, others):
    attempts = "".join(f"\n- host: 'h', port: None, hostaddr: None: {text}" for text in [DENIED, *others])
    text = f"{DENIED}\nMultiple connection attempts failed. All failures were:{attempts}"
    assert type(translate(psycopg.OperationalError(text), SERVER)) is kind


@pytest.mark.parametrize(
    ("sentence", "error"),
    [
        ("is read-only", psycopg.errors.ReadOnlySqlTransaction("x")),
        (
            "is on a standby",
            psycopg.errors.FeatureNotSupported("cannot set transaction read-write mode during recovery"),
        ),
    ],
)
def test_a_server_that_takes_no_writes_may_take_them_later(sentence, error):
    error = translate(error, SERVER)
    assert type(error) is StoreUnavailable
    assert sentence in str(error)


def test_only_the_first_line_is_told_and_no_password():
    error = translate(psycopg.OperationalError('no "s3cr@t"\nDETAIL: more'), SERVER)
    assert str(error) == 'the store postgresql://host/name does not answer (no "***")'


def test_what_is_no_error_of_the_database_passes():
    with pytest.raises(LookupError), translate_errors(FILE):
        raise LookupError


@pytest.mark.parametrize("error", [sqlite_error(sqlite3.SQLITE_BUSY), OSError("disk"), sa.exc.TimeoutError()])
def test_the_cause_is_kept(error):
    with pytest.raises(StoreUnavailable) as raised, translate_errors(FILE):
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
    assert is_retryable(sa.exc.DBAPIError("", None, error)) == expected
