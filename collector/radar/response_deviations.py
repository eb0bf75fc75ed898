"""The harmless differences of an answer from the documented form."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Deviations:
    """The kinds of deviation of one answer, each once, in the order of their discovery.

    A kind is a constant sentence without values of the answer, so that one kind has the same text everywhere.
    """

    kinds: dict[str, None] = field(default_factory=dict)

    def note(self, kind: str) -> None:
        """Add a kind."""
        self.kinds[kind] = None
