"""Many slices in as few requests as Radar allows: pack, fetch side by side, learn from refusals, isolate what is ill.

One series that Radar will not answer, or answers with nonsense, must not take the others down with it: a batch that
fails for its content is halved until the culprit stands alone, and from then on that series is asked alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING

from collector.collect import limits as learn
from collector.collect import plan
from collector.collect.fetch import Handling, Stopping
from collector.collect.grids import GridLearner, GridMoved, moved_to
from collector.collect.normalizations import NormalizationJudge
from collector.collect.plan import halves, joined, pack_apart
from collector.errors import CollectorError
from collector.model import Batch, rfc3339
from collector.radar.errors import InFuture, OffGrid, Paused, Refused, Relative, TooCostly, Unavailable, Untrusted
from collector.store import Saved, keys_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.fetch import Fetcher
    from collector.collect.limits import Limits
    from collector.model import AggInterval, SeriesQuery, Slice

    Names = Mapping[SeriesQuery, Sequence[str]]
    Progress = Callable[[Batch, Saved], Awaitable[None]]

_BUCKETS_AT_ONCE = 100_000
"""So many buckets in the answers under way: what bounds the memory when requests may be very large."""
_MANY = 50
"""With so many requests to go, a longer span is tried at once: two refusals are few beside what it may save."""
_ASK_FOR_REST_AGAIN = timedelta(days=1)
"""A series may begin or end there: what an answer left out beside the same bucket is asked for once in this time."""
_USUAL = Handling()
_DOWN = 3
"""So many batches in a row without an answer: Radar is down, and the rest, of any interval, is not asked now."""


async def _no_progress(_batch: Batch, _saved: Saved) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Slices that were not collected, and why."""

    slices: tuple[Slice, ...]
    error: CollectorError


@dataclass(slots=True)
class Gathered:
    """What came of many slices: points, requests sent, batches answered, failures, and whether told to stop."""

    saved: Saved = field(default_factory=Saved)
    requests: int = 0
    batches: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped: bool = False

    def __add__(self, other: Gathered) -> Gathered:
        return Gathered(
            self.saved + other.saved,
            self.requests + other.requests,
            self.batches + other.batches,
            self.failures + other.failures,
            self.stopped or other.stopped,
        )

    @property
    def failed(self) -> set[SeriesQuery]:
        """The series of which a part is missing."""
        return {piece.series for failure in self.failures for piece in failure.slices}

    @property
    def moved(self) -> bool:
        """Whether a part is missing because buckets start elsewhere than was known: it must be planned anew."""
        return any(isinstance(failure.error, GridMoved) for failure in self.failures)


class Gatherer:
    """Collects slices of any number of series; remembers in the store how large a request may be.

    *concurrency* bounds the batches under way. *by_hand*: a person waits for the answers, so a question that was
    refused for its content is asked again after a minute, however long its pause is.
    """

    def __init__(self, fetcher: Fetcher, concurrency: int, *, by_hand: bool = False) -> None:
        self.fetcher = fetcher
        self.concurrency = concurrency
        self.by_hand = by_hand
        self.judge = NormalizationJudge(fetcher)
        self.alone: set[SeriesQuery] = set()
        self.grids = GridLearner(fetcher)
        self.cut_off: dict[tuple[SeriesQuery, datetime], datetime] = {}
        self._limits: dict[AggInterval, Limits] = {}
        self._urgent = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def gather_all(  # noqa: PLR0913 - all but three are keywords
        self,
        slices: Iterable[Slice],
        names: Names,
        progress: Progress = _no_progress,
        *,
        background: bool = False,
        most_requests: float = inf,
        handling: Handling = _USUAL,
    ) -> Gathered:
        """Collect *slices*. A RadarError is not raised: failures are part of the result.

        *names* tells the profiles of a series, for the record; *progress* hears of every batch that was saved. What
        runs in the *background* lets everything else go first, batch by batch. After *most_requests*, but for what is
        then under way, the rest fails as too costly. *handling* says what becomes of the answers.
        """
        todo: dict[AggInterval, list[Slice]] = defaultdict(list)
        for piece in slices:
            todo[piece.series.agg_interval].append(piece)
        total, down = Gathered(), None
        with contextlib.nullcontext() if background else self._first():
            for alike in todo.values():
                errand = _Errand(self, alike, names, progress, background=background)
                errand.most_requests, errand.end, errand.handling = most_requests - total.requests, down, handling
                await errand.run()
                total += errand.gathered
                down = errand.end if isinstance(errand.end, Unavailable) else None
        return total

    @contextlib.contextmanager
    def _first(self) -> Iterator[None]:
        self._urgent += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._urgent -= 1
            if not self._urgent:
                self._idle.set()

    async def let_others_go_first(self) -> None:
        """Wait until nothing but background work is under way."""
        await self._idle.wait()

    async def limits(self, agg_interval: AggInterval) -> Limits:
        """What is known of the size of requests; read from the store the first time."""
        if agg_interval not in self._limits:
            text = await self.fetcher.store.get_state(_key(agg_interval))
            self._limits[agg_interval] = learn.load(agg_interval, text) if text else learn.first_guess(agg_interval)
        return learn.raised(self._limits[agg_interval], self.fetcher.clock())

    def heed_others(self) -> None:
        """Read anew what is known of the size of requests when it is needed: other replicas learn, too."""
        self._limits.clear()
        self.grids.heed_others()

    async def learn(self, limits: Limits) -> None:
        """Remember *limits*, here and in the store."""
        if self._limits.get(limits.agg_interval) != limits:
            self._limits[limits.agg_interval] = limits
            await self.fetcher.store.set_state(_key(limits.agg_interval), learn.dump(limits))


def _key(agg_interval: AggInterval) -> str:
    return f"limits:{agg_interval}"


class _Errand:
    """The slices of one interval: what is still to do, in rounds, and what came of it."""

    def __init__(
        self, gatherer: Gatherer, slices: list[Slice], names: Names, progress: Progress, *, background: bool
    ) -> None:
        self.gathered = Gathered()
        self.most_requests = inf
        self.end: CollectorError | None = None
        self.handling = _USUAL
        self._gatherer = gatherer
        self._agg_interval = slices[0].series.agg_interval
        self._names = names
        self._progress = progress
        self._background = background
        self._slices = slices
        self._as_they_are: list[Batch] = []
        self._relative: set[SeriesQuery] = set()
        self._silent: list[tuple[Batch, Unavailable]] = []
        self._silent_in_a_row = 0
        self._refused_before: set[str] = set()
        self._cut_off: dict[Slice, Slice] = {}
        self._in_doubt: set[Batch] = set()

    async def run(self) -> None:
        await self._gatherer.judge.recall()
        self._relative = await self._gatherer.fetcher.store.relative({piece.series for piece in self._slices})
        await self._leave_out_paused()
        while batches := await self._round():
            await self._send(deque(batches))
            if self.end or self.gathered.stopped:
                break
        self._give_up()

    async def _leave_out_paused(self) -> None:
        """Fail what was refused for its content and must not be asked yet, by this process or another one."""
        fetcher = self._gatherer.fetcher
        now, slices = fetcher.clock(), self._slices
        refused = {one.key: one for one in await fetcher.store.refusals()}
        self._refused_before, self._slices = set(refused), []
        for piece in slices:
            known = [refused[key] for key in keys_of(piece, now) if key in refused]
            last = next((one for one in known if one.pauses(now, by_hand=self._gatherer.by_hand)), None)
            if last is None:
                self._slices.append(piece)
                continue
            again = rfc3339(last.again_at.replace(microsecond=0))
            reason = f"{last.reason}; the same question is asked again at {again}"
            self._fail(Batch((piece,)), Paused(reason, again_at=last.again_at))

    async def _round(self) -> list[Batch]:
        """Choose what can be sent side by side: all of proven size, and of the rest only the largest, to learn from."""
        limits = await self._gatherer.limits(self._agg_interval)
        if not self._slices and not self._as_they_are:
            self._halve_the_silent()
        self._slices = plan.until(self._slices, await self._gatherer.fetcher.present())
        packed = self._packed(limits)
        if len(packed) >= _MANY and (longer := learn.longer(limits)):
            await self._gatherer.learn(longer)
            self._slices = joined(self._slices)
            packed = self._packed(longer)
        proven = [batch for batch in packed if limits.proves(batch)]
        unproven = sorted((batch for batch in packed if not limits.proves(batch)), key=_size)
        chosen = [*self._as_they_are, *proven, *unproven[-1:]]
        self._slices = [piece for batch in unproven[:-1] for piece in batch.slices]
        self._as_they_are = []
        return chosen

    def _packed(self, limits: Limits) -> list[Batch]:
        return pack_apart(self._slices, limits.now_shape, self._gatherer.alone, self._relative)

    async def _send(self, batches: deque[Batch]) -> None:
        async def work() -> None:
            while batches and not self.end and not self.gathered.stopped:
                if self.handling.cancelled and self.handling.cancelled.is_set():
                    self.gathered.stopped = True
                    break
                if self._background:
                    await self._gatherer.let_others_go_first()
                if self.gathered.requests >= self.most_requests:
                    self.end = TooCostly("more requests would be needed than are meant for it")
                elif batches:
                    await self._one(batches.popleft())

        at_once = max(1, _BUCKETS_AT_ONCE // max(batch.buckets for batch in batches))
        await asyncio.gather(*(work() for _ in range(min(self._gatherer.concurrency, at_once, len(batches)))))
        self._as_they_are += batches

    async def _one(self, batch: Batch) -> None:
        profiles = sorted({name for piece in batch.slices for name in self._names[piece.series]})
        try:
            saved = await self._gatherer.fetcher.fetch(batch, profiles, self._sending, self.handling)
        except Stopping:
            self._as_they_are.append(batch)
            self.gathered.stopped = True
        except InFuture as error:
            await self._in_future(batch, error)
        except Refused as error:
            await self._refused(batch, error)
        except Relative as error:
            await self._relative_or_unknown(batch, error)
        except OffGrid as error:
            await self._off_grid(batch, error, profiles)
        except Untrusted as error:
            await self._isolate_refused(batch, error)
        except Unavailable as error:
            self._unanswered(batch, error)
        except CollectorError as error:
            self._as_they_are.append(batch)
            self.end = error
        else:
            await self._accepted(self._answered(batch, saved.missing), saved)

    async def _off_grid(self, batch: Batch, error: OffGrid, profiles: Sequence[str]) -> None:
        """Learn from an answer off the grid: what is left must be planned anew, or pauses."""
        try:
            moved = await self._gatherer.grids.learn(batch, error, profiles, self._sending)
        except Stopping:
            self._as_they_are.append(batch)
            self.gathered.stopped = True
        except CollectorError as broken:
            self._as_they_are.append(batch)
            self.end = broken
        else:
            if moved:
                self._as_they_are.append(batch)
                self.end = moved_to(self._agg_interval)
            for piece in batch.slices if not moved else ():
                await self._isolate_refused(Batch((piece,)), error)

    def _answered(self, batch: Batch, missing: Sequence[Slice]) -> Batch:
        """Return what of *batch* was answered; each slice whose series is *missing* is asked for alone."""
        for piece in missing:
            self._gatherer.alone.add(piece.series)
            self._as_they_are.append(Batch((piece,)))
        return batch.without({number for number, piece in enumerate(batch.slices) if piece in missing})

    def _sending(self) -> None:
        self.gathered.requests += 1

    async def _accepted(self, batch: Batch, saved: Saved) -> None:
        self._silent_in_a_row = 0
        self.gathered.saved += saved
        self.gathered.batches += 1
        for query, part in saved.by_series.items():
            for name in self._names[query]:
                self._gatherer.fetcher.observer.saved(name, part)
        if len(batch.slices) == 1:
            self._gatherer.alone.discard(batch.slices[0].series)
        await self._end_pauses(batch)
        if any(part.values for part in saved.by_series.values()):
            await self._gatherer.grids.agree(self._agg_interval)
        await self._gatherer.learn(learn.accepted(await self._gatherer.limits(self._agg_interval), batch))
        await self._ask_for_rest(batch, saved)
        await self._progress(batch, saved)

    async def _ask_for_rest(self, batch: Batch, saved: Saved) -> None:
        """Ask for what an answer left out at an end of its window; if that brings values, the answer was cut short."""
        for piece in batch.slices:
            whole = self._cut_off.get(piece)
            if whole and piece.series in saved.by_series and saved.by_series[piece.series].values:
                limits, now = await self._gatherer.limits(self._agg_interval), self._gatherer.fetcher.clock()
                span = whole.window.duration - piece.window.duration
                await self._gatherer.learn(learn.cut_short(limits, whole.window.duration, span, now))
        now = self._gatherer.fetcher.clock()
        for lost in saved.cut_off:
            whole = next(p for p in batch.slices if p.series == lost.series and p.window.overlaps(lost.window))
            edge = lost.window.end if lost.window.start == whole.window.start else lost.window.start
            asked_at = self._gatherer.cut_off.get((lost.series, edge))
            if lost not in self._cut_off and not (asked_at and now - asked_at < _ASK_FOR_REST_AGAIN):
                self._gatherer.cut_off[lost.series, edge] = now
                self._cut_off[lost] = whole
                self._slices.append(lost)

    async def _in_future(self, batch: Batch, error: InFuture) -> None:
        """Ask up to Radar's present; the same once more, if its clock is yet to be confirmed by a second reply."""
        closed = plan.until(batch.slices, await self._gatherer.fetcher.present())
        if closed != list(batch.slices):
            self._slices += closed
        elif batch in self._in_doubt:
            await self._refused(batch, error)
        else:
            self._in_doubt.add(batch)
            self._as_they_are.append(batch)

    async def _refused(self, batch: Batch, error: Refused) -> None:
        limits = await self._gatherer.limits(self._agg_interval)
        now = self._gatherer.fetcher.clock()
        if error.status == HTTPStatus.REQUEST_URI_TOO_LONG and len(batch.slices) > 1:
            learned: Limits | None = learn.too_long(limits, batch, now)
        else:
            learned = learn.refused(limits, batch, now)
        if learned is not None:
            self._slices += batch.slices
            await self._gatherer.learn(learned)
            return
        if len(batch.slices) == 1 and batch.slices[0].series not in self._gatherer.alone:
            await self._gatherer.learn(learn.exonerated(limits))
        await self._isolate_refused(batch, error)

    async def _isolate_refused(self, batch: Batch, error: Refused | Untrusted) -> None:
        """Halve a batch that was refused for its content; what stands alone pauses."""
        if len(batch.slices) == 1:
            fetcher, now = self._gatherer.fetcher, self._gatherer.fetcher.clock()
            await fetcher.store.refuse(batch.slices[0], error.outcome, str(error), now)
            self._refused_before.add(keys_of(batch.slices[0], now)[0])
        self._isolate(batch, error)

    async def _end_pauses(self, batch: Batch) -> None:
        now = self._gatherer.fetcher.clock()
        answered = {keys_of(piece, now)[0] for piece in batch.slices} & self._refused_before
        if answered:
            await self._gatherer.fetcher.store.forget_refusals(answered)
            self._refused_before -= answered

    def _isolate(self, batch: Batch, error: CollectorError) -> None:
        """Halve a batch whose content is to blame; what stands alone already has failed."""
        if len(batch.slices) > 1:
            self._as_they_are += halves(batch)
        else:
            self._gatherer.alone.add(batch.slices[0].series)
            self._fail(batch, error)

    async def _relative_or_unknown(self, batch: Batch, error: Relative) -> None:
        """Ask again as before if the normalization turns out to be absolute."""
        word, gatherer = error.unknown_word, self._gatherer
        span = (await gatherer.limits(self._agg_interval)).shape.span
        if word and await gatherer.judge.is_absolute(word, batch.slices[0], span):
            self._slices += batch.slices
        else:
            self._split_relative(batch)

    def _split_relative(self, batch: Batch) -> None:
        """Ask each series alone, and only for its newest window."""
        self._relative |= {piece.series for piece in batch.slices}
        self._slices += batch.slices

    def _unanswered(self, batch: Batch, error: Unavailable) -> None:
        self._silent.append((batch, error))
        self._silent_in_a_row += 1
        if self._silent_in_a_row >= _DOWN or self._gatherer.fetcher.is_silent:
            self.end = error

    def _halve_the_silent(self) -> None:
        """When all else is done: a batch without an answer may hold one slice that Radar cannot serve.

        Where it is down altogether, this ends with the third batch.
        """
        silent, self._silent = self._silent, []
        for batch, error in silent:
            if self.gathered.batches or len(batch.slices) > 1:
                self._isolate(batch, error)
            else:
                self._fail(batch, error)

    def _give_up(self) -> None:
        """Account for what was not asked any more."""
        for batch, error in self._silent:
            self._fail(batch, error)
        left = [*self._slices, *(piece for batch in self._as_they_are for piece in batch.slices)]
        if left and self.end:
            self._fail(Batch(tuple(left)), self.end)

    def _fail(self, batch: Batch, error: CollectorError) -> None:
        self.gathered.failures.append(Failure(batch.slices, error))


def _size(batch: Batch) -> tuple[int, int]:
    return batch.buckets, len(batch.slices)
