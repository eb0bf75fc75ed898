"""The file of a SQLite store: checks that change no byte of it, and its creation.

A new store is built under another name and renamed when it is complete, so a file with the store's name is never half a
store, even if the process is killed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.errors import os_error_text
from collector.store.db.engine import BUSY_SECONDS, sqlite_engine, translate
from collector.store.db.lock_file import is_owned, is_owned_file, pinned
from collector.store.db.schema import APPLICATION_ID
from collector.store.errors import NotAStore, StoreAliased, StoreCorrupt, StoreMissing, StoreUnavailable
from collector.timestamps import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from collector.store.db.engine import Location


_SMALLEST = 512
"""Bytes of the smallest SQLite database; anything shorter SQLite takes for an empty one."""


@contextmanager
def opened(location: Location, *, writes: bool) -> Iterator[bool]:
    """Check the file of a store and keep it open. Yields whether it must be read as an immutable file.

    The owner *writes*: it moves a write-ahead log of another file aside. A reader changes nothing.
    """
    path = location.path
    assert path is not None
    _check_kind(path)
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(pinned(path))
            _check_names(path, descriptor, writes=writes)
            if writes:
                set_foreign_log_aside(path, descriptor)
            immutable = not writes and must_be_read_alone(path, descriptor)
        except OSError as error:
            raise StoreUnavailable(f"the store {path} cannot be opened ({os_error_text(error)})") from error
        _check_content(path, location, immutable=immutable)
        yield immutable


def check(location: Location) -> None:
    """Raise what is wrong with the file of a store, if anything; nothing in it is changed."""
    with opened(location, writes=False):
        pass


def _check_kind(path: Path) -> None:
    if not path.exists():
        raise StoreMissing(f"there is no store at {path} yet: `collector run`, `collect` or `db upgrade` creates it")
    if not path.is_file():
        raise NotAStore(f"{path} is not a file")
    status = path.stat()
    if status.st_size == 0:
        raise NotAStore(f"{path} is empty: not a store. If nothing is to be saved from it, delete it")
    if status.st_size < _SMALLEST:
        raise NotAStore(f"{path} is not a SQLite database")


def _check_names(path: Path, descriptor: int, *, writes: bool) -> None:
    """Reject a file with several hard links, unless it is a backup without a log and without a writer."""
    number = path.stat().st_nlink
    if number > 1 and (writes or not has_no_log(read_header(descriptor))):
        raise StoreAliased(
            f"the store {path} is a file with {number} names{_others(path)}: SQLite keeps changes beside one name, so"
            " they would be lost to another; delete the other names, or copy the file"
        )


def _others(path: Path) -> str:
    """Name the other hard links of *path* in its folder."""
    try:
        inode = path.stat().st_ino
        names = [entry.name for entry in os.scandir(path.parent) if entry.inode() == inode and entry.name != path.name]
    except OSError:
        return ""
    return f" (also {', '.join(sorted(names))})" if names else ""


def _check_content(path: Path, location: Location, *, immutable: bool) -> None:
    """Open the file with SQLite, which reports why a file cannot be opened."""
    try:
        with closing(connect(path, immutable=immutable)) as connection:
            application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
    except sqlite3.Error as error:
        raise translate(error, location) from error
    if application_id != APPLICATION_ID:
        raise NotAStore(f"{location.path} is a SQLite database of another program, not a store; it was not touched")


def connect(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Open a SQLite file to read it, without transactions of the driver's own."""
    return sqlite3.connect(uri(path, immutable=immutable), uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def make_folder(location: Location) -> None:
    """Create the missing folder of a store, for this user alone. Raises StoreUnavailable for a dangling symbolic link.

    A link to a missing file in an existing folder is not dangling, because the store creates that file.
    """
    assert location.path is not None
    path, folder = location.path, location.path.parent
    address_path = location.named or path
    first = next(candidate for candidate in (address_path, *address_path.parents) if os.path.lexists(candidate))
    if first.is_symlink() and not first.exists() and (path.is_symlink() or not folder.is_dir()):
        raise StoreUnavailable(f"{first} is a symbolic link to {os.path.realpath(first)}, which cannot be reached")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"the folder {folder} cannot be created ({os_error_text(error)})") from error


@contextmanager
def creating(location: Location) -> Iterator[sa.Connection]:
    """Build a new store in the transaction that this yields; only the owner may."""
    path = location.path
    assert path is not None
    unfinished = path.with_name(path.name + ".new")
    _remove(unfinished)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    engine = sqlite_engine(unfinished, writes=True)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
    sync(unfinished)
    set_all_aside(path)
    unfinished.rename(path)
    sync(path.parent)


def _remove(unfinished: Path) -> None:
    for suffix in ("", *SUFFIXES):
        Path(f"{unfinished}{suffix}").unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the file or folder *path* is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_MAGIC = b"SQLite format 3\0"
_LENGTH = 100
_A_FEW = 8
"""The largest number of wrong bits for which a damaged mark is still recognised."""


def check_header(path: Path) -> None:
    """Raise StoreCorrupt if the file at *path* is a store whose first bytes or whose end are damaged.

    SQLite reports any other damage. Call this before the file is opened.
    """
    has_wal = has_content(path.with_name(f"{path.name}-wal"))
    try:
        with pinned(path) as descriptor:
            reason = judge(read_header(descriptor), os.fstat(descriptor).st_size, has_wal=has_wal)
    except OSError as error:
        raise StoreUnavailable(f"the store {path} cannot be opened ({os_error_text(error)})") from error
    if reason:
        raise StoreCorrupt(f"the store {path} is damaged: {reason}; it was not touched")


def read_header(descriptor: int) -> bytes:
    """Read the header of an open file."""
    return os.pread(descriptor, _LENGTH, 0)


def has_content(path: Path) -> bool:
    """Return whether there is a file *path* that is not empty."""
    return path.exists() and path.stat().st_size > 0


def has_no_log(head: bytes) -> bool:
    """Return whether a database that begins with *head* has no write-ahead log, so that a log next to it is another's.

    SQLite writes the mode into the header and syncs it before it creates the log, and changes it back after it has
    deleted the log. So a file that is marked for a rollback journal, as backups are, never has a log of its own.
    """
    return head[:16] == _MAGIC and head[18:20] == b"\1\1"


def judge(head: bytes, size: int, *, has_wal: bool) -> str | None:
    """Return the damage of a store that begins with *head* and has *size* bytes, https://sqlite.org/fileformat2.html.

    With a write-ahead log the size shows nothing, because the file may be about to grow.
    """
    if len(head) < _LENGTH:
        return f"of its header there are {len(head)} bytes" if head and _MAGIC.startswith(head[:16]) else None
    magic, mark = head[:16], head[68:72]
    ours = APPLICATION_ID.to_bytes(4, "big")
    if magic != _MAGIC and (mark == ours or _distance(magic, _MAGIC) <= _A_FEW):
        return "its header does not begin as that of a SQLite database"
    if magic == _MAGIC and mark != ours and _distance(mark, ours) <= _A_FEW:
        return "the mark of a store in its header is not what it was"
    page = int.from_bytes(head[16:18], "big")
    declared_size = int.from_bytes(head[28:32], "big") * (page if page != 1 else 65_536)
    counted = head[24:28] == head[92:96]
    if magic == _MAGIC and mark == ours and counted and size < declared_size and not has_wal:
        return f"it was cut, {size} of {declared_size} bytes are there"
    return None


def _distance(left: bytes, right: bytes) -> int:
    """Return the number of bits that differ."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).bit_count()


log = logging.getLogger(__name__)

LOG, INDEX, JOURNAL = "-wal", "-shm", "-journal"
SUFFIXES = (LOG, INDEX, JOURNAL)
_LOOKS = 5
_PAUSE = 0.02
_A_BACKUP = "it is of another file than {path}, which is a backup put in its place"
_NO_INDEX = (
    "the store {path} cannot be read: there are changes in {log}, and {index} is missing, which cannot be made in a"
    " read-only folder; copy the two files to a folder that can be written to, or make this one so"
)
_DENIED = (
    "the store {path} cannot be read: there are changes in {log}, and this user may not read {denied}; allow it to,"
    " or use the user that the collector runs as"
)
_INTERRUPTED = (
    "the store {path} cannot be read: an interrupted change has to be undone by {journal}, and the folder is read-only;"
    " copy the two files to a folder that can be written to, or make this one so"
)


def uri(path: Path, *, mode: str = "ro", immutable: bool = False) -> str:
    """Return the URI by which SQLite opens a file; an *immutable* one is read without any file next to it."""
    return f"file:{quote(str(path))}?mode={mode}" + ("&immutable=1" if immutable else "")


def identity(path: Path) -> tuple[int, int, int]:
    """Return what differs between two states of a file."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def beside(path: Path, suffix: str) -> Path:
    """Return the path of the file with *suffix* next to the database *path*."""
    return path.with_name(path.name + suffix)


def has_foreign_log(path: Path, descriptor: int) -> bool:
    """Return whether the write-ahead log beside a database was written for another file of this name."""
    has_log = has_content(beside(path, LOG))  # first, because the owner changes the header and then writes a log
    return has_log and has_no_log(read_header(descriptor))


def set_foreign_log_aside(path: Path, descriptor: int) -> None:
    """Rename a write-ahead log that is not of this file; only the owner may, before SQLite opens the file."""
    if has_foreign_log(path, descriptor):
        kept = aside(path)
        move(path, kept, (LOG,))
        log.warning(
            "write_ahead_log",
            extra={
                "outcome": "set aside",
                "kept": str(beside(kept, LOG)),
                "reason": _A_BACKUP.format(path=path),
            },
        )


def set_all_aside(path: Path) -> None:
    """Rename the log files of a deleted database, so that SQLite does not read them into a new one."""
    kept = aside(path)
    if moved := move(path, kept, (LOG, JOURNAL)):
        names = ", ".join(str(file) for file in moved)
        log.warning("write_ahead_log", extra={"outcome": "set aside", "kept": names, "reason": f"{path} was missing"})


def aside(path: Path) -> Path:
    """Return an unused name for a replaced file."""
    stem = f"{path.name}.replaced-{utc_now():%Y%m%dT%H%M%SZ}"
    names = (path.with_name(stem + (f"-{number}" if number else "")) for number in range(1000))
    return next(
        candidate
        for candidate in names
        if not any(os.path.lexists(f"{candidate}{suffix}") for suffix in ("", *SUFFIXES))
    )


def move(path: Path, kept: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Rename files of *path* to files of *kept*, and delete the index of a renamed log; returns the new names."""
    there = [suffix for suffix in suffixes if has_content(beside(path, suffix))]
    moved = [beside(path, suffix).replace(beside(kept, suffix)) for suffix in there]
    if LOG in suffixes:
        beside(path, INDEX).unlink(missing_ok=True)
    return moved


def must_be_read_alone(path: Path, descriptor: int) -> bool:
    """Return whether a reader must ignore the files next to a database and read it as an immutable file.

    This is the case for a log of another file, and in a folder where no file can be created while the log is empty and
    the store has no owner. Raises StoreUnavailable with the missing condition if that is not safe.
    """
    _check_name(path, descriptor)
    if _ignores_log(path, descriptor):
        return True
    if os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True) and not _denied(path):
        return False
    return not _is_readable_with_log(path, descriptor)


def _ignores_log(path: Path, descriptor: int) -> bool:
    for _ in range(_LOOKS):  # an owner that has just come moves the log
        if not has_foreign_log(path, descriptor):
            return False
        if not is_owned(path, descriptor):
            log.warning("write_ahead_log", extra={"outcome": "ignored", "reason": _A_BACKUP.format(path=path)})
            return True
        time.sleep(_PAUSE)
    raise StoreUnavailable(
        f"the store {path} was overwritten by a backup while it is in use: stop the process that uses it"
    )


def _is_readable_with_log(path: Path, descriptor: int) -> bool:
    """Return whether SQLite can read a file with its log in a folder where it can make no file."""
    if has_content(beside(path, JOURNAL)):
        raise StoreUnavailable(_INTERRUPTED.format(path=path, journal=beside(path, JOURNAL)))
    if has_no_log(read_header(descriptor)):
        return True
    if denied := _denied(path):
        if has_content(beside(path, LOG)):
            names = " and ".join(file.name for file in denied)
            raise StoreUnavailable(_DENIED.format(path=path, log=beside(path, LOG).name, denied=names))
        return False
    if beside(path, INDEX).exists() and beside(path, LOG).exists():
        return True
    if has_content(beside(path, LOG)):
        raise StoreUnavailable(_NO_INDEX.format(path=path, log=beside(path, LOG), index=beside(path, INDEX).name))
    return False


def _denied(path: Path) -> list[Path]:
    """Return the files of a database that this user may not read."""
    there = [file for file in (beside(path, LOG), beside(path, INDEX)) if file.exists()]
    return [file for file in there if not os.access(file, os.R_OK, effective_ids=True)]


def _check_name(path: Path, descriptor: int) -> None:
    """Raise StoreAliased if the owner has the file open under another name, because a reader does not see that log."""
    for _ in range(_LOOKS):  # an owner may come or go meanwhile
        if not is_owned_file(descriptor) or is_owned(path, descriptor):
            return
        time.sleep(_PAUSE)
    raise StoreAliased(
        f"the store {path} is in use under another name, beside which its newest changes are: read it under that name"
    )
