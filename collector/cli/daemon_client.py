"""Client of the running daemon, over its HTTP server.

A command that writes does its work itself if it can own the store. If a daemon owns the SQLite store, the command
sends a request to the daemon instead. A Postgres store has no owner, so every command does its own work.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from collector.errors import CollectorError
from collector.model import rfc3339
from collector.store import JobProgress, JobStatus, StoreLocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.settings import Settings
    from collector.store import BackfillRequest

T = TypeVar("T")

_JOBS = "/api/v1/backfills"
_POLL_SECONDS = 0.5
_TIMEOUT_SECONDS = 10.0
_LONG_TIMEOUT_SECONDS = 130.0


def run_here_or_in_daemon(settings: Settings, here: Callable[[], T], handed: Callable[[DaemonClient], T]) -> T:
    """Return the result of *here*, or of *handed* if a daemon owns the store.

    Raises the error of *here* if the owner has no HTTP server.
    """
    try:
        return here()
    except StoreLocked as owned:
        if owned.url is None:
            error = StoreLocked(f"{owned}, and the owner has no HTTP server that could do the work")
            error.advice = "wait until that process has ended, or end it"
            raise error from None
        token = settings.server.token
        return handed(DaemonClient(owned.url, token.reveal() if token else None))


class DaemonClient:
    """The daemon at *url*; *token* is the token of its HTTP server, if it has one."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._address = urlsplit(url)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def submit(self, wanted: BackfillRequest) -> int:
        """Create a backfill job. Returns its id."""
        content = {
            "profiles": wanted.profiles,
            "start": rfc3339(wanted.start),
            "end": rfc3339(wanted.end),
            "force": wanted.force,
        }
        return int(self._call("POST", _JOBS, content)["id"])

    def follow(self, job: int) -> Iterator[tuple[JobStatus, int | None]]:
        """Yield the status of a job twice a second until it ends, and the job that runs before it, if any."""
        while True:
            document = self._call("GET", f"{_JOBS}/{job}")
            progress = JobProgress(**{name: document[name] for name in JobProgress.__slots__ if name in document})
            standing = JobStatus(document["state"], progress, document["message"])
            yield standing, self._ahead_of(job) if standing.state == "queued" else None
            if standing.ended:
                return
            time.sleep(_POLL_SECONDS)

    def _ahead_of(self, job: int) -> int | None:
        """Return the job that runs before a queued one, because jobs run in the order of their ids."""
        others = (one["id"] for one in self._call("GET", _JOBS)["backfills"] if one["state"] in ("queued", "running"))
        return max((other for other in others if other < job), default=None)

    def cancel(self, job: int) -> None:
        """Cancel a job."""
        self._call("POST", f"{_JOBS}/{job}/cancel", {})

    def prune(self) -> dict[str, Any]:
        """Prune the store. Returns the counts, or `running` if it takes long."""
        return self._call("POST", "/api/v1/prune", {}, timeout=_LONG_TIMEOUT_SECONDS)

    def forget(self, series_id: int) -> dict[str, Any]:
        """Delete a series. Returns the deleted rows by table."""
        content = {"dry_run": False}
        return self._call("POST", f"/api/v1/series/{series_id}/forget", content, timeout=_LONG_TIMEOUT_SECONDS)

    def replay(self, fetch_id: int) -> dict[str, Any]:
        """Parse the kept body of a fetch again. Returns the outcome."""
        return self._call("POST", f"/api/v1/fetches/{fetch_id}/replay", {}, timeout=_LONG_TIMEOUT_SECONDS)

    def _call(
        self, method: str, path: str, content: Any = None, *, timeout: float = _TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=timeout)
        body = None if content is None else json.dumps(content)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CollectorError(f"no answer from the daemon at {self.url}: {error}") from None
        finally:
            connection.close()
        if "error" in document:
            raise CollectorError(f"the daemon rejects the request: {document['error']}")
        return document
