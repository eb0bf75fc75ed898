"""What a run left in its database: points, bytes, and how many point rows the repeat wrote."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

_COUNTED = "point_rows_written"


def points_and_bytes(backend: str, address: str) -> tuple[int, int]:
    """Count the points, and the bytes of all tables and indexes once the journal is in the file."""
    count = "SELECT count(*) FROM points"
    if backend == "sqlite":
        with closing(sqlite3.connect(address)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return file.execute(count).fetchone()[0], Path(address).stat().st_size
    with psycopg.connect(address, autocommit=True) as database:
        size = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = %s"
        found = database.execute(f"{size}::regnamespace", ["public"]).fetchone()
        return database.execute(count).fetchone()[0], int(found[0])


def bytes_by_table(backend: str, address: str) -> dict[str, int]:
    """Give the bytes of each table with its indexes; partitions count as `points`."""
    if backend == "sqlite":
        with closing(sqlite3.connect(address)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sizes = "SELECT coalesce(m.tbl_name, s.name), sum(s.pgsize) FROM dbstat s"
            return dict(file.execute(f"{sizes} LEFT JOIN sqlite_schema m ON m.name = s.name GROUP BY 1"))
    with psycopg.connect(address, autocommit=True) as database:
        database.execute("VACUUM")
        sizes = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = %s"
        totals: dict[str, int] = {}
        for name, size in database.execute(f"{sizes}::regnamespace", ["public"]):
            table = "points" if name.startswith("points_") else name
            totals[table] = totals.get(table, 0) + size
        return totals


def vacuum(address: str) -> None:
    """Do what autovacuum does on Postgres many times a day; the simulated day may be over before it comes."""
    if not address.startswith("sqlite:"):
        with psycopg.connect(address, autocommit=True) as database:
            database.execute("VACUUM")


def rows(backend: str, address: str, table: str) -> int:
    """Count the rows of a table."""
    if backend == "sqlite":
        with closing(sqlite3.connect(address)) as file:
            return int(file.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    with psycopg.connect(address) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def watch(backend: str, address: str) -> None:
    """Count from now on every row of `points` that is inserted, updated or deleted, even to what it was."""
    if backend == "sqlite":
        with closing(sqlite3.connect(address)) as file:
            file.execute(f"CREATE TABLE {_COUNTED} AS SELECT 0 AS number")
            for verb in ("INSERT", "UPDATE", "DELETE"):
                add = f"UPDATE {_COUNTED} SET number = number + 1"
                file.execute(f"CREATE TRIGGER count_{verb} AFTER {verb} ON points BEGIN {add}; END")
            file.commit()
        return
    with psycopg.connect(address, autocommit=True) as database:
        database.execute(f"CREATE TABLE {_COUNTED} (number bigint)")
        body = f"BEGIN INSERT INTO {_COUNTED} VALUES (1); RETURN NULL; END"
        database.execute(f"CREATE FUNCTION count_row() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        verbs = "AFTER INSERT OR UPDATE OR DELETE ON points FOR EACH ROW EXECUTE FUNCTION count_row()"
        database.execute(f"CREATE TRIGGER count_row {verbs}")


def rows_written(backend: str, address: str) -> int:
    """Give what was counted since `watch`."""
    query = f"SELECT COALESCE(sum(number), 0) FROM {_COUNTED}"
    if backend == "sqlite":
        with closing(sqlite3.connect(address)) as file:
            return int(file.execute(query).fetchone()[0])
    with psycopg.connect(address) as database:
        return int(database.execute(query).fetchone()[0])
