"""The first bytes of a SQLite file: whether it is whole, cut, damaged, or never was a store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from collector.errors import system_words
from collector.store.errors import StoreDamaged, StoreUnavailable
from collector.store.pinned import pinned
from collector.store.schema import APPLICATION_ID

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"SQLite format 3\0"
_LENGTH = 100
_A_FEW = 8
"""So many bits may have turned over for a mark still to be known as ours."""


def check_header(path: Path) -> None:
    """Raise StoreDamaged where the file at *path* is a store whose first bytes, or whose end, are not as written.

    Anything else that may be wrong with it is left for SQLite to say. To be called before the file is opened.
    """
    has_wal = has_content(path.with_name(f"{path.name}-wal"))
    try:
        with pinned(path) as descriptor:
            reason = judge(read_header(descriptor), os.fstat(descriptor).st_size, has_wal=has_wal)
    except OSError as error:
        raise StoreUnavailable(f"the store {path} cannot be opened ({system_words(error)})") from error
    if reason:
        raise StoreDamaged(f"the store {path} is damaged: {reason}; it was not touched")


def read_header(descriptor: int) -> bytes:
    """Read the header of an open file."""
    return os.pread(descriptor, _LENGTH, 0)


def has_content(path: Path) -> bool:
    """Return whether there is a file *path* that is not empty."""
    return path.exists() and path.stat().st_size > 0


def has_no_log(head: bytes) -> bool:
    """Return whether a database that begins with *head* has no write-ahead log, so that one beside it is another's.

    SQLite writes the mode into the header, and syncs it, before it makes the log, and changes it back after it has
    deleted the log. So a file that is marked for a rollback journal, as backups are, never has a log of its own.
    """
    return head[:16] == _MAGIC and head[18:20] == b"\1\1"


def judge(head: bytes, size: int, *, has_wal: bool) -> str | None:
    """Say what is wrong with a store that begins with *head* and has *size* bytes; see https://sqlite.org/fileformat2.html.

    With a write-ahead log the file may be about to grow, so its size tells nothing then.
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
    told = int.from_bytes(head[28:32], "big") * (page if page != 1 else 65_536)
    counted = head[24:28] == head[92:96]
    if magic == _MAGIC and mark == ours and counted and size < told and not has_wal:
        return f"it was cut, {size} of {told} bytes are there"
    return None


def _distance(one: bytes, other: bytes) -> int:
    """How many bits differ."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
