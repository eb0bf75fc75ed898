"""Filled pages in the key of points on Postgres, because points come in its order.

Only pages that are written from now on are filled; `REINDEX` fills the others.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KEYS = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_inherits p ON p.inhrelid = i.indrelid
JOIN pg_class parent ON parent.oid = p.inhparent
WHERE p.inhparent = 'points'::regclass AND parent.relkind = 'p' AND i.indisprimary"""


def upgrade() -> None:
    _alter("SET (fillfactor = 100)")


def downgrade() -> None:
    _alter("RESET (fillfactor)")


def _alter(change: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        for key in op.get_bind().exec_driver_sql(_KEYS).scalars().all():
            op.execute(f"ALTER INDEX {key} {change}")
