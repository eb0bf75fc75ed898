"""The file of a SQLite store: what it is, told without changing a byte, and how it comes to be.

A new store is built under another name and renamed when it is whole, so that a file of the store's name is never half
a store, wherever the process was killed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from collector.errors import system_words
from collector.store import header, side_files
from collector.store.boundary import translate
from collector.store.engine import BUSY_SECONDS, sqlite_writer
from collector.store.errors import StoreAliased, StoreForeign, StoreMissing, StoreUnavailable
from collector.store.pinned import pinned
from collector.store.schema import APPLICATION_ID
from collector.store.unit import immediate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from collector.store.location import Location

_SMALLEST = 512
"""Bytes of the smallest SQLite database; anything shorter SQLite takes for an empty one."""


@contextmanager
def opened(location: Location, *, writes: bool) -> Iterator[bool]:
    """Check the file of a store and keep it open; the value is whether it must be read as a file that nobody changes.

    The owner *writes*: it sets a write-ahead log of another file aside. A reader changes nothing.
    """
    path = _path(location)
    _check_kind(path)
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(pinned(path))
            _check_names(path, descriptor, writes=writes)
            if writes:
                side_files.set_foreign_log_aside(path, descriptor)
            immutable = not writes and side_files.must_be_read_alone(path, descriptor)
        except OSError as error:
            raise StoreUnavailable(f"the store {path} cannot be opened ({system_words(error)})") from error
        _check_content(location, immutable=immutable)
        yield immutable


def check(location: Location) -> None:
    """Raise what is wrong with the file of a store, if anything; nothing in it is changed."""
    with opened(location, writes=False):
        pass


def _check_kind(path: Path) -> None:
    if not path.exists():
        raise StoreMissing(f"there is no store at {path} yet: `collector run`, `collect` or `db upgrade` creates it")
    if not path.is_file():
        raise StoreForeign(f"{path} is not a file")
    status = path.stat()
    if status.st_size == 0:
        raise StoreForeign(f"{path} is empty: not a store. If nothing is to be saved from it, delete it")
    if status.st_size < _SMALLEST:
        raise StoreForeign(f"{path} is not a SQLite database")


def _check_names(path: Path, descriptor: int, *, writes: bool) -> None:
    """Refuse a file with several hard links; a backup that nobody writes to has no changes beside any name."""
    number = path.stat().st_nlink
    if number > 1 and (writes or not header.has_no_log(header.read_header(descriptor))):
        raise StoreAliased(
            f"the store {path} is a file with {number} names{_others(path)}: SQLite keeps changes beside one name, so"
            " they would be lost to another; delete the other names, or copy the file"
        )


def _others(path: Path) -> str:
    """Name the other hard links of *path* in its folder."""
    try:
        inode = path.stat().st_ino
        names = [one.name for one in os.scandir(path.parent) if one.inode() == inode and one.name != path.name]
    except OSError:
        return ""
    return f" (also {', '.join(sorted(names))})" if names else ""


def _check_content(location: Location, *, immutable: bool) -> None:
    """Ask SQLite, which says what is wrong with a file that it cannot open."""
    try:
        with closing(connect(_path(location), immutable=immutable)) as connection:
            found: int = connection.execute("PRAGMA application_id").fetchone()[0]
    except sqlite3.Error as error:
        raise translate(error, location) from error
    if found != APPLICATION_ID:
        raise StoreForeign(f"{location.path} is a SQLite database of another program, not a store; it was not touched")


def connect(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Open a SQLite file to read it, without transactions of the driver's own."""
    uri = side_files.uri(path, immutable=immutable)
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def make_folder(location: Location) -> None:
    """Create the folder of a store where it is missing, for this user alone; none that a link only points to."""
    folder = _path(location).parent
    if link := _dangling(location):
        raise StoreUnavailable(f"{link} is a symbolic link to {os.path.realpath(link)}, which cannot be reached")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the folder {folder} cannot be created ({system_words(error)})") from error


def _dangling(location: Location) -> Path | None:
    """Find the link on the way to a store that points nowhere; one to a file that a folder could hold is none."""
    path = _path(location)
    named = location.named or path
    first = next(one for one in (named, *named.parents) if os.path.lexists(one))
    if not first.is_symlink() or first.exists():
        return None
    return first if path.is_symlink() or not path.parent.is_dir() else None


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
    sync(unfinished)
    side_files.set_all_aside(path)
    unfinished.rename(path)
    sync(path.parent)


def _remove(unfinished: Path) -> None:
    for suffix in ("", *side_files.SUFFIXES):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the file or folder *path* is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _path(location: Location) -> Path:
    assert location.path is not None
    return location.path
