"""Which counts may be added up: over the values of a filter, and over time. One table decides for all filters.

A sum over values is the OR of these values; a sum over time is a coarser bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collector.model import SeriesQuery

UNIQUE_ENTRIES = "uniqueEntries"
EXPIRATION_STATUS = "expirationStatus"


class Sums(Enum):
    """When counts may be added up."""

    ALWAYS = "always"
    NEVER = "never"
    OF_ENTRIES = "only if uniqueEntries=true is not asked for, so that entries are counted and not certificates"


@dataclass(frozen=True, slots=True)
class Additivity:
    """Whether counts of a filter's *values* add up, and counts of several buckets (*time*), and why."""

    values: Sums
    time: Sums
    reason: str


_ONE_VALUE = "a certificate has exactly one of its values, for ever"
_ONE_LOG = "an entry lies in one log of one operator and one API, but a certificate is entered in several logs"

ADDITIVITY: Mapping[str, Additivity] = MappingProxyType(
    {
        "ca": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
        "caOwner": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
        "duration": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
        "entryType": Additivity(
            Sums.OF_ENTRIES,
            Sums.ALWAYS,
            "an entry has one type, but a certificate is entered as a precertificate and as itself",
        ),
        EXPIRATION_STATUS: Additivity(Sums.NEVER, Sums.NEVER, "it is judged at the moment of asking"),
        "hasIps": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
        "hasWildcards": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
        "log": Additivity(Sums.OF_ENTRIES, Sums.ALWAYS, _ONE_LOG),
        "logApi": Additivity(Sums.OF_ENTRIES, Sums.ALWAYS, _ONE_LOG),
        "logOperator": Additivity(Sums.OF_ENTRIES, Sums.ALWAYS, _ONE_LOG),
        "publicKeyAlgorithm": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
        "signatureAlgorithm": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
        "tld": Additivity(Sums.NEVER, Sums.ALWAYS, "a certificate may name several top-level domains"),
        UNIQUE_ENTRIES: Additivity(
            Sums.NEVER,
            Sums.OF_ENTRIES,
            "a certificate that is entered again later counts in both buckets, but once in a bucket that holds both; "
            "true counts a part of what false counts",
        ),
        "validationLevel": Additivity(Sums.ALWAYS, Sums.ALWAYS, _ONE_VALUE),
    }
)
"""Every filter by the API's name."""

_DIMENSION = "EXPIRATION_STATUS"


def moves(filters: Iterable[str]) -> bool:
    """Tell whether values under *filters* (the API's names) depend on the moment of asking."""
    return EXPIRATION_STATUS in filters


def is_snapshot(query: SeriesQuery) -> bool:
    """Tell whether the values of *query* depend on the moment of asking, so that two answers are never mixed."""
    return moves(query.filters) or query.dimension == _DIMENSION


def adds_up_over_time(query: SeriesQuery) -> bool:
    """Tell whether counts of *query* may be added up to those of a coarser bucket."""
    return why_not_over_time(query) is None


def adds_up_over_values(query: SeriesQuery, filter_name: str) -> bool:
    """Tell whether counts of single values of *filter_name* add up to their OR, all else being as in *query*.

    KeyError for a filter that does not exist.
    """
    if is_snapshot(query):  # each series is asked for at a moment of its own
        return False
    return _may(ADDITIVITY[filter_name].values, query)


def why_not_over_time(query: SeriesQuery) -> str | None:
    """Say why counts of *query* may not be added up over time; None if they may."""
    if is_snapshot(query):
        return f"{EXPIRATION_STATUS}: {ADDITIVITY[EXPIRATION_STATUS].reason}"
    for name in query.filters:
        if not _may(ADDITIVITY[name].time, query):
            return f"{name}: {ADDITIVITY[name].reason}"
    return None


def _may(sums: Sums, query: SeriesQuery) -> bool:
    if sums is Sums.OF_ENTRIES:
        return "true" not in query.filters.get(UNIQUE_ENTRIES, ())
    return sums is Sums.ALWAYS
