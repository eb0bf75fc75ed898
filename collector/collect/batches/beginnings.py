"""Finds where the history of a series begins if its answers lack old values, and checks recorded edges once a week.

Answers lack old values → samples (pure, in `edge`) → one request for many series → edge on record.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from collector.collect.batches.edges import EdgeRequests, has_data_before
from collector.collect.batches.fetcher import Handling, ShuttingDown
from collector.collect.batches.pending_slices import BatchResult
from collector.model import Batch, Slice, Window
from collector.radar.errors import RadarError
from collector.rules.edge import YOUNGEST_SECONDS, Edge, samples
from collector.rules.finality import NARROWER
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Question, RequestKind
    from collector.store import ExpectedWindow, SaveResult
    from collector.windows import EpochWindow

    Names = Mapping[Question, Sequence[str]]

log = logging.getLogger(__name__)

_MIN_SAMPLES = 2
"""Samples of a series: at least one over the edge, and one before it."""
_EMPTY_REASON = "the answers have no value before"


async def check_beginnings(expected: Sequence[ExpectedWindow], names: Names, batch_runner: BatchRunner) -> BatchResult:
    """Find where the history of the *expected* series begins, if answers lack old buckets; check known edges weekly.

    A request that fails is sent again by the next call.
    """
    check = _BeginningCheck(names, batch_runner)
    try:
        await check.run({window.query: window for window in expected})
    except (RadarError, ShuttingDown) as error:
        log.info("history_edge", extra={"outcome": "failed", "reason": str(error)})
    return check.result


class _BeginningCheck:
    def __init__(self, names: Names, batch_runner: BatchRunner) -> None:
        self.result = BatchResult()
        self._batch_runner = batch_runner
        self._store = batch_runner.fetcher.store
        self._now = batch_runner.fetcher.clock().timestamp()
        self._requests = EdgeRequests(batch_runner.fetcher, names, Handling(), self._on_send, self._on_saved)

    def _on_send(self) -> None:
        self.result.requests += 1

    async def _on_saved(self, _batch: Batch, saved: SaveResult) -> None:
        self.result.saved += saved

    async def run(self, expected: Mapping[Question, ExpectedWindow]) -> None:
        """Take samples of new windows without values and of edges that are due, and check the other due edges."""
        edges = await self._store.edges(list(expected))
        beginnings = await self._store.beginnings(list(expected.values()))
        oldest = self._now - YOUNGEST_SECONDS
        empty = {
            query: window
            for query, window in zip(expected, beginnings, strict=True)
            if window and window[1] <= oldest and _is_news(window, edges.get(query))
        }
        if edges:
            await self._drop_gaps(edges)
        due = {query: edge for query, edge in edges.items() if edge.is_due(self._now) and query not in empty}
        empty |= {query: edge.absent for query, edge in due.items() if edge.since is not None}
        if empty:
            await self._take_samples(empty, edges)
        if rejected := {query: edge for query, edge in due.items() if edge.since is None}:
            await self._check_edges(rejected)

    async def _drop_gaps(self, edges: dict[Question, Edge]) -> None:
        """Drop an edge of answers without values if older values are stored, because then it is a gap."""
        fixed = [query for query, edge in edges.items() if edge.since is not None and edge.before is None]
        extents = await self._store.extents(fixed)
        gaps = [query for query, window in extents.items() if window.start.timestamp() < edges[query].begins]
        await self._store.set_edges(dict.fromkeys(gaps))
        for query in gaps:
            del edges[query]

    async def _take_samples(self, empty: Mapping[Question, EpochWindow], edges: Mapping[Question, Edge]) -> None:
        """Request samples of the *empty* window before each series, as a second answer or as the weekly check."""
        answered: dict[Slice, Sequence[int]] = {}
        samples_of = {
            query: await self._samples(query, window, len(empty), edges.get(query)) for query, window in empty.items()
        }
        known = {query for query, edge in edges.items() if empty.get(query) == edge.absent}
        for queries, is_news in ((empty.keys() - known, True), (known, False)):
            for kind in {query.request_kind for query in queries}:
                await self._batch_runner.wait_for_foreground()
                shape = (await self._batch_runner.limits(kind)).shape
                of_kind = (query for query in samples_of if query in queries and query.request_kind == kind)
                slices = [slice_ for query in of_kind for slice_ in samples_of[query]]
                answered |= await self._requests.send_all(slices, shape, stored=is_news)
        complete = [query for query, slices in samples_of.items() if all(slice_ in answered for slice_ in slices)]
        values = {query: sorted(t for slice_ in samples_of[query] for t in answered[slice_]) for query in complete}
        judged = {query: self._judge(empty[query], values[query], edges.get(query)) for query in complete}
        await self._store.set_edges({query: edge for query, edge in judged.items() if edge or query in edges})
        _log(judged)

    async def _samples(self, query: Question, window: EpochWindow, queries: int, edge: Edge | None) -> list[Slice]:
        positions = (await self._batch_runner.limits(query.request_kind)).shape.positions
        turn = edge.looks + 1 if edge else 0
        windows = samples(window, query.agg_interval.seconds, max(_MIN_SAMPLES, positions // queries), turn)
        return [Slice(query, Window(from_epoch(start), from_epoch(end))) for start, end in windows]

    def _judge(self, empty: EpochWindow, timestamps: Sequence[int], edge: Edge | None) -> Edge | None:
        """Accept an edge if samples of the *empty* window have no value, and the bucket behind it has one.

        When a known edge is checked, that bucket may be missing.
        """
        if edge and edge.absent == empty and not (timestamps and timestamps[0] < empty[1]):
            return edge.seen(self._now)
        if not timestamps or timestamps[0] != empty[1]:
            return None
        since = None if edge and edge.is_accepted and edge.since is None else empty[0]
        return Edge(empty[1], since, "empty", _EMPTY_REASON, (self._now, self._now), self._now)

    async def _check_edges(self, due: Mapping[Question, Edge]) -> None:
        """Request the bucket before each edge, for one of the series that share it: another series each time."""
        groups: dict[tuple[RequestKind, int], list[Question]] = defaultdict(list)
        for query, edge in due.items():
            groups[query.request_kind, edge.begins].append(query)
        for (_, begins), queries in groups.items():
            by_key = sorted(queries, key=lambda query: query.key)
            query = by_key[due[by_key[0]].looks % len(by_key)]
            step = query.agg_interval.seconds
            window = Window(from_epoch(begins - step), from_epoch(begins + (NARROWER - 1) * step))
            await self._batch_runner.wait_for_foreground()
            reply = await self._requests.send([Slice(query, window)])
            if has_data_before(reply, begins):
                await self._store.set_edges(dict.fromkeys(queries))
                _log(dict.fromkeys(queries))
            else:
                await self._store.set_edges({query: due[query].seen(self._now) for query in queries})


def _is_news(empty: EpochWindow, edge: Edge | None) -> bool:
    """Return whether the *empty* window is larger than the one before the known edge."""
    return not (edge and edge.is_accepted and edge.absent[0] <= empty[0] and empty[1] <= edge.begins)


def _log(judged: Mapping[Question, Edge | None]) -> None:
    for query, edge in judged.items():
        if edge is None:
            log.info("history_edge", extra={"outcome": "refuted", "series": query.filters_json})
        elif not edge.looks:
            begins = rfc3339(from_epoch(edge.begins))
            log.info("history_edge", extra={"outcome": "found", "series": query.filters_json, "begins": begins})
