"""Results that go into a file, whole or not at all, or to stdout."""

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
    """Takes bytes."""

    def write(self, data: bytes, /) -> int:
        """Write *data* and return its length."""


class _Terminal:
    """Shows UTF-8 text to a person."""

    def __init__(self, screen: TextIO) -> None:
        self._screen = screen
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes, /) -> int:
        self._screen.write(printable(self._decoder.decode(data), keep="\n"))
        return len(data)


@contextlib.contextmanager
def open_output(target: str) -> Iterator[Sink]:
    """Open *target* for bytes: `-` is stdout, anything else a file that appears, or is replaced, when all is written.

    On a terminal there is a blank for each character that is not printable.

    Whatever ends the open_output before, an error, Ctrl-C or SIGTERM, leaves what was there before and nothing else.
    UsageError if *target* is no name that can be written, CollectorError if open_output fails on the way.
    """
    if target == STDOUT:
        with _report_write_errors("stdout"):
            yield _Terminal(sys.stdout) if sys.stdout.isatty() else sys.stdout.buffer
            sys.stdout.flush()
        return
    path = Path(target)
    if path.exists() and not path.is_file():
        with _usage_error(target):
            device = path.open("wb")  # a pipe or a device: nothing could take its place
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
    """Permissions as `open` would have given them, or left them."""
    if path.exists():
        with path.open("ab"):  # a file that may not be written is not replaced either
            return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Leave by an exception when the process is told to end, so that what must be done at the end is done."""
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
    """Say what is in the way of open_output, except where a reader has had enough: click ends that quietly."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CollectorError(f"cannot write {target}: {os_error_text(error)}") from error
