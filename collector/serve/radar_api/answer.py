"""Answer a query from one consistent state of the history.

parse  →  read                              decide (pure)                     write
          series, extents, points, meta  →  matches, sums, absent buckets  →  chunks of JSON or CSV
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING, NamedTuple

from collector.contract.response import ApiError, bad_request, quote
from collector.datasets import DEFAULT
from collector.interval import AggInterval, Grid
from collector.model import spelling_free
from collector.report.gaps import AbsentBuckets, StoredExtent, absence_rejection, published_absences, why_outside
from collector.serve.radar_api.parameters import parse_query
from collector.serve.radar_api.render import AnswerMeta, write_csv, write_json
from collector.serve.radar_api.resolver import (
    ALWAYS,
    NO_HISTORY,
    Extents,
    Incomplete,
    Rollup,
    SeriesData,
    SeriesIndex,
    possible_parts,
)
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow, intersect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest, SeriesRequest
    from collector.datasets import Dataset
    from collector.serve.radar_api.parameters import HistoryQuery
    from collector.serve.radar_api.resolver import SeriesMatch
    from collector.store import AsOfReader, Store, StoredSeries
    from collector.store.series.generations import Generation

UNASSIGNED = 4
"""The confidence level of values for which no answer is on record."""
MAX_POINTS = 1_000_000
"""The number of stored points that one answer may be made of: 28 years of one series at 15m."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer before it is written: the points of each series of *request*, and the buckets that are *absent*."""

    request: ApiRequest
    series: tuple[SeriesData, ...]
    meta: AnswerMeta
    absent: tuple[AbsentBuckets, ...] = ()

    @property
    def points(self) -> int:
        """The number of points of all series."""
        return sum(len(data.timestamps) for data in self.series)

    @property
    def content_type(self) -> str:
        """The media type of the text."""
        return "text/csv" if self.request.format == "CSV" else "application/json"

    def chunks(self) -> Iterator[str]:
        """Return the text of the answer, part by part."""
        if self.request.format == "CSV":
            return write_csv(self.request, self.series)
        return write_json(self.request, self.series, self.meta, self.absent)


class NotStored(ApiError):
    """Nothing is stored in the range, or it begins before the first stored bucket; *result* is what is stored."""

    def __init__(self, message: str, result: QueryResult) -> None:
        super().__init__(NO_HISTORY, message)
        self.result = result


async def query_history(store: Store, raw_query: str, now: datetime, dataset: Dataset = DEFAULT) -> QueryResult:
    """Answer the query string *raw_query* (the part behind the `?`, encoded) about *dataset* as of *now*.

    Raises ApiError if it cannot be answered, StoreError if the store cannot be read.
    """
    return await store.read_as_of(partial(_parse_and_answer, dataset=dataset, raw_query=raw_query, now=now.timestamp()))


def _parse_and_answer(history: AsOfReader, dataset: Dataset, raw_query: str, now: float) -> QueryResult:
    """Parse and answer a query in one transaction."""
    grids = {interval: known.grid for interval, known in history.grids.items()}
    query = parse_query(dataset, raw_query, now, grids)
    if query.as_of is None:
        return _answer(history, query.request, now)
    return _answer(history.at(from_epoch(query.as_of)), query.request, query.as_of)


async def answer_query(store: Store, query: HistoryQuery) -> QueryResult:
    """Answer a parsed query. Raises what `query_history` raises."""
    as_of = None if query.as_of is None else from_epoch(query.as_of)
    now = query.now if query.as_of is None else query.as_of
    return await store.read_as_of(partial(_answer, request=query.request, now=now), as_of)


def _answer(history: AsOfReader, request: ApiRequest, now: float) -> QueryResult:
    return answer_request(history, request, now).result


class Answered(NamedTuple):
    """An answer, and for each of its positions the series that it was made of."""

    result: QueryResult
    used: Sequence[SeriesMatch]


def answer_request(history: AsOfReader, request: ApiRequest, now: float) -> Answered:
    """Choose series for each position, read them, add them up if necessary, and describe the answer.

    Raises ApiError if the request cannot be answered.
    """
    request, matches = _find_series(history, request)
    extents = _read_extents(history, request, matches)
    ranked = [
        _rank(request, position, candidates, extents, now)
        for position, candidates in zip(request.series, matches, strict=True)
    ]
    data, used = _read_series(history, request, ranked, extents)
    absent, rejection = _find_absent(history, request, (data, used), extents, now)
    result = QueryResult(request, data, _read_meta(history, request, used, extents), absent)
    if rejection is not None:
        raise NotStored(rejection, result)
    return Answered(result, used)


def _find_series(history: AsOfReader, request: ApiRequest) -> tuple[ApiRequest, list[list[SeriesMatch]]]:
    """Find the series that can answer each position. Only those that the request can mean are read, if that is enough.

    All of them are read for an error, which names similar ones, and as soon as the grid of an interval has moved.
    """
    dimension = request.series[0].query.dimension
    if not any(known.since for known in history.grids.values()):
        coarsest = AggInterval.ONE_WEEK if request.auto else request.agg_interval
        queries = [part for position in request.series for part in possible_parts(position.query, coarsest)]
        try:
            return _choose(history, SeriesIndex(history.series(request.dataset.name, queries, dimension)), request)
        except ApiError:
            pass
    stored = history.series(request.dataset.name, dimension=dimension)
    index = SeriesIndex(stored)
    if any(series.elsewhere for series in stored):
        index, request = _follow_former_grid(history, index, request)
    return _choose(history, index, request)


def _follow_former_grid(history: AsOfReader, index: SeriesIndex, request: ApiRequest) -> tuple[SeriesIndex, ApiRequest]:
    """Change the request to a former grid if nothing else is stored in its range."""
    former: dict[StoredSeries, Generation] = {}
    for position in request.series:
        series = index.by_query.get(position.query)
        if series and series.elsewhere:
            generation = history.on_former_grid(series, position.start, position.end)
            former |= {series: generation} if generation else {}
    if not former:
        return index, request
    offset = timedelta(seconds=next(generation.former_offset or 0 for generation in former.values()))
    replaced = [
        series._replace(id=moved.id, normalization=moved.normalization, unit=moved.unit, generations=())
        for series, moved in former.items()
    ]
    return index.with_series(replaced), request.on(Grid(request.agg_interval, offset))


def _choose(history: AsOfReader, index: SeriesIndex, request: ApiRequest) -> tuple[ApiRequest, list[list[SeriesMatch]]]:
    """Find the series that can answer each position.

    A request without an interval is answered at the finest interval at which every position can be answered.
    """
    rejection: ApiError | None = None
    for interval in AggInterval:
        if interval.seconds < request.agg_interval.seconds:
            continue
        tried, matches = request if interval is request.agg_interval else request.at(interval), []
        for position in tried.series:
            changed = [history.within(series, position.start, position.end) for series in index.changed(position.query)]
            current = index.with_series(changed) if changed else index
            candidates = [match for match in current.matches(position.query) if _fits_grid(tried, match)]
            if not candidates:
                rejection = rejection or _with_name(_why_not(current, tried, position), position, request)
                break
            matches.append(candidates)
        else:
            return tried, matches
        if not request.auto:
            break
    assert rejection is not None
    raise rejection


def _fits_grid(request: ApiRequest, match: SeriesMatch) -> bool:
    """Return whether each bucket of *request* is made of whole buckets of *match*."""
    interval = match.agg_interval
    return interval is request.agg_interval or request.grid(interval).divides(request.grid(request.agg_interval))


def _why_not(index: SeriesIndex, request: ApiRequest, position: SeriesRequest) -> ApiError:
    """Return why nothing answers *position* of *request*."""
    unfit = index.matches(position.query)
    if not unfit:
        return index.rejection(position.query)
    fine, coarse = unfit[0].agg_interval, request.agg_interval
    return bad_request(
        f"History for these filters is kept at {fine} and cannot be summed to {coarse}: buckets of {coarse} start at "
        f"{request.grid(coarse)}, within those of {fine}"
    )


def _with_name(error: ApiError, position: SeriesRequest, request: ApiRequest) -> ApiError:
    """Add the name of the series to an error, if the request has several."""
    if len(request.series) == 1:
        return error
    return ApiError(error.error_code, f"{quote(position.name)[1:-1]}: {error.message}")


def _read_extents(history: AsOfReader, request: ApiRequest, matches: Sequence[Sequence[SeriesMatch]]) -> Extents:
    """Read snapshots and lastUpdated of the series. Read their extents only if a choice depends on them."""
    parts = {part.id: part for candidates in matches for match in candidates for part in match.parts}
    of_snapshots = [part.id for part in parts.values() if request.dataset.snapshot_filters(part.query.filters)]
    snapshots = history.snapshots(of_snapshots) if of_snapshots else {}
    updated = history.last_updated(parts) | {i: snapshot.last_updated for i, snapshot in snapshots.items()}
    is_plain = all(len(candidates) == 1 and not candidates[0].is_summed for candidates in matches)
    if is_plain and request.buckets <= MAX_POINTS and updated.keys() == parts.keys():
        return Extents(dict.fromkeys(parts, ALWAYS), updated, snapshots)
    spans = history.extents(parts) | dict.fromkeys(snapshots, ALWAYS)
    for series_id, (_, newest) in spans.items():  # because retention may delete the fetch and keep the point
        updated.setdefault(series_id, from_epoch(newest) + parts[series_id].query.agg_interval.step)
    return Extents(spans, updated, snapshots)


def _rank(
    request: ApiRequest, position: SeriesRequest, matches: Sequence[SeriesMatch], extents: Extents, now: float
) -> list[SeriesMatch]:
    """Return the matches with a known lastUpdated: those that cover most first, of equal ones the more direct.

    Raises ApiError if there is none, or if a snapshot does not cover the range.
    """
    usable = [match for match in matches if extents.last_updated.keys() >= set(match.ids)]
    if not usable:
        raise _with_name(ApiError(NO_HISTORY, "Nothing was known then for these filters"), position, request)
    if len(usable) > 1:
        usable.sort(key=partial(extents.buckets, position), reverse=True)
    for snapshot in (extents.snapshots[i] for match in usable for i in match.ids if i in extents.snapshots):
        if reason := why_outside(position, snapshot, from_epoch(now)):
            raise _with_name(bad_request(reason), position, request)
    return usable


def _read_series(
    history: AsOfReader, request: ApiRequest, ranked: Sequence[Sequence[SeriesMatch]], extents: Extents
) -> tuple[tuple[SeriesData, ...], list[SeriesMatch]]:
    """Read the points of each position from its first match that is complete."""
    _check_size(request, [matches[0] for matches in ranked], extents)
    series, used = [], []
    for position, matches in zip(request.series, ranked, strict=True):
        incomplete: Incomplete | None = None
        for match in matches:
            try:
                series.append(_read_points(history, position, match, extents))
            except Incomplete as error:
                incomplete = incomplete or error
                continue
            used.append(match)
            break
        else:
            raise _with_name(bad_request(str(incomplete)), position, request)
    if len({match.measure for match in used}) > 1:
        _check_measures(used)
    return tuple(series), used


def _check_measures(used: Sequence[SeriesMatch]) -> None:
    """Raise ApiError if the measures differ in more than their spelling, because an answer has only one."""
    measures = {tuple(map(spelling_free, match.measure)): match.measure for match in used}
    if len(measures) > 1:
        listed = " and ".join(f"{normalization} in {unit}" for normalization, unit in sorted(measures.values()))
        raise bad_request(f"These series cannot stand in one answer: their values are {listed}")


def _check_size(request: ApiRequest, matches: Sequence[SeriesMatch], extents: Extents) -> None:
    points = sum(
        (window.end - window.start) // match.agg_interval.seconds
        for position, match in zip(request.series, matches, strict=True)
        for window in extents.windows(position, match)
    )
    if points > MAX_POINTS:
        raise bad_request(
            f"aggInterval {request.agg_interval} is too granular for the date range: the answer would take {points} "
            f"stored points, at most {MAX_POINTS} are read"
        )


def _read_points(history: AsOfReader, position: SeriesRequest, match: SeriesMatch, extents: Extents) -> SeriesData:
    """Read the points of *match*, added up if it is finer or has several parts. Raises Incomplete if one is missing."""
    windows = extents.windows(position, match)
    if match.is_summed:
        rollup = Rollup(extents.rollup_spec(position, match))
        for window in windows:
            for block in history.points(window):
                rollup.add(block)
        return rollup.result(extents.spans_of(match), extents.known_until(match))
    run = history.run(windows[0], match.agg_interval.seconds) if match.is_counts else None
    if run is not None:
        return SeriesData(run.timestamps, run.values)
    timestamps, values = array("q"), array("d")
    for block in history.points(windows[0]):
        block_timestamps, block_values = zip(*block, strict=True)
        timestamps.extend(block_timestamps)
        values.extend(block_values)
    return SeriesData(timestamps, values)


def _find_absent(
    history: AsOfReader,
    request: ApiRequest,
    answered: tuple[Sequence[SeriesData], Sequence[SeriesMatch]],
    extents: Extents,
    now: float,
) -> tuple[tuple[AbsentBuckets, ...], str | None]:
    """Find the buckets that the answer lacks, and why the request must be rejected for that, if it must.

    *answered* has the data and the match of each position. What a snapshot lacks inside its range, Radar did not have.
    """
    step = request.agg_interval.seconds
    answers = list(zip(request.series, *answered, strict=True))
    short = [answer for answer in answers if len(answer[1].timestamps) < (answer[0].end - answer[0].start) // step]
    if not short:
        return (), None
    published = history.published({i for _, _, match in short for i in match.ids}, now)
    absent, rejection = [], None
    for position, data, match in short:
        requested = position.start, position.end
        windows = published_absences(data.timestamps, requested, step, min(published[i] for i in match.ids))
        if not windows:
            continue
        absent.append(AbsentBuckets(position.name, request.agg_interval, tuple(windows)))
        if rejection is None and match.ids[0] not in extents.snapshots:
            reason = absence_rejection(data.timestamps, requested, windows, stored_extent(history, match))
            rejection = reason and _with_name(bad_request(reason), position, request).message
    return tuple(absent), rejection


def stored_extent(history: AsOfReader, match: SeriesMatch) -> StoredExtent:
    """Read the buckets that all parts of *match* have, and those that Radar is proven not to have."""
    ids = set(match.ids)
    spans, proven = history.extents(ids), history.proven_absent(ids)
    complete = [spans[i] for i in ids] if ids <= spans.keys() else []
    oldest, newest = max((a for a, _ in complete), default=None), min((b for _, b in complete), default=None)
    return StoredExtent(match.agg_interval, oldest, newest, tuple(reduce(intersect, [proven.get(i, []) for i in ids])))


def _read_meta(history: AsOfReader, request: ApiRequest, used: Sequence[SeriesMatch], extents: Extents) -> AnswerMeta:
    windows = [
        SeriesWindow(series_id, position.start, position.end)
        for position, match in zip(request.series, used, strict=True)
        for series_id in match.ids
    ]
    normalization, unit = used[0].measure
    level = history.confidence_level(windows)
    if level is None and not history.is_answered(windows):
        level = UNASSIGNED
    ranges = [(position.start, position.end) for position in request.series]
    snapshots = [extents.snapshots.get(match.ids[0]) for match in used]
    return AnswerMeta(
        last_updated=min(extents.last_updated[window.series_id] for window in windows),
        normalization=normalization,
        unit=unit,
        confidence_level=level,
        annotations=history.annotations(request.dataset.name, ranges),
        unit_names=history.unit_names(unit),
        asked_at=[snapshot.asked_at if snapshot else None for snapshot in snapshots],
    )
