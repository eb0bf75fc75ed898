"""Whether Radar answers at all, asked by the smallest request, after a larger first one got no answer.

Otherwise each smaller size would be tried while Radar is down. One series may be to blame itself, so several are asked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.limits import smallest
from collector.model import Batch, Slice, Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from collector.model import SeriesQuery

_FIRST_TRIES, _LATER_TRIES = 3, 2
"""With the larger request before it, the first question is sent as often as any other that gets no answer."""

_YOUNG = timedelta(days=2)


class Contact:
    """The questions of one run; each is about a part of what is asked for anyway."""

    def __init__(self) -> None:
        self.is_doubtful = False
        self._asked: list[Batch] = []

    def question(self, slices: Sequence[Slice]) -> Batch | None:
        """Give the next question: the newest buckets of *slices*; None if there is no need for one."""
        if not self.is_doubtful or not slices:
            return None
        newest = max(slices, key=lambda piece: piece.window.end)
        window, span = newest.window, smallest(newest.series.agg_interval).span
        question = Batch((Slice(newest.series, Window(max(window.start, window.end - span), window.end)),))
        self._asked.append(question)
        return question

    def tries(self, batch: Batch) -> int | None:
        """Return how often *batch* is sent if it gets no answer; None if it is no question of this kind."""
        if batch not in self._asked:
            return None
        return _FIRST_TRIES if len(self._asked) == 1 else _LATER_TRIES

    def answered(self) -> None:
        """Note an answer: Radar is there."""
        self.is_doubtful = False

    def is_question(self, batch: Batch) -> bool:
        """Tell whether *batch* is a question of this kind."""
        return batch in self._asked

    def is_about_present(self, batch: Batch, now: datetime) -> bool:
        """Tell whether *batch* is such a question, and about buckets so new that no edge of history is behind them."""
        return batch in self._asked and batch.slices[0].window.end > now - _YOUNG

    def unanswered_series(self, batch: Batch) -> set[SeriesQuery]:
        """Return the series that is left alone since the question *batch* got no answer; empty if it is none."""
        return {piece.series for piece in batch.slices} if batch in self._asked else set()
