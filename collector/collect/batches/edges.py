"""Finds where Radar's own history begins, so that windows before it are not requested one by one.

A failed batch → request the oldest bucket → bisection (pure, in `edge`) → edge on record, slices clipped. Where answers
lack old values instead, see `beginnings`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from collector.collect.batches.fetcher import Handling, ShuttingDown
from collector.collect.planning import packing
from collector.errors import CollectorError
from collector.model import Batch, Slice, Window
from collector.radar.errors import Misdirected, Paused, RadarError, Refused, RelativeValues, Unavailable, Untrusted
from collector.rules.edge import SECOND_ANSWER_SECONDS, YOUNGEST_SECONDS, Edge, Search
from collector.rules.finality import NARROWER
from collector.timestamps import from_epoch, rfc3339
from collector.windows import intersect

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.fetcher import Fetcher
    from collector.collect.planning.packing import Shape
    from collector.model import Question
    from collector.rules.edge import Kind
    from collector.store import SaveResult

    Timestamps = Sequence[int]
    Reply = Mapping[Slice, Timestamps] | RadarError
    Names = Mapping[Question, Sequence[str]]

log = logging.getLogger(__name__)

_CONTROL_AFTER_FAILURES = 4
"""After so many failures in a row, an answered bucket is requested again, because Radar may be down."""
_MAX_ABORTED_SEARCHES = 3
_MAX_POSITIONS = 100
_CHECKED_ALONE = 3
"""So many series are checked one by one whether they share an edge. The others are then checked together."""


@dataclass(frozen=True, slots=True)
class EdgeRequests:
    """Sends the requests of a search. *on_send* is called for every request, *on_saved* for every stored answer."""

    fetcher: Fetcher
    names: Mapping[Question, Sequence[str]]
    handling: Handling
    on_send: Callable[[], None]
    on_saved: Callable[[Batch, SaveResult], Awaitable[None]]

    async def send(self, slices: Sequence[Slice], *, stored: bool = True) -> Reply:
        """Send one request. Returns the timestamps by slice, or the error if Radar does not answer.

        Other errors are raised. An answer that is not *stored* only counts as a request.
        """
        batch = Batch(tuple(slices))
        profiles = sorted({name for slice_ in slices for name in self.names.get(slice_.series, ())})
        job_id = self.handling.job_id if stored else None
        handling = replace(self.handling, history=stored and self.handling.history, job_id=job_id)
        try:
            reply = await self.fetcher.fetch(batch, profiles, self.on_send, handling, tries=1)
        except (Refused, Misdirected, Unavailable) as error:
            return error
        if stored:
            if self.handling.keep:
                self.handling.keep(reply.fetch_id, reply.batch, reply.answer)
            await self.on_saved(batch, reply.saved)
        return reply.timestamps

    async def send_all(self, slices: Iterable[Slice], shape: Shape, *, stored: bool = True) -> dict[Slice, Timestamps]:
        """Request *slices* in few batches, bisected if rejected. Returns the timestamps of each answered slice."""
        todo = packing.pack(slices, replace(shape, positions=min(shape.positions, _MAX_POSITIONS)))
        answered: dict[Slice, Timestamps] = {}
        while todo:
            batch = todo.pop(0)
            reply = await self.send(batch.slices, stored=stored)
            if not isinstance(reply, RadarError):
                answered |= reply
            elif len(batch.slices) > 1:
                todo = packing.bisect(batch) + todo
        return answered

    def now(self) -> float:
        """The present, in epoch seconds."""
        return self.fetcher.clock().timestamp()


@dataclass(slots=True)
class _Reach:
    """The requested range of a series, from the bucket *oldest* to *until*; *answered* is the oldest answered one."""

    oldest: int
    until: int
    answered: int | None = None


class _Outage(Exception):
    """Radar does not answer a bucket that it answered before, so that nothing can be learned now."""


@dataclass(slots=True)
class EdgeFinder:
    """Clips the slices of one run at known edges, and searches unknown ones.

    *lock* is shared by all runs of the process, so that an edge is not searched twice. *shape* returns the accepted
    size of a request. *withheld* are the parts of slices before an edge that is not confirmed by a second answer yet,
    with the reason.
    """

    requests: EdgeRequests
    lock: asyncio.Lock
    shape: Callable[[], Awaitable[Shape]]
    withheld: list[tuple[Slice, CollectorError]] = field(default_factory=list)
    _edges: dict[Question, Edge] = field(default_factory=dict)
    _reaches: dict[Question, _Reach] = field(default_factory=dict)
    _reached: dict[Question, int] = field(default_factory=dict)
    _given_up: set[Question] = field(default_factory=set)
    _aborted: int = 0

    async def open(self, slices: Sequence[Slice]) -> list[Slice]:
        """Read the edges of *slices*, request the second answers that are due, and return the clipped slices."""
        for slice_ in slices:
            start, end = _epochs(slice_.window)
            known = self._reaches.setdefault(slice_.series, _Reach(start, end))
            known.oldest, known.until = min(known.oldest, start), max(known.until, end)
        await self._read()
        if any(edge.may_be_second(self.requests.now()) for edge in self._edges.values()):
            async with self.lock:
                await self._second_answers()
        return self.clip(slices)

    async def _read(self) -> None:
        self._edges = await self.requests.fetcher.store.edges(list(self._reaches))

    def clip(self, slices: Iterable[Slice]) -> list[Slice]:
        """Return *slices* without the parts before an edge. Those before an unconfirmed edge are withheld."""
        clipped = []
        for slice_ in slices:
            edge = self._edges.get(slice_.series)
            if edge is None:
                clipped.append(slice_)
                continue
            window = _epochs(slice_.window)
            clipped += [_slice(slice_.series, part) for part in edge.clip(window)]
            if not edge.is_accepted:
                self._withhold(slice_.series, intersect([window], [edge.absent]), edge)
        return clipped

    def _withhold(self, query: Question, windows: Iterable[tuple[int, int]], edge: Edge) -> None:
        again = rfc3339(from_epoch(int(edge.seen_at[0]) + SECOND_ANSWER_SECONDS))
        begins = rfc3339(from_epoch(edge.begins))
        reason = f"{edge.reason}; Radar's history may begin at {begins}, which is asked again at {again}"
        self.withheld += [(_slice(query, window), Unavailable(reason)) for window in windows]

    def answered(self, batch: Batch) -> None:
        """Remember that *batch* was answered."""
        for slice_ in batch.slices:
            reach, start = self._reaches.get(slice_.series), _epochs(slice_.window)[0]
            if reach:
                reach.answered = min(reach.answered or start, start)

    async def look_ahead(self, slices: Sequence[Slice]) -> bool:
        """Request the oldest bucket of one series first. Returns whether an edge was found."""
        oldest = min(slices, key=_start, default=None)
        if oldest is None or not self._may_lie_before(oldest):
            return False
        async with self.lock:
            return bool(await self._guarded(oldest.series))

    async def explain(self, batch: Batch, error: CollectorError, *, any_size: bool) -> list[Slice] | None:
        """Return the slices that are left of a *batch* that failed because of an edge; None if it failed otherwise.

        *any_size*: the size is not to blame. Otherwise it may be, and the search for one series decides for the run.
        """
        if isinstance(error, Paused) or getattr(error, "status", None) == HTTPStatus.REQUEST_URI_TOO_LONG:
            return None
        async with self.lock:
            await self._read()
            left = self.clip(batch.slices)
            if left != list(batch.slices):
                return left
            suspects = [slice_ for slice_ in batch.slices if self._may_lie_before(slice_)]
            oldest = min(suspects, key=_start, default=None)
            if oldest is None or not (any_size or self._is_new(oldest)):
                return None
            is_edge = await self._guarded(oldest.series)
        return None if is_edge is False else self.clip(batch.slices)

    def reaches(self, batch: Batch) -> bool:
        """Return whether a search has shown that Radar's history reaches back to *batch*, for one of its series."""
        starts = {slice_.series: _epochs(slice_.window)[0] for slice_ in batch.slices}
        return any(self._reached.get(query, start + 1) <= start for query, start in starts.items())

    def _may_lie_before(self, slice_: Slice) -> bool:
        """Return whether *slice_* may lie before an unknown edge."""
        query, start = slice_.series, _epochs(slice_.window)[0]
        reached = self._reached.get(query)
        young = start > self.requests.now() - YOUNGEST_SECONDS
        known = reached is not None and reached <= start
        return not (young or known or query in self._given_up)

    def _is_new(self, slice_: Slice) -> bool:
        """Return whether no series of this run is known to reach back as far as *slice_*."""
        return all(reached > _epochs(slice_.window)[0] for reached in self._reached.values())

    async def _guarded(self, query: Question) -> bool | None:
        """Search an edge. Returns whether it was found; None if the search was aborted."""
        try:
            return await self._search(query)
        except (_Outage, Untrusted, RelativeValues):
            self._given_up.add(query)
            return False
        except (CollectorError, ShuttingDown):  # the next request fails in the same way
            self._aborted += 1
            if self._aborted >= _MAX_ABORTED_SEARCHES:
                self._given_up.add(query)
                return False
            return None

    async def _search(self, query: Question) -> bool:
        reach, step = self._reaches[query], query.agg_interval.seconds
        edge = self._edges.get(query)
        low = await self._lowest(query, edge)
        if self.requests.fetcher.circuit_is_open:  # only one request a minute is sent then
            await self._control(query)
        if edge and low == edge.begins:
            reply = await self.requests.send([self._short_slice(query, low)])
        else:  # not stored, because the run requests this bucket anyway if there is no edge
            reply = await self.requests.send([self._short_slice(query, low - NARROWER * step)], stored=False)
            low -= step
        if not isinstance(reply, RadarError):
            self._reached[query] = low
            return False
        high = reach.answered if reach.answered is not None else await self._control(query)
        if high <= low:
            raise _Outage
        hints = edge.guesses(self.requests.now(), step) if edge else ()
        result = await self._bisect(query, Search(low, high, step, hints), reply)
        if result is None:
            self._reached[query] = low
            return False
        return await self._accept(query, *result)

    async def _control(self, query: Question) -> int:
        """Request the newest buckets of the range. Returns the first of them. Raises _Outage if there is no answer."""
        reach = self._reaches[query]
        bucket = reach.until - NARROWER * query.agg_interval.seconds
        if isinstance(await self._bucket(query, bucket), RadarError):
            raise _Outage
        reach.answered = bucket
        return bucket

    async def _lowest(self, query: Question, edge: Edge | None) -> int:
        """Return the oldest requested or stored bucket. If older buckets are stored, there is a gap and no edge."""
        low = self._reaches[query].oldest
        extents = await self.requests.fetcher.store.extents([query])
        if query in extents:
            low = min(low, _epochs(extents[query])[0])
        return max(low, edge.begins) if edge and edge.since is None else low

    async def _bisect(
        self, query: Question, search: Search | None, error: RadarError
    ) -> tuple[int, RadarError, float] | None:
        """Find the edge. Returns the first answered bucket, the error of the one before, and when it was requested."""
        failures, requested_at = 1, self.requests.now()
        while search and (bucket := search.question) is not None:
            if failures >= _CONTROL_AFTER_FAILURES:
                if isinstance(await self._bucket(query, search.high), RadarError):
                    raise _Outage
                failures = 0
            requested_at = self.requests.now()
            reply = await self._bucket(query, bucket)
            if isinstance(reply, RadarError):
                search, error, failures = search.refused(bucket), reply, failures + 1
            else:
                search, failures = search.answered(bucket), 0
        return (search.high, error, requested_at) if search else None

    async def _bucket(self, query: Question, bucket: int, width: int = NARROWER) -> Timestamps | RadarError:
        """Request a short window from *bucket* on, whose size is never to blame."""
        until = min(bucket + width * query.agg_interval.seconds, self._reaches[query].until)
        slice_ = _slice(query, (bucket, max(until, bucket + query.agg_interval.seconds)))
        reply = await self.requests.send([slice_])
        return reply if isinstance(reply, RadarError) else reply.get(slice_, ())

    async def _accept(self, query: Question, bucket: int, error: RadarError, requested_at: float) -> bool:
        """Record an edge before *bucket*, if there is data behind it. Returns True. Raises _Outage if there is none."""
        reply = await self._bucket(query, bucket)
        if isinstance(reply, RadarError):
            raise _Outage
        begins = bucket
        if reply and reply[0] > bucket and isinstance(await self._bucket(query, bucket, 1), RadarError):
            begins = reply[0]  # Radar refuses by the end of a window, and leaves out what lies before the edge
        extents = await self.requests.fetcher.store.extents([query])
        if not reply and not (query in extents and int(extents[query].end.timestamp()) > begins):
            raise _Outage
        edge = self._edge(query, begins, error, requested_at)
        await self._save({query: edge})
        self._reached[query] = begins
        await self._share(query, edge)
        begins_at = rfc3339(from_epoch(begins))
        fields = {"outcome": "found" if edge.is_accepted else "suspected", "begins": begins_at, "reason": edge.reason}
        log.info("history_edge", extra={"interval": query.agg_interval.value, **fields})
        return True

    def _edge(self, query: Question, begins: int, error: RadarError, requested_at: float) -> Edge:
        old, now = self._edges.get(query), self.requests.now()
        before = (old.begins, old.seen_at[0]) if old and old.kind != "empty" and old.begins < begins else None
        if old and old.kind == "empty" and old.absent[0] <= begins <= old.begins:
            begins = old.begins
        if isinstance(error, Unavailable) and not (old and old.kind == "unavailable" and old.is_accepted):
            return Edge(begins, None, "unavailable", str(error), (requested_at,), now, before=before)
        kind: Kind = "unavailable" if isinstance(error, Unavailable) else "refused"
        return Edge(begins, None, kind, str(error), (requested_at, now), now, before=before)

    async def _save(self, edges: Mapping[Question, Edge | None]) -> None:
        await self.requests.fetcher.store.set_edges(edges)
        await self._read()

    async def _share(self, query: Question, edge: Edge) -> None:
        """Check whether the other series of the run share the edge.

        A rejected request does not show which of its series is rejected. So a few are requested alone. If these share
        the edge, one request decides for all the others. The weekly check corrects a wrong guess.
        """
        others = [
            other
            for other, reach in self._reaches.items()
            if other != query and reach.oldest < edge.begins < reach.until and other not in self._edges
        ]
        answered = await self._answered_at(others, edge.begins)
        sharing = [other for other in answered[:_CHECKED_ALONE] if await self._share_edge([other], edge)]
        rest = answered[_CHECKED_ALONE:]
        if len(sharing) == min(len(answered), _CHECKED_ALONE):
            sharing += rest if rest and await self._share_edge(rest, edge) else []
        await self._save(dict.fromkeys(sharing, edge))
        self._reached |= dict.fromkeys(sharing, edge.begins)

    async def _share_edge(self, queries: Sequence[Question], edge: Edge) -> bool:
        """Return whether one request for the bucket before the edge of all *queries* brings no older value."""
        slices = [self._short_slice(query, edge.begins - query.agg_interval.seconds) for query in queries]
        return not has_data_before(await self.requests.send(slices), edge.begins)

    def _short_slice(self, query: Question, bucket: int) -> Slice:
        return _slice(query, (bucket, bucket + NARROWER * query.agg_interval.seconds))

    async def _answered_at(self, queries: Sequence[Question], bucket: int) -> list[Question]:
        """Return those of *queries* that are answered from *bucket* on, in few requests."""
        if not queries:
            return []
        slices = [self._short_slice(query, bucket) for query in queries]
        return [slice_.series for slice_ in await self.requests.send_all(slices, await self.shape())]

    async def _second_answers(self) -> None:
        """Request the buckets at edges that one answer has shown once more, and accept or drop these edges."""
        await self._read()
        groups: dict[int, list[Question]] = defaultdict(list)
        for query, edge in self._edges.items():
            if edge.may_be_second(self.requests.now()) and self._reaches[query].oldest < edge.begins:
                groups[edge.begins].append(query)
        for begins, queries in groups.items():
            query, step = queries[0], queries[0].agg_interval.seconds
            try:
                below = await self.requests.send([self._short_slice(query, begins - step)])
                above = await self._bucket(query, begins)
            except (CollectorError, ShuttingDown):
                return
            if has_data_before(below, begins):
                await self._save(dict.fromkeys(queries))
            elif not isinstance(above, RadarError):
                now = self.requests.now()
                await self._save({query: self._edges[query].seen(now) for query in queries})


def has_data_before(reply: Reply, moment: int) -> bool:
    """Return whether an answer has a value before *moment*, in epoch seconds."""
    return not isinstance(reply, RadarError) and any(times and times[0] < moment for times in reply.values())


def _start(slice_: Slice) -> datetime:
    return slice_.window.start


def _epochs(window: Window) -> tuple[int, int]:
    return int(window.start.timestamp()), int(window.end.timestamp())


def _slice(query: Question, window: tuple[int, int]) -> Slice:
    return Slice(query, Window(from_epoch(window[0]), from_epoch(window[1])))
