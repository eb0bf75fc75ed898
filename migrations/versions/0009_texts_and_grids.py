"""Null texts of annotations; the view shows the history on former grids.

The description and the link of an annotation may be NULL, as an answer may have them.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

TEXTS = ("description", "linked_url")
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

_STEP = "CASE s.agg_interval WHEN '15m' THEN 900 WHEN '1h' THEN 3600 WHEN '1d' THEN 86400 WHEN '1w' THEN 604800 END"
STEPS = {"sqlite": f"({_STEP})", "postgresql": f"({_STEP}) * interval '1 second'"}
_IN_FORCE = """
SELECT l.profile AS profile, l.label AS series, p.timestamp AS timestamp, p.value AS value,
  s.unit AS unit, s.normalization AS normalization
FROM labels l JOIN series s ON s.id = l.series_id JOIN points p ON p.series_id = s.id"""
_SUPERSEDED = """
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM labels l JOIN series c ON c.id = l.series_id
JOIN series s ON s.digest = c.digest AND s.id <> c.id AND s.in_force_at IS NOT NULL
JOIN points p ON p.series_id = s.id
WHERE NOT EXISTS (
  SELECT 1 FROM series n JOIN points q ON q.series_id = n.id
  WHERE n.digest = s.digest AND n.id <> s.id AND q.timestamp = p.timestamp
    AND (n.id = c.id OR n.in_force_at > s.in_force_at)
)"""
_FORMER_GRIDS = """
  AND c.digest NOT IN (SELECT substr(f.digest, 1, 64) FROM series f WHERE length(f.digest) > 64)
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM (SELECT DISTINCT substr(digest, 1, 64) AS question FROM series WHERE length(digest) > 64) AS f
CROSS JOIN series c CROSS JOIN labels l CROSS JOIN series s CROSS JOIN points p
WHERE c.digest = f.question AND l.series_id = c.id
  AND s.digest >= f.question AND s.digest < f.question || 'A' AND substr(s.digest, 1, 64) = f.question
  AND s.id <> c.id AND s.in_force_at IS NOT NULL AND p.series_id = s.id AND NOT EXISTS (
  SELECT 1 FROM series n JOIN points q ON q.series_id = n.id
  WHERE n.digest >= f.question AND n.digest < f.question || 'A' AND substr(n.digest, 1, 64) = f.question
    AND n.id <> s.id AND (n.id = c.id OR n.in_force_at > s.in_force_at)
    AND q.timestamp > p.timestamp - {step} AND q.timestamp < p.timestamp + {step}
)"""
_SNAPSHOTS = """
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM labels l JOIN series s ON s.id = l.series_id JOIN snapshot_points p ON p.series_id = s.id
WHERE p.asked_at = (SELECT max(n.asked_at) FROM snapshots n WHERE n.series_id = s.id)"""


def upgrade() -> None:
    _let_be_null(null=True)
    step = STEPS[op.get_context().dialect.name]
    _replace_view(_IN_FORCE + _SUPERSEDED + _FORMER_GRIDS.format(step=step) + _SNAPSHOTS)


def downgrade() -> None:
    _replace_view(_IN_FORCE + _SUPERSEDED + _SNAPSHOTS)
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
    optional = {"end_date", *(TEXTS if null else ())}
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


def _replace_view(query: str) -> None:
    """Replace the view in place on Postgres, so that granted rights stay; SQLite has no rights and no replacing."""
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP VIEW history")
        op.execute(f"CREATE VIEW history AS{query}")
    else:
        op.execute(f"CREATE OR REPLACE VIEW history AS{query}")
