"""A backup put in the place of a SQLite store: verified, whole or not at all, and what was there before is kept.

copy FILE beside the store and verify it   →   name the old file anew   →   rename the copy   →   move the old log

Killed before the rename, the old store is there; killed after it, the log that is still there is known not to belong to
the copy, see header.has_no_log, and is moved when the store is next opened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.errors import UsageError
from collector.settings.urls import sqlite_url
from collector.store.admin.backup import copy_pages, find_damage, unfinished_beside
from collector.store.admin.commands import current
from collector.store.db import migrate, sqlite_file
from collector.store.db.location import Location, at, locate
from collector.store.db.lock_file import hold_lock
from collector.store.errors import NotAStore, StoreCorrupt

if TYPE_CHECKING:
    from pathlib import Path


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
    """Let the whole file appear under the store's name; gives the name of what was there."""
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
