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
from collector.interval import AggInterval
from collector.radar.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.fetcher import Fetcher, Handling
    from collector.collect.batches.sentinel import Sentinel
    from collector.collect.planning.request_limits import RequestLimits
    from collector.model import Batch, Question, RequestKind, Slice
    from collector.store import SaveResult

    Names = Mapping[Question, Sequence[str]]
    OnProgress = Callable[[Batch, SaveResult], Awaitable[None]]


class BatchRunner:
    """Collects slices of any number of series, and records in the store how large a request may be.

    *concurrency* bounds the batches in flight. *by_hand*: a person waits for the answers, so a slice that was refused
    for its content is requested again after a minute, even if its pause is longer. *waits*: a fire requests a series
    only once Radar has published a bucket that it lacks, see `sentinel`.
    """

    def __init__(self, fetcher: Fetcher, concurrency: int, *, by_hand: bool = False, waits: bool = False) -> None:
        self.fetcher = fetcher
        self.concurrency = concurrency
        self.by_hand = by_hand
        self.waits = waits
        self.judge = NormalizationJudge(fetcher)
        self.quarantined: set[Question] = set()
        self.grids = GridLearner(fetcher)
        self.edge_lock = asyncio.Lock()
        self.unanswered_kinds: set[RequestKind] = set()
        self.rest_requested_at: dict[tuple[Question, datetime], datetime] = {}
        self.answered_at: datetime | None = None
        self._limits: dict[RequestKind, RequestLimits] = {}
        self._in_foreground = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(  # noqa: PLR0913 - all but three are keywords
        self,
        slices: Iterable[Slice],
        names: Names,
        on_progress: OnProgress | None = None,
        *,
        background: bool = False,
        most_requests: float = inf,
        handling: Handling = USUAL,
        sentinel: Sentinel | None = None,
    ) -> BatchResult:
        """Collect *slices*. A RadarError is not raised, because failures are part of the result.

        *names* are the profiles of each series, for the record. *on_progress* is called after every saved batch.
        *background* work waits for all other work before each batch. After *most_requests*, the rest fails as too
        costly. *handling* is passed on with every request. Series that the *sentinel* lets wait are left out.
        """
        by_kind: dict[object, list[Slice]] = defaultdict(list)
        for slice_ in slices:
            by_kind[slice_.series.request_kind, slice_.series.parameters].append(slice_)
        total, down = BatchResult(), None
        kinds = sentinel.ordered(by_kind.values()) if sentinel else list(by_kind.values())
        runs = [BatchRun(self, of_kind, names, on_progress, background=background) for of_kind in kinds]
        with contextlib.nullcontext() if background else self._foreground():
            for number, run in enumerate(runs):
                run.sentinel = sentinel or run.sentinel
                run.most_requests, run.end, run.handling = most_requests - total.requests, down, handling
                if not sentinel or not number:
                    await run.run()
                    total += run.result
                    down = run.end if isinstance(run.end, Unavailable) else None
            if sentinel:  # side by side, because one kind without an answer must not delay the others
                await asyncio.gather(*(run.run() for run in runs[1:]))
                total = sum((run.result for run in runs[1:]), total)
        return total

    @contextlib.contextmanager
    def _foreground(self) -> Iterator[None]:
        self._in_foreground += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_foreground -= 1
            if not self._in_foreground:
                self._idle.set()

    async def wait_for_foreground(self) -> None:
        """Wait until only background work is running."""
        await self._idle.wait()

    async def limits(self, kind: RequestKind) -> RequestLimits:
        """Return the limits that requests of *kind* are packed for. When it is due, they are larger, to try again.

        They include what was learned from the other intervals of the dataset.
        """
        kinds = [kind._replace(agg_interval=interval) for interval in AggInterval]
        others = [await self.known_limits(other) for other in kinds if other != kind]
        known = request_limits.with_other_intervals(await self.known_limits(kind), others)
        return request_limits.relaxed(known, self.fetcher.clock())

    async def known_limits(self, kind: RequestKind) -> RequestLimits:
        """Return the known limits of requests of *kind*. They are read from the store the first time."""
        if kind not in self._limits:
            text = await self.fetcher.store.get_state(request_limits.limits_key(kind))
            if not text and (old_key := request_limits.old_limits_key(kind)):
                text = await self.fetcher.store.get_state(old_key)
            initial = request_limits.initial_limits(kind.agg_interval, kind.dataset, kind.dimension)
            self._limits[kind] = request_limits.load_limits(kind, text) if text else initial
        return self._limits[kind]

    def reload_limits(self) -> None:
        """Forget cached limits and grids, so that they are read again: other replicas learn, too."""
        self._limits.clear()
        self.grids.reload_limits()

    async def learn(self, limits: RequestLimits) -> None:
        """Cache *limits*, and save them in the store."""
        if self._limits.get(limits.kind) != limits:
            self._limits[limits.kind] = limits
            await self.fetcher.store.set_state(
                request_limits.limits_key(limits.kind), request_limits.dump_limits(limits)
            )
