"""Parse a request by a dimension, for its series (`timeseries_groups`) or its sums (`summary`), by the API's rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from collector.contract.request_parser import parse_request
from collector.contract.response import bad_request, quote
from collector.model import Normalization

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.contract.request_parser import ApiRequest, ContractRules
    from collector.datasets import Dataset, FilterParameter

LIMIT, NORMALIZATION = "limitPerGroup", "normalization"
GROUP_SCALARS = (LIMIT, NORMALIZATION)
"""The parameters that a request by a dimension has beside those of a time series."""
SERIES, SUMMARY = "timeseries_groups", "summary"
OTHER = "other"
"""The key of what an answer has beside the groups it lists."""
_LEAST_GROUPS = 2
_MOST_GROUPS = 10**9 - 1


class GroupsPlace(NamedTuple):
    """A path by a dimension: of *dataset*, below *folder* (SERIES or SUMMARY), the text *dimension*."""

    dataset: Dataset
    folder: str
    dimension: str


@dataclass(frozen=True, slots=True)
class GroupsRequest:
    """An accepted request by the dimension whose groups are the values of *parameter*.

    *request* has the positions, without the dimension. *most* is the number of groups to list, None for all. The sums
    of the whole range are requested if *is_summary*.
    """

    request: ApiRequest
    parameter: FilterParameter
    most: int | None
    normalization: Normalization
    is_summary: bool


def parse_groups(
    place: GroupsPlace,
    pairs: Iterable[tuple[str, str]],
    rules: ContractRules,
    now: float,
    today: float | None = None,
) -> GroupsRequest:
    """Parse a request by a dimension. *rules*, *now* and *today* are as in `parse_request`.

    Raises ApiError as that does, and for parameters that do not go with the dimension.
    """
    dataset, folder, dimension = place
    pairs, is_summary, dimensions = list(pairs), folder == SUMMARY, dataset.dimensions
    if dimension not in dimensions:
        raise bad_request(f"dimension: expected one of {', '.join(dimensions)}, received {quote(dimension)}")
    parameter = dimensions[dimension]
    most, normalization = _most(dataset, parameter, pairs), _normalization(pairs)
    if is_summary:
        pairs = [(name, value) for name, value in pairs if name != "aggInterval"]
    request = parse_request(dataset, pairs, rules, now, today)
    for position in request.series:
        for name, others in dataset.conflicting([*position.query.filters, parameter.name]):
            raise bad_request(f"{name} cannot be combined with {', '.join(sorted(others))}")
    return GroupsRequest(_summed(request, pairs) if is_summary else request, parameter, most, normalization, is_summary)


def _summed(request: ApiRequest, pairs: Sequence[tuple[str, str]]) -> ApiRequest:
    """Return *request* with the names that sums have if the request names none."""
    names = [value for name, value in pairs if name == "name"]
    names += [""] * (len(request.series) - len(names))
    series = (
        position if name else replace(position, name=f"summary_{number}")
        for number, (position, name) in enumerate(zip(request.series, names, strict=False))
    )
    return replace(request, series=tuple(series))


def _single(pairs: Sequence[tuple[str, str]], name: str) -> str | None:
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        raise bad_request(f"{name}: expected one value, received {len(values)}")
    return values[0] if values else None


def _most(dataset: Dataset, parameter: FilterParameter, pairs: Sequence[tuple[str, str]]) -> int | None:
    text = _single(pairs, LIMIT)
    if text is None:
        return None
    if not parameter.has_many_groups:
        many = [dimension for dimension, other in dataset.dimensions.items() if other.has_many_groups]
        raise bad_request(f"{LIMIT}: only with {', '.join(many)}, not with {parameter.dimension}")
    is_short = text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST_GROUPS))
    if not is_short or int(text) < _LEAST_GROUPS:
        allowed = f"an integer from {_LEAST_GROUPS} to {_MOST_GROUPS}"
        raise bad_request(f"{LIMIT}: expected {allowed}, received {quote(text)}")
    return int(text)


def _normalization(pairs: Sequence[tuple[str, str]]) -> Normalization:
    text = _single(pairs, NORMALIZATION)
    if text is None:
        return Normalization.RAW_VALUES
    if text not in list(Normalization):
        raise bad_request(f"{NORMALIZATION}: expected one of {', '.join(Normalization)}, received {quote(text)}")
    return Normalization(text)
