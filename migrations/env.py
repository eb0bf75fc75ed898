"""Runs migrations on the connection that `collector.store.db.migrate` hands over; it owns the transaction too."""

from alembic import context

from collector.store.db.migrate import VERSION_TABLE
from collector.store.db.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("migrations need a connection: use `collector db upgrade`, `downgrade`, `current` or `check`")

context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
