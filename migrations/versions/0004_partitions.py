"""Points in partitions by year, on Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import op

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import sqlalchemy as sa

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FIRST, LAST = 2024, 2032
BOUNDS = {
    f"before_{FIRST}": f"FROM (MINVALUE) TO ('{FIRST}-01-01Z')",
    **{f"{year}": f"FROM ('{year}-01-01Z') TO ('{year + 1}-01-01Z')" for year in range(FIRST, LAST)},
    f"from_{LAST}": f"FROM ('{LAST}-01-01Z') TO (MAXVALUE)",
}

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


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        create = [f"CREATE TABLE points_{name} PARTITION OF points FOR VALUES {of}" for name, of in BOUNDS.items()]
        rebuild(op.get_bind(), "PARTITION BY RANGE (timestamp)", create)


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        rebuild(op.get_bind(), "")
