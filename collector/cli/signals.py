"""Signal handlers from the first instruction on. This module is imported before anything that takes time.

Until the command is known, signals are recorded. Then a service exits with code 0 on SIGTERM and SIGINT, until its
event loop handles them; a SIGHUP is recorded until the service can reload its configuration. For any other command
SIGHUP ends the process, and SIGTERM raises SystemExit(143), so that files and transactions are closed.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

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
    found = signal.SIGHUP in _held
    _held[:] = [number for number in _held if number != signal.SIGHUP]
    return found
