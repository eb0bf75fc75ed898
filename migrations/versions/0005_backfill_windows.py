"""The windows of a backfill, which replicas share out; jobs that are under way are planned anew."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "backfill_windows",
        sa.Column("backfill_id", IDENTIFIER, nullable=False),
        sa.Column("series", sa.Text, nullable=False),
        sa.Column("start", BUCKET, nullable=False),
        sa.Column("end", BUCKET, nullable=False),
        sa.Column("replica_id", IDENTIFIER),
        sa.Column("failure", sa.Text),
        sa.PrimaryKeyConstraint("backfill_id", "series", "start", name="pk_backfill_windows"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.execute("UPDATE backfills SET state = 'queued' WHERE state = 'running'")
    op.execute("DELETE FROM duties WHERE kind = 'backfill'")


def downgrade() -> None:
    op.drop_table("backfill_windows")
