"""The query parameters of `/client/v4`: those of the API, parsed in the same way, and `as_of`."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from collector.contract.errors import BAD_REQUEST, ErrorCode, bad_request
from collector.contract.request_parser import SCALARS, array_parameters, decode_query, parse_request, parse_time
from collector.timestamps import check_date, from_epoch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from collector.contract.request_parser import ApiRequest
    from collector.datasets import Dataset
    from collector.interval import AggInterval, Grid

AS_OF = "asOf"
_USUAL: Mapping[AggInterval, Grid] = MappingProxyType({})
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


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def parse_query(
    dataset: Dataset, raw_query: str, now: float, grids: Mapping[AggInterval, Grid] = _USUAL
) -> HistoryQuery:
    """Read the part behind the `?` of a request for *dataset*, still encoded; ApiError for what the API would reject.

    Buckets start as *grids* says, on the usual grid where it does not.

    Case and underscores of known names are ignored, because the API ignores unknown names, and `ca_owner` is the
    spelling of the configuration. A relative range ends at `as_of`, if that is given.
    """
    names = {_plain(name): name for name in (*SCALARS, *array_parameters(dataset), AS_OF)}
    pairs = [(names.get(_plain(name), name), value) for name, value in decode_query(raw_query)]
    moments = [parse_time("as_of", value) for name, value in pairs if name == AS_OF]
    if len(moments) > 1:
        raise bad_request(f"as_of: expected one value, received {len(moments)}")
    as_of = moments[0] if moments else None
    if as_of is not None and as_of > now:
        raise bad_request("as_of: must not lie in the future")
    asked = parse_request(dataset, pairs, HistoryRules(grids=grids), now, as_of)
    for name, value in pairs:
        if name in _DATES and value:
            _check_date(name, value, now)
    return HistoryQuery(asked, as_of, now)


def _check_date(name: str, value: str, now: float) -> None:
    try:
        check_date(from_epoch(parse_time(name, value)), from_epoch(now))
    except ValueError as error:
        raise bad_request(f"{name}: {error}") from None
