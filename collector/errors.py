"""The root of our own errors, and the system's words for its own."""

from __future__ import annotations

import errno
import os


class CollectorError(Exception):
    """Something the operator is told in a sentence, never as a traceback; ends a command with exit code 1."""

    exit_code = 1
    advice = ""
    """What the operator can do, where a command does not say it more exactly."""


class UsageError(CollectorError):
    """The operator asked for something that cannot be; ends a command with exit code 2."""

    exit_code = 2


_WRONG_NAME = frozenset(
    {
        errno.EACCES,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)


def cannot_write(name: str, error: OSError) -> CollectorError:
    """Return what to raise if the file *name* cannot be written: UsageError if another name would help."""
    kind = UsageError if error.errno in _WRONG_NAME else CollectorError
    return kind(f"cannot write {name}: {system_words(error)}")


def system_words(error: OSError) -> str:
    """Say what the system has against it: the word for its number, for libraries' own texts repeat what was asked."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or str(error)
