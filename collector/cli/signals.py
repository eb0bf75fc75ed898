"""Signal handlers and the standard streams. This module is imported before anything that takes time.

Until the command is known, signals are recorded. Then a service exits with code 0 on SIGTERM and SIGINT, until its
event loop handles them; a SIGHUP is recorded until the service can reload its configuration. For any other command
SIGHUP ends the process, and SIGTERM raises SystemExit(143), so that files and transactions are closed. An error of a
stream never causes a traceback.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from collector.errors import os_error_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any, TextIO

_ENDING = (signal.SIGTERM, signal.SIGINT)
_held: list[int] = []  # global, because a process has one set of signal handlers


def hold() -> None:
    """Record all signals, except a SIGHUP that the process ignores from its start, as under nohup."""
    for number in (signal.SIGHUP, *_ENDING):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _record)


def _record(number: int, _frame: FrameType | None) -> None:
    _held.append(number)


def release() -> None:
    """Set the handlers of a short command, and raise the recorded signals."""
    if signal.getsignal(signal.SIGHUP) is _record:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGTERM) is _record:
        signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is _record:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    while _held:
        signal.raise_signal(_held.pop(0))


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def serve() -> None:
    """Exit with code 0 on SIGTERM and SIGINT, until the event loop handles them."""
    for number in _ENDING:
        if signal.getsignal(number) is _record:
            signal.signal(number, _leave)
    if stop_requested():
        sys.exit(0)


def _leave(number: int, _frame: FrameType | None) -> None:
    _held.append(number)  # in case a destructor swallows the exception
    sys.exit(0)


def stop_requested() -> bool:
    """Return whether SIGTERM or SIGINT was recorded."""
    return any(number in _held for number in _ENDING)


def take_reload_request() -> bool:
    """Return whether a SIGHUP was recorded since the last call."""
    requested = signal.SIGHUP in _held
    _held[:] = [number for number in _held if number != signal.SIGHUP]
    return requested


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
