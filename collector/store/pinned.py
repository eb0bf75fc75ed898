"""Descriptors of database files that stay open as long as this process uses the file.

SQLite locks a file with POSIX locks, and a process that closes any descriptor of a file loses all of its POSIX locks on
it, see https://sqlite.org/howtocorrupt.html, section 2.2. So whoever opens a database file beside SQLite does it here,
before SQLite does.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_guard = Lock()
_users: dict[tuple[int, int], int] = {}
_open: dict[tuple[int, int], list[int]] = {}


@contextmanager
def pinned(path: Path, *, writes: bool = False) -> Iterator[int]:
    """Open the file *path*; its descriptor is closed once no user of the same file is left in this process.

    Who *writes* has a descriptor of its own, so that a lock on it excludes every other one.
    """
    with _guard:
        key, descriptor = _opened(path, writes=writes)
        _users[key] = _users.get(key, 0) + 1
    try:
        yield descriptor
    finally:
        with _guard:
            _users[key] -= 1
            if not _users[key]:
                del _users[key]
                for each in _open.pop(key):
                    os.close(each)


def _opened(path: Path, *, writes: bool) -> tuple[tuple[int, int], int]:
    known = path.stat()
    key = known.st_dev, known.st_ino
    if not writes and key in _open:
        return key, _open[key][0]
    descriptor = os.open(path, (os.O_RDWR if writes else os.O_RDONLY) | os.O_CLOEXEC)
    opened = os.fstat(descriptor)  # of the file that has the name now
    key = opened.st_dev, opened.st_ino
    _open.setdefault(key, []).append(descriptor)
    return key, descriptor
