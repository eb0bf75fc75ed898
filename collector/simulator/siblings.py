"""The paths beside the time series: sums and series by group of a dimension, and the lists of authorities and logs.

They have the form of the published contract, without CSV. Groups are the values that the synthetic data knows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.contract.request_parser import parse_request
from collector.contract.response import HttpReply, bad_request, format_timestamps
from collector.simulator.response import meta
from collector.simulator.values import dimension_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.contract.request_parser import ApiRequest, SeriesRequest
    from collector.datasets import Dataset
    from collector.simulator.history import SimulatedHistory
    from collector.simulator.options import SimulatorOptions

    Pairs = Sequence[tuple[str, str]]
    Groups = Mapping[str, Sequence[int]]


NOT_FOUND = HttpReply(404, b'{"error":"Not Found."}')
"""What the contract has for an unknown object: no envelope."""
_SERIES = "timeseries_groups"
_OF_GROUPS = ("summary", _SERIES)
_GROUPS = 10
_LISTED = 5
_OTHER = "other"


def place(path: str, dataset: Dataset) -> tuple[str, str] | None:
    """Return the two parts of a URL path beside that of *dataset*, as `summary`, `CA_OWNER`; None if there is none."""
    folder, slash, name = path.removeprefix(dataset.url_path.rpartition("/")[0] + "/").partition("/")
    is_there = (folder in _OF_GROUPS and name) or (folder in _LISTS and not slash)
    return (folder, name) if is_there else None


def sibling(  # noqa: PLR0913, PLR0917 - the parts of a request, and what answers it
    folder: str,
    name: str,
    dataset: Dataset,
    pairs: Pairs,
    history: SimulatedHistory,
    options: SimulatorOptions,
    now: float,
) -> HttpReply:
    """Return the answer of a path beside that of *dataset*; raises ApiError for what the API would reject at *now*."""
    if folder in _LISTS:
        key, rows = _LISTS[folder]
        return _reply({key: _page(rows(dataset), pairs)})
    filters = {parameter.option.upper(): parameter.name for parameter in dataset.parameters}
    if name not in filters:
        raise bad_request(f"dimension: expected one of {', '.join(filters)}")
    is_series = folder == _SERIES
    request = parse_request(dataset, [pair for pair in pairs if is_series or pair[0] != "aggInterval"], options, now)
    most = _number(pairs, "limitPerGroup", _GROUPS, least=2)
    result: dict[str, Any] = {"meta": meta(request, history, options, now)}
    if not is_series:
        del result["meta"]["aggInterval"]
    for position, requested in enumerate(request.series):
        timestamps, groups = _groups(request, requested, filters[name], history, now)
        chosen = _largest(groups, most)
        if is_series:
            texts = {group: list(map(str, counts)) for group, counts in chosen.items()}
            result[requested.name] = {"timestamps": format_timestamps(timestamps), **texts}
        else:
            result[f"summary_{position}"] = {group: str(sum(counts)) for group, counts in chosen.items()}
    return _reply(result)


def _groups(
    request: ApiRequest, requested: SeriesRequest, name: str, history: SimulatedHistory, now: float
) -> tuple[Sequence[int], dict[str, Sequence[int]]]:
    """Return the timestamps and the counts by group: those of the known values, and `other` for what is left."""
    query, window = requested.query, (requested.start, requested.end)
    whole = history.counts(query, *window, now)
    allowed = query.filters.get(name)
    groups = {
        value: history.counts(replace(query, filters={**query.filters, name: (value,)}), *window, now).values
        for value in dimension_of(request.dataset.filters[name]).values
        if allowed is None or value in allowed
    }
    left = [total - sum(parts) for total, *parts in zip(whole.values, *groups.values(), strict=True)]
    return whole.timestamps, groups | ({_OTHER: left} if any(left) else {})


def _largest(groups: Groups, most: int) -> dict[str, Sequence[int]]:
    """Return the *most* largest groups; the sum of all others is the group `other`."""
    ordered = sorted(groups, key=lambda group: (group == _OTHER, -sum(groups[group])))
    names = [group for group in ordered if group != _OTHER][:most]
    rest = [groups[group] for group in ordered if group not in names]
    largest = {group: groups[group] for group in names}
    return largest | ({_OTHER: [sum(column) for column in zip(*rest, strict=True)]} if rest else {})


def _page(rows: Sequence[Mapping[str, Any]], pairs: Pairs) -> list[Mapping[str, Any]]:
    start = _number(pairs, "offset", 0, least=0)
    return [*rows[start : start + _number(pairs, "limit", _LISTED, least=1)]]


def _number(pairs: Pairs, name: str, default: int, *, least: int) -> int:
    texts = [text for key, text in pairs if key == name]
    if not texts:
        return default
    if not (texts[-1].isascii() and texts[-1].isdecimal() and int(texts[-1]) >= least):
        raise bad_request(f"{name}: expected an integer of at least {least}")
    return int(texts[-1])


def _authorities(dataset: Dataset) -> list[Mapping[str, Any]]:
    return [
        {
            "certificateRecordType": "ROOT_CERTIFICATE",
            "country": "US",
            "countryName": "United States",
            "name": f"{owner} Root",
            "owner": owner,
            "parentName": "",
            "parentSha256Fingerprint": "",
            "revocationStatus": "NOT_REVOKED",
            "sha256Fingerprint": hashlib.sha256(owner.encode()).hexdigest().upper(),
        }
        for owner in _known(dataset, "authorities")
    ]


def _logs(dataset: Dataset) -> list[Mapping[str, Any]]:
    return [
        {
            "api": "RFC6962",
            "description": log,
            "endExclusive": "2027-01-01T00:00:00Z",
            "operator": log.partition(" ")[0],
            "slug": log.lower().replace(" ", "-"),
            "startInclusive": "2026-01-01T00:00:00Z",
            "state": "USABLE",
            "stateTimestamp": "2025-06-01T00:00:00Z",
            "url": f"https://ct.example.com/{log.lower().replace(' ', '/')}/",
        }
        for log in _known(dataset, "logs")
    ]


def _known(dataset: Dataset, folder: str) -> Iterable[str]:
    """Return the values that the sibling at *folder* lists."""
    names = [
        sibling.lists for sibling in dataset.siblings if sibling.lists and sibling.path.rpartition("/")[2] == folder
    ]
    return dimension_of(dataset.filters[names[0]]).values if names else ()


_LISTS: Mapping[str, tuple[str, Callable[[Dataset], list[Mapping[str, Any]]]]] = {
    "authorities": ("certificateAuthorities", _authorities),
    "logs": ("certificateLogs", _logs),
}


def _reply(result: Mapping[str, Any]) -> HttpReply:
    return HttpReply(body=json.dumps({"success": True, "errors": [], "result": result}).encode())
