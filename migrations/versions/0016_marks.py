"""Marks of the operator on charts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0012"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")


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


def downgrade() -> None:
    op.drop_table("marks")
