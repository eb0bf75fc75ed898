"""Where the values of a filter lie: each has a part of a line that stands for all objects of a dataset."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.datasets import FilterParameter

SCALE_BITS = 24
SCALE = 1 << SCALE_BITS
"""The length of the line: the values of a filter lie side by side on it, and each object has its place on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """A filter's values and where each lies; *edges* has one more entry than *values*, the first 0, the last SCALE."""

    name: str
    values: Mapping[str, int]
    edges: tuple[int, ...]

    @classmethod
    def of(cls, name: str, weighted: tuple[tuple[str, int], ...]) -> Dimension:
        """Lay the values side by side by their weights."""
        total = sum(weight for _, weight in weighted) or 1
        sums = itertools.accumulate((weight for _, weight in weighted), initial=0)
        values = {value: position for position, (value, _) in enumerate(weighted)}
        return cls(name, MappingProxyType(values), tuple(done * SCALE // total for done in sums))

    def spread(self, edge: int) -> int:
        """How far the edge may wander with time and still never meet its neighbours."""
        if edge in (0, len(self.edges) - 1):
            return 0
        return min(self.edges[edge] - self.edges[edge - 1], self.edges[edge + 1] - self.edges[edge]) // 6


UNIQUE_SHARE = SCALE * 54 // 100
"""The filter value that counts each object once leaves out what occurs again."""


@lru_cache(maxsize=256)
def dimension_of(parameter: FilterParameter) -> Dimension:
    """Lay the known values of a filter side by side: by their shares, or all of one width."""
    return Dimension.of(parameter.name, parameter.shares or tuple((value, 1) for value in parameter.values))


@lru_cache(maxsize=4096)
def unlisted(name: str, value: str) -> tuple[int, int]:
    """Where a name lies that is not in the catalogue: up to a fiftieth of the line, so that any name can be tried."""
    digest = hashlib.blake2b(f"{name}={value}".encode(), digest_size=8).digest()
    width = SCALE // 2000 + int.from_bytes(digest[:4], "big") % (SCALE // 50)
    start = int.from_bytes(digest[4:], "big") % (SCALE - width)
    return start, start + width
