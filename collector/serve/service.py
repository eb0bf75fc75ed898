"""What the HTTP server needs from the daemon, and the status document, cached for five seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

from collector.report.status import status_document
from collector.report.warnings import SpellingCheck

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.profile import Profile
    from collector.serve.metrics import Metrics
    from collector.store import BackfillJob, BackfillRequest, Compacted, Pruned, SeriesDeletion, Store


class ServiceApi(Protocol):
    """The store, the configuration and the jobs of the running daemon."""

    @property
    def store(self) -> Store:
        """The store with the history."""

    @property
    def profiles(self) -> Sequence[Profile]:
        """The configured profiles."""

    @property
    def requests_per_5min(self) -> int:
        """The request budget."""

    @property
    def simulator(self) -> str | None:
        """The address of the simulator that stands in for Radar; None if Radar itself is requested."""

    @property
    def metrics(self) -> Metrics:
        """The counters of the daemon."""

    def now(self) -> datetime:
        """Return the current time."""

    async def unready(self) -> list[str]:
        """Return why the service is not ready, one sentence each; an empty list if it is ready."""

    async def submit(self, requested: BackfillRequest) -> BackfillJob:
        """Record a backfill job and start it when its turn comes."""

    async def estimate(self, requested: BackfillRequest) -> dict[str, Any]:
        """Return what a backfill would cost: windows, requests, points, minutes. Nothing is requested."""

    async def cancel(self, backfill_id: int) -> BackfillJob:
        """Cancel a job that has not ended, and return it. Raises LookupError if there is no such job."""

    async def prune(self) -> Pruned:
        """Delete what is older than [retention] keeps. The deletion continues if the caller is cancelled."""

    async def compact(self) -> Compacted:
        """Give the room of deleted rows back. The work continues if the caller is cancelled.

        Raises TooLittleRoom if the disk cannot hold the copies that SQLite makes.
        """

    async def forget(self, series_id: int, *, dry_run: bool) -> SeriesDeletion:
        """Delete a series. Raises SeriesWanted if a profile uses it, SeriesUnknown if there is none."""

    async def replay(self, fetch_id: int) -> dict[str, Any] | None:
        """Parse the kept body of a fetch again; None if this fetch has no body that can be parsed again."""

    async def refresh_catalogue(self, list_name: str, slug: str | None) -> dict[str, Any]:
        """Read a list of authorities or logs now, or the details of one entry. Raises RadarError if it fails."""


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
