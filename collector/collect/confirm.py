"""A second, independent answer for history that was past settle when it was first read.

unconfirmed windows (store)  →  daily values from Radar  →  equal to the sums?  →  confirmed
                                                            no: read the days again; the second reading is kept

Series whose values do not add up are read once more, after all other work.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from collector.collect.backfill import pack_slices
from collector.collect.batches.fetcher import Handling
from collector.collect.batches.pending_slices import BatchResult
from collector.collect.planning import packing
from collector.collect.refetch import settle_of
from collector.datasets import adds_up_over_time
from collector.finality import DAY, final_windows, floor_bucket
from collector.interval import Grid, grid_of
from collector.model import (
    AggInterval,
    Normalization,
    Question,
    Slice,
    Window,
    from_epoch,
    known_spelling,
    rfc3339,
    utc,
)
from collector.windows import hull, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Answer, Batch
    from collector.profile import Profile
    from collector.store import SeriesState, Store
    from collector.windows import EpochWindow

log = logging.getLogger(__name__)

_REST = timedelta(hours=1)
"""So long after the first reading the second one may come."""
REQUESTS_PER_HOUR = 10
"""For the history of series whose values do not add up."""
_ANNOTATIONS_KEY = "annotations_confirmed_until"
DAYS_OF_DOUBT = 2
"""How far back annotations are looked at the first time."""
_REQUESTS_KEY = "confirmation_requests"
_DAILY = AggInterval.ONE_DAY
_USUAL_DAYS = Grid(_DAILY)
_SUMMED = frozenset(interval for interval in AggInterval if interval.step < _DAILY.step)


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """What one answer alone has told of a series: whole *days* that can be compared with sums, and the *rest*.

    Days begin *offset* seconds after midnight UTC.
    """

    query: Question
    settle: int
    days: Sequence[EpochWindow]
    rest: Sequence[EpochWindow]
    offset: int = 0

    @property
    def daily_query(self) -> Question:
        """The same question at one day."""
        return Question(_DAILY, self.query.filters, self.query.dataset, self.query.dimension, self.query.group)


def unconfirmed_windows(
    query: Question, state: SeriesState, settle: int, now: datetime, daily: Grid = _USUAL_DAYS
) -> Unconfirmed:
    """Find the final windows of a series that only one answer has told, an hour ago or earlier.

    A part of a day that is not wholly final yet waits for the rest of it. Days are buckets of the grid *daily*.
    """
    step, until = query.agg_interval.seconds, (now - _REST).timestamp()
    rows = [row for row in state.evidence if row.asked_at <= until]
    found = state.still_there(_clipped(final_windows(rows, settle, step, confirmed=False), state.current))
    is_whole = grid_of(query.agg_interval, from_epoch(state.extent[0])).divides(daily)
    if query.agg_interval not in _SUMMED or state.sums_differ or not is_whole or not adds_up_over_time(query):
        return Unconfirmed(query, settle, [], found)
    final = _clipped(final_windows(state.evidence, settle, step), state.current)
    days = whole_days(found, final, daily.seconds)
    unfinished = floor_bucket(now.timestamp() - settle - 2 * DAY, state.extent[0], step)
    left = [part for window in found for part in subtract(window, days)]
    return Unconfirmed(query, settle, days, _clipped(left, (0, unfinished)), daily.seconds)


def _clipped(windows: Iterable[EpochWindow], extent: EpochWindow) -> list[EpochWindow]:
    parts = ((max(start, extent[0]), min(end, extent[1])) for start, end in windows)
    return [(start, end) for start, end in parts if start < end]


def whole_days(windows: Iterable[EpochWindow], final: Sequence[EpochWindow], offset: int = 0) -> list[EpochWindow]:
    """The days that share a bucket with *windows* and are *final* from their first to their last bucket.

    They begin *offset* seconds after midnight UTC.
    """
    days = {day for a, b in windows for day in range((a - offset) // DAY, -(-(b - offset) // DAY))}
    whole = ((day * DAY + offset, (day + 1) * DAY + offset) for day in days)
    return merge(day for day in whole if not subtract(day, final))


async def confirm(profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner) -> BatchResult:
    """Confirm what is unconfirmed of *profiles*; failures are tried again with the next call."""
    daily = (await store.grids())[_DAILY]
    wanted = await _unconfirmed(profiles, now, store, daily)
    names = {query: found for one in wanted for query, found in _names(profiles, one).items()}
    result = await _compare_days([one for one in wanted if one.days], names, batch_runner)
    rest = [Slice(one.query, _window(window)) for one in wanted for window in one.rest]
    if rest and not result.stopped:
        result += await _read_rest(rest, names, now, batch_runner)
    if not result.stopped:
        result += await _confirm_annotations(profiles, now, batch_runner, daily)
    return result


async def _confirm_annotations(
    profiles: Sequence[Profile], now: datetime, batch_runner: BatchRunner, daily: Grid = _USUAL_DAYS
) -> BatchResult:
    """Ask once more for the days of annotations of which one answer alone has spoken: it may have been wrong."""
    store, until = batch_runner.fetcher.store, now - _REST
    after = await store.get_state(_ANNOTATIONS_KEY)
    doubtful = await store.doubtful_annotations(utc(after) if after else now - timedelta(days=DAYS_OF_DOUBT), until)
    queries = {series.query.dataset: series.query for profile in profiles for series in profile.series}
    slices = set()
    for dataset, start_date in doubtful:
        window = days_around(start_date, daily)
        if dataset in queries and window.end <= daily.floor(now):
            slices.add(Slice(Question(_DAILY, queries[dataset].filters, dataset), window))
    result = BatchResult()
    if slices:
        names = {slice_.series: [profile.name for profile in profiles] for slice_ in slices}
        handling = Handling(history=False)
        ordered = sorted(slices, key=lambda slice_: slice_.window)
        result = await batch_runner.run(ordered, names, background=True, handling=handling)
    if not result.failures and not result.stopped:
        await store.set_state(_ANNOTATIONS_KEY, rfc3339(until))
    return result


def days_around(moment: datetime, daily: Grid = _USUAL_DAYS) -> Window:
    """The two days, buckets of the grid *daily*, that have *moment* inside."""
    first = daily.floor(moment - timedelta(hours=12))
    return Window(first, first + 2 * packing.DAY)


async def _unconfirmed(profiles: Sequence[Profile], now: datetime, store: Store, daily: Grid) -> list[Unconfirmed]:
    profile_of = {series.query: profile for profile in profiles for series in profile.series}
    relative = await store.relative_queries(profile_of)
    states = await store.series_states([query for query in profile_of if query not in relative])
    words = await store.measures([*states])
    found = []
    for query, state in states.items():
        is_count = known_spelling(words.get(query, Normalization.RAW_VALUES)) == Normalization.RAW_VALUES
        known = state if is_count else replace(state, sums_differ=True)  # other values need not add up to a day's
        found.append(unconfirmed_windows(query, known, settle_of(profile_of[query], state), now, daily))
    return [one for one in found if one.days or one.rest]


def _names(profiles: Sequence[Profile], one: Unconfirmed) -> Mapping[Question, Sequence[str]]:
    names = [profile.name for profile in profiles if any(series.query == one.query for series in profile.series)]
    return {one.query: names, one.daily_query: names}


def _window(window: EpochWindow) -> Window:
    return Window(from_epoch(window[0]), from_epoch(window[1]))


async def _compare_days(
    wanted: Sequence[Unconfirmed], names: Mapping[Question, Sequence[str]], batch_runner: BatchRunner
) -> BatchResult:
    """Ask for daily values, and read again the days that differ from the sums."""
    answers = _DailyAnswers()
    handling = Handling(keep=answers.keep, history=False)
    slices = [Slice(one.daily_query, hull(map(_window, one.days))) for one in wanted]
    result = await batch_runner.run(slices, names, background=True, handling=handling)
    differing: dict[Question, list[EpochWindow]] = {}
    for one in wanted:
        days = await _differing_days(one, answers, batch_runner.fetcher.store)
        if days:
            differing[one.query] = days
    if not differing or result.stopped:
        return result
    again = [Slice(query, _window(window)) for query, days in differing.items() for window in merge(days)]
    reread = await batch_runner.run(again, names, background=True)
    for one in wanted:
        if one.query in differing and one.query not in reread.failed and not reread.stopped:
            await _judge_sums(one, differing[one.query], answers, batch_runner.fetcher.store)
    return result + reread


class _DailyAnswers:
    """Daily values by question and day, with the moment up to which the answer told."""

    def __init__(self) -> None:
        self.values: dict[Question, dict[int, float]] = defaultdict(dict)
        self.asked: dict[Question, list[tuple[EpochWindow, float]]] = defaultdict(list)

    def keep(self, _fetch_id: int, batch: Batch, answer: Answer) -> None:
        """Take down an answer; one that is no count says nothing."""
        if answer.meta.normalization != Normalization.RAW_VALUES:
            return
        for slice_, points in zip(batch.slices, answer.series, strict=True):
            window = int(slice_.window.start.timestamp()), int(slice_.window.end.timestamp())
            self.asked[slice_.series].append((window, answer.meta.last_updated.timestamp()))
            self.values[slice_.series].update(zip(points.timestamps, points.values, strict=True))

    def told(self, query: Question, day: EpochWindow, settle: int) -> bool:
        """Tell whether an answer past settle has covered *day*."""
        return any(a <= day[0] and day[1] <= min(b, told - settle) for (a, b), told in self.asked.get(query, ()))


def _days(windows: Iterable[EpochWindow]) -> list[EpochWindow]:
    return [(start, start + DAY) for window in windows for start in range(window[0], window[1], DAY)]


async def _differing_days(one: Unconfirmed, answers: _DailyAnswers, store: Store) -> list[EpochWindow]:
    """Confirm the days whose sums equal the daily values; gives those that differ."""
    sums = await store.daily_sums(one.query, _window((one.days[0][0], one.days[-1][1])), one.offset)
    values = answers.values.get(one.daily_query, {})
    told = [day for day in _days(one.days) if answers.told(one.daily_query, day, one.settle)]
    equal = [day for day in told if sums.get(day[0]) == values.get(day[0])]
    await store.confirm(one.query, merge(equal), one.settle)
    return [day for day in told if sums.get(day[0]) != values.get(day[0])]


async def _judge_sums(one: Unconfirmed, days: Sequence[EpochWindow], answers: _DailyAnswers, store: Store) -> None:
    """Switch the comparison off if the second reading has confirmed a day whose sum differs all the same."""
    state = (await store.series_states([one.query])).get(one.query)
    confirmed = (
        final_windows(state.evidence, one.settle, one.query.agg_interval.seconds, confirmed=True) if state else []
    )
    sums = await store.daily_sums(one.query, _window((days[0][0], days[-1][1])), one.offset)
    values = answers.values.get(one.daily_query, {})
    stubborn = [day for day in days if sums.get(day[0]) != values.get(day[0]) and not subtract(day, confirmed)]
    if stubborn:
        await store.set_sums_differ(one.query)
        day = rfc3339(from_epoch(stubborn[0][0]))
        reason = f"the daily value of {day} is not the sum of its parts, though a second answer confirms these"
        log.warning("confirm", extra={"outcome": "differs", "series": one.query.filters_json, "reason": reason})


async def _read_rest(
    slices: Sequence[Slice], names: Mapping[Question, Sequence[str]], now: datetime, batch_runner: BatchRunner
) -> BatchResult:
    """Read what is left once more, the oldest first, within the requests of an hour."""
    store = batch_runner.fetcher.store
    record = json.loads(await store.get_state(_REQUESTS_KEY) or "[]")
    lately = [(moment, count) for moment, count in record if now - timedelta(hours=1) < utc(moment) <= now]
    most = REQUESTS_PER_HOUR - sum(count for _, count in lately)
    if most <= 0:
        return BatchResult()
    few = [slice_ for batch in (await pack_slices(slices, batch_runner))[:most] for slice_ in batch.slices]
    result = await batch_runner.run(few, names, background=True, most_requests=most)
    lately.append((rfc3339(now), result.requests))
    await store.set_state(_REQUESTS_KEY, json.dumps(lately))
    return result
