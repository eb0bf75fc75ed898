"""Names that are known for a filter, and the nearest of them to a name that nobody knows.

The catalogue has thousands of names, so the nearest ones are first chosen by common triples of letters.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from collector.datasets import dataset_of
from collector.datasets.catalogue import list_of_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.datasets import FilterParameter
    from collector.datasets.catalogue import CatalogueList
    from collector.model import Question
    from collector.profile import Profile
    from collector.store import ReadView

_CANDIDATES = 30
_RARE_TRIPLES = 8
"""Triples that nearly every name has tell nothing."""
_NEAREST = 2
_SIMILAR = 0.6
_BEGINNING = 0.95
_APOSTROPHES = "'.\N{RIGHT SINGLE QUOTATION MARK}"
_CACHED_FOR = timedelta(minutes=10)


class NameIndex:
    """Names that can be searched for the nearest to a word."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known = frozenset(names)
        self._names = sorted(self._known)
        self._by_triple: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self._names):
            for triple in _triples(name):
                self._by_triple[triple].append(number)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def nearest(self, word: str) -> list[str]:
        """Return at most two names, the most similar first; none if none is similar."""
        lists = sorted((self._by_triple.get(triple, []) for triple in _triples(word)), key=len)
        rare = [numbers for numbers in lists if numbers][:_RARE_TRIPLES]
        common = Counter(number for numbers in rare for number in numbers)
        ranked = sorted(
            (
                (_similarity(word, self._names[number]), self._names[number])
                for number, _ in common.most_common(_CANDIDATES)
            ),
            key=lambda pair: (-pair[0], pair[1]),
        )
        return [name for similarity, name in ranked if similarity >= _SIMILAR][:_NEAREST]


def _plain(text: str) -> str:
    """Return the letters and digits of a text, in lower case, with single blanks between words."""
    kept = (
        character if character.isalnum() else "" if character in _APOSTROPHES else " " for character in text.casefold()
    )
    return " ".join("".join(kept).split())


def _triples(text: str) -> set[str]:
    padded = f"  {_plain(text)} "
    return {padded[start : start + 3] for start in range(len(padded) - 2)}


def _similarity(word: str, name: str) -> float:
    """Return 0 to 1. The end of a long name counts little, because people leave it out, as in `DigiCert`."""
    word, name = _plain(word), _plain(name)
    if not word:
        return 0.0
    from difflib import SequenceMatcher  # imported here because most configurations have no unknown name

    beginning = SequenceMatcher(None, word, name[: len(word)]).ratio()
    return max(_BEGINNING * beginning, SequenceMatcher(None, word, name).ratio())


class _Use(NamedTuple):
    """A value of a filter in the configuration: its first profile, and the questions that have it."""

    profile: str
    queries: list[Question]


class NameCheck:
    """Finds text values of filters that neither the catalogue nor a series knows; caches its result for minutes."""

    def __init__(self) -> None:
        self._cached: tuple[datetime, object, list[str]] | None = None

    def warnings(self, view: ReadView, profiles: Sequence[Profile], now: datetime) -> list[str]:
        """Return a sentence for each unknown name. There are none about a list that was never collected."""
        key = tuple(series.query for profile in profiles for series in profile.series)
        cached = self._cached
        if cached and cached[1] == key and timedelta(0) <= now - cached[0] < _CACHED_FOR:
            return cached[2]
        warnings = name_warnings(view, profiles)
        self._cached = (now, key, warnings)
        return warnings


def name_warnings(view: ReadView, profiles: Sequence[Profile]) -> list[str]:
    """Return a sentence for each text value of *profiles* that nobody knows, with the nearest known names."""
    warnings = []
    for parameter, uses in _uses(profiles).items():
        known_list = list_of_filter(parameter.name)
        if known_list is None or view.catalogue_since(known_list.name) is None:
            continue
        index = NameIndex(catalogue_names(view, known_list, parameter.name))
        unknown = {value: use for value, use in uses.items() if value not in index}
        queries = [query for use in unknown.values() for query in use.queries]
        if queries:
            counted = set(view.newest_buckets(queries)) - set(view.empty(queries))
            warnings += [
                _sentence(parameter, value, use, index.nearest(value))
                for value, use in sorted(unknown.items())
                if not counted.intersection(use.queries)
            ]
    return warnings


def catalogue_names(view: ReadView, known: CatalogueList, filter_name: str) -> set[str]:
    """Return all names that a list knows or has known for a filter, and those of groups that the store has."""
    entries = view.catalogue_entries(known.name)
    names = {name for entry in entries for name in known.names(entry.item, filter_name)}
    return names | set(view.group_names(filter_name))


def _uses(profiles: Sequence[Profile]) -> dict[FilterParameter, dict[str, _Use]]:
    uses: dict[FilterParameter, dict[str, _Use]] = {}
    for profile in profiles:
        for series in profile.series:
            filters = dataset_of(series.query).filters
            for name, values in series.query.filters.items():
                if filters[name].values:
                    continue
                for value in values:
                    use = uses.setdefault(filters[name], {}).setdefault(value, _Use(profile.name, []))
                    use.queries.append(series.query)
    return uses


def _sentence(parameter: FilterParameter, value: str, use: _Use, nearest: Sequence[str]) -> str:
    near = "; nearest: " + ", ".join(f'"{name}"' for name in nearest) if nearest else ""
    advice = "" if nearest else f"; `collector values {parameter.option}` lists the known names"
    subject = f'profile "{use.profile}": {parameter.option} = "{value}"'
    noun = parameter.option.rpartition("_")[2]
    return f"{subject}: Radar's catalogue has no such {noun}{near}{advice}"
