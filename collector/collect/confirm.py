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
from collector.interval import AggInterval, Grid, grid_of
from collector.model import GroupedPoints, Normalization, Question, Slice, Window, known_spelling
from collector.rules.finality import DAY, final_windows, floor_bucket
from collector.timestamps import from_epoch, rfc3339, utc
from collector.windows import hull, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from collector.collect.batches.batch_runner import BatchRunner
    from collector.model import Answer, Batch
    from collector.profile import Profile
    from collector.store import ReadView, SeriesState, Store
    from collector.windows import EpochWindow

log = logging.getLogger(__name__)

_REST = timedelta(hours=1)
"""The shortest time between the first and the second reading."""
REQUESTS_PER_HOUR = 10
"""For the history of series whose values do not add up."""
_ANNOTATIONS_KEY = "annotations_confirmed_until"
DAYS_OF_DOUBT = 2
"""How far back annotations are confirmed the first time."""
_REQUESTS_KEY = "confirmation_requests"
_DAILY = AggInterval.ONE_DAY
_USUAL_DAYS = Grid(_DAILY)
_SUMMED = frozenset(interval for interval in AggInterval if interval.step < _DAILY.step)


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The windows of a series that only one answer has shown: whole *days* to compare with sums, and the *rest*.

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
        return replace(self.query, agg_interval=_DAILY)


def unconfirmed_windows(
    query: Question, state: SeriesState, settle: int, now: datetime, daily: Grid = _USUAL_DAYS
) -> Unconfirmed:
    """Return the final windows of a series that only one answer has shown, at least an hour ago.

    A part of a day waits until the whole day is final. Days are buckets of the grid *daily*.
    """
    step, until = query.agg_interval.seconds, (now - _REST).timestamp()
    rows = [row for row in state.evidence if row.asked_at <= until]
    windows = state.still_there(_clipped(final_windows(rows, settle, step, confirmed=False), state.current))
    is_whole = grid_of(query.agg_interval, from_epoch(state.extent[0])).divides(daily)
    if query.agg_interval not in _SUMMED or state.sums_differ or not is_whole or not adds_up_over_time(query):
        return Unconfirmed(query, settle, [], windows)
    final = _clipped(final_windows(state.evidence, settle, step), state.current)
    days = whole_days(windows, final, daily.seconds)
    unfinished = floor_bucket(now.timestamp() - settle - 2 * DAY, state.extent[0], step)
    left = [part for window in windows for part in subtract(window, days)]
    return Unconfirmed(query, settle, days, _clipped(left, (0, unfinished)), daily.seconds)


def _clipped(windows: Iterable[EpochWindow], extent: EpochWindow) -> list[EpochWindow]:
    parts = ((max(start, extent[0]), min(end, extent[1])) for start, end in windows)
    return [(start, end) for start, end in parts if start < end]


def whole_days(windows: Iterable[EpochWindow], final: Sequence[EpochWindow], offset: int = 0) -> list[EpochWindow]:
    """Return the days that overlap *windows* and are *final* from their first to their last bucket.

    They begin *offset* seconds after midnight UTC.
    """
    days = {day for a, b in windows for day in range((a - offset) // DAY, -(-(b - offset) // DAY))}
    whole = ((day * DAY + offset, (day + 1) * DAY + offset) for day in days)
    return merge(day for day in whole if not subtract(day, final))


async def confirm(profiles: Sequence[Profile], now: datetime, store: Store, batch_runner: BatchRunner) -> BatchResult:
    """Confirm the unconfirmed windows of *profiles*. Failures are retried by the next call."""
    daily = (await store.grids())[_DAILY]
    wanted = await store.with_read_view(lambda view: _unconfirmed(view, profiles, now, daily))
    names = {
        query: profiles_of for unconfirmed in wanted for query, profiles_of in _names(profiles, unconfirmed).items()
    }
    result = await _compare_days([unconfirmed for unconfirmed in wanted if unconfirmed.days], names, batch_runner)
    rest = [Slice(unconfirmed.query, _window(window)) for unconfirmed in wanted for window in unconfirmed.rest]
    if rest and not result.stopped:
        result += await read_again(rest, names, now, batch_runner)
    if not result.stopped:
        result += await _confirm_annotations(profiles, now, batch_runner, daily)
    return result


async def _confirm_annotations(
    profiles: Sequence[Profile], now: datetime, batch_runner: BatchRunner, daily: Grid = _USUAL_DAYS
) -> BatchResult:
    """Request the days of annotations again that only one answer contained, because it may have been wrong."""
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
    """Return the two days, buckets of the grid *daily*, around *moment*."""
    first = daily.floor(moment - timedelta(hours=12))
    return Window(first, first + 2 * packing.DAY)


def _unconfirmed(view: ReadView, profiles: Sequence[Profile], now: datetime, daily: Grid) -> list[Unconfirmed]:
    profile_of = {series.query: profile for profile in profiles for series in profile.series}
    relative = view.relative_queries(profile_of)
    states = view.series_states([query for query in profile_of if query not in relative])
    words = view.measures([*states])
    series = []
    for query, state in states.items():
        is_count = known_spelling(words.get(query, Normalization.RAW_VALUES)) == Normalization.RAW_VALUES
        known = state if is_count else state._replace(sums_differ=True)  # other values need not add up to a day's
        series.append(unconfirmed_windows(query, known, settle_of(profile_of[query], state), now, daily))
    return [unconfirmed for unconfirmed in series if unconfirmed.days or unconfirmed.rest]


def _names(profiles: Sequence[Profile], unconfirmed: Unconfirmed) -> Mapping[Question, Sequence[str]]:
    names = [
        profile.name for profile in profiles if any(series.query == unconfirmed.query for series in profile.series)
    ]
    return {unconfirmed.query: names, unconfirmed.daily_query: names}


def _window(window: EpochWindow) -> Window:
    return Window(from_epoch(window[0]), from_epoch(window[1]))


async def _compare_days(
    wanted: Sequence[Unconfirmed], names: Mapping[Question, Sequence[str]], batch_runner: BatchRunner
) -> BatchResult:
    """Request daily values, and read the days again that differ from the sums."""
    answers = _DailyAnswers()
    handling = Handling(keep=answers.keep, history=False)
    slices = [Slice(unconfirmed.daily_query, hull(map(_window, unconfirmed.days))) for unconfirmed in wanted]
    result = await batch_runner.run(slices, names, background=True, handling=handling)
    differing: dict[Question, list[EpochWindow]] = {}
    for unconfirmed in wanted:
        days = await _differing_days(unconfirmed, answers, batch_runner.fetcher.store)
        if days:
            differing[unconfirmed.query] = days
    if not differing or result.stopped:
        return result
    again = [Slice(query, _window(window)) for query, days in differing.items() for window in merge(days)]
    reread = await batch_runner.run(again, names, background=True)
    for unconfirmed in wanted:
        if unconfirmed.query in differing and unconfirmed.query not in reread.failed and not reread.stopped:
            await _judge_sums(unconfirmed, differing[unconfirmed.query], answers, batch_runner.fetcher.store)
    return result + reread


class _DailyAnswers:
    """Daily values by question and day, with the lastUpdated of their answers."""

    def __init__(self) -> None:
        self.values: dict[Question, dict[int, float]] = defaultdict(dict)
        self.groups: dict[Question, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        self.answered: dict[Question, list[tuple[EpochWindow, float]]] = defaultdict(list)

    def keep(self, _fetch_id: int, batch: Batch, answer: Answer) -> None:
        """Keep an answer, unless its values are no counts."""
        if answer.meta.normalization != Normalization.RAW_VALUES:
            return
        for slice_, points in zip(batch.slices, answer.series, strict=True):
            window = int(slice_.window.start.timestamp()), int(slice_.window.end.timestamp())
            self.answered[slice_.series].append((window, answer.meta.last_updated.timestamp()))
            self.values[slice_.series].update(zip(points.timestamps, points.values, strict=True))
            for name, group in points.groups.items() if isinstance(points, GroupedPoints) else ():
                for timestamp, value in zip(group.timestamps, group.values, strict=True):
                    self.groups[slice_.series][timestamp][name] = value

    def covers(self, query: Question, day: EpochWindow, settle: int) -> bool:
        """Return whether an answer past settle has covered *day*."""
        return any(
            a <= day[0] and day[1] <= min(b, last_updated - settle)
            for (a, b), last_updated in self.answered.get(query, ())
        )


def _days(windows: Iterable[EpochWindow]) -> list[EpochWindow]:
    return [(start, start + DAY) for window in windows for start in range(window[0], window[1], DAY)]


async def _differing_days(unconfirmed: Unconfirmed, answers: _DailyAnswers, store: Store) -> list[EpochWindow]:
    """Confirm the days whose sums equal the daily values. Returns those that differ."""
    covered = [
        day for day in _days(unconfirmed.days) if answers.covers(unconfirmed.daily_query, day, unconfirmed.settle)
    ]
    differing = await _unequal(unconfirmed, covered, answers, store)
    equal = [day for day in covered if day not in differing]
    await store.confirm(unconfirmed.query, merge(equal), unconfirmed.settle)
    return differing


async def _unequal(
    unconfirmed: Unconfirmed, days: Sequence[EpochWindow], answers: _DailyAnswers, store: Store
) -> list[EpochWindow]:
    """Return those of *days*, ascending, whose sum differs from the daily value, in all or in a group."""
    if not days:
        return []
    query, window = unconfirmed.query, _window((days[0][0], days[-1][1]))
    sums = await store.daily_sums(query, window, unconfirmed.offset)
    values = answers.values.get(unconfirmed.daily_query, {})
    differing = {day for day in days if sums.get(day[0]) != values.get(day[0])}
    if query.has_groups:
        of_groups = await store.daily_group_sums(query, window, unconfirmed.offset)
        listed = answers.groups[unconfirmed.daily_query]
        for day in days:  # where a group is unknown in an hour, its sum is, too
            known = of_groups.get(day[0])
            if known is not None and any(known.get(name, 0.0) != value for name, value in listed[day[0]].items()):
                differing.add(day)
    return sorted(differing)


async def _judge_sums(
    unconfirmed: Unconfirmed, days: Sequence[EpochWindow], answers: _DailyAnswers, store: Store
) -> None:
    """Switch the comparison off if the second reading has confirmed a day whose sum still differs."""
    state = (await store.series_states([unconfirmed.query])).get(unconfirmed.query)
    confirmed = (
        final_windows(state.evidence, unconfirmed.settle, unconfirmed.query.agg_interval.seconds, confirmed=True)
        if state
        else []
    )
    differing = await _unequal(unconfirmed, days, answers, store)
    confirmed_days = [day for day in differing if not subtract(day, confirmed)]
    if confirmed_days:
        await store.set_sums_differ(unconfirmed.query)
        day = rfc3339(from_epoch(confirmed_days[0][0]))
        reason = f"the daily value of {day} is not the sum of its parts, though a second answer confirms these"
        log.warning("confirm", extra={"outcome": "differs", "series": unconfirmed.query.filters_json, "reason": reason})


async def read_again(
    slices: Sequence[Slice], names: Mapping[Question, Sequence[str]], now: datetime, batch_runner: BatchRunner
) -> BatchResult:
    """Read *slices* once more, the first ones within the maximum of requests per hour."""
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
