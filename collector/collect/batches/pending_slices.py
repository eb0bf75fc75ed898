"""The slices of one run: pending, requested alone, quarantined, or failed.

A batch that fails although its size is accepted is bisected until one slice is left. Its series is quarantined: it is
requested alone, after a pause that grows and is on record, so that it does not block the other series.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.batches.interpretation import GridMoved
from collector.collect.planning.packing import halves
from collector.collect.planning.request_limits import smallest
from collector.model import Batch, Question, Slice, Window, rfc3339
from collector.radar.errors import Paused, Untrusted
from collector.retry import contact_attempts
from collector.store import SaveResult, keys_of
from collector.windows import hull, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.batches.size_learner import SizeLearner
    from collector.errors import CollectorError
    from collector.radar.errors import RadarError
    from collector.store import Refusal


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


class Pool:
    """Windows of many series; what was cut for one size of request is joined again for another one.

    Only parts of one wanted window are joined: two that touch may be wanted apart.
    """

    def __init__(self, wanted: Iterable[Slice]) -> None:
        self._wanted: dict[Question, dict[Window, None]] = defaultdict(dict)
        self._left: dict[Question, list[Window]] = defaultdict(list)
        for slice_ in wanted:
            self._wanted[slice_.series][slice_.window] = None
            self._left[slice_.series].append(slice_.window)

    def add(self, slices: Iterable[Slice]) -> None:
        """Put back parts of what was wanted."""
        for slice_ in slices:
            self._left[slice_.series].append(slice_.window)

    def take(self, slices: Iterable[Slice]) -> None:
        """Remove what is asked for now."""
        taken: dict[Question, list[Window]] = defaultdict(list)
        for slice_ in slices:
            taken[slice_.series].append(slice_.window)
        for series, windows in taken.items():
            runs = merge(self._left[series])
            kept = subtract(hull(runs), windows) if runs else []
            self._left[series] = [part for window in kept for part in _parts(runs, window)]

    def keep(self, slices: Iterable[Slice]) -> None:
        """Remove all but *slices*."""
        self._left.clear()
        self.add(slices)

    def pop(self, series: Collection[Question]) -> list[Slice]:
        """Remove and return all that is left of *series*."""
        found = [slice_ for slice_ in self.slices() if slice_.series in series]
        for one in series:
            self._left.pop(one, None)
        return found

    def series(self) -> set[Question]:
        """Return the series of which something is left."""
        return {series for series, left in self._left.items() if left}

    def slices(self) -> list[Slice]:
        """Return what is left, one slice for each part of a wanted window."""
        found: dict[Slice, None] = {}
        for series, left in self._left.items():
            runs = merge(left)
            for wanted in self._wanted[series] if runs else ():
                found.update((Slice(series, part), None) for part in _parts(runs, wanted))
        return list(found)


def _parts(runs: Sequence[Window], window: Window) -> Iterator[Window]:
    """Yield the parts of *runs*, which are ascending and do not touch, that lie in *window*."""
    for run in runs[bisect_right(runs, window.start, key=lambda run: run.end) :]:
        if run.start >= window.end:
            break
        yield Window(max(run.start, window.start), min(run.end, window.end))


class RelativeSeries:
    """Which series of one run are relative, or taken for it until they are answered: *known* are so by the store."""

    def __init__(self, known: Iterable[Question] = ()) -> None:
        self._known = set(known)
        self._absolute: set[Question] = set()
        self._suspected: set[Question] = set()
        self._whole: dict[Question, list[Slice]] = defaultdict(list)

    @property
    def series(self) -> set[Question]:
        """Those that are asked alone."""
        return self._known | self._suspected

    def add(self, series: Iterable[Question]) -> None:
        """Note that *series* have relative values."""
        self._known |= {*series}

    def answered(self, batch: Batch, pool: Pool, *, is_relative: bool) -> None:
        """Note what the answer to *batch* shows; what is left in *pool* of older windows is not asked for any more.

        Where one series is relative, all that were not answered yet are taken for it.
        """
        series = {piece.series for piece in batch.slices}
        self._suspected -= series
        if not is_relative:
            self._known -= series
            self._absolute |= series
            return
        self.add(series)
        self._suspected |= pool.series() - self._known - self._absolute
        for piece in batch.slices:
            pool.add([one for one in pool.pop({piece.series}) if one.window.end > piece.window.end])

    def left(self, slices: Sequence[Slice], batches: Iterable[Batch], alone: Collection[Question]) -> list[Slice]:
        """Return what of *slices* is to be asked for: of a relative series only what is in *batches*, or is *alone*."""
        newest = [piece for batch in batches for piece in batch.slices if piece.series in self._known]
        self._whole = defaultdict(list)
        for one in slices:
            if one.series in self._known:
                self._whole[one.series].append(one)
        return [*(one for one in slices if one.series not in self._known or one.series in alone), *newest]

    def rejected(self, batch: Batch, pool: Pool) -> None:
        """Put back what `left` left out, because *batch* was too large: whole windows are cut for a smaller size."""
        for series in {piece.series for piece in batch.slices} | pool.series():
            pool.add(self._whole.pop(series, ()))


_LATELY = timedelta(hours=1)
_MOST_PIECES = 16
"""A window that would be split into more pieces is asked whole again: little of it can be read."""
_WINDOWS_TO_TRY = 2
"""So many windows of a series that was never answered fail before its other windows are left alone, too."""


class Quarantine:
    """The slices of one run that fail by themselves; failures go to *gathered*."""

    def __init__(self, batch_runner: BatchRunner, result: BatchResult, learner: SizeLearner) -> None:
        self._batch_runner = batch_runner
        self._gathered = result
        self._learner = learner
        self._refused_before: set[str] = set()
        self._bisected: list[tuple[Batch, str, set[Slice]]] = []
        self._failed_windows: Counter[Question] = Counter()
        self._answered: set[Question] = set()

    async def admit(self, slices: Iterable[Slice]) -> list[Slice]:
        """Return what may be asked for now; the rest fails as Paused. A series that was refused is asked alone.

        If its content could not be read, the window is split, so that at last only what is unreadable fails.
        """
        fetcher = self._batch_runner.fetcher
        now, admitted = fetcher.clock(), []
        refused = {one.key: one for one in await fetcher.store.refusals()}
        self._refused_before = set(refused)
        ended = {key: one for key, one in refused.items() if not one.pauses(now, by_hand=self._batch_runner.by_hand)}
        for slice_ in slices:
            if any(key in refused for key in keys_of(slice_, now)):
                self._batch_runner.alone.add(slice_.series)
            pieces = split_unreadable(slice_, ended, now)
            paused = [refused[key] for piece in pieces for key in keys_of(piece, now) if key in refused.keys() - ended]
            if not paused:
                admitted += pieces
                continue
            last = paused[0]
            again = rfc3339(last.again_at.replace(microsecond=0))
            reason = f"{last.reason}; the same question is asked again at {again}"
            self._gathered.failures.append(FailedSlices((slice_,), Paused(reason, again_at=last.again_at)))
        return admitted

    def bisect(self, batch: Batch, cause: str) -> list[Batch]:
        """Return the halves of *batch*."""
        self._bisected.append((batch, cause, set(batch.slices)))
        return halves(batch)

    async def add(self, slice_: Slice, error: RadarError, pool: Pool, *, pause: bool = True) -> None:
        """Quarantine the series of *slice_*, which failed alone; with *pause* its question is not repeated at once."""
        fetcher, series = self._batch_runner.fetcher, slice_.series
        if pause:
            now = fetcher.clock()
            await fetcher.store.refuse(slice_, error.outcome, str(error), now)
            self._refused_before.add(keys_of(slice_, now)[0])
        self._batch_runner.alone.add(series)
        await self._learner.exonerate(series, error.outcome, slice_.window if series in self._answered else None)
        self._failed_windows[series] += 1
        failed = [slice_]
        if series not in self._answered and self._failed_windows[series] >= _WINDOWS_TO_TRY:
            failed += pool.pop({series})
        self._gathered.failures.append(FailedSlices(tuple(failed), error))

    async def answered(self, batch: Batch) -> None:
        """End the quarantine and the pauses of what was answered; a batch whose parts all were was too large."""
        self._batch_runner.answered_at = now = self._batch_runner.fetcher.clock()
        self._answered |= {slice_.series for slice_ in batch.slices}
        if len(batch.slices) == 1:
            self._batch_runner.alone.discard(batch.slices[0].series)
        keys = {keys_of(slice_, now)[0] for slice_ in batch.slices} & self._refused_before
        if keys:
            await self._batch_runner.fetcher.store.forget_refusals(keys)
            self._refused_before -= keys
        for whole, cause, left in self._bisected:
            left -= {*batch.slices}
            if not left:
                await self._learner.not_accepted_any_more(whole, cause)
        self._bisected = [one for one in self._bisected if one[2]]

    @property
    def others_are_answered(self) -> bool:
        """Tell whether Radar has answered lately, so that one question without an answer is its own fault."""
        at = self._batch_runner.answered_at
        return at is not None and self._batch_runner.fetcher.clock() - at <= _LATELY


def split_unreadable(slice_: Slice, ended: Mapping[str, Refusal], now: datetime) -> list[Slice]:
    """Split a window whose content could not be read, by the refusals whose pause has *ended*.

    It is split in two, and so are its halves, if they could not be read either; those of the newest window are not,
    because it is another one each time.
    """
    pieces = _halves(slice_, ended, now)
    return pieces if len(pieces) <= _MOST_PIECES else [slice_]


def _halves(slice_: Slice, ended: Mapping[str, Refusal], now: datetime) -> list[Slice]:
    known, window, step = ended.get(keys_of(slice_, now)[0]), slice_.window, slice_.series.agg_interval.step
    middle = window.start + window.duration // step // 2 * step
    if known is None or known.outcome != Untrusted.outcome or middle == window.start:
        return [slice_]
    pieces = [Slice(slice_.series, part) for part in (Window(window.start, middle), Window(middle, window.end))]
    return [part for piece in pieces for part in _halves(piece, ended, now)] if known.window else pieces


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
        return contact_attempts(len(self._asked))

    def answered(self) -> None:
        """Note an answer: Radar is there."""
        self.is_doubtful = False

    def is_question(self, batch: Batch) -> bool:
        """Tell whether *batch* is a question of this kind."""
        return batch in self._asked

    def is_about_present(self, batch: Batch, now: datetime) -> bool:
        """Tell whether *batch* is such a question, and about buckets so new that no edge of history is behind them."""
        return batch in self._asked and batch.slices[0].window.end > now - _YOUNG

    def unanswered_series(self, batch: Batch) -> set[Question]:
        """Return the series that is left alone since the question *batch* got no answer; empty if it is none."""
        return {piece.series for piece in batch.slices} if batch in self._asked else set()
