"""Backfills on record."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")
COUNTS = (
    "requests",
    "windows",
    "points_inserted",
    "points_revised",
    "points_unchanged",
    "windows_failed",
    "gaps_remaining",
)


def upgrade() -> None:
    op.create_table(
        "backfills",
        sa.Column("id", IDENTIFIER, nullable=False, autoincrement=True),
        sa.Column("profiles", sa.Text, nullable=False),
        sa.Column("start", BUCKET, nullable=False),
        sa.Column("end", BUCKET, nullable=False),
        sa.Column("force", FLAG, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.Column("message", sa.Text),
        sa.Column("buckets", IDENTIFIER, nullable=False),
        sa.Column("buckets_done", IDENTIFIER, nullable=False),
        *(sa.Column(name, IDENTIFIER, nullable=False) for name in COUNTS),
        sa.PrimaryKeyConstraint("id", name="pk_backfills"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("backfills")
