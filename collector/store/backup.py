"""A copy of a SQLite store in one file, made beside a running collector: consistent, verified, whole or not at all."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.errors import UsageError, system_words
from collector.store import migrate, sqlite_file
from collector.store.boundary import translate
from collector.store.engine import BUSY_SECONDS
from collector.store.errors import StoreDamaged, StoreUnavailable
from collector.store.location import Location, locate
from collector.store.upkeep import current
from collector.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGES_A_STEP = 1_000


async def backup(url: str, target: Path, *, force: bool = False) -> int:
    """Back up the store at *url* to the file *target*, for this user alone; gives its bytes.

    UsageError for Postgres, and where *target* exists (unless *force*) or is the store itself; StoreDamaged where what
    was copied does not hold what was written, and then there is no backup.
    """
    location = locate(url)
    if location.path is None:
        raise UsageError(
            f"{location} is no SQLite store: back it up with pg_dump, or copy it with `collector db copy sqlite:///FILE`"
        )
    sqlite_file.check(location)
    _check_target(location.path, target, force=force)
    with _unfinished(target) as unfinished:
        await asyncio.to_thread(_copy, location, unfinished)
        await _verify(unfinished)
        return _put(unfinished, target, force=force)


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target} cannot be written: name a file in a folder that exists")
    if not target.exists():
        return
    if target.samefile(source):
        raise UsageError(f"{target} is the store itself")
    if not force:
        raise UsageError(f"{target} exists; --force overwrites it")


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Give a file beside *target* that is there for as long as the backup is not whole."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield unfinished
    except OSError as error:
        raise StoreUnavailable(f"{target} cannot be written ({system_words(error)})") from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{unfinished}{suffix}").unlink(missing_ok=True)


def _copy(location: Location, unfinished: Path) -> None:
    """Copy page by page what one transaction sees, so that nobody waits and nothing is begun anew."""
    uri = f"file:{quote(str(location.path))}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as source,
            closing(sqlite3.connect(unfinished, isolation_level=None)) as copy,
        ):
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=_PAGES_A_STEP)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise translate(error, location) from error


async def _verify(unfinished: Path) -> None:
    """Verify with checksums, or a store of an older schema, which may have none, with SQLite's own check."""
    url = f"sqlite:///{unfinished}"
    if await current(url) == migrate.HEAD:
        findings = (await verify(url)).findings
    else:
        with closing(sqlite3.connect(unfinished)) as connection:
            findings = [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    if findings:
        raise StoreDamaged(f"there is no backup, for the store is damaged; `collector db verify` says: {findings[0]}")


def _put(unfinished: Path, target: Path, *, force: bool) -> int:
    """Let the whole file appear under its name, without *force* never in the place of another; gives its bytes."""
    size = unfinished.stat().st_size
    _sync(unfinished)
    if force:
        for suffix in ("-wal", "-shm", "-journal"):  # of what was there before: they would be taken for the backup's
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        unfinished.replace(target)
    else:
        try:
            os.link(unfinished, target)
        except FileExistsError:
            raise UsageError(f"{target} exists; --force overwrites it") from None
        except OSError:  # a file system without links
            unfinished.replace(target)
    _sync(target.parent)
    return size


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
