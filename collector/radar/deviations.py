"""Harmless deviations of an answer from the documented form: one sentence for each kind."""

from __future__ import annotations


class Deviations:
    """The kinds of deviation of one answer, each once, in the order of their discovery.

    A kind is a constant sentence without values of the answer, so that one kind has the same text everywhere.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, None] = {}

    def note(self, kind: str) -> None:
        """Add a kind."""
        self._kinds[kind] = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds that were found."""
        return tuple(self._kinds)
