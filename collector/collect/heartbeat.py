"""The service's life sign in the store: that it is there, and when it last completed something."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from collector import __version__
from collector.store import Beat, StoreError, process_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from collector.collect.observe import Observer
    from collector.store import Fire, Saved, Store

log = logging.getLogger(__name__)

_PAUSE = 30.0
"""Seconds between two writes at least: a write on SQLite keeps every other writer waiting."""
_FIRST_PAUSE = 5.0
"""Seconds between two looks for the first progress, so that it shows soon after the start."""
_WITHOUT_PROGRESS = timedelta(seconds=45)


class Heartbeat:
    """An observer that passes every event on to *observer* and remembers when something was completed."""

    def __init__(self, store: Store, clock: Callable[[], datetime], observer: Observer) -> None:
        self._store = store
        self._clock = clock
        self._observer = observer
        self._name = process_name(socket.gethostname(), os.getpid())
        self._progress: datetime | None = None
        self._written: Beat | None = None

    def asked(self, outcome: str, seconds: float) -> None:
        """Pass a request on; an answer is progress."""
        if outcome == "ok":
            self._progress = self._clock()
        self._observer.asked(outcome, seconds)

    def saved(self, profile: str, saved: Saved) -> None:
        """Pass the counts of an answer on."""
        self._progress = self._clock()
        self._observer.saved(profile, saved)

    def fired(self, fires: Sequence[Fire]) -> None:
        """Pass fires on; a collected one is progress."""
        if any(fire.outcome == "collected" for fire in fires):
            self._progress = self._clock()
        self._observer.fired(fires)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Write life signs while the context is open, and a last one at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._write()

    async def _run(self) -> None:
        while True:
            if self._is_due(self._clock()):
                await self._write()
            await asyncio.sleep(_PAUSE if self._progress else _FIRST_PAUSE)

    def _is_due(self, now: datetime) -> bool:
        last = self._written
        if last is None or last.progress_at != self._progress:
            return True
        return not timedelta(0) <= now - last.seen_at < _WITHOUT_PROGRESS

    async def _write(self) -> None:
        beat = Beat(self._name, __version__, self._clock(), self._progress)
        try:
            await self._store.beat(beat)
        except StoreError as error:
            log.debug("heartbeat", extra={"outcome": "failed", "reason": str(error)})
        else:
            self._written = beat
