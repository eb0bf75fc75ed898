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

MOUNTED_SECRETS = (Path("/run/secrets"), Path("/var/run/secrets"))
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
    """Return the one value that a file holds, without a byte-order mark and one line break at its end.

    Raises ValueError if that is not so, or if every user can read a *private* file.
    """
    with _worded(), open(path, "rb", opener=_never_waiting) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
        if private and mode & stat.S_IROTH and not _is_mounted_secret(path):
            raise ValueError(f"every user can read it ({_how_to_protect(file)})")
        text = _text(file, _MOST_OF_A_SECRET).removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError("it is empty")
    if "\n" in text or "\r" in text:
        raise ValueError("it holds more than one line")
    return text


def check_authorities(path: Path) -> None:
    """Raise ValueError unless the file at *path* is PEM with at least one certificate in it."""
    import ssl  # only who sets this waits for it

    with _worded():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            raise ValueError("there is no certificate in it, or a damaged one") from None


def read_configuration(path: Path) -> str:
    r"""Read a TOML file as text with `\n` for line breaks; NoSuchFile where it does not exist."""
    with _worded(), path.open("rb") as file:
        return _text(file, _MOST_OF_A_CONFIGURATION).removeprefix("\ufeff").replace("\r\n", "\n")


def _is_mounted_secret(path: Path) -> bool:
    """Tell whether *path* leads into a folder of mounted secrets, by whatever name and links."""
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in MOUNTED_SECRETS)


def _how_to_protect(file: BinaryIO) -> str:
    if not os.fstatvfs(file.fileno()).f_flag & os.ST_RDONLY:
        return "run chmod o-rwx on it"
    return (
        "its mount is read-only, so mount it with mode 0400 or 0440: defaultMode of a volume in Kubernetes, "
        f"mode of a secret in Docker and Podman; or mount it in {MOUNTED_SECRETS[0]}"
    )


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
