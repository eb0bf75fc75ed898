"""Pure comparison of an answer with the stored points.

AnswerPart is one slice of an answer: the buckets that it covers, its evidence, and the absences that it proves. `diff`
returns what the answer changes in one series.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from collector.model import Slice, Window
from collector.rules.finality import Absence, AnswerScope, absent_runs, fold
from collector.timestamps import from_epoch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from collector.rules.finality import Evidence

_CUT_BUCKETS, _CUT_SHARE = 8, 4
_ENDED_SECONDS = 2 * 86_400
"""An answer with values counts as cut short if it lacks so many buckets at one end, a quarter of its window."""


def spoken_window(
    window: Window, date_range: tuple[datetime, datetime] | None, last_updated: datetime, step: timedelta
) -> tuple[int, int]:
    """Return the window that an answer covers: inside *window* and the API's *date_range*, up to *last_updated*.

    If the range is None, it was not named or could not be read, and the window counts.
    """
    start_time, end_time = date_range or (window.start, window.end)
    start = max(window.start, window.start + -((window.start - start_time) // step) * step)
    end = window.end
    if end_time < window.end - step:  # otherwise it is the requested end, inclusive or exclusive
        end = window.start + (end_time - window.start) // step * step
    end = min(end, window.start + (last_updated - window.start) // step * step)
    return int(start.timestamp()), max(int(start.timestamp()), int(end.timestamp()))


class AnswerPart(NamedTuple):
    """One slice of an answer: its timestamps, and the window it covers (*spoken*); *told_at* as in Evidence."""

    slice_: Slice
    timestamps: Sequence[int]
    spoken: tuple[int, int]
    asked_at: float
    told_at: float
    cut_off: Sequence[Slice] = ()

    def trimmed(self, stored: Collection[int]) -> AnswerPart:
        """Leave out an end of the window that the answer lacks, if it seems to have been cut short.

        The end must be long. Because a series may have ended, a part of its newest buckets must be *stored*, or two
        days of them be absent.
        """
        if not self.timestamps:
            return self
        step = self.slice_.series.agg_interval.seconds
        (start, end), first, last = self.spoken, self.timestamps[0], self.timestamps[-1] + step
        least = max(_CUT_BUCKETS * step, (end - start) // _CUT_SHARE)
        ends = [(a, b) for a, b in ((start, first), (last, end)) if b - a >= least]
        ends = [
            (a, b)
            for a, b in ends
            if b == first or b - a >= _ENDED_SECONDS or any(t in stored for t in range(a, b, step))
        ]
        if not ends:
            return self
        spoken = max(start, first) if ends[0][0] == start else start, last if ends[-1][1] == end else end
        lost = [Slice(self.slice_.series, Window(from_epoch(a), from_epoch(b))) for a, b in ends]
        return self._replace(spoken=spoken, cut_off=lost)

    def moved_on(self, begins: int | None, stored: Iterable[int]) -> AnswerPart:
        """Leave out the absent buckets at its start, if Radar's history *begins* there or later, and some are stored.

        Radar no longer has them, but the stored ones have not vanished.
        """
        start, end = self.spoken
        first = min(self.timestamps[0], end) if self.timestamps else end
        if begins is None or start > begins or not any(start <= timestamp < first for timestamp in stored):
            return self
        return self._replace(spoken=(first, end))

    def fold(
        self,
        rows: Sequence[Evidence],
        difference: Difference,
        stored: Iterable[int],
        overruled: Sequence[tuple[int, int]],
        settle: int,
    ) -> list[Evidence]:
        """Return *rows* with the evidence of this answer: on the buckets that it covers, and on its other points."""
        (start, end), step = self.spoken, self.slice_.series.agg_interval.seconds
        if self.timestamps:
            start, end = min(start, self.timestamps[0]), max(end, self.timestamps[-1] + step)
        scope = AnswerScope(start, end, self.asked_at, self.told_at, step, settle)
        if scope.start >= scope.end:
            return list(rows)
        held, brought = (
            any(scope.start <= t < scope.end for t in timestamps) for timestamps in (stored, difference.inserted)
        )
        first = brought and not held  # an answer without any value agrees with a store without any
        return fold(
            rows,
            scope,
            first=first,
            inserted=() if first else (t for t in difference.inserted if scope.start <= t < scope.end),
            changed=(t for t in difference.changed if scope.start <= t < scope.end),
            overruled=[] if first else overruled,
        )

    def absences(self, stored: Iterable[int], settle: int) -> list[Absence]:
        """Return the absences that the answer proves."""
        window = int(self.slice_.window.start.timestamp()), int(self.slice_.window.end.timestamp())
        step = self.slice_.series.agg_interval.seconds
        scope = AnswerScope(*self.spoken, self.asked_at, self.told_at, step, settle)
        runs = absent_runs(scope, self.timestamps, stored)
        return [Absence(start, end, *window, self.asked_at, self.told_at) for start, end in runs]


StoredValue = tuple[float, int]
"""A stored value, and the fetch that brought it."""


class ReplacedValue(NamedTuple):
    """A stored value that an answer replaces."""

    timestamp: int
    old: StoredValue
    value: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes of one series; timestamps in epoch seconds, ascending.

    *inserted* are new buckets with their values: a mapping, because pairs by the thousand would cost more than
    everything else here. *vanished* are stored buckets that the answer no longer has, *returned* are vanished ones that
    it has again. *ignored* counts stored buckets that differ in, or are absent from, an overruled answer.
    """

    inserted: Mapping[int, float] = field(default_factory=dict)
    revised: list[ReplacedValue] = field(default_factory=list)
    unchanged: int = 0
    vanished: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    ignored: int = 0

    @property
    def changed(self) -> list[int]:
        """The stored buckets whose value is another one now, or is gone or back."""
        return [*(revision.timestamp for revision in self.revised), *self.vanished, *self.returned]


def diff(
    stored: Mapping[int, StoredValue],
    answered: Mapping[int, float],
    missed: Collection[int] = (),
    newer: Sequence[tuple[int, int]] = (),
    spoken: Sequence[tuple[int, int]] | None = None,
) -> Difference:
    """Compare the *stored* points in an answer's windows with those *answered*.

    *missed* are the vanished timestamps so far, *newer* the ranges [start, end) of answers that overrule this one. An
    absent bucket counts only in *spoken* (None: everywhere).
    """
    if not stored:
        return Difference(inserted=ascending(answered))
    inserted: dict[int, float] = {}
    differing, ignored = [], 0
    for timestamp, value in answered.items():
        known = stored.get(timestamp)
        if known is None:
            inserted[timestamp] = value
        elif known[0] != value:
            if newer and _is_inside(timestamp, newer):
                ignored += 1
            else:
                differing.append(ReplacedValue(timestamp, known, value))
    absent = [t for t in stored if t not in answered and (spoken is None or _is_inside(t, spoken))]
    vanished = [t for t in absent if t not in missed and not _is_inside(t, newer)]
    ignored_absences = sum(1 for t in absent if _is_inside(t, newer)) if newer else 0
    returned = [t for t in missed if t in answered and not _is_inside(t, newer)]
    unchanged = len(answered) - len(inserted) - len(differing) - ignored
    return Difference(
        ascending(inserted),
        sorted(differing),
        unchanged,
        sorted(vanished),
        sorted(returned),
        ignored + ignored_absences,
    )


def ascending(values: Mapping[int, float]) -> Mapping[int, float]:
    """Return *values* in the order of their timestamps."""
    ordered = sorted(values)
    return values if ordered == [*values] else {timestamp: values[timestamp] for timestamp in ordered}


def _is_inside(timestamp: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(start <= timestamp < end for start, end in ranges)


def written(difference: Difference, start: int, end: int) -> tuple[Sequence[int], Sequence[float]]:
    """Return timestamps and values that a fetch writes to one series from *start* up to, not including, *end*."""
    values = difference.inserted
    if difference.revised:
        revised = {revision.timestamp: revision.value for revision in difference.revised}
        values = dict(sorted({**values, **revised}.items()))
    timestamps = [*values]
    if timestamps and not (start <= timestamps[0] and timestamps[-1] < end):
        timestamps = [timestamp for timestamp in timestamps if start <= timestamp < end]
        return timestamps, [values[timestamp] for timestamp in timestamps]
    return timestamps, [*values.values()]
