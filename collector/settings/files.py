"""Read the files that contain settings. Every function raises ValueError with the reason, without the path."""

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
"""Folders where container engines mount secrets, with mode 0444; such a container has no other users."""

_MAX_SECRET_BYTES = 16 * 1024
_MAX_CONFIGURATION_BYTES = 1024 * 1024
_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EACCES: "it may not be read by this user",
    errno.EISDIR: "it is a directory",
}


class NoSuchFile(ValueError):
    """The file does not exist, as opposed to a file that cannot be read."""


def read_value(path: Path, *, private: bool) -> str:
    """Return the single line in the file, without a byte-order mark and without the final line break.

    Raises ValueError if the file is empty or has several lines, or if every user can read a *private* file.
    """
    with _translate_os_errors(), open(path, "rb", opener=_open_nonblocking) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
        if private and mode & stat.S_IROTH and not _is_mounted_secret(path):
            raise ValueError(f"every user can read it ({_how_to_protect(file)})")
        text = _text(file, _MAX_SECRET_BYTES).removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError("it is empty")
    if "\n" in text or "\r" in text:
        raise ValueError("it contains more than one line")
    return text


def check_authorities(path: Path) -> None:
    """Raises ValueError if the file at *path* is not PEM with at least one certificate."""
    import ssl  # imported here because only the key ca_file needs it

    with _translate_os_errors():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            raise ValueError("it contains no certificate, or a damaged one") from None


def read_configuration(path: Path) -> str:
    r"""Return the text of a TOML file with `\n` as line breaks. Raises NoSuchFile if it does not exist."""
    with _translate_os_errors(), path.open("rb") as file:
        return _text(file, _MAX_CONFIGURATION_BYTES).removeprefix("\ufeff").replace("\r\n", "\n")


def _is_mounted_secret(path: Path) -> bool:
    """Return whether *path*, with all links resolved, is in a folder of mounted secrets."""
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in MOUNTED_SECRETS)


def _how_to_protect(file: BinaryIO) -> str:
    if not os.fstatvfs(file.fileno()).f_flag & os.ST_RDONLY:
        return "run chmod o-rwx on it"
    return (
        "its mount is read-only, so mount it with mode 0400 or 0440: defaultMode of a volume in Kubernetes, "
        f"mode of a secret in Docker and Podman; or mount it in {MOUNTED_SECRETS[0]}"
    )


def _open_nonblocking(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)  # because opening a pipe without a writer never returns


@contextmanager
def _translate_os_errors() -> Iterator[None]:
    """Translate OSError to ValueError or NoSuchFile."""
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
    return _decode_utf8(raw)


def _decode_utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"it is not UTF-8 text (line {line})") from None
