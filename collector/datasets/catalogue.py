"""The catalogue of Radar: its lists of certificate authorities and of certificate logs.

Source: Cloudflare's OpenAPI description of `ct/authorities` and `ct/logs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Item = Mapping[str, Any]
"""An entry of a list as it came: the API's keys, and any that it adds."""

_SAFE_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,99}")


class CatalogueList(NamedTuple):
    """One list: *name* is its word in the store, in commands and routes; *path* its place below `/radar/`.

    An answer has its entries under *rows_key*, and the details of one entry under *row_key*. *slug_key* is the key of
    the slug, *title_key* of the name for people, *state_key* of the state.

    *trust_keys* are further states, which only the details have. *measure_keys* are keys of the details whose values
    are new measurements each time. *filters* has for each filter of the time series the keys whose values it takes;
    `*` means every name in the list for those that are *starred*.
    """

    name: str
    noun: str
    path: str
    rows_key: str
    row_key: str
    slug_key: str
    title_key: str
    state_key: str
    filters: Mapping[str, tuple[str, ...]]
    starred: tuple[str, ...]
    trust_keys: tuple[str, ...] = ()
    measure_keys: tuple[str, ...] = ()

    @property
    def url_path(self) -> str:
        """The path behind the base URL."""
        return f"/radar/{self.path}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of an entry that have a meaning here, in the API's spelling."""
        of_filters = (key for keys in self.filters.values() for key in keys)
        return (self.slug_key, self.title_key, self.state_key, *of_filters, *self.trust_keys, *self.measure_keys)

    def names(self, item: Item, filter_name: str) -> list[str]:
        """Return the names of an entry that the filter may take, the most likely one first."""
        values = (item.get(key) for key in self.filters.get(filter_name, ()))
        return list(dict.fromkeys(value for value in values if isinstance(value, str) and value.strip()))


def is_safe_slug(slug: str) -> bool:
    """Return whether a slug may be a part of a path: a slug comes from outside, and `..` would be another path."""
    return _SAFE_SLUG.fullmatch(slug) is not None


AUTHORITIES = CatalogueList(
    name="authorities",
    noun="authority",
    path="ct/authorities",
    rows_key="certificateAuthorities",
    row_key="certificateAuthority",
    slug_key="sha256Fingerprint",
    title_key="name",
    state_key="revocationStatus",
    filters=MappingProxyType({"caOwner": ("owner",), "ca": ("name",)}),
    starred=("caOwner",),  # there are thousands of certificates, and most have issued nothing for years
    trust_keys=("chromeStatus", "appleStatus", "microsoftStatus", "mozillaStatus"),
)
LOGS = CatalogueList(
    name="logs",
    noun="log",
    path="ct/logs",
    rows_key="certificateLogs",
    row_key="certificateLog",
    slug_key="slug",
    title_key="description",
    state_key="state",
    # the contract does not say which of the two the filter takes
    filters=MappingProxyType({"log": ("description", "slug"), "logOperator": ("operator",)}),
    starred=("log", "logOperator"),
    measure_keys=("avgThroughput", "lastUpdate", "performance", "submittableCertCount", "submittedCertCount"),
)
LISTS: Mapping[str, CatalogueList] = MappingProxyType({known.name: known for known in (AUTHORITIES, LOGS)})
"""The lists by name."""


def list_of_filter(filter_name: str) -> CatalogueList | None:
    """Return the list that knows the values of a filter, by the API's name; None if no list does."""
    return next((known for known in LISTS.values() if filter_name in known.filters), None)


def list_of_star(filter_name: str) -> CatalogueList | None:
    """Return the list whose names `*` means for a filter; None if it means none."""
    known = list_of_filter(filter_name)
    return known if known and filter_name in known.starred else None


class CatalogueEntry(NamedTuple):
    """An entry of a list as it came: its slug, and its *content* as canonical JSON."""

    slug: str
    content: str


class EntryDetails(NamedTuple):
    """The details of one entry as canonical JSON: what stays, and the *measures* of this moment, if there are any."""

    slug: str
    content: str
    measures: str | None = None
