"""Bodies of refused answers, and date ranges that could not be read."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

TIMES = ("start_time", "end_time")
_ASKED = 'UPDATE date_ranges SET start_time = start, end_time = "end" WHERE start_time IS NULL'


def upgrade() -> None:
    op.create_table(
        "bodies",
        sa.Column("fetch_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("size", IDENTIFIER, nullable=False),
        sa.Column("stored", IDENTIFIER, nullable=False),
        sa.Column("whole", FLAG, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("replayed_by", IDENTIFIER),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("fetch_id", name="pk_bodies"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.add_column("fetches", sa.Column("replay_of", IDENTIFIER))
    _let_be_null(null=True)


def downgrade() -> None:
    op.execute(_ASKED)  # the checksum of a range that could not be read is that of the window asked
    _let_be_null(null=False)
    op.drop_column("fetches", "replay_of")
    op.drop_table("bodies")


def _let_be_null(*, null: bool) -> None:
    """Let the API's own range be NULL, or not; SQLite has no statement for it, so there the table is made anew."""
    if op.get_context().dialect.name == "postgresql":
        for name in TIMES:
            op.alter_column("date_ranges", name, nullable=null)
        return
    op.rename_table("date_ranges", "date_ranges_before")
    op.create_table(
        "date_ranges",
        sa.Column("series_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("end", BUCKET, nullable=False),
        sa.Column("fetch_id", IDENTIFIER, autoincrement=False, nullable=False),
        sa.Column("start", BUCKET, nullable=False),
        sa.Column("start_time", MOMENT, nullable=null),
        sa.Column("end_time", MOMENT, nullable=null),
        sa.Column("checksum", IDENTIFIER, nullable=False),
        sa.Column("overruled", FLAG),
        sa.PrimaryKeyConstraint("series_id", "end", "fetch_id", name="pk_date_ranges"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    names = 'series_id, "end", fetch_id, start, start_time, end_time, checksum, overruled'
    op.execute(f"INSERT INTO date_ranges ({names}) SELECT {names} FROM date_ranges_before")  # noqa: S608 - our names
    op.drop_table("date_ranges_before")
    op.create_index("ix_date_ranges_fetch_id", "date_ranges", ["fetch_id"])
