"""What values count: sentences that keep a reader from taking entries for certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.datasets import dataset_of
from collector.model import Normalization, known_spelling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.model import Question
    from collector.store import SelectedSeries


def what_is_counted(query: Question) -> str | None:
    """Return what counts of *query* are counts of; None if nothing is known to count several times.

    Of a question with a dimension, that is what the counts of its groups are.
    """
    dataset = dataset_of(query)
    filters = dict(query.filters)
    if query.dimension:
        filters[dataset.dimensions[query.dimension].name] = (query.group,)
    if dataset.counts_once(filters):
        return f"unique {dataset.unit}: each counts once in a bucket, and again in later ones"
    repeats = dataset.repeats(filters)
    if not repeats:
        return None
    return f"entries, not {dataset.unit}: one of them may count {', and '.join(repeats)}"


def counted_notes(series: Iterable[SelectedSeries]) -> list[str]:
    """Return a sentence for each profile of *series* whose counts may be taken for something else."""
    first: dict[str, SelectedSeries] = {}
    for each in series:
        first.setdefault(each.profile, each)
    notes = []
    for profile, each in first.items():
        is_count = known_spelling(each.normalization) == Normalization.RAW_VALUES
        if is_count and each.query is not None and (text := what_is_counted(each.query)):
            notes.append(f"{profile} counts {text}")
    return notes
