"""Descriptors of database files that stay open as long as this process uses the file.

SQLite locks a file with POSIX locks, and a process that closes any descriptor of a file loses all of its POSIX locks on
it, see https://sqlite.org/howtocorrupt.html, section 2.2. So whoever opens a database file beside SQLite does it here,
before SQLite does.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(slots=True)
class _Pin:
    """The descriptors of one file: all readers share one, each writer has its own, whose lock excludes all others."""

    users: int = 0
    descriptors: list[int] = field(default_factory=list)
    shared: int | None = None

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


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
                _pins.pop(key).close()


def _opened(path: Path, *, writes: bool) -> tuple[tuple[int, int], int]:
    if not writes:
        known = _key(path.stat())
        if known in _pins and (shared := _pins[known].shared) is not None:
            return known, shared
    descriptor = os.open(path, (os.O_RDWR if writes else os.O_RDONLY) | os.O_CLOEXEC)
    key = _key(os.fstat(descriptor))  # of the file that has the name now
    pin = _pins.setdefault(key, _Pin())
    pin.descriptors.append(descriptor)
    if not writes:
        pin.shared = descriptor
    return key, descriptor


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
