"""Orders to the daemon that owns a SQLite store, over its HTTP server.

A command that writes does its work itself where it can own the store, else it hands the work to the daemon: see
`here_or_handed`. Postgres has no owner, so there every command does its own work.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from collector.errors import CollectorError
from collector.model import rfc3339
from collector.store import Progress, Standing, StoreOwned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.settings import Settings
    from collector.store import Wanted

T = TypeVar("T")

_JOBS = "/api/v1/backfills"
_POLL = 0.5
_TIMEOUT = 10.0
_LONG_TIMEOUT = 130.0


def run_here_or_in_daemon(settings: Settings, here: Callable[[], T], handed: Callable[[DaemonClient], T]) -> T:
    """Do work *here*, or have it done by the daemon that owns the store; StoreOwned if the owner takes no orders."""
    try:
        return here()
    except StoreOwned as owned:
        if owned.url is None:
            error = StoreOwned(f"{owned}, which has no HTTP server that could take the order")
            error.advice = "wait until it has ended, or end it first"
            raise error from None
        token = settings.server.token
        return handed(DaemonClient(owned.url, token.reveal() if token else None))


class DaemonClient:
    """The daemon at *url*; *token* is its server's, where it has one."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self._address = urlsplit(url)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def submit(self, wanted: Wanted) -> int:
        """Order *wanted*; gives the job's id."""
        order = {
            "profiles": wanted.profiles,
            "start": rfc3339(wanted.start),
            "end": rfc3339(wanted.end),
            "force": wanted.force,
        }
        return int(self._call("POST", _JOBS, order)["id"])

    def follow(self, job: int) -> Iterator[tuple[Standing, int | None]]:
        """Give how a job stands, twice a second, up to its end, and which job it is queued behind, if any."""
        while True:
            document = self._call("GET", f"{_JOBS}/{job}")
            progress = Progress(**{name: document[name] for name in Progress.__slots__ if name in document})
            standing = Standing(document["state"], progress, document["message"])
            yield standing, self._ahead_of(job) if standing.state == "queued" else None
            if standing.ended:
                return
            time.sleep(_POLL)

    def _ahead_of(self, job: int) -> int | None:
        """Find the job that is done before a queued one: jobs are done in the order of their ids."""
        others = (one["id"] for one in self._call("GET", _JOBS)["backfills"] if one["state"] in ("queued", "running"))
        return max((other for other in others if other < job), default=None)

    def cancel(self, job: int) -> None:
        """End a job."""
        self._call("POST", f"{_JOBS}/{job}/cancel", {})

    def prune(self) -> dict[str, Any]:
        """Prune; gives the counts, or `running` where it takes long."""
        return self._call("POST", "/api/v1/prune", {}, timeout=_LONG_TIMEOUT)

    def forget(self, series_id: int) -> dict[str, Any]:
        """Delete a series; gives the deleted rows by table."""
        order = {"dry_run": False}
        return self._call("POST", f"/api/v1/series/{series_id}/forget", order, timeout=_LONG_TIMEOUT)

    def replay(self, fetch_id: int) -> dict[str, Any]:
        """Read the kept body of a fetch again; gives what came of it."""
        return self._call("POST", f"/api/v1/fetches/{fetch_id}/replay", {}, timeout=_LONG_TIMEOUT)

    def _call(self, method: str, path: str, order: Any = None, *, timeout: float = _TIMEOUT) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=timeout)
        body = None if order is None else json.dumps(order)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CollectorError(f"the daemon at {self.url} does not answer: {error}") from None
        finally:
            connection.close()
        if "error" in document:
            raise CollectorError(f"the daemon refuses: {document['error']}")
        return document
