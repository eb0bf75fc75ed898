"""Changes of a unit, in sentences: pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.model import from_epoch, rfc3339
from collector.store.series.generations import described, same_measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.profile import Profile
    from collector.store import Block, UnitChange

    Measure = tuple[str, str]


class Watch:
    """Looks for changes of the unit in blocks of points as they are exported."""

    def __init__(self) -> None:
        self._measures: dict[tuple[str, str], Measure] = {}
        self._said: set[tuple[str, str, str, str]] = set()

    def seen(self, block: Block) -> str | None:
        """Look at the next block. Returns a sentence if it changes the unit of its label as it has not done before."""
        if not block.points:
            return None
        label, measure = (block.profile, block.label), (block.normalization, block.unit)
        before = self._measures.setdefault(label, measure)
        if same_measure(before, measure):
            return None
        self._measures[label] = measure
        old, new = described(before, measure), described(measure, before)
        if (*label, old, new) in self._said:
            return None
        self._said.add((*label, old, new))
        moment = rfc3339(from_epoch(block.points[0][0]))
        return f"{block.label}: the unit changes from {old} to {new} with the bucket {moment}"


def unit_warnings(profiles: Iterable[Profile], changes: Sequence[UnitChange]) -> list[str]:
    """Give a sentence for each change of a unit in *profiles*; series of a profile that changed alike share one.

    *changes* are those of the profiles' queries, as `Store.unit_changes` lists them.
    """
    warnings = []
    for profile in profiles:
        labels = {series.query: series.label for series in profile.series}
        alike: dict[tuple[str, str, bool], list[UnitChange]] = {}
        for change in changes:
            if change.query in labels:
                alike.setdefault((change.old, change.new, change.in_force), []).append(change)
        for same in alike.values():
            first = min(same, key=lambda change: change.moment)
            of = labels[first.query] if len(same) == 1 else f"{profile.name} ({len(same)} of {len(labels)} series)"
            warnings.append(_sentence(of, first, first.moment))
    return warnings


def _sentence(of: str, change: UnitChange, moment: datetime) -> str:
    at = rfc3339(moment.replace(microsecond=0))
    if change.in_force:
        return f"{of}: the unit changed from {change.old} to {change.new} at {at}; earlier buckets keep {change.old}"
    return (
        f"{of}: Radar answered with the unit {change.new} instead of {change.old} at {at}; "
        f"a second such answer at least an hour later changes the unit"
    )
