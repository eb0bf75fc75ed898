"""Requests that cannot be answered truthfully: the reason, and the nearest request that can be answered."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from collector.analysis.periods import Per, finest, fits
from collector.datasets import adds_up_over_values, dataset_of, snake_case
from collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collector.interval import Grid
    from collector.model import Question


class RequestRefused(UsageError):
    """The request is understood, but its answer would not be true. The text says why, and what can be asked."""

    def __init__(self, reason: str, nearest: str) -> None:
        super().__init__(f"{reason}. Nearest: {nearest}" if nearest else reason)
        self.reason = reason
        self.nearest = nearest


def why_no_period(per: Per, grid: Grid, why_not_summed: str | None) -> tuple[str, str] | None:
    """Return why values in the buckets of *grid* cannot be had per *per*, and the nearest request; None if they can.

    *why_not_summed* is the reason why the values may not be added up over time, if there is one.
    """
    own = finest(grid)
    if not fits(per, grid):
        nearest = f"per {own}" if own else "the series' own buckets, without per"
        period = f"{'an' if per == Per.HOUR else 'a'} {per}"
        return f"{period} does not consist of whole buckets of {grid.interval} that start at {grid}", nearest
    if why_not_summed is None or _is_one_bucket(per, grid):
        return None
    nearest = "the series' own buckets, without per"
    return f"its values cannot be added up to a {per}: {why_not_summed}", nearest


def _is_one_bucket(per: Per, grid: Grid) -> bool:
    return {"hour": 3_600, "day": 86_400, "week": 604_800}.get(per.value) == grid.interval.seconds


def why_overlapping(queries: Mapping[str, Question]) -> str | None:
    """Return why the series of *queries*, by label, may count one object twice; None if no two of them overlap.

    Two series are apart if a filter that has several values counts each object under one of them only.
    """
    if len(queries) < 2:  # noqa: PLR2004 - one series overlaps with none
        return None
    queries = {label: _as_filter(query) for label, query in queries.items()}
    listed = list(queries.items())
    if len({query.dataset for query in queries.values()}) > 1:
        return "the series are of different datasets"
    apart = [name for name in _varied(queries.values()) if all(_adds_up(query, name) for query in queries.values())]
    keys = {tuple(query.filters.get(name, ()) for name in apart) for query in queries.values()}
    if len(keys) == len(listed) and all(len(values) == 1 for key in keys for values in key):
        return None
    for (label, query), (other_label, other) in combinations(listed, 2):
        if not any(_are_disjoint(query, other, name) for name in apart):
            return f"{label} and {other_label} overlap{_reason(query, other)}"
    return None


def _as_filter(query: Question) -> Question:
    """Return *query*, for a group with the group as the value of the filter that counts the same."""
    if not query.group:
        return query
    parameter = dataset_of(query).dimensions[query.dimension]
    return replace(query, filters={**query.filters, parameter.name: (query.group,)}, dimension="", group="")


def _varied(queries: object) -> list[str]:
    values: dict[str, set[tuple[str, ...] | None]] = {}
    listed: Sequence[Question] = list(queries)  # type: ignore[call-overload]
    for name in {name for query in listed for name in query.filters}:
        values[name] = {query.filters.get(name) for query in listed}
    return sorted(name for name, different in values.items() if len(different) > 1)


def _adds_up(query: Question, name: str) -> bool:
    return name in dataset_of(query).filters and adds_up_over_values(query, name)


def _are_disjoint(query: Question, other: Question, name: str) -> bool:
    values, others = (set(each.filters.get(name, ())) for each in (query, other))
    return bool(values) and bool(others) and values.isdisjoint(others)


def _reason(query: Question, other: Question) -> str:
    """Return which filters the two differ in, and why these do not keep them apart."""
    known = dataset_of(query).filters
    texts = [
        f"{snake_case(name)}: {known[name].reason}"
        for name in _varied((query, other))
        if name in known and _are_disjoint(query, other, name)
    ]
    return f" ({'; '.join(texts)})" if texts else ": one counts a part of what the other counts"
