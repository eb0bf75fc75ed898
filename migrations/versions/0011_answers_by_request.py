"""Coverage by request: one row for all series that a fetch answered over the same window.

`date_ranges` becomes a view. Its rows are kept in `series_ranges`, from which a running collector moves them to
`answers` bit by bit. On Postgres a replica of the previous version can still insert into the view.
"""

import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

VIEW = """
SELECT m.series_id AS series_id, a."end" AS "end", a.fetch_id AS fetch_id, a.start AS start,
  a.start_time AS start_time, a.end_time AS end_time, NULL AS checksum, a.overruled AS overruled
FROM series_set_members m JOIN answers a ON a.set_id = m.set_id
UNION ALL
SELECT series_id, "end", fetch_id, start, start_time, end_time, checksum, overruled FROM series_ranges"""
_COLUMNS = ("series_id", "end", "fetch_id", "start", "start_time", "end_time", "checksum", "overruled")
_NAMES = [f'"{name}"' for name in _COLUMNS]
_VERBS = {
    "INSERT": f"""
INSERT INTO series_ranges ({", ".join(_NAMES)}) VALUES ({", ".join(f"NEW.{name}" for name in _NAMES)})""",  # noqa: S608 - our names
    "DELETE": """
DELETE FROM series_ranges WHERE series_id = OLD.series_id AND "end" = OLD."end" AND fetch_id = OLD.fetch_id""",
}
"""What a statement of the previous version does. It sees no row of `answers`, so it leaves those alone."""
_RIGHTS = """
SELECT right_to.privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
FROM pg_class AS it CROSS JOIN aclexplode(it.relacl) AS right_to
WHERE it.oid = '{}'::regclass AND grantee <> it.relowner"""
_SUMS = 1 << 32
_HEAD = struct.Struct("<6q")
_ROWS_AT_ONCE = 5_000


def upgrade() -> None:
    op.create_table(
        "series_sets",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_series_sets"),
        sa.UniqueConstraint("digest", name="uq_series_sets"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_table(
        "series_set_members",
        sa.Column("set_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("series_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("set_id", "series_id", name="pk_series_set_members"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_series_set_members_series_id", "series_set_members", ["series_id"])
    op.create_table(
        "answers",
        sa.Column("set_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("end", BUCKET, nullable=False),
        sa.Column("fetch_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("start", BUCKET, nullable=False),
        sa.Column("start_time", MOMENT),
        sa.Column("end_time", MOMENT),
        sa.Column("checksum", IDENTIFIER, nullable=False),
        sa.Column("overruled", FLAG),
        sa.PrimaryKeyConstraint("set_id", "end", "fetch_id", name="pk_answers"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_answers_fetch_id", "answers", ["fetch_id"])
    rights = _rights("date_ranges")
    op.rename_table("date_ranges", "series_ranges")
    _rename_keys("date_ranges", "series_ranges")
    op.execute(f"CREATE VIEW date_ranges AS{VIEW}")
    for right, role in rights:
        op.execute(f"GRANT {right} ON date_ranges TO {role}")
        op.execute(f"GRANT {right} ON answers, series_sets, series_set_members TO {role}")
        if right == "INSERT":
            op.execute(f"GRANT USAGE ON SEQUENCE series_sets_id_seq TO {role}")
    for verb, statement in _VERBS.items():
        _create_trigger(verb, statement)


def downgrade() -> None:
    for rows in _by_series():
        _insert(rows)
    op.execute("DROP VIEW date_ranges")
    if op.get_context().dialect.name == "postgresql":
        for verb in _VERBS:
            op.execute(f"DROP FUNCTION {verb.lower()}_date_range()")
    op.rename_table("series_ranges", "date_ranges")
    _rename_keys("series_ranges", "date_ranges")
    for name in ("answers", "series_set_members", "series_sets"):
        op.drop_table(name)


def _create_trigger(verb: str, statement: str) -> None:
    name, row = f"{verb.lower()}_date_range", "NEW" if verb == "INSERT" else "OLD"
    trigger = f"CREATE TRIGGER {name} INSTEAD OF {verb} ON date_ranges FOR EACH ROW"
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"{trigger} BEGIN{statement}; END")
        return
    body = f"$$ BEGIN{statement}; RETURN {row}; END $$"
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS {body}")
    op.execute(f"{trigger} EXECUTE FUNCTION {name}()")


def _rights(table: str) -> list[tuple[str, str]]:
    if op.get_context().dialect.name == "sqlite":
        return []
    return [tuple(row) for row in op.get_bind().exec_driver_sql(_RIGHTS.format(table))]


def _rename_keys(before: str, after: str) -> None:
    """Rename the index, and on Postgres the constraints that have the table's name, but not the key."""
    if op.get_context().dialect.name == "sqlite":
        op.drop_index(f"ix_{before}_fetch_id", after)
        op.execute(f'CREATE INDEX ix_{after}_fetch_id ON "{after}" (fetch_id)')
        return
    op.execute(f"ALTER INDEX ix_{before}_fetch_id RENAME TO ix_{after}_fetch_id")
    names = f"SELECT conname FROM pg_constraint WHERE conrelid = '{after}'::regclass"  # noqa: S608 - our names
    for (name,) in op.get_bind().exec_driver_sql(names).all():
        if name.startswith(before):
            op.execute(f"ALTER TABLE {after} RENAME CONSTRAINT {name} TO {after}{name.removeprefix(before)}")


def _by_series() -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of `answers` as rows of each series, with the checksum of what the fetch wrote to that one.

    A sum that does not agree is damage, which single checksums would hide: it raises ValueError.
    """
    connection, sums = op.get_bind(), defaultdict[tuple[int, int, int], int](int)
    ids = [row[0] for row in connection.exec_driver_sql("SELECT DISTINCT series_id FROM series_set_members ORDER BY 1")]
    edges = f"{_seconds('start')} AS start_at, {_seconds('end')} AS end_at"
    rows_of = f"SELECT a.*, {edges} FROM series_set_members m JOIN answers a ON a.set_id = m.set_id"  # noqa: S608 - our names
    values_of = f"SELECT fetch_id, {_seconds('timestamp')}, value FROM {{}}"  # noqa: S608 - our names
    for series_id in ids:
        wrote: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for table in ("points", "revisions"):
            select = f"{values_of.format(table)} WHERE series_id = {series_id}"
            for fetch_id, timestamp, value in connection.exec_driver_sql(select):
                wrote[fetch_id].append((timestamp, value))
        rows = []
        for row in connection.exec_driver_sql(f"{rows_of} WHERE m.series_id = {series_id}").mappings():
            values = sorted(pair for pair in wrote[row["fetch_id"]] if row["start_at"] <= pair[0] < row["end_at"])
            single = _checksum(series_id, row, values)
            sums[row["set_id"], row["end_at"], row["fetch_id"]] += single
            names = ("end", "fetch_id", "start", "start_time", "end_time", "overruled")
            rows.append({"series_id": series_id, **{name: row[name] for name in names}, "checksum": single})
        yield rows
    stored = f"SELECT set_id, {_seconds('end')}, fetch_id, checksum FROM answers"  # noqa: S608 - our names
    for set_id, end, fetch_id, checksum in connection.exec_driver_sql(stored):
        if sums[set_id, end, fetch_id] % _SUMS != checksum:
            raise ValueError(
                f"what fetch {fetch_id} brought is not what it was (checksum), and the older schema would hide it:"
                " `collector db verify` tells more"
            )


def _seconds(column: str) -> str:
    """Write a time as epoch seconds, which SQLite has anyway."""
    if op.get_context().dialect.name == "sqlite":
        return f'"{column}"'
    return f"CAST(date_part('epoch', \"{column}\") AS BIGINT)"


def _checksum(series_id: int, row: Any, values: list[tuple[int, float]]) -> int:
    times = [
        _microseconds(moment) if moment is not None else edge * 1_000_000
        for moment, edge in ((row["start_time"], row["start_at"]), (row["end_time"], row["end_at"]))
    ]
    head = _HEAD.pack(series_id, row["fetch_id"], row["start_at"], row["end_at"], *times)
    count = len(values)
    packed = struct.pack(f"<{count}q{count}d", *(time for time, _ in values), *(value for _, value in values))
    return zlib.crc32(packed, zlib.crc32(head))


def _microseconds(moment: datetime | float) -> int:
    return round((moment.timestamp() if isinstance(moment, datetime) else moment) * 1_000_000)


def _insert(rows: list[dict[str, Any]]) -> None:
    names = ("series_id", "end", "fetch_id", "start", "start_time", "end_time", "checksum", "overruled")
    table = sa.table("series_ranges", *map(sa.column, names))
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        op.get_bind().execute(sa.insert(table), rows[first : first + _ROWS_AT_ONCE])
