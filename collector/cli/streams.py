"""The standard streams of a command, for which no error is a traceback, whatever they are connected to."""

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
    """What was written to stdout did not get there; *quiet* if only because the reader has gone."""

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
    """Drops what cannot be written: a service goes on without its log."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


@contextmanager
def standard_streams() -> Iterator[None]:
    """Replace stdout and stderr for a command, and end the process with exit code 1 if its output is lost.

    Characters that the encoding of stdout lacks are replaced.
    """
    _occupy_closed()
    sys.stdout = _wrapped(_Stdout(_OUT, "w", closefd=False), sys.stdout, "replace")
    sys.stderr = _wrapped(_Stderr(_ERR, "w", closefd=False), sys.stderr, "backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OutputLost as lost:
        os.dup2(os.open(os.devnull, os.O_WRONLY), _OUT)  # where the interpreter flushes what is left
        if not lost.quiet:
            sys.stderr.write(f"collector: {lost}\n")
        sys.exit(1)


def _occupy_closed() -> None:
    """Open what was closed, or the next file that is opened would be taken for a standard stream.

    Nothing can be written to stdout then, as before; what is written to stderr is dropped.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free, which is this one


def _wrapped(raw: io.FileIO, before: TextIO | Any, errors: str) -> io.TextIOWrapper:
    """Return text on *raw* as it was *before*, which is None if the stream was closed."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors=errors,
        line_buffering=getattr(before, "line_buffering", True),
        write_through=getattr(before, "write_through", False),
    )
