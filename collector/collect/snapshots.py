"""Snapshot series: a pass requests the whole range, and stores all of its answers or none.

decide (pure)                      do                               assemble (pure)              do
which profiles, which windows  →  request, keep every answer  →  one snapshot per series  →  save
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from collector.collect.batches.fetcher import Handling
from collector.collect.batches.pending_slices import BatchResult, FailedSlices
from collector.collect.planning import packing
from collector.errors import CollectorError
from collector.interval import grid_of
from collector.model import Points, Slice, Window, is_absolute, spelling_free
from collector.retry import LONGEST_PAUSE
from collector.store import StoreError, Taken
from collector.timestamps import from_epoch
from collector.windows import subtract

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from collector.collect.batches.batch_runner import BatchRunner, Names
    from collector.interval import Grid
    from collector.model import Answer, Batch, Meta, Question
    from collector.profile import Profile, Reach
    from collector.store import PassRecord, Snapshot, Store

DAY = timedelta(days=1)
_MOST_SLACK = timedelta(minutes=30)


class Incomplete(CollectorError):
    """An answer for a part of a snapshot is missing, so that nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class Order:
    """The snapshots of one profile: the slices, and the number of *requests* by the known limits."""

    profile: Profile
    slices: tuple[Slice, ...]
    requests: int
    record: PassRecord

    def is_due(self, stored: Mapping[Question, Snapshot], now: datetime) -> bool:
        """Return whether it is due: at every fire if one request is enough, otherwise daily; at once if missing."""
        if self.requests <= 1:
            return True
        least = DAY - min(self.profile.agg_interval.step / 2, _MOST_SLACK)
        newest = [(stored.get(slice_.series), slice_.window) for slice_ in self.slices]
        return any(
            known is None or window.start < known.start or not timedelta(0) <= now - known.asked_at < least
            for known, window in newest
        )

    @property
    def paused_until(self) -> datetime | None:
        """When a failed pass may be repeated."""
        return self.record.again_at if self.record.failures and self.requests > 1 else None


def lasting(profiles: Sequence[Profile]) -> list[Profile]:
    """Return the *profiles* whose values form a history."""
    return [profile for profile in profiles if not profile.takes_snapshots]


def window(reaches: Sequence[Reach], grid: Grid, now: datetime) -> Window | None:
    """Return the range of a snapshot, from the earliest requested start to the newest closed bucket; None if empty.

    Without `since`, it starts *lookback* before the end, rounded down to a day.
    """
    end = grid.floor(now)
    midnights = ((end - reach.lookback).replace(hour=0, minute=0, second=0, microsecond=0) for reach in reaches)
    starts = [reach.since or midnight for reach, midnight in zip(reaches, midnights, strict=True)]
    start = grid.floor(min(starts))
    return Window(start, end) if start < end else None


async def take(profiles: Sequence[Profile], names: Names, now: datetime, batch_runner: BatchRunner) -> BatchResult:
    """Take the due snapshots of *profiles* at *now*.

    If a series of a profile fails, nothing of the profile is stored. The failures of the result say why.
    """
    store = batch_runner.fetcher.store
    orders = await _orders([profile for profile in profiles if profile.takes_snapshots], now, batch_runner)
    stored = await store.snapshots([slice_.series for order in orders for slice_ in order.slices]) if orders else {}
    due = [order for order in orders if order.is_due(stored, now)]
    paused = [order for order in due if order.paused_until and now < order.paused_until <= now + LONGEST_PAUSE]
    left = BatchResult(failures=[FailedSlices(order.slices, Incomplete(order.record.reason)) for order in paused])
    return left + await _take([order for order in due if order not in paused], names, now, batch_runner)


async def _orders(profiles: Sequence[Profile], now: datetime, batch_runner: BatchRunner) -> list[Order]:
    store, orders = batch_runner.fetcher.store, []
    queries = [series.query for profile in profiles for series in profile.series]
    declared = await store.snapshot_reaches(queries) if queries else {}
    present = now - await store.ahead()
    wanted: dict[Question, list[Reach]] = defaultdict(list, {query: [*reaches] for query, reaches in declared.items()})
    for profile in profiles:
        for series in profile.series:
            wanted[series.query].append(profile.reach)
    for profile in profiles:
        windows = {series.query: window(wanted[series.query], profile.grid, present) for series in profile.series}
        slices = await _served([Slice(query, window_) for query, window_ in windows.items() if window_], store, now)
        record = await store.snapshot_record(profile.name)
        orders.append(Order(profile, slices, await _requests(slices, batch_runner), record))
    return orders


async def _served(slices: Sequence[Slice], store: Store, now: datetime) -> tuple[Slice, ...]:
    """Return *slices* without the windows before Radar's own history, whose beginning is searched again each week."""
    edges = await store.edges([slice_.series for slice_ in slices])
    await store.set_edges({query: None for query, edge in edges.items() if edge.is_due(now.timestamp())})
    served = []
    for slice_ in slices:
        edge, start = edges.get(slice_.series), slice_.window.start
        if edge and edge.is_accepted and not edge.is_due(now.timestamp()):
            start = max(start, from_epoch(edge.begins))
        if start < slice_.window.end:
            served.append(Slice(slice_.series, Window(start, slice_.window.end)))
    return tuple(served)


async def _take(orders: Sequence[Order], names: Names, now: datetime, batch_runner: BatchRunner) -> BatchResult:
    """Request the slices of *orders*, and store the complete snapshots."""
    slices, parts = list(dict.fromkeys(slice_ for order in orders for slice_ in order.slices)), Parts()
    before = await batch_runner.fetcher.clock_watch.ahead()
    result = await batch_runner.run(slices, names, handling=Handling(keep=parts.keep))
    if (
        result.stopped or not slices or await batch_runner.fetcher.clock_watch.ahead() > before
    ):  # then the range ends earlier
        return result
    parts.absolute_words = batch_runner.fetcher.radar.absolute_words
    served = await _served(slices, batch_runner.fetcher.store, now)  # the pass may have found where the history begins
    taken, failures = parts.together(served, result.failed, now)
    result = replace(result, failures=result.failures + failures)
    complete = [order for order in orders if all(slice_.series in taken for slice_ in order.slices)]
    chosen = dict.fromkeys(slice_.series for order in complete for slice_ in order.slices)
    store, clock = batch_runner.fetcher.store, batch_runner.fetcher.clock
    try:
        saved = await store.save_snapshots([taken[query] for query in chosen], clock())
    except StoreError as error:
        return replace(result, failures=[*result.failures, FailedSlices(tuple(slices), error)])
    for query, part in saved.by_series.items():
        for name in names[query]:
            batch_runner.fetcher.observer.saved(name, part)
    if not any(isinstance(failure.error, StoreError) for failure in result.failures):
        await _remember(orders, result, batch_runner)
    return replace(result, saved=result.saved + saved)


async def _requests(slices: Sequence[Slice], batch_runner: BatchRunner) -> int:
    """Return how many requests *slices* of one interval take, by the known limits."""
    if not slices:
        return 0
    return len(packing.pack(slices, (await batch_runner.known_limits(slices[0].series.request_kind)).shape))


async def _remember(orders: Sequence[Order], result: BatchResult, batch_runner: BatchRunner) -> None:
    """Record the outcome of the pass, with the limits that it may have changed."""
    store, now = batch_runner.fetcher.store, batch_runner.fetcher.clock()
    for order in orders:
        mine = {slice_.series for slice_ in order.slices}
        errors = [
            failure.error for failure in result.failures if any(slice_.series in mine for slice_ in failure.slices)
        ]
        reason = str(errors[0]) if errors else None
        record = order.record.after(reason, now, daily=await _requests(order.slices, batch_runner) > 1)
        if record != order.record:
            await store.set_snapshot_record(order.profile.name, record)


class _Part(NamedTuple):
    """The part of one answer about one series."""

    fetch_id: int
    window: Window
    meta: Meta
    points: Points


@dataclass(slots=True)
class Parts:
    """The answers of one pass, by series."""

    _by_series: dict[Question, list[_Part]] = field(default_factory=lambda: defaultdict(list))
    absolute_words: Collection[str] = ()

    def keep(self, fetch_id: int, batch: Batch, answer: Answer) -> None:
        """Keep an answer."""
        for slice_, series in zip(batch.slices, answer.series, strict=True):
            points = Points(array("q", series.timestamps), array("d", [value + 0.0 for value in series.values]))
            self._by_series[slice_.series].append(_Part(fetch_id, slice_.window, answer.meta, points))

    def together(
        self, slices: Sequence[Slice], failed: set[Question], now: datetime
    ) -> tuple[dict[Question, Taken], list[FailedSlices]]:
        """Assemble the parts of each series. An incomplete series that has not *failed* yet is a failure."""
        taken, failures = {}, []
        for slice_ in slices:
            if slice_.series in failed:
                continue
            parts = self._by_series.get(slice_.series, [])
            reason = _why_not_whole(parts, slice_.window, self.absolute_words)
            if reason:
                failures.append(FailedSlices((slice_,), Incomplete(reason)))
            else:
                taken[slice_.series] = _together(slice_, parts, now)
        return taken, failures


def _why_not_whole(parts: Sequence[_Part], whole: Window, absolute_words: Collection[str]) -> str | None:
    """Return why *parts* form no snapshot of the *whole* range, or None. See `RadarClient.absolute_words`."""
    lacking = subtract(whole, [part.window for part in parts])
    if lacking:
        return f"the pass brought no answer for {lacking[0]}, so that nothing of the snapshot is stored"
    measures = sorted({(part.meta.normalization, part.meta.unit) for part in parts})
    if len(measures) > 1:
        description = " and ".join(f"{normalization} in {unit}" for normalization, unit in measures)
        return f"the answers of one pass are {description}, so that nothing of the snapshot is stored"
    if len(parts) > 1 and not is_absolute(measures[0][0]) and spelling_free(measures[0][0]) not in absolute_words:
        return f"{measures[0][0]} is relative to one answer, and the range takes {len(parts)}"
    return None


def _together(slice_: Slice, parts: Sequence[_Part], now: datetime) -> Taken:
    values: dict[int, float] = {}
    fetches = Counter[int]()
    for part in parts:
        values.update(zip(part.points.timestamps, part.points.values, strict=True))
        fetches[part.fetch_id] += len(part.points.timestamps)
    timestamps = array("q", sorted(values))
    points = Points(timestamps, array("d", [values[timestamp] for timestamp in timestamps]))
    newest = max(parts, key=lambda part: part.meta.last_updated).meta
    newest = newest._replace(last_updated=min(newest.last_updated, now))
    last_updated = min(now, *(part.meta.last_updated for part in parts))
    published = _published(slice_, timestamps, last_updated)
    return Taken(slice_.series, now, published, newest, last_updated, points, fetches)


def _published(slice_: Slice, timestamps: Sequence[int], last_updated: datetime) -> Window:
    """Return the part of the requested window up to the answer's lastUpdated, or up to its newest point."""
    window_, interval = slice_.window, slice_.series.agg_interval
    end = min(grid_of(interval, window_.start).floor(last_updated), window_.end)
    if timestamps:
        end = max(end, from_epoch(timestamps[-1]) + interval.step)
    return Window(window_.start, max(end, window_.start))
