"""A job handed to the daemon that owns the store, over its HTTP server."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from collector.errors import CollectorError
from collector.model import rfc3339
from collector.store import Progress, Standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.store import Wanted

_PATH = "/api/v1/backfills"
_POLL = 0.5
_TIMEOUT = 10.0


class Remote:
    """The daemon at *url*; *token* is its server's, where it has one."""

    def __init__(self, url: str, token: str | None) -> None:
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
        return int(self._call("POST", _PATH, json.dumps(order))["id"])

    def follow(self, job: int) -> Iterator[Standing]:
        """Give how a job stands, twice a second, up to its end."""
        while True:
            document = self._call("GET", f"{_PATH}/{job}")
            progress = Progress(**{name: document[name] for name in Progress.__slots__ if name in document})
            standing = Standing(document["state"], progress, document["message"])
            yield standing
            if standing.ended:
                return
            time.sleep(_POLL)

    def _call(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=_TIMEOUT)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CollectorError(f"the daemon at {self._address.geturl()} does not answer: {error}") from None
        finally:
            connection.close()
        if "error" in document:
            raise CollectorError(f"the daemon refuses: {document['error']}")
        return document
