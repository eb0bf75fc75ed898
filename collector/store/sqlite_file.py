"""The file of a SQLite store: what it is, told without changing a byte, and how it comes to be.

A new store is built under another name and renamed when it is whole, so that a file of the store's name is never half
a store, wherever the process was killed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.errors import system_words
from collector.store.boundary import translate
from collector.store.engine import BUSY_SECONDS, sqlite_writer
from collector.store.errors import StoreForeign, StoreMissing, StoreUnavailable
from collector.store.schema import APPLICATION_ID
from collector.store.unit import immediate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.location import Location

_SMALLEST = 512
"""Bytes of the smallest SQLite database; anything shorter SQLite takes for an empty one."""


def check(location: Location) -> None:
    """Raise what is wrong with the file of a store, if anything; nothing in it is changed."""
    path = _path(location)
    if not path.exists():
        raise StoreMissing(f"there is no store at {path} yet: `collector run`, `collect` or `db upgrade` creates it")
    if not path.is_file():
        raise StoreForeign(f"{path} is not a file")
    if path.stat().st_size == 0:
        raise StoreForeign(f"{path} is empty: not a store. If nothing is to be saved from it, delete it")
    if path.stat().st_size < _SMALLEST:
        raise StoreForeign(f"{path} is not a SQLite database")
    if _application_id(location) != APPLICATION_ID:
        raise StoreForeign(f"{path} is a SQLite database of another program, not a store; it was not touched")


def _application_id(location: Location) -> int:
    """Ask SQLite rather than read the header: closing a file of one's own drops the locks this process has on it."""
    try:
        uri = f"file:{quote(str(location.path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
            found: int = connection.execute("PRAGMA application_id").fetchone()[0]
    except sqlite3.Error as error:
        raise translate(error, location) from error
    return found


def make_folder(location: Location) -> None:
    """Create the folder of a store where it is missing, for this user alone."""
    folder = _path(location).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the folder {folder} cannot be created ({system_words(error)})") from error


@contextmanager
def creating(location: Location) -> Iterator[AsyncConnection]:
    """Build a new store in the transaction this gives; only the owner may."""
    path = _path(location)
    unfinished = path.with_name(path.name + ".new")
    _remove(unfinished)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    engine = sqlite_writer(unfinished)
    try:
        with engine.begin() as connection:
            yield immediate(connection)
    finally:
        engine.dispose()
    _sync(unfinished)
    unfinished.rename(path)
    _sync(path.parent)


def _remove(unfinished: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _path(location: Location) -> Path:
    assert location.path is not None
    return location.path
