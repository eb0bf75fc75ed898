"""What is done to a store as a whole, by a command: migrating and checking its schema, and dumping it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.errors import UsageError
from collector.store.admin import dump as canonical
from collector.store.db import migrate
from collector.store.db.engine import UNREADABLE_VALUE, locate
from collector.store.errors import StoreCorrupt
from collector.store.retention import prune as pruning
from collector.store.store import open_database, open_store

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from datetime import datetime

    from collector.settings import RetentionSettings
    from collector.store.retention.prune import Pruned


def current(url: str) -> str | None:
    """Read the schema revision of a store, whatever it is; None where a database has none."""
    with open_database(url, owner=None) as database, database.read() as connection:
        return migrate.current(connection)


def upgrade(url: str, *, timescale: bool = False) -> tuple[str | None, str]:
    """Create a store or migrate it to HEAD, *timescale* as in Store.open; gives the revision before and after."""
    location = locate(url)
    before = current(url) if location.path is None or location.path.exists() else None
    with open_store(url, owner="db upgrade", upgrade=True, timescale=timescale):
        return before, migrate.HEAD


def downgrade(url: str, revision: str) -> str | None:
    """Take the schema back to *revision* or `base`, with what only newer ones hold; UsageError for an unknown one."""
    with open_database(url, owner="db downgrade") as database:
        try:
            database.write_now(lambda connection: migrate.downgrade(connection, revision))
        except LookupError as error:
            raise UsageError(str(error)) from error
        with database.read() as connection:
            return migrate.current(connection)


def check(url: str) -> list[str]:
    """Say in what the schema differs from the expected one; a StoreError where it has another revision."""
    with open_database(url, owner=None) as database, database.read() as connection:
        migrate.check(migrate.current(connection))
        return migrate.drift(connection)


def dump(url: str) -> Generator[str, None, None]:
    """Stream the canonical dump, see dump.dump; who stops early should close the iterator."""
    with _reading(url) as connection, closing(canonical.dump(connection)) as texts:
        yield from texts


def digest(url: str) -> str:
    """Give SHA-256 of the canonical dump."""
    with _reading(url) as connection:
        return canonical.digest(connection)


@contextmanager
def _reading(url: str) -> Iterator[sa.Connection]:
    """Read a store of this version's schema, beside whoever writes to it."""
    with open_database(url, owner=None) as database, database.read() as connection:
        migrate.check(migrate.current(connection))
        try:
            yield connection
        except sa.exc.DBAPIError:
            raise
        except UNREADABLE_VALUE as error:
            raise StoreCorrupt(f"the store {database.location} is damaged: `collector db verify` says where") from error


def prunable(url: str, retention: RetentionSettings, now: datetime) -> Pruned:
    """Count what would be deleted of a store; nothing is."""
    with _reading(url) as connection:
        return pruning.prunable(connection, retention, now)
