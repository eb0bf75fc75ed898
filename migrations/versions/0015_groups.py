"""Groups of a dimension: which series are the groups of a question, and what answers left beside them.

The view `labels` leaves out the series that hold the sum of all groups.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBER: Any = sa.Double().with_variant(sa.REAL(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

BEFORE = """
SELECT l.profile AS profile, l.label AS label, l.position AS position, l.series_id AS series_id
FROM profile_series l
WHERE l.active OR NOT EXISTS (
  SELECT 1 FROM profile_series a WHERE a.active AND (a.series_id = l.series_id OR a.label = l.label)
)"""
LABELS = """
SELECT l.profile AS profile, l.label AS label, l.position AS position, l.series_id AS series_id
FROM profile_series l
WHERE (l.active OR NOT EXISTS (
  SELECT 1 FROM profile_series a WHERE a.active AND (a.series_id = l.series_id OR a.label = l.label)
)) AND NOT EXISTS (SELECT 1 FROM series q WHERE q.id = l.series_id AND q.dimension <> '' AND q."group" = '')"""
_UNLABEL = "DELETE FROM profile_series WHERE series_id IN (SELECT id FROM series WHERE dimension <> '')"


def upgrade() -> None:
    op.create_table(
        "groups",
        sa.Column("series_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("series_id", name="pk_groups"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_groups_question", "groups", ["question"])
    op.create_table(
        "remainders",
        sa.Column("series_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("timestamp", BUCKET, nullable=False),
        sa.Column("fetch_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("other", NUMBER, nullable=False),
        sa.Column("smallest", NUMBER, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("series_id", "timestamp", "fetch_id", name="pk_remainders"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    _replace_labels(LABELS)


def downgrade() -> None:
    op.execute(_UNLABEL)  # the older version cannot read series with a dimension
    _replace_labels(BEFORE)
    op.drop_table("remainders")
    op.drop_table("groups")


def _replace_labels(query: str) -> None:
    """Replace the view. On Postgres this keeps the rights to it and the view `history`, which reads it."""
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP VIEW labels")
        op.execute(f"CREATE VIEW labels AS{query}")
    else:
        op.execute(f"CREATE OR REPLACE VIEW labels AS{query}")
