"""How things stand, asked at most every few seconds however many want to know."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from collector.serve.spelling import Spelling
from collector.serve.status import status

if TYPE_CHECKING:
    from collector.serve.api.service import Service

_SECONDS = 5.0


class Standing:
    """Keeps the newest status document of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._one_by_one = asyncio.Lock()
        self._spelling = Spelling()
        self._read: tuple[float, object, dict[str, Any]] | None = None

    async def document(self) -> dict[str, Any]:
        """Give the document of `collector status`, no older than a few seconds and of the present configuration."""
        async with self._one_by_one:
            service, now = self._service, time.monotonic()
            if self._read and now - self._read[0] < _SECONDS and self._read[1] is service.profiles:
                return self._read[2]
            limit = service.requests_per_5min
            found = await status(service.store, service.profiles, limit, service.now(), self._spelling)
            self._read = (time.monotonic(), service.profiles, found)
            return found
