"""The owner of a SQLite store: one process, which holds two locks.

One is on the database file itself, whatever its name. The other is on the file `FILE.lock` next to it, which contains
the process. Earlier versions hold only that one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from collector.errors import os_error_text
from collector.store.errors import StoreLocked, StoreUnavailable
from collector.timestamps import from_epoch, rfc3339, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path


_PATIENCE = 0.5
_PAUSE = 0.02
_FLOCK = "hhqqi4x"
"""The struct flock of fcntl(2): type, whence, start, length, process."""
_OWNED_BYTE = 0x4000_0200
"""In the page that no database uses, behind the bytes that SQLite locks: https://sqlite.org/fileformat2.html#lockbyte."""
_LOCK, _UNLOCK = (struct.pack(_FLOCK, kind, os.SEEK_SET, _OWNED_BYTE, 1, 0) for kind in (fcntl.F_WRLCK, fcntl.F_UNLCK))
_ELSEWHERE = "another process, which opened it under another name or whose lock file was deleted"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that writes to a store; *since* is RFC 3339, *url* the address of its HTTP server, if it has one."""

    pid: int
    command: str
    since: str
    url: str | None = None

    def __str__(self) -> str:
        return f"`collector {self.command}` (process {self.pid}, since {self.since})"


class LockFile:
    """The held locks. The lock file is never deleted, because that would race with the next owner."""

    def __init__(self, path: Path, descriptor: int, owner: Owner, held: ExitStack) -> None:
        self._path = path
        self._descriptor = descriptor
        self._owner = owner
        self._held = held
        self.write(owner)
        if path.is_file():
            self.take_file()

    def announce(self, url: str) -> None:
        """Add the address of the owner's HTTP server to the lock file."""
        self.write(Owner(**{**asdict(self._owner), "url": url}))

    def write(self, owner: Owner) -> None:
        """Write the owner into the lock file. If the disk is full, the lock is held without it."""
        content = json.dumps(asdict(owner)).encode() + b"\n"
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, content, 0)

    def take_file(self) -> None:
        """Lock the database file itself; StoreLocked where it is owned under another name."""
        try:
            descriptor = self._held.enter_context(pinned(self._path, writes=True))
        except OSError as error:
            raise StoreUnavailable(f"the store {self._path} cannot be written ({os_error_text(error)})") from error
        _wait_for(partial(_try_file, descriptor, self._path), self._path, lambda: _ELSEWHERE)
        self._held.callback(_release_file, descriptor)


def lock_path(path: Path) -> Path:
    """Name the lock file of the store in *path*."""
    return path.with_name(path.name + ".lock")


@contextmanager
def hold_lock(path: Path, command: str, *, named: Path | None = None) -> Iterator[LockFile]:
    """Own the store in *path*. Raises StoreLocked, with the owner and its start, if another process owns it.

    *named* is a symbolic link to it; the previous version has its lock file next to the link.
    """
    with ExitStack() as held:
        descriptor = held.enter_context(_lock_file(path, os.O_CREAT))
        other_path = named or path
        own, other = lock_path(path), lock_path(other_path)
        if other.exists() and not (own.exists() and other.samefile(own)):  # named is a symbolic link
            held.enter_context(_lock_file(other_path, 0))
        yield LockFile(path, descriptor, Owner(os.getpid(), command, rfc3339(utc_now().replace(microsecond=0))), held)


@contextmanager
def _lock_file(path: Path, flags: int) -> Iterator[int]:
    """Hold the lock file of *path*; wait a moment for processes that only check whether there is an owner."""
    file = lock_path(path)
    try:
        descriptor = os.open(file, os.O_RDWR | flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = f"{path.parent} cannot be written to, so no store can be kept there"
        if file.exists():
            what = f"{file} cannot be opened for writing, so the store can only be read"
        raise StoreUnavailable(f"{what} ({os_error_text(error)})") from error
    try:
        _wait_for(partial(_try, descriptor, fcntl.LOCK_EX, file), path, partial(_read, descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for(attempt: Callable[[], bool], path: Path, who: Callable[[], Owner | str | None]) -> None:
    last = time.monotonic() + _PATIENCE
    while not attempt():
        if time.monotonic() > last:
            owner = who() or "another process"
            url = owner.url if isinstance(owner, Owner) else None
            raise StoreLocked(f"the store {path} is in use by {owner}", url=url)
        time.sleep(_PAUSE)


def owner_of(path: Path) -> Owner | None:
    """Return the current owner of the store in *path*; None if there is none."""
    owned, owner = _look(path)
    return owner if owned else None


def hidden_owner_since(path: Path) -> datetime | None:
    """Return since when a process owns the store if this user may not read the lock file; None if none does."""
    file = lock_path(path)
    if not file.exists() or os.access(file, os.R_OK, effective_ids=True):
        return None
    with pinned(path) as descriptor:
        return from_epoch(file.stat().st_mtime) if is_owned_file(descriptor) else None


def is_owned(path: Path, descriptor: int) -> bool:
    """Return whether a process owns the store in *path* under this name, even if the lock file does not name it.

    *descriptor* is of the database file, which is checked if this user may not read the lock file.
    """
    file = lock_path(path)
    if file.exists() and not os.access(file, os.R_OK, effective_ids=True):
        return is_owned_file(descriptor)
    return _look(path)[0]


def is_owned_file(descriptor: int) -> bool:
    """Return whether a process owns the database file behind *descriptor*, whatever the file's name."""
    wanted = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, _OWNED_BYTE, 1, 0)
    try:
        lock = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
    except OSError:  # a file system or a kernel without such locks
        return False
    return bool(struct.unpack(_FLOCK, lock)[0] != fcntl.F_UNLCK)


def _look(path: Path) -> tuple[bool, Owner | None]:
    try:
        descriptor = os.open(lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False, None
    try:
        owned = not _try(descriptor, fcntl.LOCK_SH, lock_path(path))
        return owned, _read(descriptor) if owned else None
    except StoreUnavailable:  # without locks there is no owner
        return False, None
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int, file: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _unlockable(file, error) from error
    return True


def _try_file(descriptor: int, path: Path) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _LOCK)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno != errno.EINVAL:  # a kernel without such locks has the lock file alone
            raise _unlockable(path, error) from error
    return True


def _release_file(descriptor: int) -> None:
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _UNLOCK)


def _unlockable(file: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"{file} cannot be locked ({os_error_text(error)}), so another process could write to the store as well:"
        " keep it on a file system that has locks, as local disks have"
    )


def _read(descriptor: int) -> Owner | None:
    try:
        return Owner(**json.loads(os.pread(descriptor, 10_000, 0)))
    except (ValueError, TypeError, OSError):
        return None


@dataclass(slots=True)
class _Pin:
    """The descriptors of one file: all readers share one, each writer has its own, whose lock excludes all others."""

    users: int = 0
    descriptors: list[int] = field(default_factory=list)
    shared: int | None = None


_guard = Lock()
_pins: dict[tuple[int, int], _Pin] = {}


@contextmanager
def pinned(path: Path, *, writes: bool = False) -> Iterator[int]:
    """Open the file *path*; its descriptor is closed once no user of the same file is left in this process."""
    with _guard:
        key, descriptor = _opened(path, writes=writes)
        _pins[key].users += 1
    try:
        yield descriptor
    finally:
        with _guard:
            _pins[key].users -= 1
            if not _pins[key].users:
                for opened in _pins.pop(key).descriptors:
                    os.close(opened)


def _opened(path: Path, *, writes: bool) -> tuple[tuple[int, int], int]:
    if not writes:
        status = path.stat()
        known = status.st_dev, status.st_ino
        if known in _pins and (shared := _pins[known].shared) is not None:
            return known, shared
    descriptor = os.open(path, (os.O_RDWR if writes else os.O_RDONLY) | os.O_CLOEXEC)
    status = os.fstat(descriptor)  # of the file that has the name now
    key = status.st_dev, status.st_ino
    pin = _pins.setdefault(key, _Pin())
    pin.descriptors.append(descriptor)
    if not writes:
        pin.shared = descriptor
    return key, descriptor
