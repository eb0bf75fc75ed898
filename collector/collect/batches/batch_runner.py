"""Sends many slices in few requests: one `BatchRun` for each dataset and interval. Fires go before background work.

The limits on the size of requests outlive a run: they are cached here and recorded in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from math import inf
from typing import TYPE_CHECKING

from collector.collect.batches.batch_run import USUAL, BatchRun
from collector.collect.batches.interpretation import GridLearner, NormalizationJudge
from collector.collect.batches.pending_slices import BatchResult
from collector.collect.planning import request_limits
from collector.model import AggInterval
from collector.radar.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.fetcher import Fetcher, Handling
    from collector.collect.planning.request_limits import RequestLimits
    from collector.model import Batch, Question, RequestKind, Slice
    from collector.store import SaveResult

    Names = Mapping[Question, Sequence[str]]
    Progress = Callable[[Batch, SaveResult], Awaitable[None]]


async def _no_progress(_batch: Batch, _saved: SaveResult) -> None:
    """Hear nothing."""


class BatchRunner:
    """Collects slices of any number of series; remembers in the store how large a request may be.

    *concurrency* bounds the batches under way. *by_hand*: a person waits for the answers, so a question that was
    refused for its content is asked again after a minute, however long its pause is.
    """

    def __init__(self, fetcher: Fetcher, concurrency: int, *, by_hand: bool = False) -> None:
        self.fetcher = fetcher
        self.concurrency = concurrency
        self.by_hand = by_hand
        self.judge = NormalizationJudge(fetcher)
        self.alone: set[Question] = set()
        self.grids = GridLearner(fetcher)
        self.edge_lock = asyncio.Lock()
        self.unanswered: set[RequestKind] = set()
        self.cut_off: dict[tuple[Question, datetime], datetime] = {}
        self.answered_at: datetime | None = None
        self._limits: dict[RequestKind, RequestLimits] = {}
        self._urgent = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(  # noqa: PLR0913 - all but three are keywords
        self,
        slices: Iterable[Slice],
        names: Names,
        progress: Progress = _no_progress,
        *,
        background: bool = False,
        most_requests: float = inf,
        handling: Handling = USUAL,
    ) -> BatchResult:
        """Collect *slices*. A RadarError is not raised: failures are part of the result.

        *names* tells the profiles of a series, for the record; *progress* hears of every batch that was saved. What
        runs in the *background* lets everything else go first, batch by batch. After *most_requests*, but for what is
        then under way, the rest fails as too costly. *handling* says what becomes of the answers.
        """
        todo: dict[RequestKind, list[Slice]] = defaultdict(list)
        for piece in slices:
            todo[piece.series.request_kind].append(piece)
        total, down = BatchResult(), None
        with contextlib.nullcontext() if background else self._first():
            for alike in todo.values():
                run = BatchRun(self, alike, names, progress, background=background)
                run.most_requests, run.end, run.handling = most_requests - total.requests, down, handling
                await run.run()
                total += run.result
                down = run.end if isinstance(run.end, Unavailable) else None
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

    async def wait_for_foreground(self) -> None:
        """Wait until nothing but background work is under way."""
        await self._idle.wait()

    async def limits(self, kind: RequestKind) -> RequestLimits:
        """Return the limits that requests of *kind* are packed for; sometimes larger ones than those known are tried.

        What the other intervals of the dataset have taught counts, too.
        """
        kinds = [kind._replace(agg_interval=interval) for interval in AggInterval]
        others = [await self.known_limits(other) for other in kinds if other != kind]
        known = request_limits.beside(await self.known_limits(kind), others)
        return request_limits.relaxed(known, self.fetcher.clock())

    async def known_limits(self, kind: RequestKind) -> RequestLimits:
        """Return what is known of the size of requests of *kind*; it is read from the store the first time."""
        if kind not in self._limits:
            text = await self.fetcher.store.get_state(request_limits.limits_key(kind))
            if not text and (old_key := request_limits.old_limits_key(kind)):
                text = await self.fetcher.store.get_state(old_key)
            initial = request_limits.first_guess(kind.agg_interval, kind.dataset)
            self._limits[kind] = request_limits.load_limits(kind, text) if text else initial
        return self._limits[kind]

    def reload_limits(self) -> None:
        """Read anew what is known of the size of requests when it is needed: other replicas learn, too."""
        self._limits.clear()
        self.grids.reload_limits()

    async def learn(self, limits: RequestLimits) -> None:
        """Remember *limits*, here and in the store."""
        if self._limits.get(limits.kind) != limits:
            self._limits[limits.kind] = limits
            await self.fetcher.store.set_state(
                request_limits.limits_key(limits.kind), request_limits.dump_limits(limits)
            )
