"""Points in partitions by year, on Postgres."""

from alembic import op

from collector.store.layout import rebuild

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FIRST, LAST = 2024, 2032
BOUNDS = {
    f"before_{FIRST}": f"FROM (MINVALUE) TO ('{FIRST}-01-01Z')",
    **{f"{year}": f"FROM ('{year}-01-01Z') TO ('{year + 1}-01-01Z')" for year in range(FIRST, LAST)},
    f"from_{LAST}": f"FROM ('{LAST}-01-01Z') TO (MAXVALUE)",
}


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        create = [f"CREATE TABLE points_{name} PARTITION OF points FOR VALUES {of}" for name, of in BOUNDS.items()]
        rebuild(op.get_bind(), "PARTITION BY RANGE (timestamp)", create)


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        rebuild(op.get_bind(), "")
