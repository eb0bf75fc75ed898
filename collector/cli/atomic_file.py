"""Write results to stdout, or to a file that appears complete or not at all."""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import stat
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, Protocol, TextIO

from collector.errors import CollectorError, cannot_write, os_error_text
from collector.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = "-"


class Sink(Protocol):
    """A target for bytes."""

    def write(self, data: bytes, /) -> int:
        """Write *data* and return its length."""


class _Terminal:
    """Prints UTF-8 text on a terminal, without unprintable characters."""

    def __init__(self, screen: TextIO) -> None:
        self._screen = screen
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes, /) -> int:
        self._screen.write(printable(self._decoder.decode(data), keep="\n"))
        return len(data)


@contextlib.contextmanager
def open_output(target: str) -> Iterator[Sink]:
    """Open *target* for bytes: `-` is stdout; a file is created or replaced when everything is written.

    An error, Ctrl-C or SIGTERM before the end leaves an existing file unchanged. On a terminal, unprintable characters
    are printed as blanks. Raises UsageError if the name *target* cannot be written, CollectorError if writing fails.
    """
    if target == STDOUT:
        with _report_write_errors("stdout"):
            yield _Terminal(sys.stdout) if sys.stdout.isatty() else sys.stdout.buffer
            sys.stdout.flush()
        return
    path = Path(target)
    if path.exists() and not path.is_file():
        with _usage_error(target):
            device = path.open("wb")  # a pipe or a device cannot be replaced
        with _report_write_errors(target), device:
            yield device
        return
    with _report_write_errors(target), _replacing(path.resolve(), target) as stream:
        yield stream


@contextlib.contextmanager
def _replacing(path: Path, target: str) -> Iterator[IO[bytes]]:
    with _usage_error(target):
        mode = _mode(path)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with _terminable(), os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            yield stream
            stream.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """Return the permissions that `open` would set, or those of the existing file."""
    if path.exists():
        with path.open("ab"):  # raises if the file may not be written
            return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, so that the partial file is deleted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


@contextlib.contextmanager
def _usage_error(target: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(target, error) from error


@contextlib.contextmanager
def _report_write_errors(target: str) -> Iterator[None]:
    """Translate OSError to CollectorError, except BrokenPipeError, which click handles without a message."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CollectorError(f"cannot write {target}: {os_error_text(error)}") from error
