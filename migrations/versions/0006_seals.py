"""Seals on what has no checksum of its own: fires, and the marks of vanished buckets."""

import zlib
from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FIRES = {
    "sqlite": "SELECT profile, CAST(due AS INTEGER), outcome FROM fires",
    "postgresql": "SELECT profile, floor(date_part('epoch', due))::bigint, outcome FROM fires",
}
VANISHED = {
    "sqlite": "SELECT series_id, timestamp FROM vanished",
    "postgresql": "SELECT series_id, date_part('epoch', timestamp)::bigint FROM vanished",
}


def upgrade() -> None:
    seals = op.create_table(
        "seals",
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("number", IDENTIFIER, nullable=False),
        sa.Column("digest", IDENTIFIER, nullable=False),
        sa.PrimaryKeyConstraint("part", name="pk_seals"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    connection, sums = op.get_bind(), defaultdict(list)
    for profile, due, outcome in connection.execute(sa.text(FIRES[connection.dialect.name])):
        sums[f"fires of {profile}"].append(zlib.crc32(f"{due} {outcome}".encode()))
    for series_id, timestamp in connection.execute(sa.text(VANISHED[connection.dialect.name])):
        sums[f"vanished buckets of series {series_id}"].append(zlib.crc32(str(timestamp).encode()))
    rows = [{"part": part, "number": len(found), "digest": sum(found) % 2**32} for part, found in sums.items()]
    op.bulk_insert(seals, rows)


def downgrade() -> None:
    op.drop_table("seals")
