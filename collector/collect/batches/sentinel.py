"""The first answer of a pass shows whether Radar has published a bucket since the last one; until then the rest waits.

A pass at a bucket edge often comes before Radar has published that bucket. Then each of its requests would bring
nothing new. The pass sends its first request and looks at `lastUpdated`. Series that have a newer bucket by then are
requested; the others are left for the next pass, at most an hour after their due moment.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from collector.interval import AggInterval
    from collector.model import Batch, Question, Slice
    from collector.profile import Profile
    from collector.store import SeriesState

MOST_WAIT = timedelta(hours=1)
"""So long after its due moment a series is requested even if Radar has published nothing."""


def told_until(profile: Profile, states: Mapping[Question, SeriesState], now: datetime) -> dict[Question, float]:
    """Return the end of the newest bucket that an answer covers, for each series of *profile* that may wait at *now*.

    A series may wait for an hour from the due moment, and only if an answer about it came since the one before.
    """
    if now - profile.due(now) >= MOST_WAIT:
        return {}
    longest = (profile.agg_interval.step + MOST_WAIT).total_seconds()
    ends = {}
    for series in profile.series:
        state = states.get(series.query)
        asked_at = max((row.asked_at for row in state.evidence), default=0.0) if state else 0.0
        if state and now.timestamp() - asked_at < longest:
            ends[series.query] = float(state.told_until)
    return ends


class Sentinel:
    """One pass: which series may wait, by the end of the newest bucket that is known of each, in epoch seconds.

    *answers* are the newest (time of the answer, lastUpdated) by interval.
    """

    def __init__(self, ends: Mapping[Question, float]) -> None:
        self.answers: dict[AggInterval, tuple[datetime, datetime]] = {}
        self._ends = dict(ends)
        self._published: float | None = None
        self._is_sent = False

    def ready(self, slices: Iterable[Slice]) -> list[Slice]:
        """Return the slices that need not wait, by what the answers so far have shown."""
        return [slice_ for slice_ in slices if self._has_new(slice_.series)]

    def _has_new(self, series: Question) -> bool:
        end = self._ends.get(series)
        return end is None or self._published is None or end + series.agg_interval.seconds <= self._published

    def ordered(self, kinds: Iterable[list[Slice]]) -> list[list[Slice]]:
        """Return the slices of each kind of request, first those with a series that cannot wait."""
        return sorted(kinds, key=lambda slices: all(slice_.series in self._ends for slice_ in slices))

    def first(self, batches: list[Batch]) -> list[Batch]:
        """Return the one of *batches* to send first, if its answer may save the others; else all of them.

        One with a series that cannot wait is best, because it is sent anyway.
        """
        if self._is_sent or not any(slice_.series in self._ends for batch in batches for slice_ in batch.slices):
            return batches
        return [min(batches, key=lambda batch: all(slice_.series in self._ends for slice_ in batch.slices))]

    def sending(self, batch: Batch) -> None:
        """Let the series of *batch* wait no more: what is missing in its answer is requested in this pass."""
        self._is_sent = True
        for slice_ in batch.slices:
            self._ends.pop(slice_.series, None)

    def answered(self, batch: Batch, received_at: datetime, last_updated: datetime) -> None:
        """Take the lastUpdated of an answer; an unknown one counts as the present."""
        self.answers[batch.agg_interval] = received_at, last_updated
        self._published = max(self._published or 0.0, last_updated.timestamp())
