"""Who listens to what is collected: the service counts it for its metrics, a command has nobody listen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.store import Fire, SaveResult


class Observer(Protocol):
    """Is told of every request, of the points it brought, and of every fire."""

    def asked(self, outcome: str, seconds: float) -> None:
        """A request has ended; *outcome* as on record."""

    def saved(self, profile: str, saved: SaveResult) -> None:
        """An answer was saved; *saved* counts the points of *profile*."""

    def fired(self, fires: Sequence[Fire]) -> None:
        """Due moments have their outcome."""


class NullObserver:
    """Does not listen."""

    def asked(self, outcome: str, seconds: float) -> None:
        """Ignore it."""

    def saved(self, profile: str, saved: SaveResult) -> None:
        """Ignore it."""

    def fired(self, fires: Sequence[Fire]) -> None:
        """Ignore it."""
