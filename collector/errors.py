"""The base classes of our errors, and the texts that errors share."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CollectorError(Exception):
    """An error that is shown as a sentence, without a traceback. A command that raises it exits with code 1."""

    exit_code = 1
    advice = ""
    """The next step for the operator, unless a command sets a more exact one."""


class UsageError(CollectorError):
    """The command line or the configuration is invalid. A command that raises it exits with code 2."""

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
    """Return the error for a file *name* that cannot be written: UsageError if another name would help."""
    kind = UsageError if error.errno in _WRONG_NAME else CollectorError
    return kind(f"cannot write {name}: {os_error_text(error)}")


def os_error_text(error: OSError) -> str:
    """Return the system's text for the error number, because the texts of libraries repeat the arguments."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or str(error)


_MAX_NAMES = 10


def known_names(word: str, names: Iterable[str]) -> str:
    """Return the most similar of *names*, the nearest to *word* first, and how many more there are; `none` for none."""
    from difflib import SequenceMatcher  # imported here because most commands never need it

    matcher = SequenceMatcher(b=word.lower(), autojunk=False)

    def distance(name: str) -> tuple[float, str]:
        matcher.set_seq1(name.lower())
        return -matcher.ratio(), name

    near = sorted(names, key=distance)
    more = f" and {len(near) - _MAX_NAMES:,} more" if len(near) > _MAX_NAMES else ""
    return f"{', '.join(near[:_MAX_NAMES]) or 'none'}{more}"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return ` (did you mean "log"?)` with the most similar of *words*, or an empty text if none is similar."""
    from difflib import get_close_matches  # imported here because most commands never need it

    known = list(words)
    near = get_close_matches(word.lower(), [w.lower() for w in known], n=1)
    return f' (did you mean "{next(w for w in known if w.lower() == near[0])}"?)' if near else ""
