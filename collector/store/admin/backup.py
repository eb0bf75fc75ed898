"""Back up a SQLite store to one file beside a running collector, and restore one: verified, whole or not at all.

restore: copy FILE beside the store and verify it   →   rename the old file   →   rename the copy   →   move the old log

If the process is killed before the copy is renamed, the old store is there. If it is killed after it, the log that is
still there is known not to belong to the copy (see sqlite_file.has_no_log), and is moved when the store is next opened.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from collector.errors import UsageError, cannot_write, os_error_text
from collector.settings.values import sqlite_url
from collector.store.admin.commands import current
from collector.store.admin.verify import verify
from collector.store.db import migrate, sqlite_file
from collector.store.db.engine import Location, at, locate, translate
from collector.store.db.lock_file import hold_lock, is_owned, is_owned_file, owner_of, pinned
from collector.store.db.sqlite_file import sync
from collector.store.errors import NotAStore, StoreCorrupt, StoreLocked, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGES_A_STEP = 1_000


def backup(url: str, target: Path, *, force: bool = False) -> int:
    """Back up the store at *url* to the file *target*, for this user alone; returns its bytes.

    If *target* is a symbolic link, the file that it points to is written. Raises UsageError for Postgres, if *target*
    exists (unless *force*), or if it is the store itself. Raises StoreLocked if another process has it open as its
    store, and StoreCorrupt if the copy differs from what was written; then there is no backup.
    """
    location = locate(url)
    if location.path is None:
        raise UsageError(
            f"{location} is no SQLite store: back it up with pg_dump, or copy it with `collector db copy sqlite:///FILE`"
        )
    with sqlite_file.opened(location, writes=False) as immutable:
        target = _checked_target(location.path, target, force=force)
        with unfinished_beside(target) as unfinished:
            copy_pages(location, unfinished, immutable=immutable)
            if finding := find_damage(unfinished):
                raise StoreCorrupt(
                    f"there is no backup, for the store is damaged; `collector db verify` says: {finding}"
                )
            return _put(unfinished, target, force=force)


def _checked_target(source: Path, path: Path, *, force: bool) -> Path:
    """Return *path* with symbolic links followed. Raises UsageError if the backup may not be written there."""
    target = Path(os.path.realpath(path))
    if target.is_dir() or target.is_symlink() or not target.parent.is_dir():
        raise UsageError(f"{path} cannot be written: name a file in a folder that exists")
    if not target.exists():
        return target
    if target.samefile(source):
        raise UsageError(f"{path} is the store itself")
    if not force:
        raise UsageError(f"{path} exists; --force overwrites it")
    _refuse_owned(target)
    return target


def _refuse_owned(target: Path) -> None:
    """Refuse to overwrite a store that a process has open."""
    try:
        with pinned(target) as descriptor:
            owned = is_owned(target, descriptor) or is_owned_file(descriptor)
    except OSError as error:
        raise StoreUnavailable(f"{target} cannot be read ({os_error_text(error)})") from error
    if owned:
        raise StoreLocked(f"{target} is a store in use by {owner_of(target) or 'another process'}")


@contextmanager
def unfinished_beside(target: Path) -> Iterator[Path]:
    """Create a file next to *target* that exists until the copy is complete.

    Raises what cannot_write returns if it cannot be created, StoreUnavailable if something fails later.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise cannot_write(str(target), error) from error
    try:
        yield unfinished
    except OSError as error:
        raise StoreUnavailable(f"{target} cannot be written ({os_error_text(error)})") from error
    finally:
        for suffix in ("", *sqlite_file.SUFFIXES):
            Path(f"{unfinished}{suffix}").unlink(missing_ok=True)


def copy_pages(location: Location, unfinished: Path, *, immutable: bool) -> None:
    """Copy the pages that one transaction sees, so that no writer waits and the copy never restarts.

    The copy is marked as a file without a write-ahead log, see sqlite_file.has_no_log.
    """
    assert location.path is not None
    before = sqlite_file.identity(location.path)
    try:
        with (
            closing(sqlite_file.connect(location.path, immutable=immutable)) as source,
            closing(sqlite3.connect(unfinished, isolation_level=None)) as copy,
        ):
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=_PAGES_A_STEP)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise translate(error, location) from error
    if immutable and sqlite_file.identity(location.path) != before:
        raise StoreUnavailable(f"the store {location} was changed while it was read: repeat the command")


def find_damage(unfinished: Path) -> str | None:
    """Verify with checksums, or a store of an older schema, which may have none, with SQLite's own check."""
    url = sqlite_url(unfinished)
    if current(url) == migrate.HEAD:
        findings = verify(url).findings
    else:
        with closing(sqlite3.connect(unfinished)) as connection:
            findings = [text for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
    return findings[0] if findings else None


def _put(unfinished: Path, target: Path, *, force: bool) -> int:
    """Rename the complete file to its name; returns its bytes. Without *force* it never replaces another file."""
    size = unfinished.stat().st_size
    sync(unfinished)
    if force:
        sqlite_file.beside(target, sqlite_file.JOURNAL).unlink(missing_ok=True)  # of the file that was there before
        unfinished.replace(target)
        for suffix in (sqlite_file.LOG, sqlite_file.INDEX):  # last: one that stays is known for another file's
            sqlite_file.beside(target, suffix).unlink(missing_ok=True)
    else:
        try:
            os.link(unfinished, target)
        except FileExistsError:
            raise UsageError(f"{target} exists; --force overwrites it") from None
        except OSError:  # a file system without links
            unfinished.replace(target)
    sync(target.parent)
    return size


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The file that is the store now, its bytes, and where the one is that was there before."""

    path: Path
    size: int
    kept: Path | None


def restore(url: str, source: Path) -> RestoreResult:
    """Put the SQLite store in *source* in the place of the one at *url*, which is kept under another name.

    UsageError for Postgres, and if *source* is no file or the store itself; StoreLocked while a process owns the store;
    NotAStore, SchemaTooNew or StoreCorrupt if *source* is not a sound store that this version can open. Then the store
    is as it was.
    """
    location, origin = locate(url), at(source)
    path = _path_to_replace(location, origin)
    sqlite_file.make_folder(location)
    with (
        hold_lock(path, "db restore", named=location.named),
        sqlite_file.opened(origin, writes=False) as immutable,
        unfinished_beside(path) as unfinished,
    ):
        copy_pages(origin, unfinished, immutable=immutable)
        _check(origin, unfinished)
        size = unfinished.stat().st_size
        return RestoreResult(path, size, _replace(path, unfinished))


def _path_to_replace(location: Location, origin: Location) -> Path:
    if location.path is None:
        raise UsageError(
            f"{location} is no SQLite store: load what pg_dump wrote with pg_restore, or copy a SQLite store into an"
            " empty database, with COLLECTOR_DATABASE__URL=sqlite:///FILE and `collector db copy`"
        )
    if origin.path is None or not origin.path.is_file():
        raise UsageError(f"{origin} is no file")
    if location.path.is_dir():
        raise UsageError(f"{location} is a folder")
    if location.path.exists() and location.path.samefile(origin.path):
        raise UsageError(f"{origin} is the store itself")
    return location.path


def _check(origin: Location, unfinished: Path) -> None:
    """Refuse what this version could not open, and damage; an older schema is migrated at the next start."""
    revision = current(sqlite_url(unfinished))
    if revision is None:
        raise NotAStore(f"{origin} holds no store")
    if migrate.is_beyond(revision):
        migrate.check(revision)
    if finding := find_damage(unfinished):
        raise StoreCorrupt(f"{origin} is damaged, so it was not restored; `collector db verify` says: {finding}")


def _replace(path: Path, unfinished: Path) -> Path | None:
    """Rename the complete file to the store's name; returns the new name of the file that it replaces."""
    sqlite_file.sync(unfinished)
    if not path.exists():
        sqlite_file.set_all_aside(path)
        unfinished.replace(path)
        sqlite_file.sync(path.parent)
        return None
    kept = sqlite_file.aside(path)
    sqlite_file.move(path, kept, (sqlite_file.JOURNAL,))  # before the rename, because SQLite would undo the copy by it
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        path.replace(kept)
    unfinished.replace(path)
    sqlite_file.sync(path.parent)
    sqlite_file.move(path, kept, (sqlite_file.LOG,))
    sqlite_file.sync(path.parent)
    return kept
