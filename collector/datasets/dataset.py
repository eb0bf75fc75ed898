"""What a dataset is: a path of Radar's API, the filters it takes, and which of its values can be added.

Every dataset answers in the same shape: `result` has one object for each series, with `timestamps` and `values`. One
position of a request is one series, so a series is identified by the dataset, the interval and the filters that are
asked for, and by the normalization and the unit of the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Sums(Enum):
    """When counts may be added up."""

    ALWAYS = "always"
    NEVER = "never"
    UNLESS_DISTINCT = "only if the query does not count each object once (see FilterParameter.is_distinct)"


class FilterParameter(NamedTuple):
    """A filter of the API, by the API's *name*. *values* lists what it accepts; empty means text of *max_length*.

    *over_values* says whether the counts of several values add up to the count of their OR, *over_time* whether the
    counts of several buckets add up to that of a coarser one, and *reason* why.

    *is_snapshot*: the API judges the filter at the moment of the request, so the values of one bucket change for ever.
    *is_distinct*: the value `true` counts each object once in a bucket, however often it occurs.

    *repeats* says how an object counts several times unless one value of the filter is chosen; empty if it does not.

    *shares* are frequent values with their parts of the whole, in any unit. The simulator's data is made of them;
    without them all *values* are equally frequent.
    """

    name: str
    values: tuple[str, ...] = ()
    max_length: int = 1000
    pattern: re.Pattern[str] | None = None
    min_length: int = 1
    over_values: Sums = Sums.NEVER
    over_time: Sums = Sums.NEVER
    reason: str = "nothing is known about its sums"
    is_snapshot: bool = False
    is_distinct: bool = False
    repeats: str = ""
    shares: tuple[tuple[str, int], ...] = ()

    @property
    def option(self) -> str:
        """The name in snake_case, as configuration and command line spell it."""
        return snake_case(self.name)

    @property
    def dimension(self) -> str:
        """The name of the dimension whose groups are the values, as `CA_OWNER`."""
        return self.option.upper()

    @property
    def has_many_groups(self) -> bool:
        """Whether the number of groups is not known beforehand, so that an answer may list only the largest."""
        return not self.values

    @property
    def allowed(self) -> str:
        """What the parameter accepts, in words."""
        if self.values:
            return "one of " + ", ".join(self.values)
        if self.pattern:
            return f"{self.min_length} to {self.max_length} of a-z, 0-9 and -, without a dot"
        return f"text of {self.min_length} to {self.max_length} characters"

    def accepts(self, value: str) -> bool:
        """Return whether the API accepts *value*."""
        if self.values:
            return value in self.values
        fits = self.min_length <= len(value) <= self.max_length and value.isprintable() and value == value.strip()
        return fits and (self.pattern is None or self.pattern.fullmatch(value) is not None)


def snake_case(name: str) -> str:
    """Return `ca_owner` for `caOwner`."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


class Sibling(NamedTuple):
    """A path of the API about the same objects in another form; `collector probe` requests it once.

    *query* are parameters in addition to the dates, which are sent only if *has_dates*.
    """

    name: str
    path: str
    query: str = ""
    has_dates: bool = True


@dataclass(frozen=True)
class Dataset:
    """One dataset of Radar. *name* is its word in the store, *path* its place below `/radar/` in the API.

    *parameters* are its filters. *conflicts* lists for a filter the filters that the API rejects beside it. *unit* is
    the unit that its counts most likely have; the unit of an answer is what the answer says. *groups_path* is the path
    of the series by the groups of a dimension, without the dimension; None if the API has none. *summary_path* is that
    of the sums of the groups over a range.
    """

    name: str
    path: str
    parameters: tuple[FilterParameter, ...]
    unit: str
    conflicts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups_path: str | None = None
    summary_path: str | None = None
    siblings: tuple[Sibling, ...] = ()
    filters: Mapping[str, FilterParameter] = field(init=False, compare=False)
    """Every filter by the API's name, in the order of *parameters*."""
    dimensions: Mapping[str, FilterParameter] = field(init=False, compare=False)
    """The dimensions that a series can be divided by, each with the filter whose values are its groups."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "filters", MappingProxyType({parameter.name: parameter for parameter in self.parameters})
        )
        divided = [parameter for parameter in self.parameters if self.groups_path and not parameter.is_distinct]
        dimensions = {parameter.dimension: parameter for parameter in divided}
        object.__setattr__(self, "dimensions", MappingProxyType(dimensions))

    @property
    def url_path(self) -> str:
        """The path behind the base URL."""
        return f"/radar/{self.path}"

    def path_of(self, dimension: str) -> str:
        """Return the path behind the base URL of the series by *dimension*; of the whole series if it is empty."""
        return f"/radar/{self.groups_path}/{dimension}" if dimension else self.url_path

    def filter_named(self, spelling: str) -> FilterParameter | None:
        """Find a filter by its snake_case or camelCase name; None if there is no such filter."""
        return next(
            (parameter for parameter in self.parameters if spelling in (parameter.name, parameter.option)), None
        )

    def conflicting(self, names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
        """Yield each filter of *names* that the API rejects beside others of them, with those others."""
        used = set(names)
        for name, others in self.conflicts.items():
            conflicts = [other for other in self.filters if other in others and other in used]
            if name in used and conflicts:
                yield name, conflicts

    def snapshot_filters(self, names: Iterable[str]) -> list[str]:
        """Return those of the filters *names* that the API judges at the moment of the request."""
        return [name for name in names if name in self.filters and self.filters[name].is_snapshot]

    def why_not_over_time(self, filters: Mapping[str, tuple[str, ...]], *, in_snapshot: bool = False) -> str | None:
        """Return why counts under *filters* may not be added up over time; None if they may.

        *in_snapshot*: all of them are of one snapshot, so that they were judged at one moment.
        """
        moving = self.snapshot_filters(filters)
        for name in [*filters] if in_snapshot else [*moving, *filters]:
            if in_snapshot and name in moving:
                continue
            if not self._may(self.filters[name].over_time, filters):
                return f"{name}: {self.filters[name].reason}"
        return None

    def counts_once(self, filters: Mapping[str, tuple[str, ...]]) -> bool:
        """Return whether each object counts once in a bucket under *filters*."""
        return any(each.is_distinct and "true" in filters.get(each.name, ()) for each in self.parameters)

    def repeats(self, filters: Mapping[str, tuple[str, ...]]) -> list[str]:
        """Return how one object counts several times in a bucket under *filters*."""
        if self.counts_once(filters):
            return []
        return [each.repeats for each in self.parameters if each.repeats and len(filters.get(each.name, ())) != 1]

    def adds_up_over_values(self, filters: Mapping[str, tuple[str, ...]], name: str) -> bool:
        """Return whether counts of single values of the filter *name* add up to their OR, beside *filters*."""
        if self.snapshot_filters(filters):  # each series is requested at a moment of its own
            return False
        return self._may(self.filters[name].over_values, filters)

    def _may(self, sums: Sums, filters: Mapping[str, tuple[str, ...]]) -> bool:
        if sums is Sums.UNLESS_DISTINCT:
            return not self.counts_once(filters)
        return sums is Sums.ALWAYS
