"""The files that SQLite keeps beside a database: whether they are its own, and whether it can be read with them."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from collector.model import utc_now
from collector.store import header
from collector.store.errors import StoreAliased, StoreUnavailable
from collector.store.owner import is_owned, is_owned_file

if TYPE_CHECKING:
    from pathlib import Path

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
    """Write the address by which SQLite opens a file; an *immutable* one it reads without any file beside it."""
    return f"file:{quote(str(path))}?mode={mode}" + ("&immutable=1" if immutable else "")


def identity(path: Path) -> tuple[int, int, int]:
    """Return what differs between two states of a file."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def beside(path: Path, suffix: str) -> Path:
    """Name the file with *suffix* beside the database *path*."""
    return path.with_name(path.name + suffix)


def has_foreign_log(path: Path, descriptor: int) -> bool:
    """Return whether the write-ahead log beside a database was written for another file of this name."""
    has_log = header.has_content(beside(path, LOG))  # first, because the owner changes the header and then writes a log
    return has_log and header.has_no_log(header.read_header(descriptor))


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
    """Rename what a database that was deleted left behind, so that SQLite does not read it into a new one."""
    kept = aside(path)
    if moved := move(path, kept, (LOG, JOURNAL)):
        names = ", ".join(str(one) for one in moved)
        log.warning("write_ahead_log", extra={"outcome": "set aside", "kept": names, "reason": f"{path} was missing"})


def aside(path: Path) -> Path:
    """Name what is replaced, so that nothing of that name exists."""
    stem = f"{path.name}.replaced-{utc_now():%Y%m%dT%H%M%SZ}"
    names = (path.with_name(stem + (f"-{number}" if number else "")) for number in range(1000))
    return next(one for one in names if not any(os.path.lexists(f"{one}{suffix}") for suffix in ("", *SUFFIXES)))


def move(path: Path, kept: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Rename files beside *path* to lie beside *kept*, delete the index of a log that goes; returns the new names."""
    there = [suffix for suffix in suffixes if header.has_content(beside(path, suffix))]
    moved = [beside(path, suffix).replace(beside(kept, suffix)) for suffix in there]
    if LOG in suffixes:
        beside(path, INDEX).unlink(missing_ok=True)
    return moved


def must_be_read_alone(path: Path, descriptor: int) -> bool:
    """Return whether a reader has to do without the files beside a database, as SQLite does where it cannot change.

    So it is with a log that is not its own, and in a folder where no file can be made as long as there is nothing in a
    log and nobody writes. StoreUnavailable says what is missing where that is not safe.
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
    if header.has_content(beside(path, JOURNAL)):
        raise StoreUnavailable(_INTERRUPTED.format(path=path, journal=beside(path, JOURNAL)))
    if header.has_no_log(header.read_header(descriptor)):
        return True
    if denied := _denied(path):
        if header.has_content(beside(path, LOG)):
            names = " and ".join(one.name for one in denied)
            raise StoreUnavailable(_DENIED.format(path=path, log=beside(path, LOG).name, denied=names))
        return False
    if beside(path, INDEX).exists() and beside(path, LOG).exists():
        return True
    if header.has_content(beside(path, LOG)):
        raise StoreUnavailable(_NO_INDEX.format(path=path, log=beside(path, LOG), index=beside(path, INDEX).name))
    return False


def _denied(path: Path) -> list[Path]:
    """Return the files beside a database that this user may not read."""
    there = [one for one in (beside(path, LOG), beside(path, INDEX)) if one.exists()]
    return [one for one in there if not os.access(one, os.R_OK, effective_ids=True)]


def _check_name(path: Path, descriptor: int) -> None:
    """Raise StoreAliased where the owner of the file has it open under another name, whose log a reader lacks."""
    for _ in range(_LOOKS):  # an owner may come or go meanwhile
        if not is_owned_file(descriptor) or is_owned(path, descriptor):
            return
        time.sleep(_PAUSE)
    raise StoreAliased(
        f"the store {path} is in use under another name, beside which its newest changes are: read it under that name"
    )
