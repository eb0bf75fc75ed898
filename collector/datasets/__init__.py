"""The datasets of Radar that are collected: one record each, with its path, its filters and what they mean.

To add a dataset, write its record in a module beside `ct_timeseries` and list it in `DATASETS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.datasets.ct_timeseries import CT_TIMESERIES
from collector.datasets.dataset import Dataset, FilterParameter, Sibling, Sums, snake_case
from collector.errors import CollectorError

if TYPE_CHECKING:
    from collector.model import Question

__all__ = [
    "DATASETS",
    "DEFAULT",
    "Dataset",
    "FilterParameter",
    "Sibling",
    "Sums",
    "adds_up_over_time",
    "adds_up_over_values",
    "dataset_named",
    "dataset_of",
    "is_snapshot",
    "snake_case",
    "why_not_over_time",
]


DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (CT_TIMESERIES,)}
"""Every dataset by its name in the store."""

DEFAULT = CT_TIMESERIES
"""The dataset of a profile that names none."""


def dataset_named(name: str) -> Dataset:
    """Return the dataset *name*; raises CollectorError if this version does not know it."""
    try:
        return DATASETS[name]
    except KeyError:
        raise CollectorError(f"dataset {name!r} is unknown; known: {', '.join(DATASETS)}") from None


def dataset_of(query: Question) -> Dataset:
    """Return the dataset of *query*; raises CollectorError for a dataset or a dimension that is unknown."""
    dataset = dataset_named(query.dataset)
    if (query.dimension or query.group) and query.dimension not in dataset.dimensions:
        raise CollectorError(f"dimension {query.dimension!r} with group {query.group!r} is not supported")
    return dataset


def is_snapshot(query: Question) -> bool:
    """Return whether the values of *query* depend on the moment of the request, so that answers are never mixed."""
    return bool(dataset_of(query).snapshot_filters(query.filters))


def adds_up_over_time(query: Question) -> bool:
    """Return whether counts of *query* may be added up to those of a coarser bucket."""
    return why_not_over_time(query) is None


def adds_up_over_values(query: Question, name: str) -> bool:
    """Return whether counts of single values of the filter *name* add up to their OR, beside the filters of *query*.

    Raises KeyError for a filter that the dataset does not have.
    """
    return dataset_of(query).adds_up_over_values(query.filters, name)


def why_not_over_time(query: Question, *, in_snapshot: bool = False) -> str | None:
    """Return why counts of *query* may not be added up over time; None if they may.

    *in_snapshot*: all of them are of one snapshot.
    """
    if query.normalization:
        return f"their normalization is {query.normalization}"
    return dataset_of(query).why_not_over_time(query.filters, in_snapshot=in_snapshot)
