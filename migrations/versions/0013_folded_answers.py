"""Folded coverage: one row for many answers about the same series whose buckets are final.

A running collector folds old rows of `answers` bit by bit. The view `date_ranges` shows a folded range as one row;
`unfolded_ranges` has the other rows. A replica of the previous version sees the folded ranges in `date_ranges` only.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

IDENTIFIER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BUCKET = sa.TIMESTAMP(timezone=True).with_variant(sa.Integer(), "sqlite")
MOMENT: Any = sa.TIMESTAMP(timezone=True).with_variant(sa.REAL(), "sqlite")

UNFOLDED = """
SELECT m.series_id AS series_id, a."end" AS "end", a.fetch_id AS fetch_id, a.start AS start,
  a.start_time AS start_time, a.end_time AS end_time, NULL AS checksum, a.overruled AS overruled
FROM series_set_members m JOIN answers a ON a.set_id = m.set_id
UNION ALL
SELECT series_id, "end", fetch_id, start, start_time, end_time, checksum, overruled FROM series_ranges"""
RANGES = f"""{UNFOLDED}
UNION ALL
SELECT m.series_id, f."end", f.fetch_id, f.start, NULL, NULL, NULL, NULL
FROM series_set_members m JOIN folded_answers f ON f.set_id = m.set_id"""  # noqa: S608 - our own text
_NAMES = [f'"{name}"' for name in ("series_id", "end", "fetch_id", "start", "start_time", "end_time", "checksum")]
_NAMES.append('"overruled"')
_TRIGGERS = {
    "INSERT": f"""
INSERT INTO series_ranges ({", ".join(_NAMES)}) VALUES ({", ".join(f"NEW.{name}" for name in _NAMES)})""",  # noqa: S608 - our names
    "DELETE": """
DELETE FROM series_ranges WHERE series_id = OLD.series_id AND "end" = OLD."end" AND fetch_id = OLD.fetch_id""",
}
_RIGHTS = """
SELECT right_to.privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
FROM pg_class AS it CROSS JOIN aclexplode(it.relacl) AS right_to
WHERE it.oid = 'answers'::regclass AND grantee <> it.relowner"""


def upgrade() -> None:
    op.create_table(
        "folded_answers",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("set_id", IDENTIFIER, nullable=False),
        sa.Column("start", BUCKET, nullable=False),
        sa.Column("end", BUCKET, nullable=False),
        sa.Column("fetch_id", IDENTIFIER, nullable=False),
        sa.Column("first_fetch_id", IDENTIFIER, nullable=False),
        sa.Column("last_fetch_id", IDENTIFIER, nullable=False),
        sa.Column("first_finished_at", MOMENT, nullable=False),
        sa.Column("last_finished_at", MOMENT, nullable=False),
        sa.Column("last_updated", MOMENT, nullable=False),
        sa.Column("lowest_level", sa.Integer),
        sa.Column("highest_level", sa.Integer),
        sa.Column("checksum", IDENTIFIER, nullable=False),
        sa.Column("digest", IDENTIFIER, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_folded_answers"),
        sqlite_strict=True,
        sqlite_with_rowid=True,
    )
    op.create_index("ix_folded_answers_set_id", "folded_answers", ["set_id", "end"])
    _replace_view(RANGES)
    op.execute(f"CREATE VIEW unfolded_ranges AS{UNFOLDED}")
    for right, role in _rights():
        op.execute(f"GRANT {right} ON folded_answers, unfolded_ranges TO {role}")
        if right == "INSERT":
            op.execute(f"GRANT USAGE ON SEQUENCE folded_answers_id_seq TO {role}")


def downgrade() -> None:
    folded = op.get_bind().exec_driver_sql("SELECT count(*) FROM folded_answers").scalar()
    if folded:
        raise ValueError(
            f"{folded} ranges of coverage are folded, which the older schema cannot hold:"
            " restore a backup from before the upgrade"
        )
    op.execute("DROP VIEW unfolded_ranges")
    _replace_view(UNFOLDED)
    op.drop_table("folded_answers")


def _replace_view(query: str) -> None:
    """Give `date_ranges` another query. On SQLite its triggers go with the old view."""
    if op.get_context().dialect.name != "sqlite":
        op.execute(f"CREATE OR REPLACE VIEW date_ranges AS{query}")
        return
    op.execute("DROP VIEW date_ranges")
    op.execute(f"CREATE VIEW date_ranges AS{query}")
    for verb, statement in _TRIGGERS.items():
        trigger = f"CREATE TRIGGER {verb.lower()}_date_range INSTEAD OF {verb} ON date_ranges FOR EACH ROW"
        op.execute(f"{trigger} BEGIN{statement}; END")


def _rights() -> list[tuple[str, str]]:
    if op.get_context().dialect.name == "sqlite":
        return []
    return [tuple(row) for row in op.get_bind().exec_driver_sql(_RIGHTS)]
