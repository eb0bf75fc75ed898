"""What the tables are declared with: their common metadata, and how SQLite keeps them."""

from typing import Any

import sqlalchemy as sa

from collector.store.db.column_types import CleanText

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def table(name: str, *parts: Any, rowid: bool = False, **options: Any) -> sa.Table:
    """Declare a table; on SQLite it is STRICT, and without *rowid* it is kept in its key."""
    return sa.Table(name, metadata, *parts, sqlite_strict=True, sqlite_with_rowid=rowid, **options)


def text(name: str) -> sa.Column[str]:
    """Declare a column of a text that is always there."""
    return sa.Column(name, CleanText, nullable=False)
