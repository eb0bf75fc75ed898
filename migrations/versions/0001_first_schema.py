"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
REAL: Any = sa.Double().with_variant(sa.REAL(), "sqlite")
FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

TABLES: dict[str, dict[str, Any]] = {
    "series": {
        "id": IDENTIFIER,
        "label": sa.Text,
        "dataset": sa.Text,
        "dimension": sa.Text,
        "group": sa.Text,
        "agg_interval": sa.Text,
        "filters": sa.Text,
        "normalization": sa.Text,
        "unit": sa.Text,
        "digest": sa.Text,
        "points": IDENTIFIER,
        "created_at": MOMENT,
    },
    "profile_series": {
        "profile": sa.Text,
        "label": sa.Text,
        "position": sa.Integer,
        "series_id": IDENTIFIER,
        "active": FLAG,
    },
    "points": {"series_id": IDENTIFIER, "timestamp": BUCKET, "value": REAL, "fetch_id": IDENTIFIER},
    "revisions": {
        "series_id": IDENTIFIER,
        "timestamp": BUCKET,
        "replaced_by": IDENTIFIER,
        "value": REAL,
        "fetch_id": IDENTIFIER,
        "seen_at": MOMENT,
        "replaced_at": MOMENT,
    },
    "vanished": {"series_id": IDENTIFIER, "timestamp": BUCKET, "fetch_id": IDENTIFIER, "seen_at": MOMENT},
    "fetches": {
        "id": IDENTIFIER,
        "started_at": MOMENT,
        "finished_at": MOMENT,
        "outcome": sa.Text,
        "status": sa.Integer,
        "code": sa.Integer,
        "message": sa.Text,
        "request": sa.Text,
        "profiles": sa.Text,
        "positions": sa.Integer,
        "agg_interval": sa.Text,
        "last_updated": MOMENT,
        "normalization": sa.Text,
        "unit": sa.Text,
        "confidence_level": sa.Integer,
        "bytes": IDENTIFIER,
        "inserted": sa.Integer,
        "revised": sa.Integer,
        "unchanged": sa.Integer,
        "vanished": sa.Integer,
        "replica_id": IDENTIFIER,
    },
    "fetch_profiles": {"profile": sa.Text, "fetch_id": IDENTIFIER},
    "date_ranges": {
        "series_id": IDENTIFIER,
        "end": BUCKET,
        "fetch_id": IDENTIFIER,
        "start": BUCKET,
        "start_time": MOMENT,
        "end_time": MOMENT,
        "checksum": IDENTIFIER,
    },
    "annotations": {
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
    },
    "withdrawals": {
        "annotation_id": IDENTIFIER,
        "withdrawn_at": MOMENT,
        "returned_at": MOMENT,
        "last_updated": MOMENT,
    },
    "fires": {"profile": sa.Text, "due": MOMENT, "outcome": sa.Text, "finished_at": MOMENT, "message": sa.Text},
    "state": {"key": sa.Text, "value": sa.Text},
}
KEYS = {
    "series": ["id"],
    "profile_series": ["profile", "label"],
    "points": ["series_id", "timestamp"],
    "revisions": ["series_id", "timestamp", "replaced_by"],
    "vanished": ["series_id", "timestamp"],
    "fetches": ["id"],
    "fetch_profiles": ["profile", "fetch_id"],
    "date_ranges": ["series_id", "end", "fetch_id"],
    "annotations": ["id"],
    "withdrawals": ["annotation_id", "withdrawn_at"],
    "fires": ["profile", "due"],
    "state": ["key"],
}
UNIQUE = {"series": ["digest", "normalization", "unit"], "annotations": ["digest"]}
INDEXES = {"fetches": ["finished_at", "last_updated"], "date_ranges": ["fetch_id"]}
NULLABLE = {
    "fetches": set(TABLES["fetches"])
    - {"id", "started_at", "outcome", "request", "profiles", "positions", "agg_interval"},
    "annotations": {"end_date"},
    "withdrawals": {"returned_at"},
    "fires": {"message"},
}
FINITE = {
    "sqlite": "value > -9e999 AND value < 9e999",
    "postgresql": "value > '-Infinity' AND value < 'Infinity'",
}
VIEWS = {
    "labels": """
SELECT l.profile AS profile, l.label AS label, l.position AS position, l.series_id AS series_id
FROM profile_series l
WHERE l.active OR NOT EXISTS (
  SELECT 1 FROM profile_series a WHERE a.active AND (a.series_id = l.series_id OR a.label = l.label)
)""",
    "history": """
SELECT l.profile AS profile, l.label AS series, p.timestamp AS timestamp, p.value AS value,
  s.unit AS unit, s.normalization AS normalization
FROM labels l JOIN series s ON s.id = l.series_id JOIN points p ON p.series_id = s.id""",
}


def upgrade() -> None:
    backend = op.get_context().dialect.name
    for name in TABLES:
        _create(name, backend)
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS{query}")
    if backend == "sqlite":
        op.execute(f"PRAGMA application_id = {0x52444354}")


def _create(name: str, backend: str) -> None:
    numbered = KEYS[name] == ["id"]
    nullable = NULLABLE.get(name, set())
    constraints: list[sa.Constraint] = [sa.PrimaryKeyConstraint(*KEYS[name], name=f"pk_{name}")]
    if name in UNIQUE:
        constraints.append(sa.UniqueConstraint(*UNIQUE[name], name=f"uq_{name}"))
    if name == "points":
        constraints.append(sa.CheckConstraint(FINITE[backend], name="ck_points_finite"))
    columns = [
        sa.Column(column, kind, nullable=column in nullable, autoincrement=numbered and column == "id")
        for column, kind in TABLES[name].items()
    ]
    op.create_table(name, *columns, *constraints, sqlite_strict=True, sqlite_with_rowid=numbered)
    for column in INDEXES.get(name, []):
        op.create_index(f"ix_{name}_{column}", name, [column])


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for name in reversed(TABLES):
        op.drop_table(name)
