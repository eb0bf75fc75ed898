"""The log of requests. It contains no credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.contract.request_parser import ApiRequest


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request: its arrival in epoch seconds of the simulator's clock, its content and its result.

    *request* is None if the request was rejected. *caller* identifies the credentials. *status* is that of the answer,
    delivered or not. *fault* is the name of the fault that hit it.
    """

    at: float
    method: str
    path: str
    raw_query: str
    caller: str
    request: ApiRequest | None = None
    status: int = 0
    fault: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the requested series, in their order."""
        return tuple(requested.name for requested in self.request.series) if self.request else ()

    @property
    def series(self) -> int:
        """The number of requested series."""
        return len(self.names)

    @property
    def url_bytes(self) -> int:
        """The length of path and query."""
        return len(self.path) + 1 + len(self.raw_query)
