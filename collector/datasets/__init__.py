"""The datasets of Radar that are collected: one record each, with its path, its filters and what they mean.

To add a dataset, write its record in a module beside `ct_timeseries` and list it in `registry.DATASETS`.
"""

from collector.datasets.dataset import Dataset, FilterParameter, Sibling, Sums, snake_case
from collector.datasets.registry import (
    DATASETS,
    DEFAULT,
    adds_up_over_time,
    adds_up_over_values,
    dataset_named,
    dataset_of,
    is_snapshot,
    why_not_over_time,
)

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
