"""Null sources and types of annotations.

The data source and the event type of an annotation may be NULL, as an answer may have them.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

TEXTS = ("data_source", "event_type")
_OPTIONAL = {"end_date", "description", "linked_url"}
_COLUMNS: dict[str, Any] = {
    "id": IDENTIFIER,
    "digest": sa.Text,
    "dataset": sa.Text,
    "start_date": MOMENT,
    "end_date": MOMENT,
    "data_source": sa.Text,
    "event_type": sa.Text,
    "description": sa.Text,
    "linked_url": sa.Text,
    "is_instantaneous": FLAG,
    "tags": sa.Text,
    "first_seen_at": MOMENT,
    "last_seen_at": MOMENT,
    "last_updated": MOMENT,
}


def upgrade() -> None:
    _let_be_null(null=True)


def downgrade() -> None:
    for name in TEXTS:
        op.execute(f"UPDATE annotations SET {name} = '' WHERE {name} IS NULL")  # noqa: S608 - our names
    _let_be_null(null=False)


def _let_be_null(*, null: bool) -> None:
    """Let the texts be NULL, or not. SQLite has no statement for it, so there the table is created again."""
    if op.get_context().dialect.name == "postgresql":
        for name in TEXTS:
            op.alter_column("annotations", name, nullable=null)
        return
    op.rename_table("annotations", "annotations_before")
    optional = _OPTIONAL | ({*TEXTS} if null else set())
    op.create_table(
        "annotations",
        *(sa.Column(name, kind, nullable=name in optional) for name, kind in _COLUMNS.items()),
        sa.PrimaryKeyConstraint("id", name="pk_annotations"),
        sa.UniqueConstraint("digest", name="uq_annotations"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    names = ", ".join(_COLUMNS)
    op.execute(f"INSERT INTO annotations ({names}) SELECT {names} FROM annotations_before")  # noqa: S608 - our names
    op.drop_table("annotations_before")
