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
from collector.collect.planning.packing import bisect
from collector.model import Batch, Question, Slice, Window
from collector.radar.errors import Forbidden, Misdirected, Paused, Untrusted
from collector.store import SaveResult, StoreUnavailable, keys_of
from collector.timestamps import rfc3339
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
    """Slices that were not collected, with the reason."""

    slices: tuple[Slice, ...]
    error: CollectorError


@dataclass(slots=True)
class BatchResult:
    """The outcome of many slices: points, requests sent, batches answered, failures, and whether the service stops."""

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
        return {slice_.series for failure in self.failures for slice_ in failure.slices}

    @property
    def moved(self) -> bool:
        """Whether slices must be planned again, because buckets start elsewhere than was known."""
        return any(isinstance(failure.error, GridMoved) for failure in self.failures)

    @property
    def store_failed(self) -> bool:
        """Whether a part is missing because the store was unavailable."""
        return any(isinstance(failure.error, StoreUnavailable) for failure in self.failures)


class PendingSlices:
    """Windows of many series that are yet to be requested.

    Parts of one window are joined again, so that they can be cut for another size of request. Two windows that touch
    are not joined.
    """

    def __init__(self, requested: Iterable[Slice]) -> None:
        self._requested: dict[Question, dict[Window, None]] = defaultdict(dict)
        self._left: dict[Question, list[Window]] = defaultdict(list)
        for slice_ in requested:
            self._requested[slice_.series][slice_.window] = None
            self._left[slice_.series].append(slice_.window)

    def add(self, slices: Iterable[Slice]) -> None:
        """Put back parts of requested windows."""
        for slice_ in slices:
            self._left[slice_.series].append(slice_.window)

    def take(self, slices: Iterable[Slice]) -> None:
        """Remove *slices*, which are sent now."""
        taken: dict[Question, list[Window]] = defaultdict(list)
        for slice_ in slices:
            taken[slice_.series].append(slice_.window)
        for series, windows in taken.items():
            if self._left[series] == windows:  # as nearly always
                self._left[series] = []
                continue
            merged = merge(self._left[series])
            kept = subtract(hull(merged), windows) if merged else []
            self._left[series] = [part for window in kept for part in _parts(merged, window)]

    def keep(self, slices: Iterable[Slice]) -> None:
        """Remove all except *slices*."""
        self._left.clear()
        self.add(slices)

    def pop(self, series: Collection[Question]) -> list[Slice]:
        """Remove and return all pending slices of *series*."""
        removed = [slice_ for slice_ in self.slices() if slice_.series in series]
        for query in series:
            self._left.pop(query, None)
        return removed

    def series(self) -> set[Question]:
        """Return the series that have pending slices."""
        return {series for series, left in self._left.items() if left}

    def slices(self) -> list[Slice]:
        """Return the pending slices, one for each part of a requested window."""
        slices: list[Slice] = []
        for series, left in self._left.items():
            if not left:
                continue
            requested = self._requested[series]
            if len(left) == len(requested) == 1 and left[0] in requested:  # as nearly always
                slices.append(Slice(series, left[0]))
                continue
            merged = merge(left)
            parts = dict.fromkeys(part for window in requested for part in _parts(merged, window))
            slices += [Slice(series, part) for part in parts]
        return slices


def _parts(merged: Sequence[Window], window: Window) -> Iterator[Window]:
    """Yield the parts of *merged*, which are ascending and do not touch, that lie in *window*."""
    for part in merged[bisect_right(merged, window.start, key=lambda part: part.end) :]:
        if part.start >= window.end:
            break
        yield Window(max(part.start, window.start), min(part.end, window.end))


class RelativeSeries:
    """The series of one run whose values are relative, or suspected to be until they are answered.

    *known* are relative by the record in the store.
    """

    def __init__(self, known: Iterable[Question] = ()) -> None:
        self._known = set(known)
        self._absolute: set[Question] = set()
        self._suspected: set[Question] = set()
        self._whole: dict[Question, list[Slice]] = defaultdict(list)

    @property
    def series(self) -> set[Question]:
        """The series that are requested alone."""
        return self._known | self._suspected

    def add(self, series: Iterable[Question]) -> None:
        """Remember that *series* have relative values."""
        self._known |= {*series}

    def answered(self, batch: Batch, pending: PendingSlices, *, is_relative: bool) -> None:
        """Learn from the answer to *batch*. Drop the older *pending* windows of a relative series.

        If one series is relative, all that were not answered yet are suspected to be.
        """
        series = {slice_.series for slice_ in batch.slices}
        self._suspected -= series
        if not is_relative:
            self._known -= series
            self._absolute |= series
            return
        self.add(series)
        self._suspected |= pending.series() - self._known - self._absolute
        for answered in batch.slices:
            others = pending.pop({answered.series})
            pending.add(slice_ for slice_ in others if slice_.window.end > answered.window.end)

    def left(self, slices: Sequence[Slice], batches: Iterable[Batch], quarantined: Collection[Question]) -> list[Slice]:
        """Return the slices to request; of a relative series only those in *batches*, unless it is *quarantined*."""
        newest = [slice_ for batch in batches for slice_ in batch.slices if slice_.series in self._known]
        self._whole = defaultdict(list)
        for slice_ in slices:
            if slice_.series in self._known:
                self._whole[slice_.series].append(slice_)
        others = (slice_ for slice_ in slices if slice_.series not in self._known or slice_.series in quarantined)
        return [*others, *newest]

    def rejected(self, batch: Batch, pending: PendingSlices) -> None:
        """Put back the slices that `left` dropped, because *batch* was too large and smaller windows are cut now."""
        for series in {slice_.series for slice_ in batch.slices} | pending.series():
            pending.add(self._whole.pop(series, ()))


_RECENT_ANSWER = timedelta(hours=1)
_MAX_PARTS = 16
"""A window that would be split into more parts is requested whole again, because little of it can be read."""
_OF_PATHS = (Forbidden.outcome, Misdirected.outcome)
"""Outcomes that concern a path, so that none of its series is to blame."""
_MAX_FAILED_WINDOWS = 2
"""After so many failed windows of a series that was never answered, its other windows are not requested."""


class Quarantine:
    """The slices of one run that fail when requested alone. Failures are added to *result*."""

    def __init__(self, batch_runner: BatchRunner, result: BatchResult, learner: SizeLearner) -> None:
        self._batch_runner = batch_runner
        self._result = result
        self._learner = learner
        self._refused_before: set[str] = set()
        self._bisected: list[tuple[Batch, str, set[Slice]]] = []
        self._failed_windows: Counter[Question] = Counter()
        self._answered: set[Question] = set()

    async def admit(self, slices: Iterable[Slice]) -> list[Slice]:
        """Return the slices that may be requested now. The rest fails as Paused.

        A series that was refused is requested alone, unless its whole path was. If its content could not be read, the
        window is split, so that in the end only the unreadable buckets fail.
        """
        fetcher = self._batch_runner.fetcher
        now, admitted = fetcher.clock(), []
        refused = {refusal.key: refusal for refusal in await fetcher.store.refusals()}
        self._refused_before = set(refused)
        if not refused:
            return list(slices)
        by_hand = self._batch_runner.by_hand
        ended = {key: refusal for key, refusal in refused.items() if not refusal.pauses(now, by_hand=by_hand)}
        paused = refused.keys() - ended
        for slice_ in slices:
            if any(key in refused and refused[key].outcome not in _OF_PATHS for key in keys_of(slice_, now)):
                self._batch_runner.quarantined.add(slice_.series)
            parts = split_unreadable(slice_, ended, now) if ended else [slice_]
            last = next((refused[key] for part in parts for key in keys_of(part, now) if key in paused), None)
            if last is None:
                admitted += parts
                continue
            again = rfc3339(last.again_at.replace(microsecond=0))
            reason = f"{last.reason}; the same question is asked again at {again}"
            self._result.failures.append(FailedSlices((slice_,), Paused(reason, again_at=last.again_at)))
        return admitted

    def bisect(self, batch: Batch, cause: str) -> list[Batch]:
        """Return the halves of *batch*, and watch whether both are answered."""
        self._bisected.append((batch, cause, set(batch.slices)))
        return bisect(batch)

    async def add(self, slice_: Slice, error: RadarError, pending: PendingSlices, *, pause: bool = True) -> None:
        """Quarantine the series of *slice_*, which failed alone. With *pause*, it is not requested again at once."""
        fetcher, series = self._batch_runner.fetcher, slice_.series
        if pause:
            now = fetcher.clock()
            await fetcher.store.refuse(slice_, error.outcome, str(error), now)
            self._refused_before.add(keys_of(slice_, now)[0])
        self._batch_runner.quarantined.add(series)
        await self._learner.reset_after_content_error(
            series, error.outcome, slice_.window if series in self._answered else None
        )
        self._failed_windows[series] += 1
        failed = [slice_]
        if series not in self._answered and self._failed_windows[series] >= _MAX_FAILED_WINDOWS:
            failed += pending.pop({series})
        self._result.failures.append(FailedSlices(tuple(failed), error))

    async def pause_path(self, series: Iterable[Question], error: RadarError) -> None:
        """Pause whole *series*, because *error* concerns the path of all of them."""
        store, now = self._batch_runner.fetcher.store, self._batch_runner.fetcher.clock()
        for query in series:
            newest, step = query.agg_interval.floor(now), query.agg_interval.step
            await store.refuse(Slice(query, Window(newest - step, newest)), error.outcome, str(error), now)

    async def answered(self, batch: Batch) -> None:
        """End the quarantine and the pauses of an answered *batch*.

        A bisected batch whose halves were all answered was too large.
        """
        self._batch_runner.answered_at = now = self._batch_runner.fetcher.clock()
        self._answered |= {slice_.series for slice_ in batch.slices}
        if len(batch.slices) == 1:
            self._batch_runner.quarantined.discard(batch.slices[0].series)
        keys = {keys_of(slice_, now)[0] for slice_ in batch.slices} & self._refused_before
        if keys:
            await self._batch_runner.fetcher.store.delete_refusals(keys)
            self._refused_before -= keys
        for whole, cause, left in self._bisected:
            left -= {*batch.slices}
            if not left:
                await self._learner.no_longer_accepted(whole, cause)
        self._bisected = [bisected for bisected in self._bisected if bisected[2]]

    @property
    def others_are_answered(self) -> bool:
        """Whether Radar has answered recently, so that an unanswered slice is itself to blame."""
        at = self._batch_runner.answered_at
        return at is not None and self._batch_runner.fetcher.clock() - at <= _RECENT_ANSWER


def split_unreadable(slice_: Slice, ended: Mapping[str, Refusal], now: datetime) -> list[Slice]:
    """Split a window whose content could not be read, by the refusals whose pause has *ended*.

    It is split in two. Its halves are split if they could not be read either, except those of the newest window,
    because that is another window each time.
    """
    parts = _halves(slice_, ended, now)
    return parts if len(parts) <= _MAX_PARTS else [slice_]


def _halves(slice_: Slice, ended: Mapping[str, Refusal], now: datetime) -> list[Slice]:
    known, window, step = ended.get(keys_of(slice_, now)[0]), slice_.window, slice_.series.agg_interval.step
    middle = window.start + window.duration // step // 2 * step
    if known is None or known.outcome != Untrusted.outcome or middle == window.start:
        return [slice_]
    halves = [Slice(slice_.series, half) for half in (Window(window.start, middle), Window(middle, window.end))]
    return [part for half in halves for part in _halves(half, ended, now)] if known.window else halves
