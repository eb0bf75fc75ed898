"""Signals from the first instruction on: imported before anything that takes time.

Until the command is known, signals are remembered. A service then leaves at once with exit code 0 on SIGTERM and
SIGINT, until its event loop handles them, and a SIGHUP is remembered until it can read the configuration again. For any
other command SIGHUP ends the process, and SIGTERM raises SystemExit(143), so that files and transactions are closed.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT)
_held: list[int] = []  # a process has one set of signal handlers


def hold() -> None:
    """Remember all that comes, but for a SIGHUP that the process was started to ignore, as by nohup."""
    for number in (signal.SIGHUP, *_ENDING):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _remember)


def _remember(number: int, _frame: FrameType | None) -> None:
    _held.append(number)


def release() -> None:
    """Let signals do what they do to a short command, the remembered ones now."""
    if signal.getsignal(signal.SIGHUP) is _remember:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGTERM) is _remember:
        signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is _remember:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    while _held:
        signal.raise_signal(_held.pop(0))


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def serve() -> None:
    """Let SIGTERM and SIGINT end the process with exit code 0 until its event loop handles them."""
    for number in _ENDING:
        if signal.getsignal(number) is _remember:
            signal.signal(number, _leave)
    if is_told_to_end():
        sys.exit(0)


def _leave(number: int, _frame: FrameType | None) -> None:
    _held.append(number)  # should the exception be lost in a destructor
    sys.exit(0)


def is_told_to_end() -> bool:
    """Tell whether a signal that ends a service has come."""
    return any(number in _held for number in _ENDING)


def is_told_to_reload() -> bool:
    """Tell whether a SIGHUP has come since this was asked last."""
    found = signal.SIGHUP in _held
    _held[:] = [number for number in _held if number != signal.SIGHUP]
    return found
