"""How `points` lies on Postgres: in partitions by year, or as a hypertable of TimescaleDB. To SQL it is one table.

Columns, key and checks are the same, and so are the statements. There is no DEFAULT partition: where both ends are open
instead, the partitions have an order, and a series' oldest and newest point are found in the first one that has any.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.db.sql import lock_for_migration
from collector.store.errors import MissingExtension

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


log = logging.getLogger(__name__)

YEARS = range(2024, 2032)
"""Years with a partition of their own; each one costs a little whenever a statement names no time."""
BY_TIME = "RANGE (timestamp)"


def partitions() -> dict[str, str]:
    """The partitions by name, each with its bounds."""
    first, last = YEARS[0], YEARS[-1] + 1
    years = {f"points_{year}": f"FROM ('{year}-01-01Z') TO ('{year + 1}-01-01Z')" for year in YEARS}
    return {
        f"points_before_{first}": f"FROM (MINVALUE) TO ('{first}-01-01Z')",
        **years,
        f"points_from_{last}": f"FROM ('{last}-01-01Z') TO (MAXVALUE)",
    }


def create_partitions() -> list[str]:
    """The statements that give the partitioned table its partitions."""
    return [f"CREATE TABLE {name} PARTITION OF points FOR VALUES {bounds}" for name, bounds in partitions().items()]


_COPY_OF = "CREATE TABLE points (LIKE points_replaced INCLUDING CONSTRAINTS)"
_VIEWS = """
SELECT DISTINCT view.oid::regclass::text, pg_get_viewdef(view.oid)
FROM pg_depend d JOIN pg_rewrite rule ON rule.oid = d.objid JOIN pg_class view ON view.oid = rule.ev_class
WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = 'points'::regclass AND view.relkind = 'v'
  AND view.reloptions IS NULL"""
_RIGHTS = """
SELECT right_to.privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
FROM pg_class AS it CROSS JOIN aclexplode(it.relacl) AS right_to
WHERE it.oid = 'points'::regclass AND grantee <> it.relowner"""


def rebuild(connection: sa.Connection, suffix: str, then: Iterable[str] = ()) -> None:
    """Make `points` anew with *suffix* behind its definition, do *then*, and put in what was there before.

    All in the transaction of the caller; who reads or writes points waits for its end. Rights stay, and views read the
    new table. Whatever else depends on the old one, as a materialized view does, keeps it from going.
    """
    _run(connection, ["LOCK TABLE points IN ACCESS EXCLUSIVE MODE"])
    views = [tuple(row) for row in connection.exec_driver_sql(_VIEWS)]
    rights = [tuple(row) for row in connection.exec_driver_sql(_RIGHTS)]
    _run(
        connection,
        [
            "ALTER TABLE points RENAME CONSTRAINT pk_points TO pk_points_replaced",
            "ALTER TABLE points RENAME TO points_replaced",
            f"{_COPY_OF} {suffix}",
            *then,
            "INSERT INTO points SELECT * FROM points_replaced",
            "ALTER TABLE points ADD CONSTRAINT pk_points PRIMARY KEY (series_id, timestamp)",
            *(f"CREATE OR REPLACE VIEW {name} AS {query}" for name, query in sorted(views)),
            *(f"GRANT {right} ON points TO {role}" for right, role in rights),
            "DROP TABLE points_replaced",
            "ANALYZE points",
        ],
    )


def _run(connection: sa.Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement.replace("%", "%%"))


_CHUNK = "52 weeks"
_HYPERTABLE = f"""
SELECT create_hypertable('points', 'timestamp', create_default_indexes => false,
  chunk_time_interval => INTERVAL '{_CHUNK}')"""
_KNOWS = """
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb'),
  EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
    AND current_setting('timescaledb.max_background_workers', true) IS NOT NULL"""
_IS_HYPERTABLE = """
SELECT EXISTS (
  SELECT FROM timescaledb_information.hypertables
  WHERE hypertable_name = 'points' AND hypertable_schema = current_schema()
)"""


def is_hypertable(connection: sa.Connection) -> bool:
    """Tell whether `points` is a hypertable; MissingExtension where this server knows no such thing."""
    created, available = connection.execute(sa.text(_KNOWS)).one()
    if not created and not available:
        raise MissingExtension(
            "[database] timescale = true takes the extension TimescaleDB, which this server does not have"
            " (installed, and named in its shared_preload_libraries)"
        )
    return bool(created and connection.execute(sa.text(_IS_HYPERTABLE)).scalar_one())


def make_hypertable(connection: sa.Connection) -> None:
    """Turn `points` into a hypertable and move what is in it, under the lock of migrations; nothing where it is one."""
    lock_for_migration(connection)
    connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    if not is_hypertable(connection):
        rebuild(connection, "", [_HYPERTABLE])
        log.info("hypertable_created")


_CHILDREN = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'points'::regclass"
_KIND = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'points'::regclass"


def drift(connection: sa.Connection) -> list[str]:
    """Name the partitions that are missing on Postgres; a hypertable sees to its own chunks."""
    if connection.dialect.name == "sqlite" or not connection.execute(sa.text(_KIND)).scalar():
        return []
    found = set(connection.execute(sa.text(_CHILDREN)).scalars())
    return [f"the partition {name} is missing" for name in partitions() if name not in found]
