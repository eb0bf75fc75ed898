"""What can happen to history while a simulator runs; each change shows from server time *since* on (epoch seconds)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collector.model import Annotation, Window


@dataclass(frozen=True, slots=True)
class GapChange:
    """No series has the buckets that lie wholly in *window*; a wider bucket loses what lies in it."""

    window: Window
    since: float = -math.inf
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class RevisionChange:
    """Every series counts *add* more in each 15-minute slot of *window*, never fewer than none."""

    window: Window
    add: int
    since: float = -math.inf
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class WithdrawalChange:
    """The annotation is in no answer."""

    annotation: Annotation
    since: float = -math.inf
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class NormalizationChange:
    """Answers come with another normalization or unit (None: the one of before)."""

    normalization: str | None = None
    unit: str | None = None
    since: float = -math.inf
    until: float = math.inf


Change = GapChange | RevisionChange | WithdrawalChange | NormalizationChange
