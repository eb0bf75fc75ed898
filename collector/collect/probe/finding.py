"""One finding: a question, its answer, and what that means for the collector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about *question*; *name* and *value* are for programs, *meaning* for the user.

    *settled* is False where the collector needs to know more, None where it needs nothing.
    """

    section: str
    name: str
    question: str
    answer: str
    meaning: str = ""
    settled: bool | None = None
    value: Any = None

    @property
    def is_unasked(self) -> bool:
        """Whether it is open only because nothing was asked about it."""
        return self.answer == NOT_ASKED
