"""Turns counts into the number texts of an answer, under the normalization in force."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def scaled(
    counts: Sequence[Sequence[int]], totals: Sequence[Sequence[int]], normalization: str, style: str
) -> list[list[str]]:
    """Write the values of all series of one answer; *totals* are the unfiltered counts, needed for PERCENTAGE alone.

    MIN_MAX and MIN0_MAX scale over the whole answer, which is why their values compare with no other answer's. Any
    other normalization than these three keeps the counts.
    """
    if normalization == "PERCENTAGE":
        pairs = zip(counts, totals, strict=True)
        return [[_text(100 * n / (total or 1)) for n, total in zip(ns, whole, strict=True)] for ns, whole in pairs]
    if normalization in ("MIN_MAX", "MIN0_MAX"):
        low = min(chain(*counts), default=0) if normalization == "MIN_MAX" else 0
        span = (max(chain(*counts), default=0) - low) or 1
        return [[_text((n - low) / span) for n in ns] for ns in counts]
    if style == "decimal":
        return [[f"{n}.0" for n in ns] for ns in counts]
    return [list(map(str, ns)) for ns in counts]


def _text(value: float) -> str:
    """Six digits, as in `0.871752` and `1.4e-05`."""
    return f"{value:.6g}"
