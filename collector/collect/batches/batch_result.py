"""What came of many slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.collect.batches.grids import GridMoved
from collector.store import SaveResult

if TYPE_CHECKING:
    from collector.errors import CollectorError
    from collector.model import Question, Slice


@dataclass(frozen=True, slots=True)
class FailedSlices:
    """Slices that were not collected, and why."""

    slices: tuple[Slice, ...]
    error: CollectorError


@dataclass(slots=True)
class BatchResult:
    """What came of many slices: points, requests sent, batches answered, failures, and whether told to stop."""

    saved: SaveResult = field(default_factory=SaveResult)
    requests: int = 0
    batches: int = 0
    failures: list[FailedSlices] = field(default_factory=list)
    stopped: bool = False

    def __add__(self, other: BatchResult) -> BatchResult:
        return BatchResult(
            self.saved + other.saved,
            self.requests + other.requests,
            self.batches + other.batches,
            self.failures + other.failures,
            self.stopped or other.stopped,
        )

    @property
    def failed(self) -> set[Question]:
        """The series of which a part is missing."""
        return {piece.series for failure in self.failures for piece in failure.slices}

    @property
    def moved(self) -> bool:
        """Whether a part is missing because buckets start elsewhere than was known: it must be planned anew."""
        return any(isinstance(failure.error, GridMoved) for failure in self.failures)
