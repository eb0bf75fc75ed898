"""What is done to a store as a whole, by a command: migrating and checking its schema, and dumping it."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from collector.errors import UsageError
from collector.store.admin import dump as canonical
from collector.store.db import migrate, sqlite_file
from collector.store.db.engine import Database
from collector.store.db.location import locate
from collector.store.db.lock_file import owning
from collector.store.db.translate_errors import ILLEGIBLE
from collector.store.errors import StoreDamaged
from collector.store.retention import prune as pruning
from collector.store.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.settings import RetentionSettings
    from collector.store.retention.prune import Pruned


@asynccontextmanager
async def opened(url: str, *, owner: str | None) -> AsyncIterator[Database]:
    """Open an existing store whatever its schema; *owner* as in Store.open."""
    location = locate(url)
    immutable = False
    async with AsyncExitStack() as stack:
        if location.path:
            if owner is not None and location.path.exists():
                stack.enter_context(owning(location.path, owner, named=location.named))
            immutable = stack.enter_context(sqlite_file.opened(location, writes=owner is not None))
        database = Database(location, writes=owner is not None, immutable=immutable)
        stack.push_async_callback(database.close)
        yield database


async def current(url: str) -> str | None:
    """Read the schema revision of a store, whatever it is; None where a database has none."""
    async with opened(url, owner=None) as database, database.read() as connection:
        return await migrate.current(connection)


async def upgrade(url: str, *, timescale: bool = False) -> tuple[str | None, str]:
    """Create a store or migrate it to HEAD, *timescale* as in Store.open; gives the revision before and after."""
    location = locate(url)
    before = await current(url) if location.path is None or location.path.exists() else None
    async with Store.open(url, owner="db upgrade", timescale=timescale):
        return before, migrate.HEAD


async def downgrade(url: str, revision: str) -> str | None:
    """Take the schema back to *revision* or `base`, with what only newer ones hold; UsageError for an unknown one."""
    async with opened(url, owner="db downgrade") as database:
        try:
            await database.write(lambda connection: migrate.downgrade(connection, revision))
        except LookupError as error:
            raise UsageError(str(error)) from error
        async with database.read() as connection:
            return await migrate.current(connection)


async def check(url: str) -> list[str]:
    """Say in what the schema differs from the expected one; a StoreError where it has another revision."""
    async with opened(url, owner=None) as database, database.read() as connection:
        migrate.check(await migrate.current(connection))
        return await migrate.drift(connection)


async def dump(url: str) -> AsyncGenerator[str, None]:
    """Stream the canonical dump, see dump.dump; who stops early should close the iterator."""
    async with _reading(url) as connection, aclosing(canonical.dump(connection)) as texts:
        async for text in texts:
            yield text


async def digest(url: str) -> str:
    """Give SHA-256 of the canonical dump."""
    async with _reading(url) as connection:
        return await canonical.digest(connection)


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[AsyncConnection]:
    """Read a store of this version's schema, beside whoever writes to it."""
    async with opened(url, owner=None) as database, database.read() as connection:
        migrate.check(await migrate.current(connection))
        try:
            yield connection
        except sa.exc.DBAPIError:
            raise
        except ILLEGIBLE as error:
            raise StoreDamaged(f"the store {database.location} is damaged: `collector db verify` says where") from error


async def prunable(url: str, retention: RetentionSettings, now: datetime) -> Pruned:
    """Count what would be deleted of a store; nothing is."""
    async with _reading(url) as connection:
        return await pruning.prunable(connection, retention, now)
