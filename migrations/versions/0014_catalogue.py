"""The catalogue: Radar's lists of authorities and logs, with their history."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "catalogue",
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("valid_from", MOMENT, nullable=False),
        sa.Column("valid_to", MOMENT),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("checksum", IDENTIFIER, nullable=False),
        sa.PrimaryKeyConstraint("list", "slug", "part", "valid_from", name="pk_catalogue"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "catalogue_requests",
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("list", "slug", name="pk_catalogue_requests"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.execute("DELETE FROM duties WHERE kind = 'catalogue'")
    op.execute("DELETE FROM state WHERE key LIKE 'catalogue:%'")
    op.drop_table("catalogue_requests")
    op.drop_table("catalogue")
