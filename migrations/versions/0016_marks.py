"""Marks of the operator on charts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

_RIGHTS = """
SELECT right_to.privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
FROM pg_class AS it CROSS JOIN aclexplode(it.relacl) AS right_to
WHERE it.oid = 'annotations'::regclass AND grantee <> it.relowner"""
"""Rights that roles have on annotations, which they get on marks, too."""


def upgrade() -> None:
    op.create_table(
        "marks",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("start_date", MOMENT, nullable=False),
        sa.Column("end_date", MOMENT),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_marks"),
        sa.UniqueConstraint("digest", name="uq_marks"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    if op.get_context().dialect.name == "postgresql":
        for right, role in op.get_bind().exec_driver_sql(_RIGHTS).all():
            op.execute(f"GRANT {right} ON marks TO {role}")
            if right == "INSERT":
                op.execute(f"GRANT USAGE ON SEQUENCE marks_id_seq TO {role}")


def downgrade() -> None:
    op.drop_table("marks")
