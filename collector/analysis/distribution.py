"""Median, percentile and extremes of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(ascending: Sequence[float], part: float) -> float:
    """Return the value below which *part* (0 to 1) of the values lie, interpolated linearly between two of them.

    This is the method of spreadsheets, NumPy and pandas. Raises IndexError without a value.
    """
    place = part * (len(ascending) - 1)
    below = int(place)
    if below + 1 >= len(ascending):
        return ascending[-1]
    return ascending[below] + (ascending[below + 1] - ascending[below]) * (place - below)
