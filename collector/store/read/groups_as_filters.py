"""A group of a dimension is what the same question with that value as a filter counts, if both are spelt alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from collector.datasets import dataset_named
from collector.model import Normalization

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from collector.model import Question


def with_groups(queries: Iterable[Question]) -> Iterator[Question]:
    """Yield *queries*, and the questions of the groups that count the same."""
    for query in queries:
        yield query
        for dimension, parameter in dataset_named(query.dataset).dimensions.items():
            values = query.filters.get(parameter.name, ())
            if len(values) == 1:
                rest = {name: listed for name, listed in query.filters.items() if name != parameter.name}
                yield replace(query, filters=rest, dimension=dimension, group=values[0])


def as_filter(query: Question) -> Question | None:
    """Return the question without a dimension that counts the same as a group; None if no filter has its name."""
    if not query.group:
        return query
    parameter = dataset_named(query.dataset).dimensions.get(query.dimension)
    if parameter is None or not parameter.accepts(query.group):
        return None
    return replace(query, filters={**query.filters, parameter.name: (query.group,)}, dimension="", group="")


def as_asked(query: Question, digest: str) -> Question:
    """Return a stored question, by its *digest*, with the normalization that it asks for."""
    if not query.dimension or query.digest == digest:
        return query
    shares = replace(query, normalization=Normalization.PERCENTAGE)
    return shares if shares.digest == digest else query
