"""What an answer says in another way than usual, without harm: noted, a sentence a kind."""

from __future__ import annotations


class Deviations:
    """The kinds of deviation of one answer, each once, in the order in which they were met.

    A kind is a constant sentence without values of the answer, so that the same kind is the same text everywhere.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, None] = {}

    def note(self, kind: str) -> None:
        """Add a kind."""
        self._kinds[kind] = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds that were met."""
        return tuple(self._kinds)
