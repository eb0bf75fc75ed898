"""Answer a request by a dimension: from stored groups, or from the series of each value of the dimension's filter.

ways  →  answer the sums as a time series is answered  →  divide them (grouping)  →  write (render_groups)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from collector.contract.response import BAD_REQUEST, ApiError, bad_request, quote
from collector.datasets import adds_up_over_values, dataset_of, why_not_over_time
from collector.model import Normalization, known_spelling, spelling_free
from collector.report.gaps import AbsentBuckets, absence_sentences
from collector.serve.radar_api.answer import Answered, NotStored, answer_request, stored_extent
from collector.serve.radar_api.grouping import Contradiction, DividedSeries, divide
from collector.serve.radar_api.parameters import parse_groups_query
from collector.serve.radar_api.read_groups import UnknownGroup, read_groups
from collector.serve.radar_api.render_groups import write_groups_csv, write_groups_json
from collector.serve.radar_api.resolver import NO_HISTORY
from collector.timestamps import from_epoch
from collector.windows import merge, subtract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from collector.contract.group_parser import GroupsPlace, GroupsRequest
    from collector.contract.request_parser import ApiRequest
    from collector.model import Question
    from collector.serve.radar_api.render import AnswerMeta
    from collector.serve.radar_api.resolver import SeriesData
    from collector.store import AsOfReader, Store

    _Way = Callable[[AsOfReader, GroupsRequest, float], "GroupsResult"]


@dataclass(frozen=True, slots=True)
class GroupsResult:
    """An answer before it is written: the groups of each position of *request*, and the buckets that are *absent*."""

    groups: GroupsRequest
    request: ApiRequest
    series: tuple[DividedSeries, ...]
    meta: AnswerMeta
    absent: tuple[AbsentBuckets, ...] = ()

    @property
    def points(self) -> int:
        """The number of values of all groups."""
        if self.groups.is_summary:
            return sum(len(divided.listed) + 1 for divided in self.series)
        return sum(len(divided.timestamps) * (len(divided.listed) + 1) for divided in self.series)

    @property
    def content_type(self) -> str:
        """The media type of the text."""
        return "text/csv" if self.request.format == "CSV" else "application/json"

    def chunks(self) -> Iterator[str]:
        """Return the text of the answer, part by part."""
        is_summary = self.groups.is_summary
        if self.request.format == "CSV":
            return write_groups_csv(self.request, self.series, is_summary=is_summary)
        return write_groups_json(self.request, self.series, self.meta, self.absent, is_summary=is_summary)


async def query_groups(store: Store, place: GroupsPlace, raw_query: str, now: datetime) -> GroupsResult:
    """Answer the query string *raw_query* by a dimension as of *now*.

    Raises ApiError if it cannot be answered, StoreError if the store cannot be read.
    """

    def work(history: AsOfReader) -> GroupsResult:
        grids = {interval: known.grid for interval, known in history.grids.items()}
        query = parse_groups_query(place, raw_query, now.timestamp(), grids)
        if query.as_of is None:
            return answer_groups(history, query.groups, query.now)
        return answer_groups(history.at(from_epoch(query.as_of)), query.groups, query.as_of)

    return await store.read_as_of(work)


def answer_groups(history: AsOfReader, groups: GroupsRequest, now: float) -> GroupsResult:
    """Answer at the requested interval, or at the finest one at which the history can.

    All positions are answered the same way if one way answers all. Raises ApiError if a position cannot be answered.
    """
    try:
        return _answer_alike(history, groups, now)
    except ApiError:
        if len(groups.request.series) == 1:
            raise
    return _answer_apart(history, groups, now)


def _answer_alike(history: AsOfReader, groups: GroupsRequest, now: float) -> GroupsResult:
    """Answer all positions from the first way that can; raises ApiError if there is none."""
    coarser: list[GroupsResult] = []
    rejections: list[ApiError] = []
    for way in _ways(groups):
        try:
            result = way(history, groups, now)
        except ApiError as error:
            rejections.append(error)
            continue
        if result.absent and any(isinstance(error, UnknownGroup) for error in rejections):
            continue
        if result.request.agg_interval is groups.request.agg_interval:
            return result
        coarser.append(result)
    if coarser:
        return min(coarser, key=lambda result: result.request.agg_interval.seconds)
    raise min(rejections, key=_vagueness)


def _answer_apart(history: AsOfReader, groups: GroupsRequest, now: float) -> GroupsResult:
    """Answer each position by itself, all at one interval; raises ApiError if one cannot be answered."""
    results = []
    for position in groups.request.series:
        try:
            alone = replace(groups, request=replace(groups.request, series=(position,)))
            results.append(_answer_alike(history, alone, now))
        except ApiError as error:
            raise ApiError(error.error_code, f"{quote(position.name)[1:-1]}: {error.message}") from None
    coarsest = max((result.request.agg_interval for result in results), key=lambda interval: interval.seconds)
    if any(result.request.agg_interval is not coarsest for result in results):
        return _answer_apart(history, replace(groups, request=groups.request.at(coarsest)), now)
    if len({spelling_free(result.meta.unit) for result in results}) > 1:
        raise bad_request(f"These series cannot stand in one answer: their units are {_listed(results)}")
    request = _at(groups.request, results[0].request)
    ranges = [(position.start, position.end) for position in request.series]
    levels = [result.meta.confidence_level for result in results if result.meta.confidence_level is not None]
    meta = replace(
        results[0].meta,
        last_updated=min(result.meta.last_updated for result in results),
        confidence_level=min(levels, default=None),
        annotations=history.annotations(request.dataset.name, ranges),
        asked_at=[moment for result in results for moment in result.meta.asked_at],
    )
    divided = [part for result in results for part in result.series]
    return _result(groups, request, divided, meta, [part for result in results for part in result.absent])


def _listed(results: Sequence[GroupsResult]) -> str:
    return " and ".join(sorted({result.meta.unit for result in results}))


def _vagueness(error: ApiError) -> int:
    """Return 0 for an error about what is stored, 1 for one about how it is stored, 2 for no history at all."""
    if isinstance(error, NotStored | UnknownGroup):
        return 0
    return 1 if error.error_code == BAD_REQUEST else 2


def _ways(groups: GroupsRequest) -> Iterator[_Way]:
    """Yield the ways to answer: from the groups of the same filters, of fewer filters, from single series, as shares.

    A filter by the dimension itself leaves some of its groups whole only if they exclude each other.
    """
    own = groups.parameter.name
    queries = [position.query for position in groups.request.series]
    yield partial(_from_groups, is_narrowed=False)
    is_exclusive = all(own not in query.filters or _excludes(query, own) for query in queries)
    if is_exclusive and all(own in query.filters for query in queries):
        yield partial(_from_groups, is_narrowed=True)
    if is_exclusive and all(own in query.filters or groups.parameter.values for query in queries):
        yield _from_single_series
    if groups.normalization is Normalization.PERCENTAGE:
        yield partial(_from_groups, is_narrowed=False, asked=Normalization.PERCENTAGE.value)


def _excludes(query: Question, name: str) -> bool:
    """Return whether what has one value of a filter has no other one, beside the other filters of *query*."""
    moving = dataset_of(query).snapshot_filters(query.filters)  # no matter: all groups are of one moment
    filters = {other: values for other, values in query.filters.items() if other not in moving or other == name}
    return adds_up_over_values(replace(query, filters=filters), name)


def _from_groups(
    history: AsOfReader, groups: GroupsRequest, now: float, *, is_narrowed: bool, asked: str = ""
) -> GroupsResult:
    """Answer from the stored groups of the dimension. If *is_narrowed*, the filter by it chooses some of them."""
    own = groups.parameter
    positions = []
    for position in groups.request.series:
        filters = dict(position.query.filters)
        if is_narrowed:
            del filters[own.name]
        query = replace(position.query, filters=filters, dimension=own.dimension, normalization=asked)
        positions.append(replace(position, query=query))
    answered = answer_request(history, replace(groups.request, series=tuple(positions)), now)
    stored = _check_normalization(groups, answered)
    request = _at(groups.request, answered.result.request)
    divided = []
    for position, data, match in zip(request.series, answered.result.series, answered.used, strict=True):
        chosen = sorted(set(position.query.filters[own.name])) if is_narrowed else None
        known = read_groups(history, position, data, match, chosen)
        whole = _numbers(data) if chosen is None else [sum(bucket) for bucket in zip(*known.values(), strict=True)]
        if own.has_many_groups and chosen is None:  # a closed group has no certificates, and is not listed for ever
            known = {name: values for name, values in known.items() if any(values)}
        divided.append(_divided(groups, data.timestamps, whole, known, stored))
    _check_sums(history, groups, answered)
    return _result(groups, request, divided, answered.result.meta, answered.result.absent)


def _from_single_series(history: AsOfReader, groups: GroupsRequest, now: float) -> GroupsResult:
    """Answer from the series of each value: of those that the filter by the dimension names, or of all there are."""
    own = groups.parameter
    split = []
    for position in groups.request.series:
        values = sorted(set(position.query.filters.get(own.name, own.values)))
        queries = [replace(position.query, filters={**position.query.filters, own.name: (value,)}) for value in values]
        named = zip(values, queries, strict=True)
        split.append({v: replace(position, name=f"{position.name} {v}", query=query) for v, query in named})
    series = tuple(part for parts in split for part in parts.values())
    answered = answer_request(history, replace(groups.request, series=series), now)
    stored, (result, _) = _check_normalization(groups, answered), answered
    request = _at(groups.request, result.request)
    answers = zip(result.series, result.meta.asked_at, strict=True)
    of_part = dict(zip((part.name for part in series), answers, strict=True))
    divided, moments = [], []
    for parts in split:
        timestamps, known = _aligned({value: of_part[part.name][0] for value, part in parts.items()})
        whole = [sum(bucket) for bucket in zip(*known.values(), strict=True)]
        divided.append(_divided(groups, timestamps, whole, known, stored))
        moments.append(_one_moment([of_part[part.name][1] for part in parts.values()], own.dimension))
    _check_sums(history, groups, answered)
    names = [[part.name for part in parts.values()] for parts in split]
    absent = tuple(_joined(request, result.absent, names))
    return _result(groups, request, divided, replace(result.meta, asked_at=moments), absent)


def _at(request: ApiRequest, answered: ApiRequest) -> ApiRequest:
    """Return *request* at the interval, and on the grid, at which it was *answered*; with its own names."""
    return replace(request, grids=answered.grids).at(answered.agg_interval)


def _check_normalization(groups: GroupsRequest, answered: Answered) -> Normalization:
    """Return the normalization of the stored values; raises ApiError if they cannot have the requested one."""
    word = known_spelling(answered.used[0].measure[0])
    if word == Normalization.RAW_VALUES:
        return Normalization.RAW_VALUES
    if word == groups.normalization == Normalization.PERCENTAGE and not groups.is_summary:
        return Normalization.PERCENTAGE
    over = ", which do not add up over the range" if groups.is_summary else ""
    raise bad_request(f"History for these filters is kept as {word} values{over}, not as {groups.normalization} values")


def _check_sums(history: AsOfReader, groups: GroupsRequest, answered: Answered) -> None:
    """Raise ApiError if sums over the whole range are requested and cannot be made of the buckets.

    What lies behind the last bucket is not part of the answer; `dateRange` shows that.
    """
    result = answered.result
    if not groups.is_summary:
        return
    absent = {listed.name: listed for listed in result.absent}
    for position, data, match in zip(result.request.series, result.series, answered.used, strict=True):
        reason = why_not_over_time(position.query)
        if reason and len(data.timestamps) > 1:
            raise bad_request(f"The values of buckets cannot be summed over the range, for {reason}")
        windows = absent[position.name].windows if position.name in absent else ()
        proven = stored_extent(history, match).proven if windows else ()
        last = data.timestamps[-1] if data.timestamps else position.start
        inside = [part for window in windows if window[0] < last for part in subtract(window, proven)]
        if inside:
            [text] = absence_sentences([AbsentBuckets(position.name, result.request.agg_interval, tuple(inside))])
            raise ApiError(NO_HISTORY, f"The sum over the range is not known: {text}")


def _divided(
    groups: GroupsRequest,
    timestamps: Sequence[int],
    whole: Sequence[float],
    known: Mapping[str, Sequence[float]],
    stored: Normalization,
) -> DividedSeries:
    """Divide the values of one position as requested."""
    try:
        divided = divide(timestamps, whole, known, stored, groups.most)
    except Contradiction as moment:
        raise bad_request(
            f"The groups of the bucket {moment} have more than all together: values were revised while an answer did "
            "not list their group"
        ) from None
    if groups.is_summary:
        divided = divided.summed()
    is_scaled = groups.normalization is Normalization.PERCENTAGE and stored is Normalization.RAW_VALUES
    return divided.as_percentages() if is_scaled else divided


def _numbers(data: SeriesData) -> list[float]:
    if not isinstance(data.values, str):
        return [*data.values]
    return [float(text) for text in data.values.split(",")] if data.values else []


def _aligned(series: Mapping[str, SeriesData]) -> tuple[list[int], dict[str, list[float]]]:
    """Return the buckets that all of *series* have, and their values there."""
    by_time = {name: dict(zip(data.timestamps, _numbers(data), strict=True)) for name, data in series.items()}
    first, *others = by_time.values()
    timestamps = [timestamp for timestamp in first if all(timestamp in other for other in others)]
    return timestamps, {name: [values[timestamp] for timestamp in timestamps] for name, values in by_time.items()}


def _one_moment(moments: Sequence[datetime | None], dimension: str) -> datetime | None:
    """Return when the snapshots of one position were requested; None without snapshots."""
    if len(set(moments)) > 1:
        raise bad_request(f"The snapshots of the values of {dimension} were requested at different times")
    return moments[0]


def _joined(
    request: ApiRequest, absent: Sequence[AbsentBuckets], names: Sequence[Sequence[str]]
) -> Iterator[AbsentBuckets]:
    """Yield for each position the buckets that any of its series, by their *names*, lacks."""
    for position, of_position in zip(request.series, names, strict=True):
        windows = merge(window for listed in absent if listed.name in of_position for window in listed.windows)
        if windows:
            yield AbsentBuckets(position.name, request.agg_interval, tuple(windows))


def _result(
    groups: GroupsRequest,
    request: ApiRequest,
    divided: Sequence[DividedSeries],
    meta: AnswerMeta,
    absent: Sequence[AbsentBuckets],
) -> GroupsResult:
    meta = replace(meta, normalization=groups.normalization)
    return GroupsResult(groups, request, tuple(divided), meta, tuple(absent))
