"""What the API asks of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.profile import Profile
    from collector.store import Store


class Service(Protocol):
    """Where the history is, what is configured, and the present."""

    @property
    def store(self) -> Store:
        """Where the history is."""

    @property
    def profiles(self) -> Sequence[Profile]:
        """The profiles that are configured."""

    @property
    def requests_per_5min(self) -> int:
        """The request budget."""

    def now(self) -> datetime:
        """The present."""


class Standing(Protocol):
    """Knows how things stand, at most a few seconds ago."""

    async def document(self) -> dict[str, Any]:
        """Give the document of `status`."""
