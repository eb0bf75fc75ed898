"""The revision of a store's schema, its migration, and the partitions of `points` on Postgres.

Migrations run in the transaction of the caller. On SQLite it holds the write lock, on Postgres a lock of the
transaction, so that of several processes one migrates and the others find it done.

On Postgres `points` is partitioned by year, or is a hypertable of TimescaleDB. For SQL it is one table: columns, key,
checks and statements are the same. There is no DEFAULT partition: both ends are open instead, so the partitions have an
order, and a series' oldest and newest point are found in the first one that has any.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import collector
from collector.store.db import records, schema
from collector.store.db.schema import metadata
from collector.store.db.sql import lock_for_migration
from collector.store.db.views import VIEWS
from collector.store.errors import DowngradeRefused, MissingExtension, NotAStore, SchemaTooNew, SchemaTooOld

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.config import Config

log = logging.getLogger(__name__)

VERSION_TABLE = "schema_revision"
HEAD = "0019"
"""The revision that this version reads and writes. Revisions are numbers, so that older and newer ones differ."""

COPYING = "copying"
"""The revision of a store that is still being copied, so that no collector opens it before it is complete."""

_REVISION = re.compile("[0-9]{4}")
_FOREIGN = "the schema revision {!r} is none of the collector's"
_version = sa.table(VERSION_TABLE, sa.column("version_num", sa.Text))


def folder() -> Path:
    """Return the folder of the migrations: inside the package of a wheel, next to the package in a checkout."""
    package = Path(collector.__file__).parent
    inside, beside = package / "migrations", package.parent / "migrations"
    return inside if inside.is_dir() else beside


def current(connection: sa.Connection) -> str | None:
    """Read the revision of the store's schema; None if it has none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar()


def check(revision: str | None) -> None:
    """Refuse any revision but the one this version knows."""
    if revision is None:
        raise SchemaTooOld("the database holds no store yet: `collector db upgrade` creates it")
    if revision == COPYING:
        raise NotAStore("the store is a copy that was interrupted: repeat `collector db copy` to finish it")
    if not _REVISION.fullmatch(revision):
        raise NotAStore(_FOREIGN.format(revision))
    if revision > HEAD:
        raise SchemaTooNew(
            f"the store was changed by a newer collector: its schema has revision {revision}, this one knows {HEAD}"
        )
    if revision < HEAD:
        raise SchemaTooOld(
            f"the store's schema has revision {revision} and must first be upgraded to {HEAD}: `collector db upgrade`"
        )


def is_beyond(revision: str | None) -> bool:
    """Return whether the schema is of a newer version, or not of this program."""
    return revision is not None and (revision > HEAD or not _REVISION.fullmatch(revision))


def stamp(connection: sa.Connection, revision: str) -> None:
    """Record which revision an existing schema has."""
    connection.execute(sa.update(_version).values(version_num=revision))


def upgrade(connection: sa.Connection) -> None:
    """Bring the schema to HEAD; SchemaTooNew where it is beyond it, NotAStore where no version had such a revision."""
    lock_for_migration(connection)
    revision = current(connection)
    if revision == HEAD:
        return
    if is_beyond(revision):
        check(revision)
    _hush()
    from alembic.util import CommandError

    try:
        _alembic(connection, "upgrade", "head")
    except CommandError as error:
        raise NotAStore(_FOREIGN.format(revision)) from error


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Take the schema back to *revision*, or to none with `base`.

    Raises LookupError if there is no such revision, DowngradeRefused if its schema cannot hold what is stored.
    """
    _hush()
    from alembic.util import CommandError

    lock_for_migration(connection)
    try:
        _alembic(connection, "downgrade", revision)
    except CommandError as error:
        raise LookupError(f"there is no schema revision {revision!r} to go back to") from error
    except ValueError as error:
        raise DowngradeRefused(str(error)) from error


def _alembic(connection: sa.Connection, command: str, revision: str) -> None:
    _hush()
    import alembic.command

    before = current(connection)
    getattr(alembic.command, command)(config(connection), revision)
    log.info("migrated", extra={"before": before, "after": current(connection)})


def _hush() -> None:
    """Silence Alembic's log, because one line of ours reports the migration."""
    logging.getLogger("alembic").setLevel(logging.WARNING)


def config(connection: sa.Connection) -> Config:
    """Configure Alembic for an open connection."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(folder()).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


def drift(connection: sa.Connection) -> list[str]:
    """Return the differences of the tables and views from the declared ones, one line per difference."""
    _hush()
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def ours(_object: Any, name: str | None, kind: str, reflected: bool, _compare_to: Any) -> bool:  # noqa: FBT001 - Alembic's
        if kind == "table" and name in records.VIEWS and connection.dialect.name == "sqlite":
            return False
        return not (kind == "table" and reflected and name not in metadata.tables)

    options = {"compare_type": True, "version_table": VERSION_TABLE, "include_object": ours}
    differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    views = set(sa.inspect(connection).get_view_names())
    return [
        *(_words(difference) for difference in differences),
        *(f"the view {name} is missing" for name in sorted({*VIEWS} - views)),
        *records.drift(connection),
        *_missing_partitions(connection),
    ]


def _words(difference: Any) -> str:
    if isinstance(difference, list):
        return "; ".join(_words(part) for part in difference)
    action, *rest = difference
    return " ".join([str(action), *(getattr(part, "name", None) or str(part) for part in rest if part is not None)])


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
    """Rebuild `points` with *suffix* after its definition, run *then*, and insert the old rows.

    All in the transaction of the caller, so readers and writers of points wait for its end. Rights are kept, and views
    read the new table. Any other object that depends on the old table, like a materialized view, raises an error.
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
    """Return whether `points` is a hypertable; MissingExtension where this server knows no such thing."""
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


def _missing_partitions(connection: sa.Connection) -> list[str]:
    """Return the partitions that are missing on Postgres; a hypertable creates its own chunks."""
    if connection.dialect.name == "sqlite" or not connection.execute(sa.text(_KIND)).scalar():
        return []
    partitions = set(connection.execute(sa.text(_CHILDREN)).scalars())
    return [f"the partition {name} is missing" for name in schema.partitions() if name not in partitions]
