"""Finds where Radar's own history begins, so that windows before it are not requested one by one.

a failed batch           →  request the oldest bucket  →  bisection (pure, in `edge`)  →  edge on record, slices clipped
answers lack old values  →  samples (pure, in `edge`)  →  one request for many series  →  edge on record

A recorded edge is checked once a week.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from collector.collect.batches.fetcher import Handling, ShuttingDown
from collector.collect.planning import packing
from collector.edge import SECOND_ANSWER_SECONDS, YOUNGEST_SECONDS, Edge, Search, samples
from collector.errors import CollectorError
from collector.finality import NARROWER
from collector.model import Batch, Slice, Window, from_epoch, rfc3339
from collector.radar.errors import Misdirected, Paused, RadarError, Refused, RelativeValues, Unavailable, Untrusted
from collector.store import SaveResult
from collector.windows import intersect

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.collect.batches.fetcher import Fetcher
    from collector.collect.planning.packing import Shape
    from collector.edge import Kind
    from collector.model import Answer, Question, RequestKind
    from collector.store import ExpectedWindow
    from collector.windows import EpochWindow

    Timestamps = Sequence[int]
    Reply = Mapping[Slice, Timestamps] | RadarError
    Names = Mapping[Question, Sequence[str]]

log = logging.getLogger(__name__)

_CONTROL_AFTER = 4
"""After so many failures in a row a question that was answered before is asked again: Radar may be down."""
_ABORTED_MOST = 3
_TOGETHER = 100
_SINGLY = 3
"""So many series are asked one by one whether they share an edge; the others are asked together."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How questions are sent: *sent* hears of every request, *saved* of every answer."""

    fetcher: Fetcher
    names: Mapping[Question, Sequence[str]]
    handling: Handling
    sent: Callable[[], None]
    saved: Callable[[Batch, SaveResult], Awaitable[None]]

    async def ask(self, slices: Sequence[Slice], *, stored: bool = True) -> Reply:
        """Ask once; returns the timestamps by slice, or why Radar does not answer. Other errors are raised.

        An answer that is not to be *stored* only counts as a request.
        """
        found: dict[Slice, Timestamps] = {}

        def keep(fetch_id: int, batch: Batch, answer: Answer) -> None:
            found.update(zip(batch.slices, (points.timestamps for points in answer.series), strict=True))
            if stored:
                self.handling.keep(fetch_id, batch, answer)

        batch = Batch(tuple(slices))
        profiles = sorted({name for piece in slices for name in self.names.get(piece.series, ())})
        job_id = self.handling.job_id if stored else None
        handling = replace(self.handling, keep=keep, history=stored and self.handling.history, job_id=job_id)
        try:
            saved = await self.fetcher.fetch(batch, profiles, self.sent, handling, tries=1)
        except (Refused, Misdirected, Unavailable) as error:
            return error
        if stored:
            await self.saved(batch, saved)
        return found

    async def ask_all(self, slices: Iterable[Slice], shape: Shape, *, stored: bool = True) -> dict[Slice, Timestamps]:
        """Ask for *slices*, many at once, or for fewer if that is refused; returns the timestamps by answered slice."""
        todo = packing.pack(slices, replace(shape, positions=min(shape.positions, _TOGETHER)))
        found: dict[Slice, Timestamps] = {}
        while todo:
            batch = todo.pop(0)
            reply = await self.ask(batch.slices, stored=stored)
            if not isinstance(reply, RadarError):
                found |= reply
            elif len(batch.slices) > 1:
                todo = packing.halves(batch) + todo
        return found

    def now(self) -> float:
        """The present, in epoch seconds."""
        return self.fetcher.clock().timestamp()


@dataclass(slots=True)
class _Reach:
    """What is wanted of a series: from the bucket *oldest* up to *until*. *good* is a bucket that was answered."""

    oldest: int
    until: int
    good: int | None = None


class _Outage(Exception):
    """Radar does not answer what it answered before: nothing can be learned now."""


@dataclass(slots=True)
class EdgeFinder:
    """Cuts the slices of one errand at the edges that are known, and finds those that are not.

    *lock* is shared by all errands of the process, so that one edge is not searched twice. *shape* gives how large a
    request may be. *withheld* are the parts of slices before an edge that a second answer has yet to show, and why.
    """

    asking: Asking
    lock: asyncio.Lock
    shape: Callable[[], Awaitable[Shape]]
    withheld: list[tuple[Slice, CollectorError]] = field(default_factory=list)
    _edges: dict[Question, Edge] = field(default_factory=dict)
    _reaches: dict[Question, _Reach] = field(default_factory=dict)
    _reached: dict[Question, int] = field(default_factory=dict)
    _hopeless: set[Question] = field(default_factory=set)
    _aborted: int = 0

    async def open(self, slices: Sequence[Slice]) -> list[Slice]:
        """Read the edges of *slices*, ask for the second answers that are due, and cut the slices."""
        for piece in slices:
            start, end = _epochs(piece.window)
            known = self._reaches.setdefault(piece.series, _Reach(start, end))
            known.oldest, known.until = min(known.oldest, start), max(known.until, end)
        await self._read()
        if any(edge.may_be_second(self.asking.now()) for edge in self._edges.values()):
            async with self.lock:
                await self._second_answers()
        return self.clip(slices)

    async def _read(self) -> None:
        self._edges = await self.asking.fetcher.store.edges(list(self._reaches))

    def clip(self, slices: Iterable[Slice]) -> list[Slice]:
        """Cut off what lies before an edge; what a second answer has yet to show is withheld."""
        kept = []
        for piece in slices:
            edge = self._edges.get(piece.series)
            if edge is None:
                kept.append(piece)
                continue
            window = _epochs(piece.window)
            kept += [_slice(piece.series, part) for part in edge.clip(window)]
            if not edge.is_accepted:
                self._withhold(piece.series, intersect([window], [edge.absent]), edge)
        return kept

    def _withhold(self, query: Question, windows: Iterable[tuple[int, int]], edge: Edge) -> None:
        again = rfc3339(from_epoch(int(edge.seen_at[0]) + SECOND_ANSWER_SECONDS))
        begins = rfc3339(from_epoch(edge.begins))
        reason = f"{edge.reason}; Radar's history may begin at {begins}, which is asked again at {again}"
        self.withheld += [(_slice(query, window), Unavailable(reason)) for window in windows]

    def answered(self, batch: Batch) -> None:
        """Note that *batch* was answered."""
        for piece in batch.slices:
            reach, start = self._reaches.get(piece.series), _epochs(piece.window)[0]
            if reach:
                reach.good = min(reach.good or start, start)

    async def look_ahead(self, slices: Sequence[Slice]) -> bool:
        """Before more is asked for, ask for the oldest bucket of one series; tell whether an edge was found."""
        oldest = min(slices, key=_start, default=None)
        if oldest is None or not self._may_lie_before(oldest):
            return False
        async with self.lock:
            return bool(await self._guarded(oldest.series))

    async def explain(self, batch: Batch, error: CollectorError, *, any_size: bool) -> list[Slice] | None:
        """Give what is left to ask for of a *batch* that failed because of an edge; None if that is not why.

        *any_size*: the size is not to blame. Otherwise it may be, and one series of the errand tells for all.
        """
        if isinstance(error, Paused) or getattr(error, "status", None) == HTTPStatus.REQUEST_URI_TOO_LONG:
            return None
        async with self.lock:
            await self._read()
            left = self.clip(batch.slices)
            if left != list(batch.slices):
                return left
            suspects = [piece for piece in batch.slices if self._may_lie_before(piece)]
            oldest = min(suspects, key=_start, default=None)
            if oldest is None or not (any_size or self._is_new(oldest)):
                return None
            found = await self._guarded(oldest.series)
        return None if found is False else self.clip(batch.slices)

    def reaches(self, batch: Batch) -> bool:
        """Tell whether a search has shown, for one series of *batch*, that Radar reaches back as far."""
        starts = {piece.series: _epochs(piece.window)[0] for piece in batch.slices}
        return any(self._reached.get(query, start + 1) <= start for query, start in starts.items())

    def _may_lie_before(self, piece: Slice) -> bool:
        """Tell whether *piece* may lie before an edge that is not known."""
        query, start = piece.series, _epochs(piece.window)[0]
        reached = self._reached.get(query)
        young = start > self.asking.now() - YOUNGEST_SECONDS
        known = reached is not None and reached <= start
        return not (young or known or query in self._hopeless)

    def _is_new(self, piece: Slice) -> bool:
        """Tell whether no series of this errand is known to reach back as far as *piece*."""
        return all(reached > _epochs(piece.window)[0] for reached in self._reached.values())

    async def _guarded(self, query: Question) -> bool | None:
        """Search; tell whether an edge was found, None if the search had to end before."""
        try:
            return await self._search(query)
        except (_Outage, Untrusted, RelativeValues):
            self._hopeless.add(query)
            return False
        except (CollectorError, ShuttingDown):  # the next request meets the same
            self._aborted += 1
            if self._aborted >= _ABORTED_MOST:
                self._hopeless.add(query)
                return False
            return None

    async def _search(self, query: Question) -> bool:
        reach, step = self._reaches[query], query.agg_interval.seconds
        edge = self._edges.get(query)
        low = await self._lowest(query, edge)
        if self.asking.fetcher.is_silent:  # only one request a minute is sent then
            await self._control(query)
        if edge and low == edge.begins:
            reply = await self.asking.ask([self._beside(query, low)])
        else:  # what is asked for anyway is not asked for twice if there is no edge
            reply = await self.asking.ask([self._beside(query, low - NARROWER * step)], stored=False)
            low -= step
        if not isinstance(reply, RadarError):
            self._reached[query] = low
            return False
        high = reach.good if reach.good is not None else await self._control(query)
        if high <= low:
            raise _Outage
        hints = edge.guesses(self.asking.now(), step) if edge else ()
        found = await self._bisect(query, Search(low, high, step, hints), reply)
        if found is None:
            self._reached[query] = low
            return False
        return await self._accept(query, *found)

    async def _control(self, query: Question) -> int:
        """Ask for the newest buckets that are wanted, and give the first of them; _Outage if there is no answer."""
        reach = self._reaches[query]
        bucket = reach.until - NARROWER * query.agg_interval.seconds
        if isinstance(await self._bucket(query, bucket), RadarError):
            raise _Outage
        reach.good = bucket
        return bucket

    async def _lowest(self, query: Question, edge: Edge | None) -> int:
        """The oldest bucket that is wanted or stored: beside data on both sides it is a gap, and no edge."""
        low = self._reaches[query].oldest
        spans = await self.asking.fetcher.store.extents([query])
        if query in spans:
            low = min(low, _epochs(spans[query])[0])
        return max(low, edge.begins) if edge and edge.since is None else low

    async def _bisect(
        self, query: Question, search: Search | None, error: RadarError
    ) -> tuple[int, RadarError, float] | None:
        """Find the edge; gives the first bucket that is answered, why the one before is not, and when that was said."""
        failures, asked_at = 1, self.asking.now()
        while search and (bucket := search.question) is not None:
            if failures >= _CONTROL_AFTER:
                if isinstance(await self._bucket(query, search.high), RadarError):
                    raise _Outage
                failures = 0
            asked_at = self.asking.now()
            reply = await self._bucket(query, bucket)
            if isinstance(reply, RadarError):
                search, error, failures = search.refused(bucket), reply, failures + 1
            else:
                search, failures = search.answered(bucket), 0
        return (search.high, error, asked_at) if search else None

    async def _bucket(self, query: Question, bucket: int, width: int = NARROWER) -> Timestamps | RadarError:
        """Ask for a short window from *bucket* on: its size is never to blame."""
        until = min(bucket + width * query.agg_interval.seconds, self._reaches[query].until)
        piece = _slice(query, (bucket, max(until, bucket + query.agg_interval.seconds)))
        reply = await self.asking.ask([piece])
        return reply if isinstance(reply, RadarError) else reply.get(piece, ())

    async def _accept(self, query: Question, bucket: int, error: RadarError, asked_at: float) -> bool:
        """Put an edge on record, if there is data beside it: before the window that starts at *bucket*."""
        reply = await self._bucket(query, bucket)
        if isinstance(reply, RadarError):
            raise _Outage
        begins = bucket
        if reply and reply[0] > bucket and isinstance(await self._bucket(query, bucket, 1), RadarError):
            begins = reply[0]  # Radar refuses by the end of a window, and leaves out what lies before the edge
        spans = await self.asking.fetcher.store.extents([query])
        if not reply and not (query in spans and int(spans[query].end.timestamp()) > begins):
            raise _Outage
        edge = self._edge(query, begins, error, asked_at)
        await self._remember({query: edge})
        self._reached[query] = begins
        await self._share(query, edge)
        begins_at = rfc3339(from_epoch(begins))
        fields = {"outcome": "found" if edge.is_accepted else "suspected", "begins": begins_at, "reason": edge.reason}
        log.info("history_edge", extra={"interval": query.agg_interval.value, **fields})
        return True

    def _edge(self, query: Question, begins: int, error: RadarError, asked_at: float) -> Edge:
        old, now = self._edges.get(query), self.asking.now()
        before = (old.begins, old.seen_at[0]) if old and old.kind != "empty" and old.begins < begins else None
        if old and old.kind == "empty" and old.absent[0] <= begins <= old.begins:
            begins = old.begins
        if isinstance(error, Unavailable) and not (old and old.kind == "unavailable" and old.is_accepted):
            return Edge(begins, None, "unavailable", str(error), (asked_at,), now, before=before)
        kind: Kind = "unavailable" if isinstance(error, Unavailable) else "refused"
        return Edge(begins, None, kind, str(error), (asked_at, now), now, before=before)

    async def _remember(self, found: Mapping[Question, Edge | None]) -> None:
        await self.asking.fetcher.store.set_edges(found)
        await self._read()

    async def _share(self, query: Question, edge: Edge) -> None:
        """Try the edge for the other series that are wanted before it.

        A refused request does not tell which of its series is refused. So a few are asked alone, and if these share the
        edge, one request decides for all the others; a wrong guess is mended by the weekly look.
        """
        others = [
            other
            for other, reach in self._reaches.items()
            if other != query and reach.oldest < edge.begins < reach.until and other not in self._edges
        ]
        answered = await self._answered_at(others, edge.begins)
        sharing = [other for other in answered[:_SINGLY] if await self._lie_behind([other], edge)]
        rest = answered[_SINGLY:]
        if len(sharing) == min(len(answered), _SINGLY):
            sharing += rest if rest and await self._lie_behind(rest, edge) else []
        await self._remember(dict.fromkeys(sharing, edge))
        self._reached |= dict.fromkeys(sharing, edge.begins)

    async def _lie_behind(self, queries: Sequence[Question], edge: Edge) -> bool:
        """Tell whether Radar does not answer for the bucket before the edge of *queries*, asked together."""
        pieces = [self._beside(query, edge.begins - query.agg_interval.seconds) for query in queries]
        return not has_data_before(await self.asking.ask(pieces), edge.begins)

    def _beside(self, query: Question, bucket: int) -> Slice:
        return _slice(query, (bucket, bucket + NARROWER * query.agg_interval.seconds))

    async def _answered_at(self, queries: Sequence[Question], bucket: int) -> list[Question]:
        """Find those of *queries* that are answered from *bucket* on, many in one request."""
        if not queries:
            return []
        found = await self.asking.ask_all([self._beside(query, bucket) for query in queries], await self.shape())
        return [piece.series for piece in found]

    async def _second_answers(self) -> None:
        """Ask once more beside the edges that one answer has shown, and accept them or forget them."""
        await self._read()
        groups: dict[int, list[Question]] = defaultdict(list)
        for query, edge in self._edges.items():
            if edge.may_be_second(self.asking.now()) and self._reaches[query].oldest < edge.begins:
                groups[edge.begins].append(query)
        for begins, queries in groups.items():
            query, step = queries[0], queries[0].agg_interval.seconds
            try:
                below = await self.asking.ask([self._beside(query, begins - step)])
                above = await self._bucket(query, begins)
            except (CollectorError, ShuttingDown):
                return
            if has_data_before(below, begins):
                await self._remember(dict.fromkeys(queries))
            elif not isinstance(above, RadarError):
                now = self.asking.now()
                await self._remember({one: self._edges[one].seen(now) for one in queries})


def has_data_before(reply: Reply, moment: int) -> bool:
    """Tell whether an answer has a value before *moment*, in epoch seconds."""
    return not isinstance(reply, RadarError) and any(found and found[0] < moment for found in reply.values())


def _start(piece: Slice) -> datetime:
    return piece.window.start


def _epochs(window: Window) -> tuple[int, int]:
    return int(window.start.timestamp()), int(window.end.timestamp())


def _slice(query: Question, window: tuple[int, int]) -> Slice:
    return Slice(query, Window(from_epoch(window[0]), from_epoch(window[1])))


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
