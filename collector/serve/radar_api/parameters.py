"""Parse a request to the history: the API's parameters, and `as_of`, in any spelling of their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from collector.contract.group_parser import GROUP_SCALARS, parse_groups
from collector.contract.request_parser import SCALARS, array_parameters, decode_query, parse_request, parse_time
from collector.contract.response import BAD_REQUEST, ErrorCode, bad_request
from collector.timestamps import check_date, from_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from collector.contract.group_parser import GroupsPlace, GroupsRequest
    from collector.contract.request_parser import ApiRequest
    from collector.datasets import Dataset
    from collector.interval import AggInterval, Grid

AS_OF = "asOf"
_NO_GRIDS: Mapping[AggInterval, Grid] = MappingProxyType({})
_DATES = frozenset({AS_OF, "dateStart", "dateEnd"})


@dataclass(frozen=True, slots=True)
class HistoryRules:
    """The API's rules, without its limits on spans; `SimulatorOptions` says what each means."""

    max_span: Mapping[AggInterval, timedelta] = field(default_factory=dict)
    span_error: ErrorCode = BAD_REQUEST
    series_per_request: int = 100
    series_error: ErrorCode = BAD_REQUEST
    default_range: str | None = "7d"
    empty_values: bool = True
    equal_names: Literal["refuse", "overwrite"] = "refuse"
    grids: Mapping[AggInterval, Grid] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """A request to the history: as known *now*, or as known at *as_of* (epoch seconds)."""

    request: ApiRequest
    as_of: float | None
    now: float


@dataclass(frozen=True, slots=True)
class GroupsQuery:
    """A request for groups to the history, as HistoryQuery."""

    groups: GroupsRequest
    as_of: float | None
    now: float


def parse_query(
    dataset: Dataset, raw_query: str, now: float, grids: Mapping[AggInterval, Grid] = _NO_GRIDS
) -> HistoryQuery:
    """Parse the part behind the `?` of a request for *dataset*, still encoded: the API's parameters, and `as_of`.

    *grids* has the intervals whose buckets start elsewhere than on the usual grid. A relative range ends at `as_of`, if
    that is given. Case and underscores of known names are ignored, because the API ignores unknown names, and
    `ca_owner` is the spelling of the configuration. Raises ApiError for what the API would reject.
    """
    pairs = _pairs(raw_query, (*SCALARS, *array_parameters(dataset)))
    as_of = _as_of(pairs, now)
    request = parse_request(dataset, pairs, HistoryRules(grids=grids), now, as_of)
    _check_dates(pairs, now)
    return HistoryQuery(request, as_of, now)


def parse_groups_query(
    place: GroupsPlace, raw_query: str, now: float, grids: Mapping[AggInterval, Grid] = _NO_GRIDS
) -> GroupsQuery:
    """Parse a request by a dimension; everything else is as in `parse_query`."""
    pairs = _pairs(raw_query, (*SCALARS, *GROUP_SCALARS, *array_parameters(place.dataset)))
    as_of = _as_of(pairs, now)
    groups = parse_groups(place, pairs, HistoryRules(grids=grids), now, as_of)
    _check_dates(pairs, now)
    return GroupsQuery(groups, as_of, now)


def _pairs(raw_query: str, known: Sequence[str]) -> list[tuple[str, str]]:
    """Return names and values of a query string, with names in the API's spelling."""
    names = _spellings((*known, AS_OF))
    return [(names.get(name.replace("_", "").lower(), name), value) for name, value in decode_query(raw_query)]


@cache
def _spellings(known: tuple[str, ...]) -> Mapping[str, str]:
    return {name.replace("_", "").lower(): name for name in known}


def _as_of(pairs: Sequence[tuple[str, str]], now: float) -> float | None:
    values = [parse_time("as_of", value) for name, value in pairs if name == AS_OF]
    if len(values) > 1:
        raise bad_request(f"as_of: expected one value, received {len(values)}")
    as_of = values[0] if values else None
    if as_of is not None and as_of > now:
        raise bad_request("as_of: must not lie in the future")
    return as_of


def _check_dates(pairs: Sequence[tuple[str, str]], now: float) -> None:
    for name, value in pairs:
        if name in _DATES and value:
            _check_date(name, value, now)


def _check_date(name: str, value: str, now: float) -> None:
    try:
        check_date(from_epoch(parse_time(name, value)), from_epoch(now))
    except ValueError as error:
        raise bad_request(f"{name}: {error}") from None
