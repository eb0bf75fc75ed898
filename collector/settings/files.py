"""Reads the files that settings come from. What cannot be read is a ValueError with the reason, without the path."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNTED_SECRETS = Path("/run/secrets")
"""Where container engines mount secrets. They do so with mode 0444, inside a container that has no other users."""

_MOST_OF_A_SECRET = 16 * 1024
_MOST_OF_A_CONFIGURATION = 1024 * 1024
_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EACCES: "it may not be read by this user",
    errno.EISDIR: "it is a directory",
}


class NoSuchFile(ValueError):
    """There is nothing under that name, as opposed to something that cannot be read."""


def read_value(path: Path, *, private: bool) -> str:
    """Read a file that holds one value, one line break at its end dropped; a *private* one must not be open to all."""
    with _worded(), open(path, "rb", opener=_never_waiting) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
        if private and mode & stat.S_IROTH and not path.is_relative_to(MOUNTED_SECRETS):
            raise ValueError("every user can read it (run chmod o-rwx on it)")
        text = _text(file, _MOST_OF_A_SECRET).removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError("it is empty")
    if "\n" in text or "\r" in text:
        raise ValueError("it holds more than one line")
    return text


def read_configuration(path: Path) -> str:
    r"""Read a TOML file as text with `\n` for line breaks; NoSuchFile where it does not exist."""
    with _worded(), path.open("rb") as file:
        return _text(file, _MOST_OF_A_CONFIGURATION).removeprefix("\ufeff").replace("\r\n", "\n")


def _never_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)  # a pipe without a writer would hold up the start for ever


@contextmanager
def _worded() -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise NoSuchFile(_REASONS[errno.ENOENT]) from error
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, os.strerror(error.errno or 0).lower())
        raise ValueError(reason) from error


def _text(file: BinaryIO, most: int) -> str:
    raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it is larger than {most // 1024} KiB")
    return _decoded(raw)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"it is not UTF-8 text (line {line})") from None
