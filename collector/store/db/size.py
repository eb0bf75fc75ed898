"""The bytes that a store takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.store.db.schema import metadata

if TYPE_CHECKING:
    from collector.store.db.engine import Location

_SIZE = """
WITH ours AS (SELECT name::regclass AS oid FROM unnest(CAST(:tables AS text[])) AS name)
SELECT sum(pg_total_relation_size(oid)) FROM (
  SELECT oid FROM ours UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent IN (SELECT oid FROM ours)
) AS part"""
"""The bytes of tables, of their partitions, and of the chunks of a hypertable."""


def stored_bytes(connection: sa.Connection, location: Location) -> int:
    """Return the bytes of a SQLite file and its write-ahead log, or of the store's tables and indexes on Postgres."""
    if location.path:
        files = [location.path, location.path.with_name(location.path.name + "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())
    return int(connection.execute(sa.text(_SIZE), {"tables": list(metadata.tables)}).scalar_one())
