"""A statement that another thread can interrupt."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from collector.store.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class Interruptible:
    """One statement on a connection of either driver; `interrupt` may be called before, during and after it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._driver: Any = None
        self._interrupted = False

    @contextmanager
    def running(self, driver: Any) -> Iterator[None]:
        """Let the statement on *driver* be interrupted inside. Raises StoreUnavailable if it has been already."""
        with self._lock:
            if self._interrupted:
                raise StoreUnavailable("the statement was interrupted")
            self._driver = driver
        try:
            yield
        finally:
            with self._lock:  # so that no other statement on this connection is interrupted
                self._driver = None

    def interrupt(self) -> None:
        """Interrupt the statement if it runs; otherwise it does not begin."""
        with self._lock:
            self._interrupted = True
            if self._driver is not None:
                interrupt = getattr(self._driver, "interrupt", None) or self._driver.cancel
                interrupt()
