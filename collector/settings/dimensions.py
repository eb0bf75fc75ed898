"""The rules of a profile with a dimension: what goes together with it, and what goes only with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.datasets import DEFAULT
from collector.settings.problems import key_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.datasets import Dataset, FilterParameter
    from collector.settings.problems import KeyPath
    from collector.settings.schema import ProfileSection
    from collector.settings.validate import ResolvedFilters


def dimension_problems(
    table: ProfileSection, resolved: ResolvedFilters, dataset: Dataset = DEFAULT
) -> Iterator[tuple[KeyPath, str]]:
    """Yield the problems of a profile's dimension, groups and normalization: (key path in the profile, text)."""
    if table.dimension is None:
        yield from _without_dimension(table)
        return
    own = dataset.dimensions[table.dimension]
    yield from _groups(table, own, dataset)
    yield from _filters(table.dimension, own, resolved, dataset)


def _without_dimension(table: ProfileSection) -> Iterator[tuple[KeyPath, str]]:
    for key, value in (("groups", table.groups), ("normalization", table.normalization)):
        if value is not None:
            yield (key,), f"found {value} without a dimension; allowed: only with `dimension`"


def _groups(table: ProfileSection, own: FilterParameter, dataset: Dataset) -> Iterator[tuple[KeyPath, str]]:
    if table.groups is not None and not own.has_many_groups:
        many = ", ".join(name for name, parameter in dataset.dimensions.items() if parameter.has_many_groups)
        text = f"found {table.groups} with {table.dimension}, which has {len(own.values)} groups and no limit"
        yield ("groups",), f"{text}; allowed: only with {many}"
    if own.is_snapshot:
        text = f'found "{table.dimension}", which is judged at the moment of the request, so its groups are no history'
        yield ("dimension",), f'{text}; allowed: [profiles.each] {own.option} = ["*"], which takes snapshots'


def _filters(
    dimension: str, own: FilterParameter, resolved: ResolvedFilters, dataset: Dataset
) -> Iterator[tuple[KeyPath, str]]:
    tables = (("filters", resolved.filters), ("each", resolved.each))
    paths: dict[str, KeyPath] = {
        name: (table, dataset.filters[name].option) for table, names in tables for name in names
    }
    for name, others in dataset.conflicting([*paths, own.name]):
        if own.name in (name, *others):
            against = [key_text(paths[other]) for other in (name, *others) if other in paths]
            if against:
                text = f'found "{dimension}", which cannot be combined with {", ".join(against)}: Radar rejects that'
                yield ("dimension",), text
    if own.name in resolved.each:
        yield paths[own.name], f"varies {dimension}, of which the dimension has every group anyway; leave one out"
    elif len(resolved.filters.get(own.name, ())) == 1:
        yield paths[own.name], f"leaves one group of {dimension}; leave the filter or the dimension out"
    for name in dataset.snapshot_filters(paths):
        yield paths[name], f"is judged at the moment of the request; allowed: only without a dimension ({dimension})"
