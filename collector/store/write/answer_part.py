"""What one answer says of one slice: the buckets that it speaks for, its evidence, and what it proves to be absent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from collector.model import Slice, Window
from collector.rules.finality import Absence, AnswerScope, absent_runs, fold
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from collector.rules.finality import Evidence
    from collector.store.write.save import Difference

_CUT_BUCKETS, _CUT_SHARE = 8, 4
_ENDED_SECONDS = 2 * 86_400
"""An answer with values is taken to be cut short if it lacks so many buckets at one end, a quarter of its window."""


def spoken_window(
    window: Window, date_range: tuple[datetime, datetime] | None, last_updated: datetime, step: timedelta
) -> tuple[int, int]:
    """The buckets that an answer speaks for: inside *window* and the API's *date_range*, closed at *last_updated*.

    A range of None was not named, or could not be read: the window counts.
    """
    start_time, end_time = date_range or (window.start, window.end)
    start = max(window.start, window.start + -((window.start - start_time) // step) * step)
    end = window.end
    if end_time < window.end - step:  # else the end is named as it was asked, inclusively or exclusively
        end = window.start + (end_time - window.start) // step * step
    end = min(end, window.start + (last_updated - window.start) // step * step)
    return int(start.timestamp()), max(int(start.timestamp()), int(end.timestamp()))


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """One slice of an answer: the timestamps it has, and what it speaks for; *told_at* as in Evidence."""

    slice_: Slice
    timestamps: Sequence[int]
    spoken: tuple[int, int]
    asked_at: float
    told_at: float
    cut_off: Sequence[Slice] = ()

    @property
    def _step(self) -> int:
        return self.slice_.series.agg_interval.seconds

    def trimmed(self, stored: Mapping[int, object]) -> AnswerPart:
        """Leave out an end of the window that the answer lacks, if it seems to have been cut short.

        The end must be long. A series may have come to its end: of its newest buckets a part must be *stored*, or two
        days of them be absent.
        """
        if not self.timestamps:
            return self
        (start, end), first, last = self.spoken, self.timestamps[0], self.timestamps[-1] + self._step
        least = max(_CUT_BUCKETS * self._step, (end - start) // _CUT_SHARE)
        ends = [(a, b) for a, b in ((start, first), (last, end)) if b - a >= least]
        known = stored.keys()
        ends = [
            (a, b)
            for a, b in ends
            if b == first or b - a >= _ENDED_SECONDS or not known.isdisjoint(range(a, b, self._step))
        ]
        if not ends:
            return self
        spoken = max(start, first) if ends[0][0] == start else start, last if ends[-1][1] == end else end
        lost = [Slice(self.slice_.series, Window(from_epoch(a), from_epoch(b))) for a, b in ends]
        return replace(self, spoken=spoken, cut_off=lost)

    def moved_on(self, begins: int | None, stored: Iterable[int]) -> AnswerPart:
        """Leave out what the answer lacks from its start on, if Radar's history *begins* there or later, and is stored.

        Radar keeps it no longer. What is stored has not vanished.
        """
        start, end = self.spoken
        first = min(self.timestamps[0], end) if self.timestamps else end
        if begins is None or start > begins or not any(start <= timestamp < first for timestamp in stored):
            return self
        return replace(self, spoken=(first, end))

    def _scope(self, settle: int) -> AnswerScope:
        """What the evidence is about: what the answer speaks for, and what it has beyond that."""
        start, end = self.spoken
        if self.timestamps:
            start, end = min(start, self.timestamps[0]), max(end, self.timestamps[-1] + self._step)
        return AnswerScope(start, end, self.asked_at, self.told_at, self._step, settle)

    def fold(
        self,
        rows: Sequence[Evidence],
        difference: Difference,
        stored: Mapping[int, object],
        overruled: Sequence[tuple[int, int]],
        settle: int,
    ) -> list[Evidence]:
        """Add to the evidence of the series."""
        scope = self._scope(settle)
        if scope.start >= scope.end:
            return list(rows)
        held, brought = (any(scope.start <= t < scope.end for t in found) for found in (stored, difference.inserted))
        first = brought and not held  # an answer without any value agrees with a store without any
        changed = [*(one.timestamp for one in difference.revised), *difference.vanished, *difference.returned]
        return fold(
            rows,
            scope,
            first=first,
            inserted=() if first else (t for t in difference.inserted if scope.start <= t < scope.end),
            changed=(t for t in changed if scope.start <= t < scope.end),
            overruled=[] if first else overruled,
        )

    def absences(self, stored: Iterable[int], settle: int) -> list[Absence]:
        """What the answer proves to be absent."""
        window = int(self.slice_.window.start.timestamp()), int(self.slice_.window.end.timestamp())
        scope = AnswerScope(*self.spoken, self.asked_at, self.told_at, self._step, settle)
        found = absent_runs(scope, self.timestamps, stored)
        return [Absence(start, end, *window, self.asked_at, self.told_at) for start, end in found]
