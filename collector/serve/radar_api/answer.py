"""Answer a query from one consistent state of the history.

read                              decide (pure)                     write
series, extents, points, meta  →  matches, sums, absent buckets  →  chunks of JSON or CSV
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING

from collector.contract.errors import ApiError, bad_request, quote
from collector.datasets import DEFAULT, is_snapshot
from collector.interval import AggInterval, Grid
from collector.model import spelling_free
from collector.report.gaps import AbsentBuckets, StoredExtent, absence_rejection, published_absences, why_outside
from collector.serve.radar_api.parameters import parse_query
from collector.serve.radar_api.render import AnswerMeta, chunks
from collector.serve.radar_api.resolver import ALWAYS, NO_HISTORY, Extents, Incomplete, Rollup, SeriesData, SeriesIndex
from collector.timestamps import from_epoch
from collector.windows import SeriesWindow, intersect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from collector.contract.request_parser import ApiRequest, SeriesRequest
    from collector.datasets import Dataset
    from collector.serve.radar_api.parameters import HistoryQuery
    from collector.serve.radar_api.resolver import SeriesMatch
    from collector.store import AsOfReader, Store

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
        return chunks(self.request, self.series, self.meta, self.absent)


class NotStored(ApiError):
    """Nothing is stored in the range, or it begins before the first stored bucket; *result* is what is stored."""

    def __init__(self, message: str, result: QueryResult) -> None:
        super().__init__(NO_HISTORY, message)
        self.result = result


async def query_history(store: Store, raw_query: str, now: datetime, dataset: Dataset = DEFAULT) -> QueryResult:
    """Answer the query string *raw_query* (the part behind the `?`, encoded) about *dataset* as of *now*.

    Raises ApiError if it cannot be answered, StoreError if the store cannot be read.
    """
    return await answer_query(store, parse_query(dataset, raw_query, now.timestamp(), await store.grids()))


async def answer_query(store: Store, query: HistoryQuery) -> QueryResult:
    """Answer a parsed query; raises as `query_history` does."""
    as_of = None if query.as_of is None else from_epoch(query.as_of)
    now = query.now if query.as_of is None else query.as_of
    return await store.read_as_of(partial(_answer, request=query.request, now=now), as_of)


def _answer(history: AsOfReader, request: ApiRequest, now: float) -> QueryResult:
    """Choose series for each position, read them, add them up if necessary, and describe the answer."""
    index, request = _follow_former_grid(history, SeriesIndex(history.series(request.dataset.name)), request)
    request, matches = _choose(history, index, request)
    extents = _read_extents(history, request, matches)
    ranked = [_rank(found, one, extents) for found, one in zip(matches, request.series, strict=True)]
    for one, found in zip(request.series, ranked, strict=True):
        if not found:
            raise _with_name(ApiError(NO_HISTORY, "Nothing was known then for these filters"), one, request)
        snapshots = [extents.snapshots[i] for match in found for i in match.ids if i in extents.snapshots]
        if reason := next(filter(None, (why_outside(one, each, from_epoch(now)) for each in snapshots)), None):
            raise _with_name(bad_request(reason), one, request)
    data, used = _read_series(history, request, ranked, extents)
    absent, rejected = _find_absent(history, request, (data, used), extents, now)
    result = QueryResult(request, data, _read_meta(history, request, used, extents), absent)
    if rejected is not None:
        raise NotStored(rejected, result)
    return result


def _follow_former_grid(history: AsOfReader, index: SeriesIndex, request: ApiRequest) -> tuple[SeriesIndex, ApiRequest]:
    """Change the request to a former grid if nothing else is stored in its range."""
    former = {}
    for one in request.series:
        stored = index.get(one.query)
        if stored and stored.elsewhere and (found := history.on_former_grid(stored, one.start, one.end)):
            former[stored] = found
    if not former:
        return index, request
    offset = timedelta(seconds=next(one.former_offset or 0 for one in former.values()))
    others = [
        replace(stored, id=one.id, normalization=one.normalization, unit=one.unit, generations=())
        for stored, one in former.items()
    ]
    return index.with_series(others), request.on(Grid(request.agg_interval, offset))


def _choose(history: AsOfReader, index: SeriesIndex, request: ApiRequest) -> tuple[ApiRequest, list[list[SeriesMatch]]]:
    """Find the series that can answer each position.

    A request without an interval is answered at the finest one at which all positions can be.
    """
    rejected: ApiError | None = None
    for interval in AggInterval:
        if interval.seconds < request.agg_interval.seconds:
            continue
        tried, matches = request.at(interval), []
        for one in tried.series:
            changed = [history.within(stored, one.start, one.end) for stored in index.changed(one.query)]
            current = index.with_series(changed) if changed else index
            target = tried.grid(interval)
            found = [match for match in current.matches(one.query) if tried.grid(match.agg_interval).divides(target)]
            if not found:
                rejected = rejected or _with_name(_why_not(current, tried, one), one, request)
                break
            matches.append(found)
        else:
            return tried, matches
        if not request.auto:
            break
    assert rejected is not None
    raise rejected


def _why_not(index: SeriesIndex, request: ApiRequest, one: SeriesRequest) -> ApiError:
    """Return why nothing answers position *one* of *request*."""
    unfit = index.matches(one.query)
    if not unfit:
        return index.rejection(one.query)
    fine, coarse = unfit[0].agg_interval, request.agg_interval
    return bad_request(
        f"History for these filters is kept at {fine} and cannot be summed to {coarse}: buckets of {coarse} start at "
        f"{request.grid(coarse)}, within those of {fine}"
    )


def _with_name(error: ApiError, one: SeriesRequest, request: ApiRequest) -> ApiError:
    """Add the name of the series to an error, if the request has several."""
    if len(request.series) == 1:
        return error
    return ApiError(error.error_code, f"{quote(one.name)[1:-1]}: {error.message}")


def _read_extents(history: AsOfReader, request: ApiRequest, matches: Sequence[Sequence[SeriesMatch]]) -> Extents:
    """Read snapshots and lastUpdated of the series; and how far they reach, only if a choice depends on it."""
    parts = {part.id: part for found in matches for match in found for part in match.parts}
    moving = [part.id for part in parts.values() if is_snapshot(part.query)]
    snapshots = history.snapshots(moving) if moving else {}
    updated = history.last_updated(parts) | {i: one.last_updated for i, one in snapshots.items()}
    plain = all(len(found) == 1 and not found[0].is_summed(request.agg_interval) for found in matches)
    if plain and request.buckets <= MAX_POINTS and updated.keys() == parts.keys():
        return Extents(dict.fromkeys(parts, ALWAYS), updated, snapshots)
    spans = history.extents(parts) | dict.fromkeys(snapshots, ALWAYS)
    for series_id, (_, newest) in spans.items():  # because retention may delete the fetch and keep the point
        updated.setdefault(series_id, from_epoch(newest) + parts[series_id].query.agg_interval.step)
    return Extents(spans, updated, snapshots)


def _rank(matches: Sequence[SeriesMatch], one: SeriesRequest, extents: Extents) -> list[SeriesMatch]:
    """Return the matches with a known lastUpdated: those that cover most first, of equal ones the more direct."""
    usable = [match for match in matches if extents.last_updated.keys() >= set(match.ids)]
    return sorted(usable, key=partial(extents.buckets, one), reverse=True) if len(usable) > 1 else usable


def _read_series(
    history: AsOfReader, request: ApiRequest, ranked: Sequence[Sequence[SeriesMatch]], extents: Extents
) -> tuple[tuple[SeriesData, ...], list[SeriesMatch]]:
    """Read the points of each position from its first match that is complete."""
    _check_size(request, [found[0] for found in ranked], extents)
    series, used = [], []
    for one, matches in zip(request.series, ranked, strict=True):
        failed: Incomplete | None = None
        for match in matches:
            try:
                series.append(_read_points(history, one, match, extents))
            except Incomplete as error:
                failed = failed or error
                continue
            used.append(match)
            break
        else:
            raise _with_name(bad_request(str(failed)), one, request)
    measures = {tuple(map(spelling_free, match.measure)): match.measure for match in used}
    if len(measures) > 1:
        found = " and ".join(f"{normalization} in {unit}" for normalization, unit in sorted(measures.values()))
        raise bad_request(f"These series cannot stand in one answer: their values are {found}")
    return tuple(series), used


def _check_size(request: ApiRequest, matches: Sequence[SeriesMatch], extents: Extents) -> None:
    points = sum(
        (window.end - window.start) // match.agg_interval.seconds
        for one, match in zip(request.series, matches, strict=True)
        for window in extents.windows(one, match)
    )
    if points > MAX_POINTS:
        raise bad_request(
            f"aggInterval {request.agg_interval} is too granular for the date range: the answer would take {points} "
            f"stored points, at most {MAX_POINTS} are read"
        )


def _read_points(history: AsOfReader, one: SeriesRequest, match: SeriesMatch, extents: Extents) -> SeriesData:
    """Read the points of *match*, added up if it is finer or has several parts. Raises Incomplete if one is missing."""
    windows = extents.windows(one, match)
    if match.is_summed(one.query.agg_interval):
        rollup = Rollup(extents.rollup_spec(one, match))
        for window in windows:
            for block in history.points(window):
                rollup.add(block)
        return rollup.result(extents.spans_of(match), extents.closed_until(match))
    data = SeriesData(array("q"), array("d"))
    for block in history.points(windows[0]):
        timestamps, values = zip(*block, strict=True)
        data.timestamps.extend(timestamps)
        data.values.extend(values)
    return data


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
    positions = list(zip(request.series, *answered, strict=True))
    short = [one for one in positions if len(one[1].timestamps) < (one[0].end - one[0].start) // step]
    if not short:
        return (), None
    published = history.published({i for _, _, match in short for i in match.ids}, now)
    absent, rejected = [], None
    for one, data, match in short:
        until = min(published[i] for i in match.ids)
        windows = published_absences(data.timestamps, (one.start, one.end), step, until)
        if not windows:
            continue
        absent.append(AbsentBuckets(one.name, request.agg_interval, tuple(windows)))
        if rejected is None and match.ids[0] not in extents.snapshots:
            reason = absence_rejection(data.timestamps, (one.start, one.end), windows, _stored_extent(history, match))
            rejected = reason and _with_name(bad_request(reason), one, request).message
    return tuple(absent), rejected


def _stored_extent(history: AsOfReader, match: SeriesMatch) -> StoredExtent:
    """Read the buckets that all parts of *match* have, and those that Radar is proven not to have."""
    ids = set(match.ids)
    spans, proven = history.extents(ids), history.proven_absent(ids)
    complete = [spans[i] for i in ids] if ids <= spans.keys() else []
    oldest, newest = max((a for a, _ in complete), default=None), min((b for _, b in complete), default=None)
    return StoredExtent(match.agg_interval, oldest, newest, tuple(reduce(intersect, [proven.get(i, []) for i in ids])))


def _read_meta(history: AsOfReader, request: ApiRequest, used: Sequence[SeriesMatch], extents: Extents) -> AnswerMeta:
    windows = [
        SeriesWindow(i, one.start, one.end) for one, match in zip(request.series, used, strict=True) for i in match.ids
    ]
    normalization, unit = used[0].measure
    level = history.confidence_level(windows)
    if level is None and not history.is_answered(windows):
        level = UNASSIGNED
    ranges = [(one.start, one.end) for one in request.series]
    return AnswerMeta(
        last_updated=min(extents.last_updated[window.series_id] for window in windows),
        normalization=normalization,
        unit=unit,
        confidence_level=level,
        annotations=history.annotations(request.dataset.name, ranges),
        unit_names=history.unit_names(unit),
        asked_at=[one.asked_at if (one := extents.snapshots.get(match.ids[0])) else None for match in used],
    )
