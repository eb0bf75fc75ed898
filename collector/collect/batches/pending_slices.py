"""The windows that are still to be asked for, whole as they were wanted, however they are cut for requests."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING

from collector.model import Question, Slice, Window
from collector.windows import hull, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from collector.model import Batch, Question


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
