"""The paths beside the time series that have groups: sums, and series, by group of a dimension.

They have the form of the published contract, without CSV. Groups are the values that the synthetic data knows.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from collector.contract.group_parser import LIMIT, OTHER, SERIES, SUMMARY, GroupsPlace, parse_groups
from collector.contract.response import HttpReply, bad_request, format_timestamps
from collector.simulator.response import meta, scaled
from collector.simulator.values import dimension_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.contract.group_parser import GroupsRequest
    from collector.contract.request_parser import ApiRequest, SeriesRequest
    from collector.datasets import Dataset
    from collector.simulator.history import SimulatedHistory
    from collector.simulator.options import SimulatorOptions

    Pairs = Sequence[tuple[str, str]]
    Groups = Mapping[str, Sequence[int]]


_OF_GROUPS = (SUMMARY, SERIES)
_GROUPS = 10


def place(path: str, dataset: Dataset) -> tuple[str, str] | None:
    """Return the two parts of a URL path beside that of *dataset*, as `summary`, `CA_OWNER`; None if there is none."""
    folder, _, name = path.removeprefix(dataset.url_path.rpartition("/")[0] + "/").partition("/")
    return (folder, name) if folder in _OF_GROUPS and name else None


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
    accepted = parse_groups(GroupsPlace(dataset, folder, name), pairs, options, now)
    request, own, is_series = _positions(accepted.request, options), accepted.parameter.name, not accepted.is_summary
    most = _most_groups(accepted, options)
    normalization = options.group_normalization or accepted.normalization
    about = meta(request, history, options, now) | {"normalization": normalization}
    result: dict[str, Any] = {"meta": about if is_series else {k: v for k, v in about.items() if k != "aggInterval"}}
    for requested in request.series:
        timestamps, groups = _groups(request, requested, own, history, now)
        chosen = _largest(_wrong(timestamps, groups, options), most)
        if not options.other_group:
            chosen.pop(OTHER, None)
        chosen = {_spelt(group, options): counts for group, counts in chosen.items()}
        if is_series:
            result[requested.name] = {
                "timestamps": format_timestamps(timestamps),
                **_texts(chosen, groups, normalization),
            }
        else:
            sums = {group: [sum(counts)] for group, counts in chosen.items()}
            whole = {group: [sum(counts)] for group, counts in groups.items()}
            texts = _texts(sums, whole, normalization)
            result[requested.name] = {group: text for group, (text,) in texts.items()}
    return _reply(result)


def _positions(request: ApiRequest, options: SimulatorOptions) -> ApiRequest:
    if len(request.series) == 1 or options.positional_groups == "all":
        return request
    if options.positional_groups == "refuse":
        raise bad_request("Groups can be requested for one series only")
    return replace(request, series=request.series[:1])


def _most_groups(groups: GroupsRequest, options: SimulatorOptions) -> int | None:
    """Return how many groups to list; None for all of a dimension of few."""
    if not groups.parameter.has_many_groups:
        return None
    most = groups.most or _GROUPS
    if options.most_groups is not None and most > options.most_groups:
        if options.too_many_groups == "refuse":
            raise bad_request(f"{LIMIT}: expected an integer of at most {options.most_groups}")
        return options.most_groups
    return most


def _groups(
    request: ApiRequest, requested: SeriesRequest, name: str, history: SimulatedHistory, now: float
) -> tuple[Sequence[int], dict[str, Sequence[int]]]:
    """Return the timestamps and the counts by group: those of the known values, and `other` for what is left.

    A group without any count in the window is not there.
    """
    query, window = requested.query, (requested.start, requested.end)
    whole = history.counts(query, *window, now)
    allowed = query.filters.get(name)
    groups: dict[str, Sequence[int]] = {}
    for value in dimension_of(request.dataset.filters[name], history.population).values:
        if allowed is None or value in allowed:
            narrowed = replace(query, filters={**query.filters, name: (value,)})
            counts = history.counts(narrowed, *window, now)
            by_time = dict(zip(counts.timestamps, counts.values, strict=True))
            groups[value] = [by_time.get(moment, 0) for moment in whole.timestamps]
    groups = {value: counts for value, counts in groups.items() if any(counts)}
    # counts under several filters are rounded, so that they may add up to a little more than the whole
    left = [max(total - sum(parts), 0) for total, *parts in zip(whole.values, *groups.values(), strict=True)]
    return whole.timestamps, groups | ({OTHER: left} if any(left) else {})


def _wrong(timestamps: Sequence[int], groups: Groups, options: SimulatorOptions) -> Groups:
    """Add too many to the largest group in some buckets, if the options say so."""
    wrong = options.wrong_groups
    named = [group for group in groups if group != OTHER]
    if wrong is None or not named:
        return groups
    largest = max(named, key=lambda group: sum(groups[group]))
    within = [wrong.add * (wrong.start.timestamp() <= moment < wrong.end.timestamp()) for moment in timestamps]
    return {**groups, largest: [count + more for count, more in zip(groups[largest], within, strict=True)]}


def _spelt(group: str, options: SimulatorOptions) -> str:
    """Return the key of a group: the filter's value, or another spelling of it."""
    return group if options.group_keys == "filter" or group == OTHER else spelt_otherwise(group)


def spelt_otherwise(group: str) -> str:
    """Return another spelling of a group."""
    return group.partition(",")[0].lower().replace("_", "-")


def _texts(chosen: Groups, whole: Groups, normalization: str) -> dict[str, list[str]]:
    """Return the values of groups as texts; percentages are those of the *whole*."""
    totals = [sum(column) for column in zip(*whole.values(), strict=True)]
    columns = scaled([*chosen.values()], [totals] * len(chosen), normalization, "integer")
    return dict(zip(chosen, columns, strict=True))


def _largest(groups: Groups, most: int | None) -> dict[str, Sequence[int]]:
    """Return the *most* largest groups; the sum of all others is the group `other`."""
    ordered = sorted(groups, key=lambda group: (group == OTHER, -sum(groups[group])))
    names = [group for group in ordered if group != OTHER][:most]
    rest = [groups[group] for group in ordered if group not in names]
    largest = {group: groups[group] for group in names}
    return largest | ({OTHER: [sum(column) for column in zip(*rest, strict=True)]} if rest else {})


def _reply(result: Mapping[str, Any]) -> HttpReply:
    return HttpReply(body=json.dumps({"success": True, "errors": [], "result": result}).encode())
