"""The status document, cached for five seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from collector.report.status import status_document
from collector.report.warnings import SpellingCheck

if TYPE_CHECKING:
    from collector.serve.service import ServiceApi

_MAX_AGE_SECONDS = 5.0


class StatusCache:
    """The newest status document of a service."""

    def __init__(self, service: ServiceApi) -> None:
        self._service = service
        self._lock = asyncio.Lock()
        self._spelling = SpellingCheck()
        self._read: tuple[float, object, dict[str, Any]] | None = None

    async def document(self) -> dict[str, Any]:
        """Return the document of `collector status`, at most five seconds old and of the current configuration."""
        async with self._lock:
            service, now = self._service, time.monotonic()
            if self._read and now - self._read[0] < _MAX_AGE_SECONDS and self._read[1] is service.profiles:
                return self._read[2]
            limit = service.requests_per_5min
            document = await status_document(service.store, service.profiles, limit, service.now(), self._spelling)
            self._read = (time.monotonic(), service.profiles, document)
            return document
