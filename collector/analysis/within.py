"""Series with one value of a filter: those among which a share or a rank is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.datasets import dataset_of, snake_case

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.model import Question


def value_of(query: Question | None, name: str) -> str | None:
    """Return the value that *query* has for the filter *name*, in snake_case or as the API spells it.

    The group of a dimension is the value of the filter that counts the same. Several values are one text. None if
    *query* is None, or does not have the filter.
    """
    if query is None:
        return None
    found = dataset_of(query).filter_named(name)
    if found is None:
        return None
    if query.group and query.dimension == found.dimension:
        return query.group
    values = query.filters.get(found.name)
    return ", ".join(values) if values else None


def filters_of(queries: Iterable[Question | None]) -> list[str]:
    """Return the filters, in snake_case, that every one of *queries* has a value of."""
    listed = [query for query in queries if query is not None]
    names = dict.fromkeys(snake_case(name) for query in listed for name in query.filters)
    names |= dict.fromkeys(query.dimension.lower() for query in listed if query.group)
    return [name for name in names if all(value_of(query, name) is not None for query in listed)]
