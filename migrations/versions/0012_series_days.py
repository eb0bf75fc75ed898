"""One row for each series and UTC day: count, sum, minimum, maximum and checksum of its points.

The tables begin empty. A running collector fills them bit by bit, and what has no row is read from the points.
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


def upgrade() -> None:
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


def downgrade() -> None:
    for name in ("stale_days", "series_days"):
        op.drop_table(name)
    op.execute("DELETE FROM state WHERE key = 'days_until'")
