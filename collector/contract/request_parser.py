"""Parse a query string by the API's rules: positional series, alternatives, dates. Reject what the API rejects.

HTTP decodes a value once. Its commas then separate alternatives, and each alternative is decoded once more. A `%2C`
that is left after the first decoding (sent as `%252C`) is a comma inside the value. So `caOwner=DigiCert%252C%20Inc.`
names one owner. `caOwner=DigiCert%2C%20Inc.` names two, and the second one is rejected because it begins with a blank.

A date range is relative, or an explicit pair. It is rounded down to 15 minutes, and its end is inclusive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import parse_qsl, unquote

from collector.contract.response import DAY, SLOT, ApiError, ErrorCode, bad_request, quote
from collector.interval import AggInterval, Grid
from collector.model import Question
from collector.timestamps import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.datasets import Dataset, FilterParameter

    Grids = Mapping[AggInterval, Grid | None]
    _Position = tuple[str, "DateRange", Mapping[str, tuple[str, ...]]]

SCALARS = ("aggInterval", "format")
FORMATS = ("JSON", "CSV")
_DATES = ("dateRange", "dateStart", "dateEnd")


def array_parameters(dataset: Dataset) -> tuple[str, ...]:
    """Return the parameters whose i-th value belongs to the i-th series."""
    return ("name", *_DATES, *dataset.filters)


class ContractRules(Protocol):
    """The rules that differ between servers of this API; see `SimulatorOptions`."""

    @property
    def grids(self) -> Grids:
        """Where buckets start; None: at the start of the range. An interval that is absent has the usual grid."""

    @property
    def max_span(self) -> Mapping[AggInterval, timedelta]:
        """The longest span at each interval; an interval that is absent has no limit."""

    @property
    def span_error(self) -> ErrorCode:
        """The error for a longer span."""

    @property
    def series_per_request(self) -> int:
        """The largest number of series in one request."""

    @property
    def series_error(self) -> ErrorCode:
        """The error for more series."""

    @property
    def default_range(self) -> str | None:
        """The `dateRange` of a series without a date; None: such a series is rejected."""

    @property
    def empty_values(self) -> bool:
        """Whether an empty filter value means "no filter"."""

    @property
    def equal_names(self) -> Literal["refuse", "overwrite"]:
        """What happens to two series with one name."""


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """One series of a request: *name*, the buckets from *start* up to *end* of *query*, and the requested *dates*."""

    name: str
    query: Question
    start: int
    end: int
    dates: DateRange


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """An accepted request for *dataset*; *auto*: it names no interval; *grids* is as in ContractRules."""

    dataset: Dataset
    agg_interval: AggInterval
    format: str
    series: tuple[SeriesRequest, ...]
    auto: bool = False
    grids: Grids = field(default_factory=dict)

    @property
    def buckets(self) -> int:
        """The number of buckets of all series."""
        return sum(requested.end - requested.start for requested in self.series) // self.agg_interval.seconds

    def grid(self, agg_interval: AggInterval) -> Grid:
        """Return the grid of an interval if buckets do not start with the range."""
        return self.grids.get(agg_interval) or Grid(agg_interval)

    def on(self, grid: Grid) -> ApiRequest:
        """Return the same request with buckets on *grid*."""
        return replace(self, grids={**self.grids, grid.interval: grid}).at(self.agg_interval)

    def at(self, agg_interval: AggInterval) -> ApiRequest:
        """Return the same request at another interval."""
        positions = [(requested.name, requested.dates, requested.query.filters) for requested in self.series]
        moved = _series(self.dataset, agg_interval, self.grids, positions)
        series = (
            replace(position, query=replace(requested.query, agg_interval=agg_interval))
            for position, requested in zip(moved, self.series, strict=True)
        )
        return replace(self, agg_interval=agg_interval, series=tuple(series))


def _series(
    dataset: Dataset, agg_interval: AggInterval, grids: Grids, positions: Iterable[_Position]
) -> tuple[SeriesRequest, ...]:
    grid = grids.get(agg_interval, Grid(agg_interval))
    offset = grid.seconds if grid else None
    return tuple(
        SeriesRequest(name, Question(agg_interval, filters, dataset.name), *dates.buckets(agg_interval, offset), dates)
        for name, dates, filters in positions
    )


def decode_query(raw_query: str) -> list[tuple[str, str]]:
    """Split the encoded part behind the `?` into names and values; raises ApiError if it is not UTF-8."""
    try:
        return parse_qsl(raw_query, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise bad_request("The query string is not UTF-8") from error


def parse_request(
    dataset: Dataset, pairs: Iterable[tuple[str, str]], rules: ContractRules, now: float, today: float | None = None
) -> ApiRequest:
    """Parse a request for *dataset*. Unknown parameters are ignored, as the API does.

    Raises ApiError for what the API would reject at *now*. A relative range ends at *today*, by default at *now*; both
    are epoch seconds.
    """
    names = {*SCALARS, *array_parameters(dataset)}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in names:
            values.setdefault(name, []).append(value)
    interval, form = _scalar(values, "aggInterval", tuple(AggInterval)), _scalar(values, "format", FORMATS)
    positions = _positions(dataset, values, rules, now, today)
    if len(positions) > rules.series_per_request:
        raise ApiError(rules.series_error, f"At most {rules.series_per_request} series can be requested")
    durations = {dates.duration for _, dates, _ in positions}
    if len(durations) > 1:
        raise bad_request("All series must have the same duration")
    duration = durations.pop()
    agg_interval = AggInterval(interval) if interval else auto_interval(duration)
    if duration > rules.max_span.get(agg_interval, timedelta.max).total_seconds():
        raise ApiError(rules.span_error, f"aggInterval {agg_interval} is too granular for the date range")
    series = _series(dataset, agg_interval, rules.grids, positions)
    return ApiRequest(dataset, agg_interval, form or "JSON", series, auto=interval is None, grids=rules.grids)


def _scalar(parameters: Mapping[str, list[str]], name: str, allowed: tuple[str, ...]) -> str | None:
    values = parameters.get(name, [])
    if len(values) > 1:
        raise bad_request(f"{name}: expected one value, received {len(values)}")
    if not values:
        return None
    for word in allowed:
        if values[0] == word or (name == "format" and values[0].upper() == word):
            return word
    raise bad_request(f"{name}: expected one of {', '.join(allowed)}, received {quote(values[0])}")


def _positions(
    dataset: Dataset, parameters: Mapping[str, list[str]], rules: ContractRules, now: float, today: float | None
) -> list[_Position]:
    """Return (name, dates, filters) of each series: the i-th value of every array belongs to series i.

    There is at least one series.
    """
    arrays = {name: parameters[name] for name in array_parameters(dataset) if name in parameters}
    arrays |= _shared_dates(arrays)
    if not rules.empty_values and any(name in dataset.filters and "" in values for name, values in arrays.items()):
        raise bad_request("A filter must not be empty")
    columns = list(zip_longest(*arrays.values(), fillvalue="")) or [()]
    rows = [dict(zip(arrays, column, strict=True)) for column in columns]
    names = [row.get("name") or f"serie_{position}" for position, row in enumerate(rows)]
    if rules.equal_names == "refuse" and (len(set(names)) < len(names) or "meta" in names):
        raise bad_request("name: every series needs a name of its own other than 'meta'")
    texts = [(row.get("dateRange", ""), row.get("dateStart", ""), row.get("dateEnd", "")) for row in rows]
    dates = [parse_date_range(text, rules.default_range, now, today) for text in texts]
    return list(zip(names, dates, [_filters(dataset, row) for row in rows], strict=True))


def _shared_dates(arrays: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Repeat the only `dateRange`, or the only pair of `dateStart` and `dateEnd`, for all positions.

    Several dates belong to their positions. So do dates of both kinds.
    """
    dates = {name: arrays[name] for name in _DATES if name in arrays}
    is_shared = dates.keys() in ({"dateRange"}, {"dateStart", "dateEnd"})
    if not is_shared or any(len(values) != 1 for values in dates.values()):
        return {}
    count = max(map(len, arrays.values()))
    return {name: values * count for name, values in dates.items()}


def _filters(dataset: Dataset, row: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    parameters = dataset.filters
    filters = {name: _alternatives(parameters[name], text) for name, text in row.items() if name in parameters and text}
    for name, others in dataset.conflicting(filters):
        raise bad_request(f"{name} cannot be combined with {', '.join(sorted(others))}")
    return filters


def _alternatives(parameter: FilterParameter, text: str) -> tuple[str, ...]:
    values = tuple(unquote(part) for part in text.split(","))
    for value in values:
        if not parameter.accepts(value):
            raise bad_request(f"{parameter.name}: expected {parameter.allowed}, received {quote(value)}")
    return values


_WEEK = 604_800
_MONDAY = 4 * DAY
_RELATIVE = re.compile(r"([1-9]\d{0,2})([dw])((?i:control))?", re.ASCII)
_LONGEST = {"d": 364, "w": 52}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MONTH = 31 * DAY


def floor(moment: float, step: int, edge: int = _MONDAY) -> int:
    """Return the start of the bucket that contains *moment*, in epoch seconds.

    Buckets are *step* seconds wide, and one of them starts at *edge*.
    """
    return int(moment - (moment - edge) % step)


@dataclass(frozen=True, slots=True)
class DateRange:
    """From *start* to *end* in epoch seconds, both on the 15-minute grid. The bucket that contains *end* counts."""

    start: int
    end: int

    @property
    def duration(self) -> int:
        """The length in seconds."""
        return self.end - self.start

    def buckets(self, interval: AggInterval, offset: int | None = 0) -> tuple[int, int]:
        """Return the start of the first bucket and the end of the last.

        *offset* moves the usual grid; with None the first bucket starts with the range.
        """
        step, edge = interval.seconds, self.start if offset is None else _MONDAY + offset
        return floor(self.start, step, edge), floor(self.end, step, edge) + step


def auto_interval(duration: int) -> AggInterval:
    """Return the interval of a request that names none."""
    if duration <= DAY:
        return AggInterval.FIFTEEN_MINUTES
    return AggInterval.ONE_HOUR if duration <= _MONTH else AggInterval.ONE_DAY


def parse_date_range(
    texts: tuple[str, str, str], default: str | None, now: float, today: float | None = None
) -> DateRange:
    """Parse (`dateRange`, `dateStart`, `dateEnd`) of one position; an empty text counts as absent.

    *default* is the `dateRange` of a position without a date (None: such a position is rejected). A relative range ends
    at *today*, by default at *now*. Nothing may be after *now*.
    """
    relative, start, end = texts
    if relative and (start or end):
        raise bad_request("dateRange cannot be combined with dateStart and dateEnd")
    if start or end:
        return _explicit(start, end, now)
    if not (relative or default):
        raise bad_request("dateRange, or dateStart and dateEnd, must be given")
    return _relative(relative or str(default), now if today is None else today)


def _relative(text: str, today: float) -> DateRange:
    match = _RELATIVE.fullmatch(text)
    if match is None or int(match[1]) > _LONGEST[match[2]]:
        raise bad_request(
            f"dateRange: expected 1d to 364d or 1w to 52w, with or without 'control', received {quote(text)}"
        )
    length = int(match[1]) * (DAY if match[2] == "d" else _WEEK)
    end = floor(today, SLOT)
    if match[3]:
        end -= -(-length // _WEEK) * _WEEK
    return DateRange(end - length, end)


def _explicit(start: str, end: str, now: float) -> DateRange:
    if not (start and end):
        raise bad_request("dateStart and dateEnd must be given together")
    first, last = parse_time("dateStart", start), parse_time("dateEnd", end)
    if last > now:
        raise bad_request("dateEnd: must not lie in the future")
    if first > last:
        raise bad_request("dateStart: must not lie behind dateEnd")
    return DateRange(floor(first, SLOT), floor(last, SLOT))


def parse_time(name: str, text: str) -> float:
    """Parse an RFC 3339 date-time as epoch seconds; raises ApiError for anything else, and for times before 1970."""
    try:
        moment = utc(text).timestamp() if _RFC3339.fullmatch(text) else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise bad_request(f"{name}: expected an RFC 3339 date-time, received {quote(text)}")
    if moment < 0:
        raise bad_request(f"{name}: must not lie before 1970, received {quote(text)}")
    return moment
