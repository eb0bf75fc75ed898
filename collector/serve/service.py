"""What the HTTP server needs from the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.profile import Profile
    from collector.serve.metrics import Metrics
    from collector.store import BackfillJob, BackfillRequest, Pruned, SeriesDeletion, Store


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

    async def submit(self, wanted: BackfillRequest) -> BackfillJob:
        """Record a backfill job and start it when its turn comes."""

    async def cancel(self, backfill_id: int) -> BackfillJob:
        """Cancel a job that has not ended, and return it. Raises LookupError if there is no such job."""

    async def prune(self) -> Pruned:
        """Delete what is older than [retention] keeps. The deletion continues if the caller is cancelled."""

    async def forget(self, series_id: int, *, dry_run: bool) -> SeriesDeletion:
        """Delete a series. Raises SeriesWanted if a profile uses it, SeriesUnknown if there is none."""

    async def replay(self, fetch_id: int) -> dict[str, Any] | None:
        """Read the kept body of a fetch again; None if no body of this fetch waits for that."""
