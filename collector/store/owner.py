"""Who writes to a SQLite store: one process, which holds a lock on the file beside it and says in it who it is."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from collector.errors import system_words
from collector.model import rfc3339, utc_now
from collector.store.errors import StoreOwned, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 0.5
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that writes to a store; *since* is RFC 3339, *url* the address of its HTTP server, if it has one."""

    pid: int
    command: str
    since: str
    url: str | None = None

    def __str__(self) -> str:
        return f"`collector {self.command}` (process {self.pid}, since {self.since})"


class OwnerLock:
    """The lock as it is held; the file stays when it is let go, for deleting it would race with the next owner."""

    def __init__(self, descriptor: int, owner: Owner) -> None:
        self._descriptor = descriptor
        self._owner = owner
        self.write(owner)

    def announce(self, url: str) -> None:
        """Write the address of the owner's HTTP server beside its name."""
        self.write(Owner(**{**asdict(self._owner), "url": url}))

    def write(self, owner: Owner) -> None:
        """Say who holds the lock."""
        content = json.dumps(asdict(owner)).encode() + b"\n"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, content, 0)


def lock_path(path: Path) -> Path:
    """Name the lock file of the store in *path*."""
    return path.with_name(path.name + ".lock")


@contextmanager
def owning(path: Path, command: str) -> Iterator[OwnerLock]:
    """Own the store in *path*; StoreOwned, with who does and since when, where another process owns it."""
    try:
        descriptor = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"{path.parent} cannot be written to, so no store can be kept there ({system_words(error)})"
        ) from error
    try:
        _lock(descriptor, path)
        yield OwnerLock(descriptor, Owner(os.getpid(), command, rfc3339(utc_now().replace(microsecond=0))))
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Lock, with a little patience for those who only look whether there is an owner."""
    last = time.monotonic() + _PATIENCE
    while not _try(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > last:
            owner = _read(descriptor)
            url = owner.url if owner else None
            raise StoreOwned(f"the store {path} is in use by {owner or 'another process'}", url=url)
        time.sleep(_PAUSE)


def owner_of(path: Path) -> Owner | None:
    """Tell who owns the store in *path* just now; None where nobody does."""
    try:
        descriptor = os.open(lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _try(descriptor, fcntl.LOCK_SH) else _read(descriptor)
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> Owner | None:
    try:
        return Owner(**json.loads(os.pread(descriptor, 10_000, 0)))
    except (ValueError, TypeError):
        return None
