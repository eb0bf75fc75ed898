"""What the simulator keeps of every request; never a credential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.contract.request_parser import ApiRequest


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request: when it arrived (epoch seconds of the simulator's clock), what it asked, what it got.

    *question* is None where the request was refused; *caller* tells credentials apart; *status* is that of the answer,
    whether or not it was delivered; *fault* names what was done to it.
    """

    at: float
    method: str
    path: str
    raw_query: str
    caller: str
    question: ApiRequest | None = None
    status: int = 0
    fault: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the series asked for, in their order."""
        return tuple(asked.name for asked in self.question.series) if self.question else ()

    @property
    def series(self) -> int:
        """How many series were asked for."""
        return len(self.names)

    @property
    def url_bytes(self) -> int:
        """Length of path and query."""
        return len(self.path) + 1 + len(self.raw_query)
