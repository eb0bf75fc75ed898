"""Signals while the service starts: SIGTERM and SIGINT end the start, a SIGHUP is remembered."""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol


class Signals(Protocol):
    """The signals that came before the event loop handled them."""

    def stop_requested(self) -> bool:
        """Tell whether SIGTERM or SIGINT has come."""

    def take_reload_request(self) -> bool:
        """Tell whether SIGHUP has come since this was asked last."""


class Starting:
    """Handles signals from its creation on, until the service does; *before* tells those that came earlier."""

    def __init__(self, before: Signals | None) -> None:
        self._before = before
        self._hung_up = False
        loop, this = asyncio.get_running_loop(), asyncio.current_task()
        assert this is not None
        self._task = this
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        if before and before.stop_requested():
            self._end()

    def _end(self) -> None:
        """Cancel the start at its next await: a transaction is waited for, so a migration is never left half."""
        if not self._task.cancelling():
            self._task.cancel()

    def _hang_up(self) -> None:
        self._hung_up = True

    @property
    def reload_requested(self) -> bool:
        """Whether SIGHUP has come."""
        return self._hung_up or bool(self._before and self._before.take_reload_request())
