"""Asks what an unknown normalization means: the same buckets in two answers over windows of different length."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.interval import grid_of
from collector.model import Batch, Slice, spelling_free
from collector.radar.errors import RadarError
from collector.rules.finality import DEFAULT_SETTLE
from collector.rules.normalization import Verdict, compare, long_window, short_window

if TYPE_CHECKING:
    from collector.collect.batches.fetcher import Fetcher
    from collector.model import Points

log = logging.getLogger(__name__)

_NAME = "(normalization)"


class NormalizationJudge:
    """The verdicts on unknown words, from the store or by at most two requests a word."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._verdicts: dict[str, Verdict] | None = None
        self._lock = asyncio.Lock()

    async def recall(self) -> dict[str, Verdict]:
        """Read what is on record, once, and take answers accordingly; what is undecided is judged anew later."""
        if self._verdicts is None:
            listed = await self._fetcher.store.normalizations()
            self._verdicts = {spelling_free(one.name): one for one in listed}
            for one in listed:
                self._apply(one)
        now = self._fetcher.clock()
        self._fetcher.judged -= {word for word, one in self._verdicts.items() if not one.holds(now)}
        return self._verdicts

    async def is_absolute(self, word: str, piece: Slice, span: timedelta) -> bool:
        """Return whether values under *word* compare across answers.

        It asks for the series of *piece*, on its grid, in windows of *span* at most.
        """
        async with self._lock:
            known = (await self.recall()).get(spelling_free(word))
            if known is None or not known.holds(self._fetcher.clock()):
                known = await self._judge(word, piece, span)
                await self._fetcher.store.set_normalization(known)
                level = logging.INFO if known.is_absolute else logging.WARNING
                log.log(level, "normalization", extra={"outcome": known.verdict, "reason": known.sentence()})
                (await self.recall())[spelling_free(word)] = known
            self._apply(known)
            return known.is_absolute

    def _apply(self, known: Verdict) -> None:
        word = spelling_free(known.name)
        self._fetcher.judged.add(word)
        if known.is_absolute:
            self._fetcher.radar.absolute_words.add(word)

    async def _judge(self, word: str, piece: Slice, span: timedelta) -> Verdict:
        now, series, step = self._fetcher.clock(), piece.series, piece.series.agg_interval.step
        undecided = Verdict(word, "undecided", now)
        final = await self._fetcher.present() - timedelta(seconds=DEFAULT_SETTLE) - step
        end = grid_of(series.agg_interval, piece.window.start).floor(final)
        long = long_window(end, step, span)
        try:
            whole = await self._ask(Slice(series, long))
            short = short_window(whole, series.agg_interval.seconds)
            if short is None:
                return undecided
            part = await self._ask(Slice(series, short))
        except RadarError:
            return undecided
        verdict, buckets, differing = compare(whole, part)
        return Verdict(word, verdict, now, str(long), str(short), buckets, differing)

    async def _ask(self, piece: Slice) -> Points:
        """Send one request, recorded and paced like any other; its points are not stored."""
        batch, fetcher = Batch((piece,)), self._fetcher
        async with fetcher.radar.slots:
            fetch_id = await fetcher.turn(batch, [_NAME])
            try:
                reply = await fetcher.unless_stopped(fetcher.radar.request(batch))
            except RadarError as error:
                error.take_body()
                await fetcher.end(fetch_id, error)
                raise
        await fetcher.store.save(fetch_id, batch, reply.answer, fetcher.clock(), reply.size, history=False)
        return reply.answer.series[0]
