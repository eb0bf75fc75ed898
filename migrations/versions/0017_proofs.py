"""How the groups of questions with a dimension compare with totals from other answers."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "proofs",
        sa.Column("series_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("start", BUCKET, nullable=False),
        sa.Column("end", BUCKET, nullable=False),
        sa.Column("total_id", IDENTIFIER, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reread_at", MOMENT),
        sa.PrimaryKeyConstraint("series_id", "start", name="pk_proofs"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_proofs_total_id", "proofs", ["total_id"])


def downgrade() -> None:
    op.drop_table("proofs")
