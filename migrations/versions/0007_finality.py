"""What makes a value final and a gap proven; snapshots; series in force; refused questions.

The values of an older store count as read once, at the newest lastUpdated on record: what was past settle then is final
but unconfirmed, and gaps are judged anew.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: Any = sa.Double().with_variant(sa.REAL(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

COLUMNS: dict[str, dict[str, Any]] = {
    "series": {"settle": IDENTIFIER, "in_force_at": MOMENT, "proposed_at": MOMENT, "sums_differ": FLAG},
    "fetches": {"ignored": sa.Integer, "windows": sa.Text},
    "date_ranges": {"overruled": FLAG},
    "backfills": {"points_ignored": IDENTIFIER},
}
TABLES: dict[str, tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]]] = {
    "finality": (
        ("series_id", "start"),
        {
            "series_id": IDENTIFIER,
            "start": BUCKET,
            "end": BUCKET,
            "asked_at": MOMENT,
            "told_at": MOMENT,
            "margin": IDENTIFIER,
            "changed_at": MOMENT,
            "confirmed": FLAG,
        },
        ("changed_at",),
    ),
    "absences": (
        ("series_id", "start", "fetch_id"),
        {
            "series_id": IDENTIFIER,
            "start": BUCKET,
            "fetch_id": IDENTIFIER,
            "end": BUCKET,
            "window_start": BUCKET,
            "window_end": BUCKET,
            "asked_at": MOMENT,
            "told_at": MOMENT,
        },
        (),
    ),
    "refusals": (
        ("digest",),
        {
            "digest": sa.Text,
            "outcome": sa.Text,
            "reason": sa.Text,
            "failures": IDENTIFIER,
            "refused_at": MOMENT,
            "again_at": MOMENT,
        },
        (),
    ),
    "snapshots": (
        ("series_id", "asked_at"),
        {
            "series_id": IDENTIFIER,
            "asked_at": MOMENT,
            "start": BUCKET,
            "end": BUCKET,
            "last_updated": MOMENT,
            "points": IDENTIFIER,
            "checksum": IDENTIFIER,
        },
        (),
    ),
    "snapshot_points": (
        ("series_id", "asked_at", "timestamp"),
        {"series_id": IDENTIFIER, "asked_at": MOMENT, "timestamp": BUCKET, "value": REAL},
        (),
    ),
}
"""By table: its key, its columns, and those that may be NULL."""

_STEP = "CASE agg_interval WHEN '15m' THEN 900 WHEN '1h' THEN 3600 WHEN '1d' THEN 86400 ELSE 604800 END"
_LATER = {"sqlite": _STEP, "postgresql": f"({_STEP}) * interval '1 second'"}
_SEED = """
INSERT INTO finality (series_id, start, "end", asked_at, told_at, margin, confirmed)
SELECT id, oldest, newest, told_at, told_at, 0, {false} FROM (
  SELECT id, (SELECT min(timestamp) FROM points WHERE series_id = series.id) AS oldest,
    (SELECT max(timestamp) FROM points WHERE series_id = series.id) + {step} AS newest,
    (SELECT max(last_updated) FROM fetches WHERE outcome = 'ok') AS told_at
  FROM series
) AS stored WHERE oldest IS NOT NULL AND told_at IS NOT NULL"""

_HISTORY_BEFORE = """
SELECT l.profile AS profile, l.label AS series, p.timestamp AS timestamp, p.value AS value,
  s.unit AS unit, s.normalization AS normalization
FROM labels l JOIN series s ON s.id = l.series_id JOIN points p ON p.series_id = s.id"""
_SUPERSEDED_AND_SNAPSHOTS = """
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM labels l JOIN series c ON c.id = l.series_id
JOIN series s ON s.digest = c.digest AND s.id <> c.id AND s.in_force_at IS NOT NULL
JOIN points p ON p.series_id = s.id
WHERE NOT EXISTS (
  SELECT 1 FROM series n JOIN points q ON q.series_id = n.id
  WHERE n.digest = s.digest AND n.id <> s.id AND q.timestamp = p.timestamp
    AND (n.id = c.id OR n.in_force_at > s.in_force_at)
)
UNION ALL
SELECT l.profile, l.label, p.timestamp, p.value, s.unit, s.normalization
FROM labels l JOIN series s ON s.id = l.series_id JOIN snapshot_points p ON p.series_id = s.id
WHERE p.asked_at = (SELECT max(n.asked_at) FROM snapshots n WHERE n.series_id = s.id)"""


def upgrade() -> None:
    backend = op.get_context().dialect.name
    for table, columns in COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind))
    for table, (key, columns, optional) in TABLES.items():
        op.create_table(
            table,
            *(sa.Column(name, kind, nullable=name in optional) for name, kind in columns.items()),
            sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"),
            sqlite_strict=True,
            sqlite_with_rowid=False,
        )
    op.execute("UPDATE series SET in_force_at = created_at WHERE normalization <> ''")
    op.execute(_SEED.format(step=_LATER[backend], false="0" if backend == "sqlite" else "false"))
    _replace_view(_HISTORY_BEFORE + _SUPERSEDED_AND_SNAPSHOTS)


def downgrade() -> None:
    _replace_view(_HISTORY_BEFORE)
    for table in TABLES:
        op.drop_table(table)
    for table, columns in COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)


def _replace_view(query: str) -> None:
    """Replace the view in place on Postgres, so that granted rights stay; SQLite has no rights and no replacing."""
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP VIEW history")
        op.execute(f"CREATE VIEW history AS{query}")
    else:
        op.execute(f"CREATE OR REPLACE VIEW history AS{query}")
