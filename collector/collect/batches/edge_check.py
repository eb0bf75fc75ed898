"""The beginning of Radar's own history, where answers leave out what lies before; and the weekly look at every edge.

what answers lacked (store)  →  samples (pure, in `edge`)  →  one request for many series  →  edge on record (store)
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from collector.collect.batches.edge_search import Asking, has_data_before
from collector.collect.batches.fetcher import Handling, ShuttingDown
from collector.model import Slice, Window
from collector.radar.errors import RadarError
from collector.rules.edge import YOUNGEST_SECONDS, Edge, samples
from collector.rules.finality import NARROWER
from collector.store import SaveResult
from collector.timestamps import from_epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Batch, Question, RequestKind
    from collector.store import ExpectedWindow
    from collector.windows import EpochWindow

    Names = Mapping[Question, Sequence[str]]

log = logging.getLogger(__name__)

_FEWEST = 2
"""So many samples of a series at least: one over the edge, one before it."""
_LACKED = "the answers have no value before"


@dataclass(slots=True)
class Attended:
    """What came of it: points and requests."""

    saved: SaveResult = field(default_factory=SaveResult)
    requests: int = 0


async def attend_beginnings(expected: Sequence[ExpectedWindow], names: Names, batch_runner: BatchRunner) -> Attended:
    """Find where the history of the *expected* series begins by answers that lack what lies before; look at edges.

    What Radar does not answer is tried again with the next call.
    """
    attending = _Attending(names, batch_runner)
    try:
        await attending.look_at({one.query: one for one in expected})
    except (RadarError, ShuttingDown) as error:
        log.info("history_edge", extra={"outcome": "failed", "reason": str(error)})
    return attending.attended


class _Attending:
    def __init__(self, names: Names, batch_runner: BatchRunner) -> None:
        self.attended = Attended()
        self._batch_runner = batch_runner
        self._store = batch_runner.fetcher.store
        self._now = batch_runner.fetcher.clock().timestamp()
        self._asking = Asking(batch_runner.fetcher, names, Handling(), self._sent, self._count)

    def _sent(self) -> None:
        self.attended.requests += 1

    async def _count(self, _batch: Batch, saved: SaveResult) -> None:
        self.attended.saved += saved

    async def look_at(self, expected: Mapping[Question, ExpectedWindow]) -> None:
        edges = await self._store.edges(list(expected))
        begin = await self._store.beginnings(list(expected.values()))
        oldest = self._now - YOUNGEST_SECONDS
        runs = {
            query: run
            for query, run in zip(expected, begin, strict=True)
            if run and run[1] <= oldest and _is_news(run, edges.get(query))
        }
        await self._drop_holes(edges)
        due = {query: edge for query, edge in edges.items() if edge.is_due(self._now) and query not in runs}
        runs |= {query: edge.absent for query, edge in due.items() if edge.since is not None}
        if runs:
            await self._take_samples(runs, edges)
        await self._look({query: edge for query, edge in due.items() if edge.since is None})

    async def _drop_holes(self, edges: dict[Question, Edge]) -> None:
        """Forget an edge of answers without values if older values are stored: then it is a gap in the middle."""
        fixed = [query for query, edge in edges.items() if edge.since is not None and edge.before is None]
        spans = await self._store.extents(fixed)
        holes = [query for query, window in spans.items() if window.start.timestamp() < edges[query].begins]
        await self._store.set_edges(dict.fromkeys(holes))
        for query in holes:
            del edges[query]

    async def _take_samples(self, runs: Mapping[Question, EpochWindow], edges: Mapping[Question, Edge]) -> None:
        """Ask for samples of what answers lacked before the first bucket of each series: a second answer, or a look."""
        found: dict[Slice, Sequence[int]] = {}
        chosen = {query: await self._samples(query, run, len(runs), edges.get(query)) for query, run in runs.items()}
        looks = {query for query, edge in edges.items() if runs.get(query) == edge.absent}
        for queries, is_news in ((runs.keys() - looks, True), (looks, False)):
            for kind in {query.request_kind for query in queries}:
                await self._batch_runner.wait_for_foreground()
                shape = (await self._batch_runner.limits(kind)).shape
                pieces = [piece for query in chosen if query in queries for piece in chosen[query]]
                alike = [piece for piece in pieces if piece.series.request_kind == kind]
                found |= await self._asking.ask_all(alike, shape, stored=is_news)
        whole = [query for query, pieces in chosen.items() if all(piece in found for piece in pieces)]
        values = {query: sorted(t for piece in chosen[query] for t in found[piece]) for query in whole}
        judged = {query: self._judge(runs[query], values[query], edges.get(query)) for query in whole}
        await self._store.set_edges({query: edge for query, edge in judged.items() if edge or query in edges})
        _log(judged)

    async def _samples(self, query: Question, run: EpochWindow, queries: int, edge: Edge | None) -> list[Slice]:
        positions = (await self._batch_runner.limits(query.request_kind)).shape.positions
        turn = edge.looks + 1 if edge else 0
        windows = samples(run, query.agg_interval.seconds, max(_FEWEST, positions // queries), turn)
        return [Slice(query, Window(from_epoch(start), from_epoch(end))) for start, end in windows]

    def _judge(self, run: EpochWindow, timestamps: Sequence[int], edge: Edge | None) -> Edge | None:
        """Accept an edge if samples of the run before it have no value, and the bucket behind it has one.

        That bucket may be gone when the edge is looked at later.
        """
        if edge and edge.absent == run and not (timestamps and timestamps[0] < run[1]):
            return edge.seen(self._now)
        if not timestamps or timestamps[0] != run[1]:
            return None
        since = None if edge and edge.is_accepted and edge.since is None else run[0]
        return Edge(run[1], since, "empty", _LACKED, (self._now, self._now), self._now)

    async def _look(self, due: Mapping[Question, Edge]) -> None:
        """Ask for the bucket before an edge, of one of the series that share it: another one each time."""
        groups: dict[tuple[RequestKind, int], list[Question]] = defaultdict(list)
        for query, edge in due.items():
            groups[query.request_kind, edge.begins].append(query)
        for (_, begins), queries in groups.items():
            by_key = sorted(queries, key=lambda query: query.key)
            query = by_key[due[by_key[0]].looks % len(by_key)]
            step = query.agg_interval.seconds
            window = Window(from_epoch(begins - step), from_epoch(begins + (NARROWER - 1) * step))
            await self._batch_runner.wait_for_foreground()
            reply = await self._asking.ask([Slice(query, window)])
            if has_data_before(reply, begins):
                await self._store.set_edges(dict.fromkeys(queries))
                _log(dict.fromkeys(queries))
            else:
                await self._store.set_edges({one: due[one].seen(self._now) for one in queries})


def _is_news(run: EpochWindow, edge: Edge | None) -> bool:
    """Tell whether answers have lacked more than lies before the edge that is known."""
    return not (edge and edge.is_accepted and edge.absent[0] <= run[0] and run[1] <= edge.begins)


def _log(judged: Mapping[Question, Edge | None]) -> None:
    for query, edge in judged.items():
        if edge is None:
            log.info("history_edge", extra={"outcome": "refuted", "series": query.filters_json})
        elif not edge.looks:
            begins = rfc3339(from_epoch(edge.begins))
            log.info("history_edge", extra={"outcome": "found", "series": query.filters_json, "begins": begins})
