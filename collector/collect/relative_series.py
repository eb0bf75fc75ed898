"""Series whose values are relative to one answer: each is asked alone, and only for its newest window.

No second answer can be joined to the first, and an older window would take the place of a newer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from collector.collect.pool import Pool
    from collector.model import Batch, SeriesQuery, Slice


class RelativeSeries:
    """Which series of one run are relative, or taken for it until they are answered: *known* are so by the store."""

    def __init__(self, known: Iterable[SeriesQuery] = ()) -> None:
        self._known = set(known)
        self._absolute: set[SeriesQuery] = set()
        self._suspected: set[SeriesQuery] = set()

    @property
    def series(self) -> set[SeriesQuery]:
        """Those that are asked alone."""
        return self._known | self._suspected

    def add(self, series: Iterable[SeriesQuery]) -> None:
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

    def left(self, slices: Sequence[Slice], batches: Iterable[Batch], alone: Collection[SeriesQuery]) -> list[Slice]:
        """Return what of *slices* is to be asked for: of a relative series only what is in *batches*, or is *alone*."""
        newest = [piece for batch in batches for piece in batch.slices if piece.series in self._known]
        return [*(one for one in slices if one.series not in self._known or one.series in alone), *newest]
