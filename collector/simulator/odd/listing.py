"""The variations as a person reads them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.simulator.odd.variation import Variation


def listing(variations: Iterable[Variation]) -> str:
    """Return one line for each variation, grouped: its name, what the collector makes of it, and what it is."""
    known = [*variations]
    width = max(len(one.name) for one in known)
    lines = []
    for group, members in groupby(known, key=lambda one: one.group):
        lines.append(f"{group}:")
        lines += [f"  {one.name:<{width}}  {one.verdict:<9}  {one.line}" for one in members]
    return "\n".join(lines)
