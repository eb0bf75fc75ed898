"""One row for each series and UTC day: count, sum, minimum, maximum and checksum of its points.

The tables begin empty. A running collector fills them bit by bit, and what has no row is read from the points. Old
revisions are found by an index.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
DOUBLE: Any = sa.Double().with_variant(sa.REAL(), "sqlite")

_RIGHTS = """
SELECT right_to.privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
FROM pg_class AS it CROSS JOIN aclexplode(it.relacl) AS right_to
WHERE it.oid = 'points'::regclass AND grantee <> it.relowner"""

_STALE = """
CREATE FUNCTION make_days_stale() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  first bigint := floor(extract(epoch FROM NEW.start) / 86400) * 86400;
BEGIN
  DELETE FROM series_days d USING series_set_members m
  WHERE m.set_id = NEW.set_id AND d.series_id = m.series_id AND d.day >= to_timestamp(first) AND d.day < NEW."end";
  INSERT INTO stale_days (day, series_id)
  SELECT to_timestamp(seconds), m.series_id
  FROM generate_series(first, extract(epoch FROM NEW."end")::bigint - 1, 86400) AS seconds
  JOIN state ON state.key = 'days_until' AND seconds < state.value::bigint
  JOIN series_set_members m ON m.set_id = NEW.set_id
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$"""
_TRIGGER = """
CREATE TRIGGER make_days_stale AFTER INSERT ON answers FOR EACH ROW
WHEN (current_setting('collector.keeps_days', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION make_days_stale()"""
"""An answer of a replica of the previous version makes the rows of its days stale; that version does not know them."""


def upgrade() -> None:
    op.create_index("ix_revisions_replaced_at", "revisions", ["replaced_at"])
    op.create_table(
        "series_days",
        sa.Column("series_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("day", BUCKET, nullable=False),
        sa.Column("points", IDENTIFIER, nullable=False),
        sa.Column("sum", DOUBLE, nullable=False),
        sa.Column("minimum", DOUBLE, nullable=False),
        sa.Column("maximum", DOUBLE, nullable=False),
        sa.Column("checksum", IDENTIFIER, nullable=False),
        sa.PrimaryKeyConstraint("series_id", "day", name="pk_series_days"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stale_days",
        sa.Column("day", BUCKET, nullable=False),
        sa.Column("series_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("day", "series_id", name="pk_stale_days"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "postgresql":
        for right, role in op.get_bind().exec_driver_sql(_RIGHTS).all():
            op.execute(f"GRANT {right} ON series_days, stale_days TO {role}")
        op.execute(_STALE)
        op.execute(_TRIGGER)


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION make_days_stale() CASCADE")
    op.drop_index("ix_revisions_replaced_at", "revisions")
    for name in ("stale_days", "series_days"):
        op.drop_table(name)
    op.execute("DELETE FROM state WHERE key IN ('days_until', 'days_newest')")
