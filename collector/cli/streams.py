"""The standard streams of a command. An error of a stream never causes a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from collector.errors import os_error_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

_OUT, _ERR = 1, 2


class OutputLost(Exception):
    """Writing to stdout failed; *quiet* if only because the reader has closed the pipe."""

    def __init__(self, error: OSError) -> None:
        reason = "it is closed" if error.errno == errno.EBADF else os_error_text(error)
        super().__init__(f"cannot write to stdout: {reason}")
        self.quiet = error.errno == errno.EPIPE


class _Stdout(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(error) from None


class _Stderr(io.FileIO):
    """Ignores failed writes, because a service must go on without its log."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


@contextmanager
def standard_streams() -> Iterator[None]:
    """Replace stdout and stderr for a command. Exits with code 1 if the output cannot be written.

    Characters that the encoding of stdout does not have are replaced.
    """
    _open_closed_streams()
    sys.stdout = _wrapped(_Stdout(_OUT, "w", closefd=False), sys.stdout, "replace")
    sys.stderr = _wrapped(_Stderr(_ERR, "w", closefd=False), sys.stderr, "backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputLost as lost:
        os.dup2(os.open(os.devnull, os.O_WRONLY), _OUT)  # the interpreter flushes the rest here
        if not lost.quiet:
            sys.stderr.write(f"collector: {lost}\n")
        sys.exit(1)


def _open_closed_streams() -> None:
    """Open closed standard streams, because the next file that is opened would take their number.

    Writing to such a stdout still fails, and text for such a stderr is ignored.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest free number, which is this one


def _wrapped(raw: io.FileIO, before: TextIO | Any, errors: str) -> io.TextIOWrapper:
    """Return a text stream on *raw* with the properties of *before*, which is None if the stream was closed."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors=errors,
        line_buffering=getattr(before, "line_buffering", True),
        write_through=getattr(before, "write_through", False),
    )
